package redirect

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/wire"
)

func backend(v4, v6 string) (c Config) {
	if v4 != "" {
		c.Backend4 = netip.MustParseAddrPort(v4)
	}
	if v6 != "" {
		c.Backend6 = netip.MustParseAddrPort(v6)
	}
	return c
}

// listen returns an IPv4 listener on port 80 in the thread's namespace. Nobody accepts unless the test does.
func listen(t testing.TB, backlog int, options ...int) *net.TCPListener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, "socket", err)
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	for _, o := range append(options, unix.SO_REUSEADDR) {
		must(t, "set option", unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, 1))
	}
	must(t, "bind", unix.Bind(fd, &unix.SockaddrInet4{Port: 80}))
	must(t, "listen", unix.Listen(fd, backlog))
	ln, err := net.FileListener(f)
	must(t, "listener", err)
	t.Cleanup(func() { must(t, "close listener", ln.Close()) })
	return ln.(*net.TCPListener)
}

// accept returns the next connection, nil if there is none for a while.
func accept(t testing.TB, ln *net.TCPListener, wait time.Duration) *net.TCPConn {
	t.Helper()
	must(t, "deadline", ln.SetDeadline(time.Now().Add(wait)))
	c, err := ln.AcceptTCP()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	must(t, "accept", err)
	t.Cleanup(func() { c.Close() })
	must(t, "deadline", c.SetDeadline(time.Now().Add(5*time.Second)))
	return c
}

// TestAcceptQueueFull fills the backlog. What does not fit is dropped without a word to the client, and tried again
// in each of the ways that happen.
func TestAcceptQueueFull(t *testing.T) {
	for name, again := range map[string]func(p *peer, frame []byte){
		"Begin and Inject":               func(p *peer, frame []byte) { p.begin(); p.inject(frame) },
		"the client retransmits":         func(p *peer, frame []byte) { p.inject(frame) },
		"it retransmits past user space": func(p *peer, frame []byte) { p.wire(frame) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			ln := listen(t, 1)
			r, i := l.open(Config{})
			for range 2 { // a backlog of n holds n+1
				l.peer(i, shape{}).handOver(get)
			}
			p := l.peer(i, shape{})
			frame := p.next(wire.ACK|wire.PSH, []byte(get))
			p.begin()
			for n := uint64(1); n <= 3; n++ {
				p.inject(frame)
				p.established(false)
				if got := count(t, r, QueueFull); got != n {
					t.Fatalf("queue full %d, want %d", got, n)
				}
			}
			p.drain()
			if p.rst || !p.hasRecord() {
				t.Fatalf("rst %v, has record %v", p.rst, p.hasRecord())
			}
			accept(t, ln, 5*time.Second)
			again(p, frame)
			p.established(true)
			accept(t, ln, 5*time.Second)
			c := accept(t, ln, 5*time.Second)
			buf := make([]byte, 1000)
			n, err := c.Read(buf)
			must(t, "read", err)
			if string(buf[:n]) != get || c.RemoteAddr().(*net.TCPAddr).AddrPort() != p.addr() {
				t.Errorf("%v sent %q", c.RemoteAddr(), buf[:n])
			}
		})
	}
}

// TestNoListener: the kernel answers with RST, as it does without us.
func TestNoListener(t *testing.T) {
	for name, s := range map[string]shape{"IPv4": {}, "IPv6": {v6: true}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			r, i := l.open(Config{})
			p := l.peer(i, s)
			p.begin()
			p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
			p.until("RST", func() bool { return p.rst })
			p.established(false)
			if n := count(t, r, NoListener); n != 1 {
				t.Errorf("no listener %d", n)
			}
		})
	}
}

// TestUnknownSegment injects a segment of a connection that nobody has: the kernel answers with RST.
func TestUnknownSegment(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	p.until("RST", func() bool { return p.rst })
}

// TestCancel: after it, the segment is one of an unknown connection.
func TestCancel(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.begin()
	i.Cancel(&p.flow)
	i.Cancel(&p.flow) // again is no harm
	if p.hasRecord() {
		t.Fatal("record is still there")
	}
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	p.until("RST", func() bool { return p.rst })
}

