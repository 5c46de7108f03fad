package accesslog

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/hits"
)

// line is one response, ready to be written in any format.
type line struct {
	*Options
	hits.Begin
	end       hits.End
	begun     time.Time
	took      time.Duration
	method    []byte
	target    []byte
	version   []byte
	firstLine []byte
	fields    []byte // of the request
	site      Server // see server
	sited     bool
}

// set takes a response apart. The octets of b and what l holds are the same.
func (l *line) set(b *hits.Begin, e *hits.End, begun time.Time) {
	*l = line{Options: l.Options, Begin: *b, end: *e, begun: begun, took: max(time.Duration(e.At-b.At), 0)}
	l.firstLine, l.fields = cutLine(bytes.TrimLeft(b.Request, "\r\n")) // empty lines in front of it are none of Apache's
	rest := l.firstLine
	l.method, rest, _ = bytes.Cut(rest, []byte{' '})
	l.target, l.version, _ = bytes.Cut(rest, []byte{' '})
}

func cutLine(b []byte) (first, rest []byte) {
	first, rest, _ = bytes.Cut(b, []byte("\r\n"))
	return first, rest
}

// field returns the value of the field with this name in a section, those of several joined as Apache joins them. ok is false
// if there is none.
func field(section []byte, name string) (value []byte, ok bool) {
	for len(section) > 0 {
		var this []byte
		this, section = cutLine(section)
		if len(this) <= len(name) || this[len(name)] != ':' || !strings.EqualFold(string(this[:len(name)]), name) {
			continue
		}
		v := bytes.Trim(this[len(name)+1:], " \t")
		if ok {
			v = bytes.Join([][]byte{value, v}, []byte(", "))
		}
		value, ok = v, true
	}
	return value, ok
}

// requestField returns the value of a field of the request.
func (l *line) requestField(name string) ([]byte, bool) { return field(l.fields, name) }

// responseField returns the value of a field of the response, as Apache knows it when it logs: without the two that it adds
// last, and without the parameters of the media type.
func (l *line) responseField(name string) ([]byte, bool) {
	switch {
	case strings.EqualFold(name, "Date"), strings.EqualFold(name, "Server"):
		return nil, false
	}
	_, fields := cutLine(l.Section)
	v, ok := field(fields, name)
	if strings.EqualFold(name, "Content-Type") {
		v, _, _ = bytes.Cut(v, []byte{';'})
		v = bytes.TrimRight(v, " \t")
	}
	return v, ok
}

// cookie returns the value of a cookie, as Apache's log_cookie finds it.
func (l *line) cookie(name string) (value []byte, ok bool) {
	all, _ := l.requestField("Cookie")
	for pair := range bytes.SplitSeq(all, []byte{';'}) {
		k, v, _ := bytes.Cut(pair, []byte{'='})
		if v = bytes.TrimLeft(v, "="); len(v) > 0 && strings.EqualFold(string(bytes.Trim(k, " \t")), name) {
			return bytes.Trim(v, " \t"), true
		}
	}
	return nil, false
}

func (l *line) remote() netip.Addr { return netip.AddrFrom16(l.Remote).Unmap() }
func (l *line) local() netip.Addr  { return netip.AddrFrom16(l.Local).Unmap() }

// path returns the target's path as Apache hands it round: decoded, without empty and dot segments.
func (l *line) path() []byte {
	p, _, _ := bytes.Cut(l.target, []byte{'?'})
	if bytes.IndexByte(p, '%') < 0 && !bytes.Contains(p, []byte("/.")) && !bytes.Contains(p, []byte("//")) {
		return p
	}
	out := make([]byte, 0, len(p))
	for p = unescape(p); len(p) > 0; {
		p = bytes.TrimLeft(p, "/")
		segment, rest, more := bytes.Cut(p, []byte{'/'})
		switch string(segment) {
		case ".":
		case "..":
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
		default:
			out = append(append(out, '/'), segment...)
			if !more {
				return out
			}
		}
		if p = rest; len(p) == 0 {
			break
		}
	}
	return append(out, '/')
}

func unescape(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for k := 0; k < len(p); k++ {
		if p[k] == '%' && k+2 < len(p) {
			high, low := hexDigit(p[k+1]), hexDigit(p[k+2])
			if high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				k += 2
				continue
			}
		}
		out = append(out, p[k])
	}
	return out
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// query returns the target's query with its question mark, or nothing.
func (l *line) query() []byte {
	if k := bytes.IndexByte(l.target, '?'); k >= 0 {
		return l.target[k:]
	}
	return nil
}

// server returns the site that answers.
func (l *line) server() *Server {
	if !l.sited {
		l.site, l.sited = l.Server(netip.AddrPortFrom(l.local(), l.LocalPort), l.host()), true
	}
	return &l.site
}

// serverName is %V.
func (l *line) serverName() string {
	if host := l.host(); host != "" && !l.server().Canonical {
		return host
	}
	return l.server().Name
}

// host returns the name that the client has used for the server, as Apache knows it: in lower case, without port, brackets and a final
// dot. "" if there is none.
func (l *line) host() string {
	v, _ := l.requestField("Host")
	host := strings.ToLower(string(v))
	if end := strings.IndexByte(host, ']'); end > 0 && host[0] == '[' {
		return host[1:end]
	}
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(host, ".")
}

// before is Apache's count of requests on the connection before this one. It leaves out one that ends the connection because the
// client wants it, so that such a one has the number of that before.
func (l *line) before() int {
	if l.Closes && l.Left != 0 {
		return max(int(l.Before)-1, 0)
	}
	return int(l.Before)
}

// fate is what becomes of the connection: X if it was aborted, + if it may be kept, - if not. Apache says - of the last one but
// one already.
func (l *line) fate() byte {
	switch {
	case l.end.Aborted:
		return 'X'
	case l.Closes || l.Left >= 0 && l.Left <= 1:
		return '-'
	}
	return '+'
}
