package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

func TestDaemon(t *testing.T) {
	p := start(t, "--backend", "builtin")
	a := strings.Repeat("a", 5000)
	for _, to := range []netip.Addr{p.server.IPv4, p.server.IPv6} {
		p.warm(to, "/a.html")
		c := p.dial(to)
		before := p.metric("xhttpd_handovers_total", "query")
		c.want("/a.html", 200, a)
		c.want("/a.html", 200, a)
		c.want("/a.html?x", 200, a) // the builtin server's
		c.want("/none", 404, "")
		c.want("/a.html", 200, a)
		// A loop tells its counters at the end of a step, which the client's answer may overtake.
		p.until("one hand-over for a query", func() bool { return p.metric("xhttpd_handovers_total", "query")-before == 1 })
	}
	_, text := p.admin("/metrics")
	lint(t, text)
	for _, part := range []string{
		`xhttpd_xdp_packets_total{exit="redirected"}`, `xhttpd_redirect_packets_total{exit="assigned"}`,
		`xhttpd_socket_drops_total{reason="rx-ring-full"} 0`, `mode="native"`, `queues="2"`, "go_goroutines", "process_cpu_seconds_total",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in /metrics", part)
		}
	}
	begun := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("it took %v to stop with no connection left", d)
	}
	if !strings.Contains(p.log.String(), "msg=stopped") {
		t.Error("no word of having stopped")
	}
	p.wantDetached()
}

// wantDetached expects the interface to be as it was before, and no stranger's address to be left.
func (p *process) wantDetached() {
	p.t.Helper()
	p.server.Do(func() {
		link, err := netlink.LinkByName(p.server.Interface)
		if err != nil {
			p.t.Fatal(err)
		}
		if x := link.Attrs().Xdp; x != nil && x.Attached {
			p.t.Errorf("XDP program %d is still attached", x.ProgId)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			p.t.Fatal(err)
		}
		addrs, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, a := range addrs {
			if !a.IP.IsLoopback() {
				p.t.Errorf("%v is left on the loopback interface", a)
			}
		}
	})
}

// behind is a server behind, in the test's process: it outlives the daemon, as Apache does.
func behind(t *testing.T, ns *nstest.NS) {
	t.Helper()
	var listener net.Listener
	ns.Do(func() {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		var err error
		if listener, err = lc.Listen(t.Context(), "tcp", ":80"); err != nil {
			t.Fatal(err)
		}
	})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "behind, for %s", r.RemoteAddr)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestDaemonHandsIdleConnectionsOver(t *testing.T) {
	p := start(t, "--backend", "builtin")
	p.warm(p.server.IPv4, "/a.html")
	idle := p.dial(p.server.IPv4)
	idle.want("/a.html", 200, "")
	p.until("the idle connection is in user space", func() bool { return p.metric("xhttpd_connections", "ESTABLISHED") >= 1 })
	shaken := p.dial(p.server.IPv4) // has only shaken hands
	p.signal(syscall.SIGTERM)
	p.until("handed over", func() bool { return strings.Contains(p.log.String(), "stopping") })
	time.Sleep(200 * time.Millisecond) // in the time in which requests of such peers are waited for
	shaken.want("/a.html", 200, strings.Repeat("a", 5000))
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

func TestDaemonBesideAnotherServer(t *testing.T) {
	p := &process{t: t, root: t.TempDir(), log: new(logBuffer), ended: make(chan struct{})}
	p.client, p.server = nstest.Pair(t, nstest.Options{})
	behind(t, p.server)
	p.write("a.html", "a")
	p.run()
	c := p.dial(p.server.IPv6)
	if _, body := c.get("/x?y"); !strings.Contains(body, p.client.IPv6.String()) {
		t.Errorf("the server behind sees %q, want the client's address %v", body, p.client.IPv6)
	}
	// Its answers are not those of a file server, so nothing is taken.
	p.dial(p.server.IPv4).get("/a.html")
	p.until("the file is refused", func() bool { return p.metric("xhttpd_cache_refusals_total", "proof-keepalive") > 0 })
	p.wantStranger()
	idle := p.dial(p.server.IPv4)
	p.signal(syscall.SIGINT)
	p.until("new connections pass", func() bool { return strings.Contains(p.log.String(), "stopping") })
	time.Sleep(100 * time.Millisecond)
	idle.get("/a.html")
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d after SIGINT", code)
	}
	idle.get("/still-there")
	p.wantDetached()
	p.dial(p.server.IPv4).get("/without-xhttpd")
}

// wantStranger expects an address on the loopback interface that goes away by itself, and that nobody else takes for a source.
func (p *process) wantStranger() {
	p.t.Helper()
	p.server.Do(func() {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			p.t.Fatal(err)
		}
		addrs, err := netlink.AddrList(lo, netlink.FAMILY_V4)
		if err != nil {
			p.t.Fatal(err)
		}
		found := 0
		for _, a := range addrs {
			if netip.MustParsePrefix("203.0.113.0/24").Contains(netip.AddrFrom4([4]byte(a.IP.To4()))) {
				if found++; a.ValidLft < 1 || a.ValidLft > 60 || a.PreferedLft != 0 {
					p.t.Errorf("%v is valid for %d s, preferred for %d s", a.IP, a.ValidLft, a.PreferedLft)
				}
			}
		}
		if found != 1 {
			p.t.Errorf("%d addresses for a stranger among %v", found, addrs)
		}
	})
}

