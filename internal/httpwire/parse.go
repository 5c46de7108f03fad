package httpwire

// MaxHead is the longest head that is ours, octets, request line and final empty line included. Apache takes
// 8,190 octets for each line (LimitRequestLine, LimitRequestFieldSize).
const MaxHead = 8192

// maxFields is Apache's LimitRequestFields.
const maxFields = 100

// Request is a parsed head. Its slices are parts of Parse's input and valid as long as that; they are nil if the
// field was not sent, and empty but not nil if it was sent empty.
type Request struct {
	Target            []byte // origin-form: an absolute path, and perhaps '?' and a query, exactly as sent
	Path              []byte // the part of Target in front of the first '?'
	Host              []byte
	IfMatch           []byte
	IfUnmodifiedSince []byte
	IfNoneMatch       []byte
	IfModifiedSince   []byte
	Range             []byte
	IfRange           []byte
	AcceptEncoding    []byte
	UserAgent         []byte
	Head              bool // the method is HEAD, not GET
	HTTP10            bool // the version is HTTP/1.0, not HTTP/1.1
	// SentKeepAlive says that the client sent the option keep-alive, SentClose that it sent close.
	SentKeepAlive bool
	SentClose     bool
	// SentVia says that the request came by a proxy (RFC 9110, 7.6.3).
	SentVia bool
}

// KeepAlive reports whether the connection persists after this request, if the server is willing (RFC 9112, 9.3).
func (r *Request) KeepAlive() bool {
	return !r.SentClose && (!r.HTTP10 || r.SentKeepAlive)
}

// Verdict is what Parse has found.
type Verdict uint8

const (
	// Partial: the octets may become a request of ours; more are needed to know.
	Partial Verdict = iota
	// Complete: a whole head, which is ours.
	Complete
	// NotOurs: whatever follows, the server behind shall have it.
	NotOurs
)

// String returns the verdict's name.
func (v Verdict) String() string { return [...]string{"partial", "complete", "not ours"}[v] }

// Parse reads one request head at the beginning of b. n is its length if the verdict is Complete; why has a
// meaning if it is NotOurs. r is undefined after any other verdict than Complete.
func Parse(b []byte, r *Request) (n int, v Verdict, why Reason) {
	*r = Request{}
	p := parser{b: b[:min(len(b), MaxHead)]}
	v, why = p.head(r)
	if v == Partial && len(b) >= MaxHead {
		return 0, NotOurs, HeadTooLarge
	}
	return p.at, v, why
}

// parser is one pass over b. The Request is not a part of it: what the octets flow into must not hold what
// they flow into, or every caller's Request moves to the heap.
type parser struct {
	b  []byte
	at int
}

func (p *parser) head(r *Request) (Verdict, Reason) {
	if v, why := p.requestLine(r); v != Complete {
		return v, why
	}
	for fields := 0; ; fields++ {
		rest := p.b[p.at:]
		switch {
		case len(rest) == 0, len(rest) == 1 && rest[0] == '\r':
			return Partial, 0
		case rest[0] == '\r' && rest[1] == '\n':
			p.at += 2
			return p.whole(r)
		case fields == maxFields:
			return NotOurs, HeadTooLarge
		}
		if v, why := p.field(r); v != Complete {
			return v, why
		}
	}
}

// whole checks what only the whole head can tell.
func (p *parser) whole(r *Request) (Verdict, Reason) {
	// RFC 9112, 3.2: a server MUST respond with 400 to an HTTP/1.1 request that lacks a Host field. HTTP/1.0 may.
	if r.Host == nil && !r.HTTP10 {
		return NotOurs, Host
	}
	return Complete, 0
}

