package httpwire

import (
	"regexp"
	"strings"
	"testing"
)

func TestEmptyLines(t *testing.T) {
	const crlfs = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"
	for _, c := range []struct {
		in      string
		n       int
		tooMany bool
	}{
		{"", 0, false}, {"GET / HTTP/1.1\r\n", 0, false}, {" \r\n", 0, false}, {"\x00\n", 0, false},
		{"\r\n", 2, false}, {"\n", 1, false}, {"\n\r\n\nG\n", 4, false}, {"\r\nHEAD", 2, false},
		{"\r", 0, false}, {"\r\n\r", 2, false}, {"\n\rG", 1, false}, {"\r\r\n", 0, false}, {"\n\r\r\n", 1, false},
		{crlfs, 20, false}, {crlfs + "\r", 20, false}, {crlfs + "G\n", 20, false}, {crlfs + "\rG", 20, false},
		{crlfs + "\r\n", 20, true}, {crlfs + "\n", 20, true}, {crlfs + crlfs, 20, true},
		{strings.Repeat("\n", 10), 10, false}, {strings.Repeat("\n", 11), 10, true},
	} {
		if n, tooMany := EmptyLines([]byte(c.in)); n != c.n || tooMany != c.tooMany {
			t.Errorf("%q: %d, %v; want %d, %v", c.in, n, tooMany, c.n, c.tooMany)
		}
	}
}

// FuzzEmptyLines holds EmptyLines against a regular expression.
func FuzzEmptyLines(f *testing.F) {
	for _, s := range []string{"", "\r\n\r", "\n\n\r\nGET", strings.Repeat("\n\r\n", 6)} {
		f.Add([]byte(s))
	}
	ten, more := regexp.MustCompile(`^(\r?\n){0,10}`), regexp.MustCompile(`^(\r?\n){11}`)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, tooMany := EmptyLines(b)
		if want := len(ten.Find(b)); n != want || tooMany != more.Match(b) {
			t.Fatalf("%q: %d, %v; want %d", b, n, tooMany, want)
		}
	})
}
