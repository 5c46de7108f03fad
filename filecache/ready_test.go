package filecache

import (
	"bytes"
	"strconv"
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
		{"kept, with a number", object(head, conn, date), Response{fields: fieldsMax, Max: 7}, true},
		{"kept, with a longer one", object(head, conn, date), Response{fields: fieldsMax, Max: 4321}, true},
		{"the number behind the date", object(head, date, hole{at: 36, what: holeConnection}), Response{fields: fieldsMax, Max: 99}, true},
		{"the last", object(head, conn, date), Response{fields: fieldsClose}, false},
		{"304", object(head, date), Response{kind: kind304, noBody: true}, false},
		{"no date", object(head), Response{}, false},
		{"Expires moves", object(head, date, hole{at: 36, what: holeDate, arg: 60}), Response{}, false},
		{"max-age shrinks", object(head, date, hole{at: 36, what: holeAge, arg: 2e9}), Response{}, false},
	} {
		m, ok := c.o.Ready(c.r)
		if ok != c.want {
			t.Errorf("%s: ready %v, want %v", c.name, ok, c.want)
		}
		if !ok {
			continue
		}
		most := 0 // of as many digits
		for range m.MaxDigits {
			most = 10*most + 9
		}
		var was []byte
		for k, unix := range []uint32{0, 1.7e9} {
			c.r.Date = unix
			r := c.r.WithMax(most - k)
			b := make([]byte, c.o.Len(r))
			c.o.ReadAt(r, b, 0)
			if _, ok := httpwire.ParseDate(b[m.Date:m.Date+httpwire.DateLen], int64(unix)); !ok {
				t.Errorf("%s: no date at %d of %q", c.name, m.Date, b)
			}
			clear(b[m.Date : m.Date+httpwire.DateLen])
			digits := b[m.Max : m.Max+m.MaxDigits]
			if said := m.MaxDigits > 0; said != (c.r.fields == fieldsMax) || said && string(digits) != strconv.Itoa(most-k) {
				t.Errorf("%s: %q at %d of %q", c.name, digits, m.Max, b)
			}
			clear(digits)
			if was != nil && !bytes.Equal(b, was) {
				t.Errorf("%s: %q is not %q", c.name, b, was)
			}
			was = b
		}
	}
}
