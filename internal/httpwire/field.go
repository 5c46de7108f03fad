package httpwire

// knownField is a field that decides something. All others do not matter to a static object.
type knownField struct {
	name   string // in lower case
	refuse bool   // whoever sends it is answered by the server behind
	why    Reason
	keep   kept // where its value goes
}

// kept names a slice of Request.
type kept uint8

const (
	keepNone kept = iota
	keepHost
	keepIfMatch
	keepIfUnmodifiedSince
	keepIfNoneMatch
	keepIfModifiedSince
	keepRange
	keepIfRange
	keepAcceptEncoding
	keepUserAgent
	keepVia
)

// keep notes the value of a field, and reports whether it is the first of its name.
func (r *Request) keep(k kept, value []byte) (first bool) {
	if k == keepVia {
		r.SentVia = true
		return true // a list of any number of lines
	}
	place := r.place(k)
	first = *place == nil
	*place = value
	return first
}

func (r *Request) place(k kept) *[]byte {
	switch k {
	case keepHost:
		return &r.Host
	case keepIfMatch:
		return &r.IfMatch
	case keepIfUnmodifiedSince:
		return &r.IfUnmodifiedSince
	case keepIfNoneMatch:
		return &r.IfNoneMatch
	case keepIfModifiedSince:
		return &r.IfModifiedSince
	case keepRange:
		return &r.Range
	case keepIfRange:
		return &r.IfRange
	case keepAcceptEncoding:
		return &r.AcceptEncoding
	default:
		return &r.UserAgent
	}
}

var knownFields = [...]knownField{
	{name: "host", why: Host, keep: keepHost},
	{name: "connection"},
	{name: "if-match", why: Repeated, keep: keepIfMatch},
	{name: "if-unmodified-since", why: Repeated, keep: keepIfUnmodifiedSince},
	{name: "if-none-match", why: Repeated, keep: keepIfNoneMatch},
	{name: "if-modified-since", why: Repeated, keep: keepIfModifiedSince},
	{name: "range", why: Repeated, keep: keepRange},
	{name: "if-range", why: Repeated, keep: keepIfRange},
	{name: "accept-encoding", why: Repeated, keep: keepAcceptEncoding},
	{name: "user-agent", why: Repeated, keep: keepUserAgent},
	{name: "via", keep: keepVia},
	{name: "content-length", refuse: true, why: Body},
	{name: "transfer-encoding", refuse: true, why: Body},
	{name: "trailer", refuse: true, why: Body},
	{name: "request-range", refuse: true, why: Range}, // Netscape 2, Internet Explorer 3
	{name: "expect", refuse: true, why: Expect},
	{name: "upgrade", refuse: true, why: Upgrade},
	{name: "http2-settings", refuse: true, why: Upgrade},
	{name: "te", refuse: true, why: Connection},
	{name: "keep-alive", refuse: true, why: Connection},
	{name: "authorization", refuse: true, why: Authorization},
	{name: "proxy-authorization", refuse: true, why: Authorization},
}

// proxyField stands for all whose name begins with "proxy-": they are meant for somebody else than a server.
var proxyField = knownField{name: "proxy-", refuse: true, why: Connection}

// lookup returns the known field of that name, in whatever case it is written (RFC 9110, 5.1), or nil.
func lookup(name []byte) *knownField {
	for k := range knownFields {
		if f := &knownFields[k]; len(f.name) == len(name) && equalFold(name, f.name) {
			return f
		}
	}
	if n := len(proxyField.name); len(name) > n && equalFold(name[:n], proxyField.name) {
		return &proxyField
	}
	return nil
}

// equalFold compares b with lower, which is in lower case, without regard to the case of ASCII letters.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for k, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[k] {
			return false
		}
	}
	return true
}

func (r *Request) take(name, value []byte) (Verdict, Reason) {
	f := lookup(name)
	switch {
	case f == nil:
		return Complete, 0
	case f.refuse:
		return NotOurs, f.why
	case f.keep == keepNone:
		return r.connection(value)
	}
	if !r.keep(f.keep, value) {
		// RFC 9112, 3.2, for Host; others may be lists, but then two readers may join them in two ways.
		return NotOurs, f.why
	}
	if f.why == Host && !validHost(value) {
		return NotOurs, Host
	}
	return Complete, 0
}

// connection reads the options of one Connection field (RFC 9110, 7.6.1).
func (r *Request) connection(value []byte) (Verdict, Reason) {
	for len(value) > 0 {
		k := 0
		for k < len(value) && value[k] != ',' {
			k++
		}
		option := value[:k]
		value = value[min(k+1, len(value)):]
		for len(option) > 0 && isBlank(option[0]) {
			option = option[1:]
		}
		for len(option) > 0 && isBlank(option[len(option)-1]) {
			option = option[:len(option)-1]
		}
		switch {
		case equalFold(option, "close"):
			r.SentClose = true
		case equalFold(option, "keep-alive"):
			r.SentKeepAlive = true
		default: // the empty one of a lone comma too
			return NotOurs, Connection
		}
	}
	// Both at once is a contradiction.
	if r.SentClose && r.SentKeepAlive {
		return NotOurs, Connection
	}
	return Complete, 0
}