// requestLine reads "GET /target HTTP/1.1\r\n" (RFC 9112, 3).
func (p *parser) requestLine(r *Request) (Verdict, Reason) {
	var v Verdict
	switch {
	case p.literal("GET ", &v):
	case v == Partial:
		return Partial, 0
	case p.literal("HEAD ", &v):
		r.Head = true
	case v == Partial:
		return Partial, 0
	default:
		return NotOurs, Method
	}
	if v, why := p.target(r); v != Complete {
		return v, why
	}
	switch {
	case p.literal("HTTP/1.1", &v):
	case v == Partial:
		return Partial, 0
	case p.literal("HTTP/1.0", &v):
		r.HTTP10 = true
	case v == Partial:
		return Partial, 0
	default:
		return NotOurs, Version
	}
	switch {
	case p.literal("\r\n", &v):
		return Complete, 0
	case v == Partial:
		return Partial, 0
	}
	return NotOurs, Syntax // a bare LF, a space, "HTTP/1.10"
}

// literal moves past s if the input goes on with it. If not, v is Partial if the input ends within it, and
// NotOurs if it differs.
func (p *parser) literal(s string, v *Verdict) bool {
	rest := p.b[p.at:]
	if len(rest) >= len(s) && string(rest[:len(s)]) == s {
		p.at += len(s)
		return true
	}
	*v = NotOurs
	if len(rest) < len(s) && string(rest) == s[:len(rest)] {
		*v = Partial
	}
	return false
}

// target reads an absolute path, perhaps a query, and the space behind. Only octets that RFC 3986 allows there (3.3,
// 3.4) are ours: no server understands them in another way. What they mean, dot segments and escapes included, whoever
// looks the target up has to know.
func (p *parser) target(r *Request) (Verdict, Reason) {
	start, query := p.at, -1
	for ; p.at < len(p.b); p.at++ {
		c := p.b[p.at]
		switch {
		case p.at == start && c != '/':
			return NotOurs, AbsoluteForm
		case c == ' ':
			r.Target = p.b[start:p.at]
			if r.Path = r.Target; query >= 0 {
				r.Path = r.Target[:query-start]
			}
			p.at++
			return Complete, 0
		case c == '?':
			if query < 0 {
				query = p.at
			}
		case c == '%':
			if v := p.escape(); v != Complete {
				return v, Escape
			}
		case c == '\r', c == '\n':
			return NotOurs, Version // "GET /target" alone is HTTP/0.9
		case !class.is(c, plain):
			return NotOurs, Target
		}
	}
	return Partial, 0
}

// escape moves to the last octet of a percent-encoding (RFC 3986, 2.1).
func (p *parser) escape() Verdict {
	for range 2 {
		switch p.at++; {
		case p.at == len(p.b):
			return Partial
		case !class.is(p.b[p.at], hex):
			return NotOurs
		}
	}
	return Complete
}

// field reads "name: value\r\n" (RFC 9112, 5).
func (p *parser) field(r *Request) (Verdict, Reason) {
	start := p.at
	for p.at < len(p.b) && class.is(p.b[p.at], token) {
		p.at++
	}
	if p.at == len(p.b) {
		return Partial, 0
	}
	// RFC 9112, 5.1: no whitespace is allowed between the field name and colon; 5.2: nor in front of it, where
	// it would be obsolete line folding.
	if p.at == start || p.b[p.at] != ':' {
		return NotOurs, Syntax
	}
	name := p.b[start:p.at]
	for p.at++; p.at < len(p.b) && isBlank(p.b[p.at]); p.at++ {
	}
	start = p.at
	for p.at < len(p.b) && class.is(p.b[p.at], text) {
		p.at++
	}
	end := p.at
	switch {
	case p.at == len(p.b):
		return p.early(name)
	case p.b[p.at] != '\r':
		return NotOurs, Syntax // a bare LF, NUL or another control
	case p.at+1 == len(p.b):
		return p.early(name)
	case p.b[p.at+1] != '\n':
		return NotOurs, Syntax
	}
	p.at += 2
	for end > start && isBlank(p.b[end-1]) {
		end--
	}
	return r.take(name, p.b[start:end])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// early decides on a field whose value is not whole yet: its name may tell.
func (p *parser) early(name []byte) (Verdict, Reason) {
	if f := lookup(name); f != nil && f.refuse {
		return NotOurs, f.why
	}
	return Partial, 0
}
