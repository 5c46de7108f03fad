package filecache

import (
	"bytes"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// What is Ready is the same at all times but for the date where it says; what has another moving field, or is about the
// connection's end, is not.
func TestReady(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nServer: s\r\nDate: \r\n\r\n"
	object := func(text string, holes ...hole) *Object {
		o := &Object{octets: []byte("body"), keepAlive: keepAlive{timeout: "timeout=5", max: -1}}
		t := &o.kinds[kind200]
		t.text, t.n = text, uint8(copy(t.holes[:], holes))
		return o
	}
	date, conn := hole{at: 34, what: holeDate}, hole{at: 28, what: holeConnection}
	for _, c := range []struct {
		name string
		o    *Object
		r    Response
		want bool
	}{
		{"plain", object(head, date), Response{}, true},
		{"kept", object(head, conn, date), Response{fields: fieldsTimeout}, true},
		{"kept, with a number", object(head, conn, date), Response{fields: fieldsMax, Max: 7}, false},
		{"the last", object(head, conn, date), Response{fields: fieldsClose}, false},
		{"304", object(head, date), Response{kind: kind304, noBody: true}, false},
		{"no date", object(head), Response{}, false},
		{"Expires moves", object(head, date, hole{at: 36, what: holeDate, arg: 60}), Response{}, false},
		{"max-age shrinks", object(head, date, hole{at: 36, what: holeAge, arg: 2e9}), Response{}, false},
	} {
		at, ok := c.o.Ready(c.r)
		if ok != c.want {
			t.Errorf("%s: ready %v, want %v", c.name, ok, c.want)
		}
		if !ok {
			continue
		}
		var was []byte
		for _, unix := range []uint32{0, 1.7e9} {
			c.r.Date = unix
			b := make([]byte, c.o.Len(c.r))
			c.o.ReadAt(c.r, b, 0)
			if _, ok := httpwire.ParseDate(b[at:at+httpwire.DateLen], int64(unix)); !ok {
				t.Errorf("%s: no date at %d of %q", c.name, at, b)
			}
			clear(b[at : at+httpwire.DateLen])
			if was != nil && !bytes.Equal(b, was) {
				t.Errorf("%s: %q is not %q", c.name, b, was)
			}
			was = b
		}
	}
}
