package redirect

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// The tests of this file hold the kernel to what redirect and its callers rely on.

// TestSysctlOff: what was negotiated must be on in the kernel, or it refuses.
func TestSysctlOff(t *testing.T) {
	for _, name := range []string{"tcp_timestamps", "tcp_sack", "tcp_window_scaling"} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			listen(t, 16)
			r, i := l.open(Config{})
			l.server.Sysctl("net/ipv4/"+name, "0")
			s, err := ReadSysctls(os.DirFS("/proc/sys"))
			must(t, "read sysctls", err)
			p := l.peer(i, shape{})
			p.begin()
			p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
			p.drain()
			p.established(false)
			if n := count(t, r, AssignRefused); n != 1 || p.rst {
				t.Errorf("refused %d, rst %v", n, p.rst)
			}
			q := l.peer(i, shape{noTimestamps: !s.Timestamps, noSACK: !s.SACK, noWScale: !s.WindowScaling})
			q.handOver(get)
		})
	}
}

// TestSynCookies: without them the kernel answers each hand-over with RST; with 2 nothing is different.
func TestSynCookies(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	_, i := l.open(Config{})
	l.server.Sysctl("net/ipv4/tcp_syncookies", "0")
	p := l.peer(i, shape{})
	p.begin()
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	p.until("RST", func() bool { return p.rst })
	p.established(false)
	l.server.Sysctl("net/ipv4/tcp_syncookies", "2")
	l.peer(i, shape{}).handOver(get)
}

// TestNegotiated: the socket goes on with what was negotiated: the peer's MSS and window scale, and our own.
func TestNegotiated(t *testing.T) {
	for name, s := range map[string]shape{
		"ordinary":        {},
		"no window scale": {noWScale: true},
		"small MSS":       {mss: 700},
		"least MSS":       {mss: MinMSS4},
		"no timestamps":   {noTimestamps: true, mss: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			ln := listen(t, 16)
			_, i := l.open(Config{})
			p := l.peer(i, s)
			window := 3000 // less than the initial congestion window of 10 segments
			p.state.Wnd = uint16(window)
			if p.state.WScaleOK {
				p.state.SndWScale = 3
				p.state.Wnd = uint16(window >> 3)
			}
			p.handOver(get)
			p.deaf = true
			c := accept(t, ln, 5*time.Second)
			_, err := c.Write(make([]byte, 20000))
			must(t, "write", err)
			p.until("the peer's window full", func() bool { return len(p.received) >= window-int(p.state.MSS) })
			for range 3 {
				p.receive()
			}
			if n := len(p.received); n > window {
				t.Errorf("%d octets under way, the window is %d", n, window)
			}
			if p.largest < int(p.state.MSS)-12 {
				t.Errorf("largest segment %d, MSS %d", p.largest, p.state.MSS)
			}
			// tcp_select_initial_window: less than 64 KiB, in the scale that we advertised.
			if p.wnd < 30_000 || p.wnd > 0xffff {
				t.Errorf("the kernel advertises %d octets", p.wnd)
			}
			p.deaf = false
			p.wire(p.next(wire.ACK, nil))
			p.state.Wnd = 0xffff
			p.wire(p.next(wire.ACK, nil))
			p.until("everything", func() bool { return len(p.received) == 20000 })
		})
	}
}

// TestBoundListener is one that takes connections of one interface only (SO_BINDTODEVICE); so are its connections.
func TestBoundListener(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 16)
	raw, err := ln.SyscallConn()
	must(t, "raw", err)
	must(t, "control", raw.Control(func(fd uintptr) {
		must(t, "bind to device", unix.BindToDevice(int(fd), l.server.Interface))
	}))
	_, i := l.open(Config{})
	l.peer(i, shape{}).handOver(get)
}

// TestReversePathFilter: strict filtering lets injected frames pass.
func TestReversePathFilter(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	l.server.Sysctl("net/ipv4/conf/all/rp_filter", "1")
	l.server.Sysctl("net/ipv4/conf/"+l.server.Interface+"/rp_filter", "1")
	_, i := l.open(Config{})
	l.peer(i, shape{}).handOver(get)
}

// TestMultipathListener: the kernel refuses to hand over to a listener that speaks Multipath TCP, as Go's do by default.
func TestMultipathListener(t *testing.T) {
	l := newLab(t, wireLike)
	if _, err := os.Stat("/proc/sys/net/mptcp/enabled"); err != nil {
		t.Skip("needs a kernel with CONFIG_MPTCP: this one is without")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	must(t, "socket", err)
	defer unix.Close(fd)
	must(t, "bind", unix.Bind(fd, &unix.SockaddrInet4{Port: 80}))
	must(t, "listen", unix.Listen(fd, 16))
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.begin()
	p.inject(p.next(wire.ACK|wire.PSH, []byte(get)))
	p.drain()
	p.established(false)
	if n := count(t, r, AssignRefused); n != 1 || p.rst {
		t.Errorf("refused %d, rst %v", n, p.rst)
	}
}

// TestConntrack: a firewall that drops what it thinks invalid lets hand-overs pass while it picks connections up in
// the middle (nf_conntrack_tcp_loose, the default), and loses them all without.
func TestConntrack(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	_, i := l.open(Config{})
	l.server.Exec("nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ct state invalid drop")
	l.peer(i, shape{}).handOver(get)
	l.server.Sysctl("net/netfilter/nf_conntrack_tcp_loose", "0")
	p := l.peer(i, shape{})
	frame := p.next(wire.ACK|wire.PSH, []byte(get))
	p.begin()
	p.inject(frame)
	p.established(false)
	l.server.Exec("nft", "add chain inet t raw { type filter hook prerouting priority raw; }; add rule inet t raw tcp dport 80 notrack; "+
		"add chain inet t rawout { type filter hook output priority raw; }; add rule inet t rawout tcp sport 80 notrack")
	p.begin() // arms the spent record
	p.inject(frame)
	p.established(true)
}

// TestClock: the kernel goes on with user space's clock. Many of them, so that some cross a millisecond
// between the program's look at the clock and the kernel's.
func TestClock(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 4096)
	_, i := l.open(Config{})
	template := l.peer(i, shape{})
	stop := time.Now().Add(time.Second)
	n := 0
	for ; time.Now().Before(stop); n++ {
		p := *template
		p.flow.RemotePort = uint16(1024 + n%60000)
		p.lastTS = uint32(monotonic()/1e6) + p.state.TSOffset
		p.handOver(get)
		c := accept(t, ln, time.Second)
		answer(t, c)
		p.until("RST", func() bool { return p.rst || p.acked != p.shape.seq })
	}
	t.Logf("%d hand-overs", n)
}

// answer sends a segment, which has a timestamp, and closes with RST, so that the port is free again.
func answer(t testing.TB, c *net.TCPConn) {
	t.Helper()
	_, err := c.Write([]byte("x"))
	must(t, "write", err)
	must(t, "close", c.Close())
}
