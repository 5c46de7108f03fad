package redirect

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

const get = "GET /index.html HTTP/1.1\r\nHost: test\r\n\r\n"

// TestFirstRequest is the plainest hand-over: a whole request in one segment.
func TestFirstRequest(t *testing.T) {
	for name, s := range map[string]shape{
		"IPv4": {}, "IPv6": {v6: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, "80")
			r, i := l.open(Config{})
			p := l.peer(i, s)
			p.handOver(get)
			p.wantPage()
			if n := count(t, r, Assigned); n != 1 {
				t.Errorf("assigned %d", n)
			}
			// The connection is the kernel's now: the next request goes over the wire.
			p.wire(p.next(wire.ACK|wire.PSH, []byte(get)))
			p.wantPage()
		})
	}
}
