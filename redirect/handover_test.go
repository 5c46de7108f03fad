package redirect

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

const get = "GET /index.html HTTP/1.1\r\nHost: test\r\n\r\n"

// TestHandOver does the plainest hand-over, a whole request in one segment, with every shape of a connection; then
// sends the next request over the wire.
func TestHandOver(t *testing.T) {
	nearWrap := wire.Seq(0xffff_fff0)
	for name, s := range map[string]shape{
		"IPv4":                  {},
		"IPv6":                  {v6: true},
		"no timestamps":         {noTimestamps: true},
		"no window scale":       {noWScale: true},
		"no SACK":               {noSACK: true},
		"no options":            {noTimestamps: true, noWScale: true, noSACK: true},
		"no options, IPv6":      {v6: true, noTimestamps: true, noWScale: true, noSACK: true},
		"sequence numbers wrap": {seq: nearWrap, ack: nearWrap},
		"IPv6 and wrap":         {v6: true, seq: nearWrap, ack: nearWrap},
		"after 3 GB each way":   {seq: 3 << 30, ack: 0xbfff_ffff},
		"least MSS":             {mss: MinMSS4},
		"least MSS, IPv6":       {mss: MinMSS6, v6: true},
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
			p.wire(p.next(wire.ACK|wire.PSH, []byte(get)))
			p.wantPage()
			p.established(true)
		})
	}
}

// TestServerSeesTheClient asks a CGI script who asks.
func TestServerSeesTheClient(t *testing.T) {
	for name, s := range map[string]shape{"IPv4": {}, "IPv6": {v6: true}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, "80")
			_, i := l.open(Config{})
			p := l.peer(i, s)
			p.handOver("GET /cgi-bin/who HTTP/1.1\r\nHost: test\r\n\r\n")
			_, body := p.response()
			want := fmt.Sprintf("client %v %d server %v 80\n", p.flow.Remote, p.flow.RemotePort, p.flow.Local)
			if body != want {
				t.Errorf("got %q, want %q", body, want)
			}
		})
	}
}

// TestSplitRequest injects a request in two segments, at once and one by one.
func TestSplitRequest(t *testing.T) {
	l := newLab(t, wireLike)
	startApache(t, "80")
	_, i := l.open(Config{})
	for _, at := range []int{1, 10, len(get) - 1} {
		together, apart := l.peer(i, shape{}), l.peer(i, shape{v6: true})
		together.begin()
		together.inject(together.next(wire.ACK, []byte(get[:at])), together.next(wire.ACK|wire.PSH, []byte(get[at:])))
		together.established(true)
		together.wantPage()

		apart.handOver(get[:at])
		apart.inject(apart.next(wire.ACK|wire.PSH, []byte(get[at:])))
		apart.wantPage()
	}
}

// TestOvertaking injects the later segment first: it must not become the socket.
func TestOvertaking(t *testing.T) {
	l := newLab(t, wireLike)
	startApache(t, "80")
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	first, second := p.next(wire.ACK, []byte(get[:10])), p.next(wire.ACK|wire.PSH, []byte(get[10:]))
	p.begin()
	p.inject(second)
	p.established(false)
	p.wire(second) // by the other way, as if XDP had passed it
	p.drain()
	if n := count(t, r, OutOfOrder); n != 2 || p.rst {
		t.Fatalf("out of order %d, rst %v", n, p.rst)
	}
	p.inject(first, second)
	p.wantPage()
}

// TestStaleAck injects a segment that was sent before the client had our last octets: a socket made of it would
// believe that they are still to be sent.
func TestStaleAck(t *testing.T) {
	l := newLab(t, wireLike)
	startApache(t, "80")
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.rcvNxt = p.rcvNxt.Add(^uint32(99)) // 100 back
	old := p.segment(p.sndNxt, wire.ACK|wire.PSH, []byte(get))
	p.rcvNxt = p.state.Ack
	p.begin()
	p.inject(old)
	p.established(false)
	if n := count(t, r, OutOfOrder); n != 1 {
		t.Fatalf("out of order %d", n)
	}
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	p.wantPage()
}

// TestBodyInFlight hands over in the first 10 KB of a 1 MB body; the rest comes over the wire.
func TestBodyInFlight(t *testing.T) {
	for name, s := range map[string]shape{
		"IPv4": {}, "IPv6": {v6: true}, "no options": {noTimestamps: true, noWScale: true, noSACK: true}, "wrap": {seq: 0xfff8_0000},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, "80")
			_, i := l.open(Config{})
			p := l.peer(i, s)
			body := randomBytes(1 << 20)
			request := append(fmt.Appendf(nil, "POST /cgi-bin/who HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
			p.begin()
			var frames [][]byte
			for len(frames) < 8 {
				frames = append(frames, p.next(wire.ACK, request[:1400]))
				request = request[1400:]
			}
			p.inject(frames...)
			p.established(true)
			p.stream(request)
			_, answer := p.response()
			if want := fmt.Sprintf("%x\n", sha256.Sum256(body)); !strings.HasSuffix(answer, want) {
				t.Errorf("got %q, want %q", answer, want)
			}
		})
	}
}