// TestStoppedDaemon: a process that does not run must not keep new connections from the server behind.
func TestStoppedDaemon(t *testing.T) {
	p := &process{t: t, root: t.TempDir(), log: new(logBuffer), ended: make(chan struct{})}
	p.client, p.server = nstest.Pair(t, nstest.Options{})
	behind(t, p.server)
	p.run()
	p.dial(p.server.IPv4).want("/x", 200, "")
	p.signal(syscall.SIGSTOP)
	time.Sleep(1100 * time.Millisecond) // what is promised
	for _, to := range []netip.Addr{p.server.IPv4, p.server.IPv6} {
		begun := time.Now()
		p.dial(to).want("/x", 200, "")
		if d := time.Since(begun); d > time.Second/2 {
			t.Errorf("a new connection took %v", d)
		}
	}
	p.signal(syscall.SIGCONT)
	p.until("it goes on", func() bool {
		before := p.metric("xhttpd_handovers_total", "miss")
		p.dial(p.server.IPv4).want("/x", 200, "")
		return p.metric("xhttpd_handovers_total", "miss") > before
	})
}

// download begins one that is larger than the buffers on the way, and reads a little of it.
func (p *process) download(size int) *conn {
	p.t.Helper()
	p.write("large.html", strings.Repeat("x", size))
	p.warm(p.server.IPv4, "/large.html")
	c := p.dial(p.server.IPv4)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET /large.html HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		p.t.Fatal(err)
	}
	if _, err := c.r.Peek(1000); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

func TestDaemonFinishesDownloads(t *testing.T) {
	const size = 8 << 20
	p := start(t, "--backend", "builtin")
	c := p.download(size)
	p.signal(syscall.SIGTERM)
	p.until("it stops", func() bool { return strings.Contains(p.log.String(), "stopping") })
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("%d octets of %d came: %v", n, size, err)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestDaemonStopsInTime(t *testing.T) {
	for _, c := range []struct {
		name, grace string
		second      bool // signal
		says        string
	}{
		{"grace", "1500ms", false, "the grace period is over"},
		{"second signal", "60s", true, "a second signal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, "--backend", "builtin", "--grace", c.grace)
			p.download(8 << 20) // which nobody goes on reading
			begun := time.Now()
			p.signal(syscall.SIGTERM)
			if c.second {
				p.until("it stops", func() bool { return strings.Contains(p.log.String(), "stopping") })
				p.signal(syscall.SIGTERM)
			}
			if code := p.end(); code != 0 || !strings.Contains(p.log.String(), c.says) || time.Since(begun) > 5*time.Second {
				t.Errorf("exit code %d after %v, want 0 soon, and word of %q", code, time.Since(begun), c.says)
			}
			p.wantDetached()
		})
	}
}

func TestDaemonFollowsAddresses(t *testing.T) {
	p := start(t, "--backend", "builtin")
	p.warm(p.server.IPv4, "/a.html")
	further := netip.MustParseAddr("192.0.2.99")
	p.server.AddAddress(p.server.Interface, netip.PrefixFrom(further, 24))
	p.warm(further, "/a.html")
}

func TestDaemonEndsWithItsInterface(t *testing.T) {
	p := start(t, "--backend", "builtin")
	p.server.Do(func() {
		link, err := netlink.LinkByName(p.server.Interface)
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if code := p.end(); code != 1 {
		t.Errorf("exit code %d when the interface went, want 1", code)
	}
}

func TestDaemonEndsWhenTheMTUShrinks(t *testing.T) {
	p := start(t, "--backend", "builtin")
	p.server.Do(func() {
		link, err := netlink.LinkByName(p.server.Interface)
		if err == nil {
			err = netlink.LinkSetMTU(link, 1300)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if code := p.end(); code != 1 || !strings.Contains(p.log.String(), "from 1500 to 1300") {
		t.Errorf("exit code %d when the MTU shrank, want 1 and the reason", code)
	}
	p.wantDetached()
}

func TestDaemonRefusesASecondOne(t *testing.T) {
	p := start(t, "--backend", "builtin")
	path, env := xhttpd(t)
	for _, c := range []struct{ args, says string }{
		{"run --root " + p.root + " --port 81", "Stop the xhttpd that is running"},
		{"check", "Stop the xhttpd that is running"},
	} {
		cmd := p.server.Command(path, append(strings.Fields(c.args), "-i", p.server.Interface)...)
		cmd.Env = env
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		p.server.Start(cmd)
		if code := exitCode(t, cmd.Wait()); code != 1 || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d with\n%s\nwant 1, and %q", c.args, code, &out, c.says)
		}
	}
}

func TestCheckInNamespace(t *testing.T) {
	_, server := nstest.Pair(t, nstest.Options{Queues: 2})
	path, env := xhttpd(t)
	cmd := server.Command(path, "check", "-i", server.Interface, "--backend", "builtin", "--root", "/")
	cmd.Env = env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	server.Start(cmd)
	if code := exitCode(t, cmd.Wait()); code != 0 || !strings.Contains(out.String(), "driver veth, native mode, copies") {
		t.Errorf("exit code %d\n%s", code, &out)
	}
}

// On veth, no NAPI instance can be polled: then it spins, says so, and serves.
func TestDaemonPollsBusily(t *testing.T) {
	p := start(t, "--backend", "builtin", "--poll", "busy")
	p.warm(p.server.IPv4, "/a.html")
	p.until("it says what it polls", func() bool {
		return strings.Contains(p.log.String(), "so --poll busy only spins") || strings.Contains(p.log.String(), "a queue is polled")
	})
	p.signal(syscall.SIGTERM)
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.wantDetached()
}
