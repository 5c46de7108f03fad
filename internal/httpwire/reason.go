package httpwire

// Reason says why a request is not ours. Its String is the label of a metric.
type Reason uint8

// The reasons.
const (
	Method       Reason = iota // other than GET and HEAD
	Version                    // other than HTTP/1.0 and HTTP/1.1
	Target                     // octets that RFC 3986 does not allow: 8-bit, quotes, backslash, '#'
	Query                      // there is one; Parse itself lets it through
	Escape                     // '%' without two hexadecimal digits
	AbsoluteForm               // or authority-form, or '*'
	Syntax                     // what RFC 9112 does not allow, or allows only in an obsolete form
	HeadTooLarge               // over MaxHead octets or maxFields fields
	Host                       // missing, repeated or odd
	Body                       // Content-Length or Transfer-Encoding
	Range                      // Request-Range
	Expect
	Upgrade       // Upgrade, HTTP2-Settings
	Connection    // an option other than close and keep-alive
	Authorization // Authorization, Proxy-Authorization
	Repeated      // a field twice that we act upon
	NumReasons
)

var reasonNames = [NumReasons]string{
	"method", "version", "target", "query", "escape", "absolute-form", "syntax", "head-too-large", "host",
	"body", "range", "expect", "upgrade", "connection", "authorization", "repeated",
}

// String returns the reason as a metric's label.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
