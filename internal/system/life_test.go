package system

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// attached reports whether an XDP program is on the server's interface.
func attached(b *testbed.Bed) (is bool) {
	b.Server.Do(func() {
		link, err := netlink.LinkByName(b.Server.Interface)
		if err != nil {
			b.Fatal(err)
		}
		is = link.Attrs().Xdp != nil && link.Attrs().Xdp.Attached
	})
	return is
}

// get fetches a path on a new connection.
func get(b *testbed.Bed, path string) (body []byte, err error) {
	client := b.HTTP()
	defer client.CloseIdleConnections()
	resp, err := client.Get(b.URL(false, path))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// Killed, Apache serves everything, nothing stays attached, and a successor takes over at once.
func TestKill(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(100_000))
	b.Warm("a.png")
	if !attached(b) {
		t.Fatal("no XDP program is attached while xhttpd runs")
	}
	b.Signal(syscall.SIGKILL)
	if code := b.Ended(); code != -1 {
		t.Errorf("exit code %d after SIGKILL", code)
	}
	b.Until("nothing is attached", func() bool { return !attached(b) })
	for _, path := range []string{"/a.png", "/cgi-bin/who"} {
		got, err := get(b, path)
		if err != nil || path == "/a.png" && !bytes.Equal(got, body) {
			t.Errorf("%s from Apache alone: %d octets, %v", path, len(got), err)
		}
	}
	b.StartDaemon()
	b.Warm("a.png")
}

// Hung, it gets no new connections; going on, it does again.
func TestHang(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(10_000))
	b.Warm("a.png")
	b.Signal(syscall.SIGSTOP)
	for range 5 {
		// The first may have to repeat its SYN: until a second has passed nobody knows.
		if got, err := get(b, "/a.png"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("while xhttpd hangs: %d octets, %v", len(got), err)
		}
	}
	b.Signal(syscall.SIGCONT)
	b.Warm("a.png")
	if n := b.Metric("xdp_packets_total", "stale-syn"); n == 0 {
		t.Error("no SYN was passed for want of a heartbeat: this tested something else")
	}
	if code, body := b.Health(); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
}

// Stopped under load, no request fails: connections at a boundary go to Apache, others are finished first.
func TestStopUnderLoad(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			b := testbed.Start(t, testbed.Options{})
			small, large := b.Put("a.png", content(500)), b.Put("b.png", content(2_000_000))
			b.Warm("a.png", "b.png")
			var clients sync.WaitGroup
			var requests atomic.Int64
			stop := make(chan struct{})
			for k := range 20 {
				clients.Go(func() {
					client := b.HTTP() // one connection, kept
					defer client.CloseIdleConnections()
					path, want := "/a.png", small
					if k%4 == 0 {
						path, want = "/b.png", large
					}
					for {
						select {
						case <-stop:
							return
						default:
						}
						resp, err := client.Get(b.URL(k%2 == 0, path))
						if err != nil {
							t.Errorf("client %d: %v", k, err)
							return
						}
						got, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil || !bytes.Equal(got, want) {
							t.Errorf("client %d: %d octets of %d: %v", k, len(got), len(want), err)
							return
						}
						requests.Add(1)
					}
				})
			}
			b.Until("there is load", func() bool { return requests.Load() > 500 })
			b.Signal(signal)
			if code := b.Ended(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if attached(b) {
				t.Error("the XDP program is still attached")
			}
			after := requests.Load()
			b.Until("Apache goes on", func() bool { return requests.Load() > after+100 })
			close(stop)
			clients.Wait()
		})
	}
}

// A connection that is older than the daemon stays Apache's, through its start and its end.
func TestOlderConnection(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true})
	body := b.Put("a.png", content(1000))
	conn, err := b.Dial(false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func(when string) {
		t.Helper()
		say(t, conn, "GET /a.png HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%s: %d octets, %v", when, len(got), err)
		}
	}
	ask("before xhttpd")
	b.StartDaemon()
	ask("with xhttpd")
	if n := b.Metric("responses_total"); n != 0 {
		t.Errorf("xhttpd gave %v answers", n)
	}
	b.Signal(syscall.SIGKILL)
	b.Ended()
	ask("after xhttpd")
}

// Without Apache, what is cached is served; for the rest the client gets the kernel's RST, as without xhttpd.
func TestApacheStopped(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(1000))
	b.Warm("a.png")
	b.StopApache()
	if got, err := get(b, "/a.png"); err != nil || !bytes.Equal(got, body) {
		t.Errorf("a cached file: %d octets, %v", len(got), err)
	}
	conn, err := b.Dial(false)
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, "GET /cgi-bin/who HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("an uncached path: %v, want a reset connection", err)
	}
	conn.Close()
	b.StartApache()
	b.Until("Apache is back", func() bool { _, err := get(b, "/cgi-bin/who"); return err == nil })
}

// The server accepts slowly, and its backlog is short: every hand-over arrives in the end.
func TestBacklogOverflow(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoApache: true, NoDaemon: true})
	var listener net.Listener
	b.Server.Do(func() { listener = shortBacklog(t, 80) })
	defer listener.Close()
	const n = 40
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			time.Sleep(30 * time.Millisecond) // a slow server, not a wait for something
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi") //nolint:errcheck // the client tells
				}
			}()
		}
	}()
	b.StartDaemon()
	var clients sync.WaitGroup
	for k := range n {
		clients.Go(func() {
			conn, err := b.Dial(k%2 == 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			say(t, conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
			if got, err := io.ReadAll(conn); err != nil || !bytes.HasSuffix(got, []byte("hi")) {
				t.Errorf("client %d: %q, %v", k, got, err)
			}
		})
	}
	clients.Wait()
	if n := b.Metric("redirect_packets_total", "queue-full"); n == 0 {
		t.Error("the accept queue was never full: this tested something else")
	}
}