// TestIdleConnection hands over a connection between requests, as at a shutdown: one ACK without payload.
func TestIdleConnection(t *testing.T) {
	for name, s := range map[string]shape{"IPv4": {}, "IPv6": {v6: true}, "no options": {noTimestamps: true, noWScale: true, noSACK: true}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, "80")
			_, i := l.open(Config{})
			p := l.peer(i, s)
			p.handOver("")
			p.wire(p.next(wire.ACK|wire.PSH, []byte(get)))
			p.wantPage()
		})
	}
}

// TestFIN ends the client's stream behind the request, within its segment or without data at all. The server still
// answers, then closes.
func TestFIN(t *testing.T) {
	for name, c := range map[string]struct{ first, rest func(p *peer) []byte }{
		"following over the wire": {
			func(p *peer) []byte { return p.next(wire.ACK|wire.PSH, []byte(get)) },
			func(p *peer) []byte { return p.next(wire.ACK|wire.FIN, nil) },
		},
		"in the request's segment": {
			func(p *peer) []byte { return p.next(wire.ACK|wire.PSH|wire.FIN, []byte(get)) }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, "80")
			_, i := l.open(Config{})
			for _, s := range []shape{{}, {v6: true}} {
				p := l.peer(i, s)
				p.begin()
				p.inject(c.first(p))
				p.established(true)
				if c.rest != nil {
					p.wire(c.rest(p))
				}
				p.wantPage()
				p.until("FIN", func() bool { return p.fin })
				p.drain()
				if p.rst || p.acked != p.sndNxt {
					t.Errorf("rst %v, %d octets not acknowledged", p.rst, p.sndNxt.Sub(p.acked))
				}
			}
		})
	}
}

// TestFINAlone hands over an idle connection by the segment that ends it.
func TestFINAlone(t *testing.T) {
	l := newLab(t, wireLike)
	startApache(t, "80")
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.begin()
	p.inject(p.next(wire.ACK|wire.FIN, nil))
	p.established(true)
	p.until("FIN", func() bool { return p.fin })
	if p.rst {
		t.Error("rst")
	}
}

// TestBackends lets servers listen elsewhere than where the client has connected to.
func TestBackends(t *testing.T) {
	for name, c := range map[string]struct {
		listen           []string
		backend          Config
		shape            shape
		server4, server6 string // what the CGI script says, "" for the client's view
	}{
		"another port":      {[]string{"8080"}, backend("0.0.0.0:8080", "[::]:8080"), shape{}, "", ""},
		"another port, v6":  {[]string{"8080"}, backend("0.0.0.0:8080", "[::]:8080"), shape{v6: true}, "", ""},
		"loopback":          {[]string{"127.0.0.1:8080", "[::1]:8080"}, backend("127.0.0.1:8080", "[::1]:8080"), shape{}, "", ""},
		"loopback, v6":      {[]string{"127.0.0.1:8080", "[::1]:8080"}, backend("127.0.0.1:8080", "[::1]:8080"), shape{v6: true}, "", ""},
		"loopback, port 80": {[]string{"127.0.0.1:80"}, backend("127.0.0.1:80", ""), shape{}, "", ""},
		"own address":       {[]string{"192.0.2.1:80", "127.0.0.1:81"}, Config{}, shape{}, "", ""},
		"IPv4 only":         {[]string{"0.0.0.0:80"}, Config{}, shape{}, "", ""},
		"client on 81":      {[]string{"80"}, backend("0.0.0.0:80", "[::]:80"), shape{port: 81}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			startApache(t, c.listen...)
			_, i := l.open(c.backend)
			p := l.peer(i, c.shape)
			p.handOver(get)
			p.wantPage()
			p.wire(p.next(wire.ACK|wire.PSH, []byte("GET /cgi-bin/who HTTP/1.1\r\nHost: test\r\n\r\n")))
			_, body := p.response()
			t.Logf("%s", strings.TrimSpace(body))
			if want := fmt.Sprintf("client %v %d ", p.flow.Remote, p.flow.RemotePort); !strings.HasPrefix(body, want) {
				t.Errorf("got %q, want %q…", body, want)
			}
		})
	}
}

// TestConnectionToTheBackendsPort: the client of a hand-over may have a connection to the port that the backend
// really listens on, from the same port of its own. It must not be mistaken for the listener.
func TestConnectionToTheBackendsPort(t *testing.T) {
	l := newLab(t, wireLike)
	startApache(t, "8080")
	_, i := l.open(backend("0.0.0.0:8080", "[::]:8080"))
	direct := l.peer(i, shape{port: 8080})
	direct.handOver(get)
	direct.wantPage()
	p := l.peer(i, shape{})
	p.flow.RemotePort = direct.flow.RemotePort
	p.handOver(get)
	p.wantPage()
}
