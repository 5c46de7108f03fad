package filecache

import (
	"strconv"
	"sync/atomic"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// Object is one representation as the server behind gives it to those who ask for it in one way. Immutable, but for the notes of
// the cache. Its responses are what that server has written, with the holes filled in (template.go).
type Object struct {
	key       string
	asked     question
	octets    []byte // of the body, chunks included
	framing   int    // octets of it that are the chunks'
	kinds     [numKinds]template
	etag      string // without "W/"; empty: none
	modified  int64  // Unix seconds; 0: not said
	keepAlive keepAlive
	only11    bool // not for HTTP/1.0

	freshUntil atomic.Int64 // Unix seconds
	touched    atomic.Bool  // by Lookup, for the eviction's clock
	body       *body
	life       life // the cache's own notes, under its lock
}

// Response says which response of an object it is. It is flat and comparable, and with the object it determines
// every octet.
type Response struct {
	Date        uint32 // Unix seconds
	Max         uint16 // further requests on the connection, for the Keep-Alive field
	kind        uint8
	fields      uint8
	first, last uint32 // of kind206
}

const (
	kind200 = iota
	kind200Head
	kind304
	kind206 // one range
	numKinds
)

// What is said about the connection.
const (
	fieldsNone    = iota
	fieldsTimeout // Keep-Alive: timeout=5
	fieldsMax     // Keep-Alive: timeout=5, max=100
	fieldsClose   // Connection: close

	connKeepAlive  = "\r\nConnection: Keep-Alive\r\n"
	connClose      = "Connection: close\r\n"
	fieldKeepAlive = "Keep-Alive: "
	fieldMax       = ", max="
)

// Closes reports whether the connection ends with the response.
func (r Response) Closes() bool { return r.fields == fieldsClose }

// Status returns the status code.
func (r Response) Status() int { return [...]int{200, 200, 304, 206}[r.kind] }

// Target returns the path that the object answers, as it was asked for.
func (o *Object) Target() string { return o.asked.target }

// Size returns the octets of the body, as they are sent.
func (o *Object) Size() int { return len(o.octets) }

// Respond returns the response to r, which asks for this object. served is how many requests were answered on the connection before,
// unix is the time for the Date field, in seconds. It reports false if only the server behind knows the response.
func (o *Object) Respond(r *httpwire.Request, served int, unix int64) (Response, bool) {
	resp := Response{Date: uint32(unix)}
	switch {
	case o.Stale(unix), r.HTTP10 && o.only11:
		return resp, false
	case o.keepAlive.timeout == "" && r.SentVia: // Apache is kinder to proxies
		return resp, false
	}
	if r.Range != nil || r.IfMatch != nil || r.IfUnmodifiedSince != nil {
		return resp, false // If-Range alone means nothing
	}
	if r.Head {
		resp.kind = kind200Head
	}
	fresh, ok := o.notModified(r, unix)
	if !ok {
		return resp, false
	}
	if fresh {
		resp.kind = kind304
	}
	if o.kinds[resp.kind].text == "" {
		return resp, false
	}
	left := o.Left(served)
	switch {
	case !r.KeepAlive() || left == 0 || o.keepAlive.timeout == "":
		resp.fields = fieldsClose
	case r.SentKeepAlive && left > 0:
		// Apache counts down from MaxKeepAliveRequests: its first response says 100.
		resp.fields, resp.Max = fieldsMax, uint16(min(left, 1<<16-1))
	case r.SentKeepAlive:
		resp.fields = fieldsTimeout
	}
	return resp, true
}

// Left returns how many requests a connection may carry after one that is answered with the object, when served were before; negative
// for any number.
func (o *Object) Left(served int) int {
	if o.keepAlive.max < 0 {
		return -1
	}
	return max(0, int(o.keepAlive.max)-served)
}

// Stale reports whether the object is no longer fresh at unix, seconds since 1970: until the server behind has said the same again,
// it answers nothing.
func (o *Object) Stale(unix int64) bool { return unix >= o.freshUntil.Load() }

// part returns the octets of the body that r has.
func (o *Object) part(r Response) []byte {
	switch r.kind {
	case kind200:
		return o.octets
	case kind206:
		return o.octets[r.first : r.last+1]
	}
	return nil
}

// HeadLen returns the octets of response r's header section, its final empty line included.
func (o *Object) HeadLen(r Response) uint32 {
	return uint32(o.headLen(r))
}

// BodyLen returns the octets of response r's body, without what frames chunks.
func (o *Object) BodyLen(r Response) uint32 {
	n := len(o.part(r))
	if r.kind == kind200 {
		n -= o.framing
	}
	return uint32(n)
}

// Len returns the octets of response r: header section and body.
func (o *Object) Len(r Response) uint32 {
	return uint32(o.headLen(r) + len(o.part(r)))
}

// ReadAt copies the octets of response r from offset off on into dst and returns how many there were: all that
// dst holds, unless the response ends. The octets at an offset are the same each time.
func (o *Object) ReadAt(r Response, dst []byte, off uint32) int {
	head := o.headLen(r)
	n := 0
	if int(off) < head {
		var scratch [maxHead]byte
		n = copy(dst, o.head(scratch[:0], r)[off:])
	}
	if n == len(dst) {
		return n
	}
	if at, part := int(off)+n-head, o.part(r); at < len(part) {
		n += copy(dst[n:], part[at:])
	}
	return n
}

// headLen is the length of what head appends.
func (o *Object) headLen(r Response) int {
	t := &o.kinds[r.kind]
	n := len(t.text)
	for _, h := range t.holes[:t.n] {
		switch h.what {
		case holeDate:
			n += httpwire.DateLen
		case holeAge:
			n += decimalLen(uint64(max(0, h.arg-int64(r.Date))))
		case holeConnection:
			n += o.connectionLen(r)
		case holeRange:
			n += decimalLen(uint64(r.first)) + 1 + decimalLen(uint64(r.last))
		case holeLength:
			n += decimalLen(uint64(r.last-r.first) + 1)
		}
	}
	return n
}

func (o *Object) connectionLen(r Response) int {
	switch n := len(fieldKeepAlive) + len(o.keepAlive.timeout) + len(connKeepAlive); r.fields {
	case fieldsTimeout:
		return n
	case fieldsMax:
		return n + len(fieldMax) + decimalLen(uint64(r.Max))
	case fieldsClose:
		return len(connClose)
	}
	return 0
}

func decimalLen(v uint64) int {
	n := 1
	for ; v >= 10; v /= 10 {
		n++
	}
	return n
}

// head appends the header section of r to b.
func (o *Object) head(b []byte, r Response) []byte {
	t := &o.kinds[r.kind]
	from := 0
	for _, h := range t.holes[:t.n] {
		b = append(b, t.text[from:h.at]...)
		from = int(h.at)
		switch h.what {
		case holeDate:
			b = b[:len(b)+httpwire.DateLen]
			httpwire.PutDate(b[len(b)-httpwire.DateLen:], int64(r.Date)+h.arg)
		case holeAge:
			b = strconv.AppendUint(b, uint64(max(0, h.arg-int64(r.Date))), 10)
		case holeConnection:
			b = o.connection(b, r)
		case holeRange:
			b = strconv.AppendUint(b, uint64(r.first), 10)
			b = append(b, '-')
			b = strconv.AppendUint(b, uint64(r.last), 10)
		case holeLength:
			b = strconv.AppendUint(b, uint64(r.last-r.first)+1, 10)
		}
	}
	return append(b, t.text[from:]...)
}

func (o *Object) connection(b []byte, r Response) []byte {
	switch r.fields {
	case fieldsTimeout, fieldsMax:
		b = append(b, fieldKeepAlive...)
		b = append(b, o.keepAlive.timeout...)
		if r.fields == fieldsMax {
			b = append(b, fieldMax...)
			b = strconv.AppendUint(b, uint64(r.Max), 10)
		}
		return append(b, connKeepAlive...)
	case fieldsClose:
		return append(b, connClose...)
	}
	return b
}
