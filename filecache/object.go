package filecache

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// Object is one static object, immutable. Its responses are made of ready pieces:
//
//	HTTP/1.1 200 OK\r\nDate: │date│ front │ Keep-Alive, Connection │ back, empty line │ body
//
// in the order and the formats of Apache 2.4.
type Object struct {
	target    string
	body      []byte
	front200  string // from the end of Date's value to Content-Length or Vary
	front304  string
	back200   string // Content-Type
	etag      string // quoted
	keepAlive string // "timeout=5"
	modified  int64  // Unix seconds
	varies    bool   // by Accept-Encoding

	touched atomic.Bool // by Lookup, for the eviction's clock
	life    life        // the cache's own notes, under its lock
}

// Response says which response of an object it is. It is flat and comparable, and with the object it determines
// every octet.
type Response struct {
	Date   uint32 // Unix seconds
	Max    uint16 // further requests on the connection, for the Keep-Alive field
	kind   uint8
	fields uint8
}

const (
	kind200 = iota
	kind200Head
	kind304
)

// What stands between front and back.
const (
	fieldsNone     = iota
	fieldsTimeout  // Keep-Alive: timeout=5
	fieldsMax      // Keep-Alive: timeout=5, max=100
	fieldsClose    // Connection: close
	line200        = "HTTP/1.1 200 OK\r\nDate: "
	line304        = "HTTP/1.1 304 Not Modified\r\nDate: "
	connKeepAlive  = "\r\nConnection: Keep-Alive\r\n"
	connClose      = "Connection: close\r\n"
	fieldKeepAlive = "Keep-Alive: "
	maxHead        = 1024 // longer ones are refused by newObject
)

// Closes reports whether the connection ends with the response.
func (r Response) Closes() bool { return r.fields == fieldsClose }

// Status returns the status code.
func (r Response) Status() int {
	if r.kind == kind304 {
		return 304
	}
	return 200
}

// facts are what an object's header section is made of.
type facts struct {
	server    string // value of Server; "" leaves the field out
	mime      string
	keepAlive time.Duration
	modified  time.Time
	varies    bool
}

// newObject returns the object of body for target, with the fields that a stock Apache sends.
func newObject(target string, body []byte, f facts) (*Object, error) {
	o := &Object{target: target, body: body, varies: f.varies, modified: f.modified.Unix()}
	// Apache's default, FileETag MTime Size: the size and the time in microseconds, in hexadecimal.
	o.etag = fmt.Sprintf("\"%x-%x\"", len(body), f.modified.UnixMicro())
	date := make([]byte, httpwire.DateLen)
	httpwire.PutDate(date, o.modified)
	common := "\r\n"
	if f.server != "" {
		common += "Server: " + f.server + "\r\n"
	}
	common += "Last-Modified: " + string(date) + "\r\nETag: " + o.etag + "\r\nAccept-Ranges: bytes\r\n"
	o.front304 = common
	o.front200 = common + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	if f.varies {
		o.front200 += "Vary: Accept-Encoding\r\n"
	}
	o.back200 = "Content-Type: " + f.mime + "\r\n\r\n"
	o.keepAlive = "timeout=" + strconv.Itoa(int(f.keepAlive/time.Second))
	if len(o.front200)+len(o.back200)+len(line304)+httpwire.DateLen+100 > maxHead {
		return nil, fmt.Errorf("header section of %q is too long", target)
	}
	return o, nil
}

// Target returns the request target that the object answers.
func (o *Object) Target() string { return o.target }

// Size returns the octets of the body.
func (o *Object) Size() int { return len(o.body) }

