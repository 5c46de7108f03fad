package httpwire

// Classes of octets.
const (
	token  = 1 << iota // RFC 9110, 5.6.2
	plain              // of a path: means itself to every server
	text               // of a field's value: visible, blank, or 8-bit (RFC 9110, 5.5)
	letter             // ASCII
	digit              // ASCII
	hex                // hexadecimal digit
)

type classes [256]uint8

func (t *classes) is(c byte, what uint8) bool { return t[c]&what != 0 }

var class = makeClasses()

func makeClasses() (t classes) {
	mark := func(set string, what uint8) {
		for _, c := range []byte(set) {
			t[c] |= what
		}
	}
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= text
		}
	}
	mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", token|plain|letter)
	mark("0123456789", token|plain|digit|hex)
	mark("abcdefABCDEF", hex)
	mark("!#$%&'*+-.^_`|~", token)
	mark("/-._~!$&'()*+,;=:@", plain)
	return t
}
