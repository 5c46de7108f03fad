package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// patience is how long tests wait for what must come.
const patience = 15 * time.Second

const adminAddr = "127.0.0.1:9180"

func stringReader(s string) io.Reader { return strings.NewReader(s) }

// process is a daemon in the server's namespace, and a client's namespace at the other end of its interface.
type process struct {
	t              *testing.T
	server, client *nstest.NS
	cmd            *exec.Cmd
	root           string
	log            *logBuffer
	ended          chan struct{} // closed when it has; then err is what Wait returned
	err            error
}

// logBuffer is what the daemon has written so far.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the daemon with a root that has /a.html in it, and waits until it serves.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, root: t.TempDir(), log: new(logBuffer), ended: make(chan struct{})}
	p.client, p.server = nstest.Pair(t, nstest.Options{Queues: 2})
	p.write("a.html", strings.Repeat("a", 5000))
	p.run(args...)
	return p
}

func (p *process) run(args ...string) {
	p.t.Helper()
	path, env := xhttpd(p.t)
	p.cmd = p.server.Command(path, append([]string{"run", "-i", p.server.Interface, "--root", p.root, "--log-level", "debug"}, args...)...)
	p.cmd.Env = env
	p.cmd.Stderr = p.log
	p.server.Do(func() {
		if err := p.cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
	})
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("the daemon's log:\n%s", p.log)
		}
	})
	p.until("healthy", func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("the daemon has ended: %v", p.err)
		default:
		}
		status, _ := p.admin("/healthz")
		return status == http.StatusOK
	})
}

// write makes a file that is old enough to be believed.
func (p *process) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	old := time.Now().Add(-time.Hour)
	for _, err := range []error{os.Chmod(p.root, 0o755), os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, old, old)} {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *process) until(what string, f func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// admin asks the admin server; status 0 means that it is not there.
func (p *process) admin(path string) (status int, body string) {
	p.server.Do(func() {
		c, err := net.Dial("tcp", adminAddr)
		if err != nil {
			return
		}
		defer c.Close()
		status, body = (&conn{p.t, c, bufio.NewReader(c)}).get(path)
	})
	return status, body
}

// metric returns a metric's present value.
func (p *process) metric(name, label string) float64 {
	p.t.Helper()
	_, text := p.admin("/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range families[name].GetMetric() {
		if l := m.GetLabel(); label == "" || len(l) == 1 && l[0].GetValue() == label {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	p.t.Fatalf("no metric %s with label %q in\n%s", name, label, text)
	return 0
}

// end waits for the daemon's end and returns its exit code.
func (p *process) end() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return exitCode(p.t, p.err)
	case <-time.After(patience):
		p.t.Fatal("the daemon does not end")
		return -1
	}
}

// conn is a client's connection.
type conn struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (p *process) dial(to netip.Addr) *conn {
	p.t.Helper()
	var c net.Conn
	p.client.Do(func() {
		var err error
		if c, err = net.DialTimeout("tcp", netip.AddrPortFrom(to, 80).String(), patience); err != nil {
			p.t.Fatal(err)
		}
	})
	p.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return &conn{p.t, c, bufio.NewReader(c)}
}

func (c *conn) get(path string) (status int, body string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return resp.StatusCode, string(b)
}

// want expects a status and a body.
func (c *conn) want(path string, status int, body string) {
	c.t.Helper()
	if s, b := c.get(path); s != status || body != "" && b != body {
		c.t.Fatalf("GET %s: status %d with %d octets, want %d with %d", path, s, len(b), status, len(body))
	}
}

// warm asks for a path, on connections of its own, until it was answered from memory.
func (p *process) warm(to netip.Addr, path string) {
	p.t.Helper()
	p.until(path+" is answered from memory", func() bool {
		before := p.metric("xhttpd_responses_total", "200")
		p.dial(to).get(path)
		return p.metric("xhttpd_responses_total", "200") > before
	})
}

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
		if n := p.metric("xhttpd_handovers_total", "query") - before; n != 1 {
			t.Errorf("%v: %g hand-overs for queries, want 1", to, n)
		}
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
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
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

// wantDetached expects the interface to be as it was before.
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
	})
}

// behind is a server behind, in the test's process: it outlives the daemon, as Apache does.
func behind(t *testing.T, ns *nstest.NS, root string) {
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
	if n := p.metric("xhttpd_connections", "ESTABLISHED"); n < 1 {
		t.Fatalf("%g connections in user space, want the one that is idle", n)
	}
	shaken := p.dial(p.server.IPv4) // has only shaken hands
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
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
	behind(t, p.server, p.root)
	p.write("a.html", "a")
	p.run()
	c := p.dial(p.server.IPv6)
	if _, body := c.get("/x?y"); !strings.Contains(body, p.client.IPv6.String()) {
		t.Errorf("the server behind sees %q, want the client's address %v", body, p.client.IPv6)
	}
	// Its answers are not those of a file server, so nothing is taken.
	p.dial(p.server.IPv4).get("/a.html")
	p.until("the file is refused", func() bool { return p.metric("xhttpd_cache_refusals_total", "proof-differs") > 0 })
	idle := p.dial(p.server.IPv4)
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.until("new connections pass", func() bool { return strings.Contains(p.log.String(), "stopping") })
	time.Sleep(100 * time.Millisecond)
	idle.get("/a.html")
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d after SIGINT", code)
	}
	idle.get("/still-there")
	p.dial(p.server.IPv4).get("/without-xhttpd")
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
