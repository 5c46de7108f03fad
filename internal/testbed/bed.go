package testbed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

// Options change the stage.
type Options struct {
	nstest.Options
	Args     []string // further arguments of xhttpd
	NoApache bool
	Modules  []string     // further modules of Apache, by the names of Debian's mods-available
	Config   string       // read by Apache after everything else; ${TESTBED} in it is Bed.Dir
	NoDaemon bool         // StartDaemon comes later
	Impaired bool         // the path between client and server is Bed.Path
	Routed   *nstest.Path // a router between client and server
	Prefix   []string     // a command that runs Apache and the daemon, such as taskset
	Root     string       // a document root that is there already; else an empty one is made
}

// Bed is the stage. Its methods may be called by any goroutine unless they can fail the test.
type Bed struct {
	testing.TB
	Client, Server *nstest.NS
	Dir            string // holds everything below
	Root           string // document root
	Path           *impair.Forwarder
	apache         *exec.Cmd
	daemon         *exec.Cmd
	log            *logBuffer
	args           []string
	modules        []string
	config         string
	prefix         []string
}

const adminAddr = "127.0.0.1:9180"

// Start sets the stage up. The document root is empty: see Put.
func Start(t testing.TB, opts Options) *Bed {
	t.Helper()
	b := &Bed{TB: t, Dir: t.TempDir(), args: opts.Args, modules: opts.Modules, config: opts.Config, prefix: opts.Prefix, log: new(logBuffer)}
	switch {
	case opts.Impaired:
		b.Client, b.Server, b.Path = impairedPair(t)
	case opts.Routed != nil:
		b.Client, _, b.Server = nstest.Routed(t, *opts.Routed)
	default:
		b.Client, b.Server = nstest.Pair(t, opts.Options)
	}
	// www-data must get there: t.TempDir makes two levels.
	for _, dir := range []string{b.Dir, filepath.Dir(b.Dir)} {
		b.must(os.Chmod(dir, 0o755))
	}
	if b.Root = opts.Root; b.Root == "" {
		b.Root = filepath.Join(b.Dir, "www")
		b.must(os.Mkdir(b.Root, 0o755))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("xhttpd's log:\n%s", b.log)
			if errors, err := os.ReadFile(filepath.Join(b.Dir, "log/error.log")); err == nil {
				t.Logf("Apache's log:\n%s", errors)
			}
		}
	})
	if !opts.NoApache {
		b.StartApache()
	}
	if !opts.NoDaemon {
		b.StartDaemon()
	}
	return b
}

func (b *Bed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// Put writes a static file that has not changed for an hour, and returns its content.
func (b *Bed) Put(name string, body []byte) []byte {
	b.Helper()
	path := filepath.Join(b.Root, name)
	b.must(os.MkdirAll(filepath.Dir(path), 0o755))
	b.must(os.WriteFile(path, body, 0o644))
	old := time.Now().Add(-time.Hour)
	b.must(os.Chtimes(path, old, old))
	return body
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "xhttpd-test-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "xhttpd")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/xhttpd/xhttpd/cmd/xhttpd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build xhttpd: %w\n%s", err, out)
	}
	return binary, nil
})

// RemoveBinary removes what the tests of this process have built. TestMain calls it at the end.
func RemoveBinary() {
	if binary, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(binary)) //nolint:errcheck // nobody to tell
	}
}

// Binary returns the path of xhttpd, built from this source.
func (b *Bed) Binary() string {
	b.Helper()
	binary, err := build()
	b.must(err)
	return binary
}

// StartDaemon starts xhttpd, with more arguments than Options.Args if wanted, and waits until it serves. It is told of the
// document root only if no Apache runs that tells it.
func (b *Bed) StartDaemon(more ...string) {
	b.Helper()
	if b.apache == nil {
		more = append(more, "--root", b.Root)
	}
	args := slices.Concat([]string{"run", "--interface", b.Server.Interface}, b.args, more)
	b.daemon = b.command(append([]string{b.Binary()}, args...)...)
	b.daemon.Stderr = b.log
	b.Server.Start(b.daemon)
	b.Until("xhttpd serves", func() bool { code, _ := b.admin("/healthz"); return code == 200 })
}

// command returns a command for the server's namespace, behind the prefix.
func (b *Bed) command(args ...string) *exec.Cmd {
	args = slices.Concat(b.prefix, args)
	return b.Server.Command(args[0], args[1:]...)
}

// PID returns xhttpd's process.
func (b *Bed) PID() int { return b.daemon.Process.Pid }

// Signal sends xhttpd a signal. Behind SIGSTOP all its threads stand still: one that was late might begin an answer that nobody ends.
func (b *Bed) Signal(s syscall.Signal) {
	b.Helper()
	b.must(b.daemon.Process.Signal(s))
	if s == syscall.SIGSTOP {
		b.Until("xhttpd stands still", b.stopped)
	}
}

// stopped reports whether every thread of xhttpd is stopped (proc(5), stat).
func (b *Bed) stopped() bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", b.PID()))
	b.must(err)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if _, state, _ := strings.Cut(string(text), ") "); err != nil || !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(stats) > 0
}

