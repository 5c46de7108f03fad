package xdp

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func testSteerByHeartbeat(t *testing.T) {
	l := newBench(t)
	for _, c := range []struct {
		name     string
		age      time.Duration
		draining bool
		syn, ack Reason
	}{
		{"fresh", 0, false, Redirected, Redirected},
		{"newer than the packet", -time.Minute, false, Redirected, Redirected},
		{"not yet stale", 900 * time.Millisecond, false, Redirected, Redirected},
		{"stale for new connections", 1001 * time.Millisecond, false, StaleSYN, Redirected},
		{"not yet stale for all", 4900 * time.Millisecond, false, StaleSYN, Redirected},
		{"stale", 5001 * time.Millisecond, false, Stale, Stale},
		{"draining", 0, true, Draining, Redirected},
		{"draining and stale", 6 * time.Second, true, Stale, Stale},
		{"no longer draining", 0, false, Redirected, Redirected},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.setState(t, c.draining, c.age)
			for _, is4 := range []bool{true, false} {
				l.expect(t, l.segment(is4, syn), c.syn)
				l.expect(t, l.segment(is4), c.ack)
				l.expect(t, l.segment(is4, flags("R")), c.ack)
			}
		})
	}
	t.Run("never", func(t *testing.T) {
		if err := l.program.Beat(0); err != nil { // as the map is when made
			t.Fatal(err)
		}
		if up := monotonic(t, 0); up < int64(6*time.Second) {
			t.Fatalf("this machine is up for %v only", time.Duration(up))
		}
		l.expect(t, l.segment(true, syn), Stale)
	})
}

func testSteerByQueue(t *testing.T) {
	l := newBench(t)
	if verdict, reason := l.run(l.segment(true), 1); verdict != xdpPass || reason != NoSocket {
		t.Errorf("queue without a socket: verdict %d, %s", verdict, reason)
	}
	covered[NoSocket] = true
	second := l.open(SocketConfig{Queue: 1})
	if verdict, reason := l.run(l.segment(true), 1); verdict != xdpRedirect || reason != Redirected {
		t.Errorf("queue with a socket: verdict %d, %s", verdict, reason)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if verdict, reason := l.run(l.segment(true), 1); verdict != xdpPass || reason != NoSocket {
		t.Errorf("queue whose socket was closed: verdict %d, %s", verdict, reason)
	}
}

func testSteerByAddress(t *testing.T) {
	l := newBench(t)
	other := Reason(steerReasonREASON_OTHER_ADDRESS)
	set := func(addresses ...string) {
		t.Helper()
		var list []netip.Addr
		for _, a := range addresses {
			list = append(list, netip.MustParseAddr(a))
		}
		if err := l.program.SetAddresses(list); err != nil {
			t.Fatal(err)
		}
	}
	to := func(a string) []byte { return l.segment(netip.MustParseAddr(a).Is4(), destination(a)) }

	set("198.51.100.7", "fe80::1%veth", "198.51.100.7")
	l.expect(t, to("198.51.100.7"), Redirected)
	l.expect(t, to("fe80::1"), Redirected)
	l.expect(t, l.segment(true), other)
	l.expect(t, l.segment(false), other)
	set("::ffff:192.0.2.2") // an IPv4 address in another dress
	l.expect(t, l.segment(true), Redirected)
	l.expect(t, to("198.51.100.7"), other)
	l.expect(t, to("fe80::1"), other)
	set()
	l.expect(t, l.segment(true), other)

	var many []netip.Addr
	for a := netip.MustParseAddr("10.0.0.1"); len(many) < 5000; a = a.Next() {
		many = append(many, a)
	}
	if err := l.program.SetAddresses(many); err == nil {
		t.Error("5,000 addresses were taken")
	}
	set(l.server.IPv4.String())
	l.expect(t, l.segment(true), Redirected)
	l.expect(t, to("10.0.0.1"), other)
}

// testSteerByKernelSocket goes through the states that a kernel socket of the flow can be in.
func testSteerByKernelSocket(t *testing.T) {
	l := newBench(t)
	for _, is4 := range []bool{true, false} {
		ip := l.server.IPv6
		if is4 {
			ip = l.server.IPv4
		}
		t.Run(ip.String(), func(t *testing.T) {
			l.expect(t, l.segment(is4, syn), Redirected) // no socket at all
			listener := l.listen(t)
			l.expect(t, l.segment(is4, syn), Redirected)
			l.expect(t, l.segment(is4), Redirected)

			client, server := l.connect(t, listener, netip.AddrPortFrom(ip, port))
			local := client.LocalAddr().(*net.TCPAddr).AddrPort()
			flow := []func(*segment){source(local.Addr().String()), from(int(local.Port()))}
			next := append([]func(*segment){source(local.Addr().String())}, from(int(local.Port())+1))
			l.expect(t, l.segment(is4, flow...), Kernel)
			l.expect(t, l.segment(is4, append(flow, syn)...), Kernel)
			l.expect(t, l.segment(is4, append(flow, flags("R"))...), Kernel)
			l.expect(t, l.segment(is4, next...), Redirected)

			if err := listener.Close(); err != nil { // it lives on
				t.Fatal(err)
			}
			l.expect(t, l.segment(is4, flow...), Kernel)

			server.Close() // first, so that this end gets TIME-WAIT
			if _, err := client.Read(make([]byte, 1)); err != io.EOF {
				t.Fatal(err)
			}
			l.expect(t, l.segment(is4, flow...), Kernel) // FIN-WAIT-2
			client.Close()
			l.waitFor(t, "TIME-WAIT")
			l.expect(t, l.segment(is4, append(flow, syn)...), Kernel)
		})
	}
}

// testSteerByRequestSocket: a connection that the kernel has answered with SYN/ACK is its own.
func testSteerByRequestSocket(t *testing.T) {
	l := newBench(t)
	listener := l.listen(t)
	defer listener.Close()
	for _, is4 := range []bool{true, false} {
		l.expect(t, l.segment(is4), Redirected)
		l.neighbour(is4)
		l.send(l.segment(is4, syn)) // the program is not attached
		l.next(make([]byte, 65536)) // SYN/ACK
		l.expect(t, l.segment(is4), Kernel)
	}
}

// neighbour lets the server's kernel reach the client address that nobody owns.
func (l *lab) neighbour(is4 bool) {
	l.t.Helper()
	ip := client6
	if is4 {
		ip = client4
	}
	l.server.Exec("ip", "neigh", "replace", ip.String(), "lladdr", l.client.MAC.String(), "dev", l.server.Interface)
}

func (l *lab) listen(t *testing.T) net.Listener {
	t.Helper()
	var listener net.Listener
	l.server.Do(func() {
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		}}
		var err error
		if listener, err = config.Listen(context.Background(), "tcp", ":"+strconv.Itoa(port)); err != nil {
			t.Fatal(err)
		}
	})
	return listener
}

func (l *lab) connect(t *testing.T, listener net.Listener, addr netip.AddrPort) (client, server net.Conn) {
	t.Helper()
	l.client.Do(func() {
		var err error
		if client, err = net.Dial("tcp", addr.String()); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { client.Close() })
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// waitFor waits for the server's kernel to have a socket in a state.
func (l *lab) waitFor(t *testing.T, state string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); ; {
		if l.server.Exec("ss", "-Htan", "state", state) != "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no socket in %s", state)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
