package filecache

import (
	"strconv"
	"sync/atomic"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// Object is one representation as the server behind gives it to those who ask for it in one way. Immutable, but for the notes of
// the cache. Its responses are what that server has written, with the holes filled in (template.go).
type Object struct {
	key        string
	asked      question
	octets     []byte // of the body, chunks included; none if it is on disk
	file       *file  // or nil: where the body is on disk
	size       uint64 // octets of the body
	framing    int    // octets of it that are the chunks'
	kinds      [numKinds]template
	validators precondition.Validators
	boundary   string // between several ranges
	mime       string // Content-Type; "" if there is none
	keepAlive  keepAlive
	idle       uint32 // its seconds
	only11     bool   // not for HTTP/1.0

	freshUntil atomic.Int64 // Unix seconds
	touched    atomic.Bool  // by Lookup, for the eviction's clock
	body       *body
	life       life // the cache's own notes, under its lock
}

// Response says which response of an object it is. It is flat and comparable, and with the object it determines
// every octet.
type Response struct {
	Date   uint32 // Unix seconds
	Max    uint16 // further requests on the connection, for the Keep-Alive field
	kind   uint8
	fields uint8
	noBody bool               // the answer to HEAD, or a 304
	onDisk bool               // there is a body, and it is on disk
	length uint32             // of the body of kindParts
	parts  precondition.Parts // of kind206 and kindParts
}

const (
	kind200 = iota
	kind200Head
	kind304
	kind206   // one range
	kindParts // several
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

// statuses are those of the kinds.
var statuses = [numKinds]int{200, 200, 304, 206, 206}

// Closes reports whether the connection ends with the response.
func (r Response) Closes() bool { return r.fields == fieldsClose }

// OnDisk reports whether octets of the response are read from a file each time, by Object.ReadFileAt.
func (r Response) OnDisk() bool { return r.onDisk }

// Status returns the status code.
func (r Response) Status() int { return statuses[r.kind] }

// Target returns the path that the object answers, as it was asked for.
func (o *Object) Target() string { return o.asked.target }

// Size returns the octets of the body, as they are sent.
func (o *Object) Size() int { return int(o.size) }

// Respond returns the response to r, which asks for this object. served is how many requests were answered on the connection before,
// unix is the time for the Date field, in seconds. It reports false if only the server behind knows the response.
func (o *Object) Respond(r *httpwire.Request, served int, unix int64) (Response, bool) {
	resp := Response{Date: uint32(unix)}
	switch {
	case o.Stale(unix), r.HTTP10 && o.only11:
		return resp, false
	case r.Head && o.kinds[kind200Head].text == "":
		return resp, false // the server behind makes a difference between GET and HEAD
	case o.keepAlive.timeout == "" && r.SentVia: // Apache is kinder to proxies
		return resp, false
	}
	if !o.choose(&resp, r, unix) || !o.knows(&resp) {
		return resp, false
	}
	resp.onDisk = o.file != nil && !resp.noBody
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

// choose sets what resp is of: the whole, ranges, or nothing. It reports false if only the server behind knows.
func (o *Object) choose(resp *Response, r *httpwire.Request, unix int64) bool {
	if r.Range != nil && o.only11 {
		return false // the server behind may not know the length when it reads the field
	}
	resp.noBody = r.Head
	switch precondition.Evaluate(r, &o.validators, unix, &resp.parts) {
	case precondition.Unsure:
		return false
	case precondition.NotModified:
		resp.kind, resp.noBody = kind304, true
	case precondition.Partial:
		resp.kind = kind206
		if resp.parts.N > 1 {
			m := o.multipart()
			resp.kind, resp.length = kindParts, m.Len(&resp.parts)
		}
	default:
		if r.Head {
			resp.kind = kind200Head
		}
	}
	return true
}

// knows reports whether the server behind has shown how it writes resp.
func (o *Object) knows(resp *Response) bool {
	if resp.parts.Merges > 0 && o.kinds[kindParts].text == "" {
		return false // it may limit them
	}
	return o.kinds[resp.kind].text != ""
}

func (o *Object) multipart() precondition.Multipart {
	m := precondition.Multipart{Boundary: o.boundary, Type: o.mime, Body: o.octets, Length: o.size}
	if o.file != nil {
		m.Body, m.File = nil, o.file
	}
	return m
}

// Idle returns for how many seconds a connection is kept, after a response with the object, that does not end with it.
func (o *Object) Idle() uint32 { return o.idle }

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

// Len returns the octets of response r: header section and body.
func (o *Object) Len(r Response) uint64 { return uint64(o.headLen(&r)) + o.bodyLen(&r) }

func (o *Object) bodyLen(r *Response) uint64 {
	switch {
	case r.noBody:
		return 0
	case r.kind == kind200:
		return o.size
	}
	return o.rangesLen(r)
}

// rangesLen is what Content-Length says of kind206 and kindParts.
func (o *Object) rangesLen(r *Response) uint64 {
	if r.kind == kindParts {
		return uint64(r.length)
	}
	from, to := r.parts.Only()
	return to - from
}

// HeadLen returns the octets of response r's header section, its final empty line included.
func (o *Object) HeadLen(r Response) uint32 { return uint32(o.headLen(&r)) }

// BodyLen returns the octets of response r's body, without what frames chunks.
func (o *Object) BodyLen(r Response) uint64 {
	n := o.bodyLen(&r)
	if r.kind == kind200 {
		n -= uint64(o.framing)
	}
	return n
}

// readBody is ReadAt for the body of r, in memory, where offsets fit 32 bits.
func (o *Object) readBody(r *Response, dst []byte, off uint32) int {
	switch {
	case r.noBody:
		return 0
	case r.kind == kindParts:
		m := o.multipart()
		return m.ReadAt(&r.parts, dst, off)
	}
	body := o.octets
	if r.kind == kind206 {
		from, to := r.parts.Only()
		body = body[from:to]
	}
	return copy(dst, body[min(int(off), len(body)):])
}

// ReadAt copies the octets of response r, which is not OnDisk, from offset off on into dst and returns how many there were: all that
// dst holds, unless the response ends. The octets at an offset are the same each time.
func (o *Object) ReadAt(r Response, dst []byte, off uint32) int {
	head := uint32(o.headLen(&r))
	n := 0
	if off < head {
		var scratch [maxHead]byte
		n = copy(dst, o.head(scratch[:0], &r)[off:])
	}
	if n == len(dst) {
		return n
	}
	return n + o.readBody(&r, dst[n:], off+uint32(n)-head)
}

// headLen is the length of what head appends.
func (o *Object) headLen(r *Response) int {
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
			from, to := r.parts.Only()
			n += decimalLen(from) + 1 + decimalLen(to-1) + 1 + decimalLen(o.size)
		case holeLength:
			n += decimalLen(o.rangesLen(r))
		}
	}
	return n
}

func (o *Object) connectionLen(r *Response) int {
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
func (o *Object) head(b []byte, r *Response) []byte {
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
			from, to := r.parts.Only()
			b = precondition.AppendContentRange(b, from, to, o.size)
		case holeLength:
			b = strconv.AppendUint(b, o.rangesLen(r), 10)
		}
	}
	return append(b, t.text[from:]...)
}

func (o *Object) connection(b []byte, r *Response) []byte {
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