// Ended waits for the end of xhttpd and returns its exit code, -1 after a signal.
func (b *Bed) Ended() int {
	b.daemon.Wait() //nolint:errcheck // the code says it
	return b.daemon.ProcessState.ExitCode()
}

// Log returns what xhttpd has written so far.
func (b *Bed) Log() string { return b.log.String() }

// Until waits until ok returns true, and fails the test if it takes a minute.
func (b *Bed) Until(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

func (b *Bed) admin(path string) (code int, body string) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: b.dialer(b.Server)}}
	resp, err := client.Get("http://" + adminAddr + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// Health returns the answer of /healthz.
func (b *Bed) Health() (code int, body string) { return b.admin("/healthz") }

// Metric returns the sum of a metric over its labels, or of one of its labels: Metric("responses_total"),
// Metric("handovers_total", "miss").
func (b *Bed) Metric(name string, label ...string) (sum float64) {
	b.Helper()
	for l, v := range b.Metrics(name) {
		if len(label) == 0 || l == label[0] {
			sum += v
		}
	}
	return sum
}

// Metrics returns a metric by its label, which is "" if it has none.
func (b *Bed) Metrics(name string) map[string]float64 {
	b.Helper()
	all := map[string]float64{}
	code, text := b.admin("/metrics")
	if code != 200 {
		b.Fatalf("/metrics: %d %s", code, text)
	}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		family, labels, _ := strings.Cut(key, "{")
		if family != "xhttpd_"+name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		b.must(err)
		_, label, _ := strings.Cut(labels, `"`)
		label, _, _ = strings.Cut(label, `"`)
		all[label] += v
	}
	return all
}

// dialer returns a dial function whose connections come from ns.
func (b *Bed) dialer(ns *nstest.NS) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		d := net.Dialer{Timeout: 20 * time.Second}
		ns.Do(func() { conn, err = d.DialContext(ctx, network, addr) })
		return conn, err
	}
}

// Dial connects the client to the server's port 80, over IPv6 if six.
func (b *Bed) Dial(six bool) (net.Conn, error) {
	return b.Connect(b.Address(six))
}

// Connect connects the client to port 80 of any address.
func (b *Bed) Connect(address string) (net.Conn, error) {
	return b.dialer(b.Client)(context.Background(), "tcp", net.JoinHostPort(address, "80"))
}

// Alone gives the server a second address in each family. A daemon that is started with --address and not told of them
// leaves them to Apache alone.
func (b *Bed) Alone() (ip4, ip6 string) {
	b.Helper()
	b.Server.AddAddress(b.Server.Interface, netip.MustParsePrefix("192.0.2.33/24"))
	b.Server.AddAddress(b.Server.Interface, netip.MustParsePrefix("2001:db8::33/64"))
	return "192.0.2.33", "2001:db8::33"
}

// Address returns the server's address.
func (b *Bed) Address(six bool) string {
	if six {
		return b.Server.IPv6.String()
	}
	return b.Server.IPv4.String()
}

// URL returns the URL of a path on the server.
func (b *Bed) URL(six bool, path string) string {
	if six {
		return "http://[" + b.Address(six) + "]" + path
	}
	return "http://" + b.Address(six) + path
}

// HTTP returns a client in the client's namespace with connections of its own.
func (b *Bed) HTTP() *http.Client {
	return &http.Client{Timeout: 50 * time.Second, Transport: &http.Transport{DialContext: b.dialer(b.Client), DisableCompression: true}}
}

// Curl runs curl in the client's namespace.
func (b *Bed) Curl(args ...string) (out, trace string, err error) {
	cmd := b.Client.Command("curl", append([]string{"-sSg", "--noproxy", "*", "--max-time", "50"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	b.Client.Do(func() { err = cmd.Run() })
	return stdout.String(), stderr.String(), err
}

// Warm asks for files until xhttpd answers each itself: over both IP versions, and with each Host that tests send, for what is in the
// cache for one is not for another.
func (b *Bed) Warm(names ...string) {
	b.Helper()
	type question struct{ address, octets string }
	var questions []question
	for _, name := range names {
		for _, six := range []bool{false, true} {
			host := strings.TrimPrefix(b.URL(six, ""), "http://")
			for _, octets := range []string{"HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n", "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", "HTTP/1.0\r\n\r\n"} {
				questions = append(questions, question{b.Address(six), "HEAD /" + name + " " + octets})
			}
		}
	}
	ask := func(q question) error {
		conn, err := b.Connect(q.address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, q.octets); err != nil {
			return err
		}
		if _, err = io.ReadAll(conn); err != nil {
			return err
		}
		// Close by RST: else the kernel has a socket in TIME-WAIT for each of what may be hundreds that Apache answers, and a
		// later connection that happens to have the same port is the kernel's.
		return conn.(*net.TCPConn).SetLinger(0)
	}
	b.Until(fmt.Sprintf("xhttpd answers %.100q", names), func() bool {
		before := b.Metric("responses_total")
		for _, q := range questions {
			if ask(q) != nil {
				return false
			}
		}
		time.Sleep(5 * time.Millisecond) // the counters are published behind the frames
		return b.Metric("responses_total")-before >= float64(len(questions))
	})
}

// logBuffer is a bytes.Buffer for two goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
