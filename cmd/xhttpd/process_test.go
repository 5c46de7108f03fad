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
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

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