// TestNoGhost lets the server reset the connection before anything else has come by, so that the record is still
// there; a retransmission of the request must not become a second connection.
func TestNoGhost(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 16)
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	frame := p.next(wire.ACK|wire.PSH, []byte(get))
	p.begin()
	p.inject(frame)
	c := accept(t, ln, 5*time.Second)
	must(t, "linger", c.SetLinger(0))
	must(t, "reset", c.Close())
	p.until("RST", func() bool { return p.rst })
	if !p.hasRecord() {
		t.Fatal("no record: this test tests nothing")
	}
	p.inject(frame)
	p.wire(frame)
	if c := accept(t, ln, 200*time.Millisecond); c != nil {
		t.Fatal("a ghost was accepted")
	}
	if n := count(t, r, Spent); n != 2 {
		t.Errorf("spent %d", n)
	}
}

// TestShortLife lets a connection live and die before Established is asked: the client closes first, so that not even
// TIME-WAIT remains. It must not be tried again.
func TestShortLife(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 16)
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.begin()
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	c := accept(t, ln, 5*time.Second)
	p.wire(p.next(wire.ACK|wire.FIN, nil))
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	must(t, "close", c.Close())
	p.until("FIN", func() bool { return p.fin })
	p.drain()
	p.established(true)
}

// TestExpiry: a record that nothing came of ends by itself.
func TestExpiry(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	r, i := l.open(Config{Lifetime: 50 * time.Millisecond})
	p, q := l.peer(i, shape{}), l.peer(i, shape{})
	p.begin()
	time.Sleep(200 * time.Millisecond)
	if p.hasRecord() {
		t.Error("the record was not swept away")
	}
	q.begin()
	if n := r.expire(monotonic()); n != 0 {
		t.Errorf("%d young records swept away", n)
	}
	if n := r.expire(monotonic() + uint64(r.lifetime)); n != 1 {
		t.Errorf("%d old records swept away", n)
	}
}

// TestEstablishedWhateverTheState: a connection that is closing, or was, is the kernel's.
func TestEstablishedWhateverTheState(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 16)
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.handOver(get)
	c := accept(t, ln, 5*time.Second)
	if _, err := io.ReadFull(c, make([]byte, len(get))); err != nil {
		t.Fatal(err)
	}
	must(t, "close", c.Close())
	p.until("FIN", func() bool { return p.fin })
	p.established(true) // FIN-WAIT-2
	p.wire(p.next(wire.ACK|wire.FIN, nil))
	p.until("ACK of FIN", func() bool { return p.acked == p.sndNxt })
	p.established(true) // TIME-WAIT
}

// TestReusePort has several listeners on the port: each connection reaches one of them.
func TestReusePort(t *testing.T) {
	l := newLab(t, wireLike)
	var lns []*net.TCPListener
	for range 4 {
		lns = append(lns, listen(t, 64, unix.SO_REUSEPORT))
	}
	_, i := l.open(Config{})
	const connections = 64
	for range connections {
		l.peer(i, shape{}).handOver(get)
	}
	total, used := 0, 0
	for _, ln := range lns {
		n := 0
		for accept(t, ln, 20*time.Millisecond) != nil {
			n++
		}
		t.Logf("a listener got %d", n)
		total += n
		if n > 0 {
			used++
		}
	}
	if total != connections || used < 2 {
		t.Errorf("%d of %d connections on %d listeners", total, connections, used)
	}
}

// TestTwoAtOnce injects the same first segment from two threads: one connection comes of it.
func TestTwoAtOnce(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 4096)
	r, i := l.open(Config{})
	j, err := r.Injector()
	must(t, "injector", err)
	const rounds = 100
	frames, done := make(chan []byte), make(chan error)
	go func() {
		for f := range frames {
			done <- j.Inject([][]byte{f})
		}
	}()
	for range rounds {
		p := l.peer(i, shape{})
		f := p.next(wire.ACK|wire.PSH, []byte(get))
		p.begin()
		frames <- f
		p.inject(f)
		must(t, "inject from the other thread", <-done)
		p.established(true)
		p.close()
	}
	close(frames)
	n := 0
	for accept(t, ln, 100*time.Millisecond) != nil {
		n++
	}
	if n != rounds {
		t.Errorf("%d connections from %d", n, rounds)
	}
	logCounters(t, r)
}