// Respond returns the response to r, which asks for this object. left is how many further requests the connection
// may carry after this one, negative for any number; unix is the time for the Date field, in seconds. It reports
// false if only the server behind knows the response.
func (o *Object) Respond(r *httpwire.Request, left int, unix int64) (Response, bool) {
	resp := Response{Date: uint32(unix)}
	if o.varies && len(r.AcceptEncoding) > 0 && string(r.AcceptEncoding) != "identity" {
		return resp, false // it may compress
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
	switch {
	case !r.KeepAlive() || left == 0:
		resp.fields = fieldsClose
	case r.SentKeepAlive && left > 0:
		// Apache counts down from MaxKeepAliveRequests: its first response says 100.
		resp.fields, resp.Max = fieldsMax, uint16(min(left, 1<<16-1))
	case r.SentKeepAlive:
		resp.fields = fieldsTimeout
	}
	return resp, true
}

// notModified evaluates the preconditions. ok is false if they are written in a way that two readers may understand
// differently.
func (o *Object) notModified(r *httpwire.Request, unix int64) (is, ok bool) {
	if r.IfNoneMatch != nil {
		if is, ok = matchesAny(r.IfNoneMatch, o.etag, o.varies); !is || !ok || r.IfModifiedSince == nil {
			return is, ok
		}
		// RFC 9110, 13.1.3: If-Modified-Since is ignored if there is If-None-Match. Apache's ap_meets_conditions
		// wants both to hold: where that makes a difference, it shall answer.
		is, ok = o.notModifiedSince(r.IfModifiedSince, unix)
		return is, is && ok
	}
	if r.IfModifiedSince == nil {
		return false, true
	}
	return o.notModifiedSince(r.IfModifiedSince, unix)
}

func (o *Object) notModifiedSince(date []byte, unix int64) (is, ok bool) {
	since, ok := httpwire.ParseDate(date, unix)
	// RFC 9110, 13.1.4; a time in the future means nothing.
	return ok && o.modified <= since && since <= unix, ok
}

// matchesAny compares the entity tags of an If-None-Match field weakly with etag (RFC 9110, 8.8.3.2).
func matchesAny(list []byte, etag string, varies bool) (is, ok bool) {
	if len(list) == 1 && list[0] == '*' {
		return true, true
	}
	found := false
	for {
		for len(list) > 0 && (list[0] == ' ' || list[0] == '\t') {
			list = list[1:]
		}
		if len(list) >= 2 && list[0] == 'W' && list[1] == '/' {
			list = list[2:]
		}
		if len(list) < 2 || list[0] != '"' {
			return false, false
		}
		end := 1
		for end < len(list) && list[end] != '"' {
			if c := list[end]; c <= ' ' || c == '\\' || c >= 0x7f {
				return false, false
			}
			end++
		}
		if end == len(list) {
			return false, false
		}
		tag := list[:end+1]
		if varies && end > 5 && string(tag[end-5:end]) == "-gzip" {
			return false, false // mod_deflate's tag of this object, perhaps
		}
		found = found || string(tag) == etag
		list = list[end+1:]
		for len(list) > 0 && (list[0] == ' ' || list[0] == '\t') {
			list = list[1:]
		}
		switch {
		case len(list) == 0:
			return found, true
		case list[0] != ',':
			return false, false
		}
		list = list[1:]
	}
}

// Len returns the octets of response r: header section and body.
func (o *Object) Len(r Response) uint32 {
	var scratch [maxHead]byte
	n := uint32(len(o.head(scratch[:0], r)))
	if r.kind == kind200 {
		n += uint32(len(o.body))
	}
	return n
}

// ReadAt copies the octets of response r from offset off on into dst and returns how many there were: all that
// dst holds, unless the response ends. The octets at an offset are the same each time.
func (o *Object) ReadAt(r Response, dst []byte, off uint32) int {
	var scratch [maxHead]byte
	head := o.head(scratch[:0], r)
	n := 0
	if int(off) < len(head) {
		n = copy(dst, head[off:])
	}
	if r.kind != kind200 || n == len(dst) {
		return n
	}
	at := int(off) + n - len(head)
	if at >= len(o.body) {
		return n
	}
	return n + copy(dst[n:], o.body[at:])
}

// head appends the header section of r to b.
func (o *Object) head(b []byte, r Response) []byte {
	line, front, back := line200, o.front200, o.back200
	if r.kind == kind304 {
		line, front, back = line304, o.front304, "\r\n"
	}
	b = append(b, line...)
	b = b[:len(b)+httpwire.DateLen]
	httpwire.PutDate(b[len(b)-httpwire.DateLen:], int64(r.Date))
	b = append(b, front...)
	switch r.fields {
	case fieldsTimeout, fieldsMax:
		b = append(b, fieldKeepAlive...)
		b = append(b, o.keepAlive...)
		if r.fields == fieldsMax {
			b = append(b, ", max="...)
			b = strconv.AppendUint(b, uint64(r.Max), 10)
		}
		b = append(b, connKeepAlive...)
	case fieldsClose:
		b = append(b, connClose...)
	}
	return append(b, back...)
}
