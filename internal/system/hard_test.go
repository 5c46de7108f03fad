package system

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// seed returns the test's seed: XHTTPD_SEED, or a random one.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("XHTTPD_SEED"), 10, 64); err == nil {
		s = v
	}
	t.Logf("XHTTPD_SEED=%d", s)
	return s
}

// 2,000 keep-alive connections with static files, a script, and bodies: not one wrong octet.
func TestMixedConnections(t *testing.T) {
	const connections, atOnce = 2000, 100
	b := testbed.Start(t, testbed.Options{})
	files := map[string][]byte{}
	var names []string
	for _, size := range []int{1, 100, 1460, 10_000, 200_000} {
		name := fmt.Sprintf("%d.png", size)
		files[name] = b.Put(name, content(size))
		names = append(names, name)
	}
	b.Warm(names...)
	s := seed(t)
	var clients sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for k := range connections {
		turns <- struct{}{}
		clients.Go(func() {
			defer func() { <-turns }()
			m := &mixed{bed: b, rnd: rand.New(rand.NewPCG(s, uint64(k))), client: b.HTTP(), six: k%3 == 0}
			defer m.client.CloseIdleConnections()
			if err := m.run(files, names, k%10 == 0); err != nil {
				t.Errorf("connection %d: %v", k, err)
			}
		})
	}
	clients.Wait()
	if n := b.Metric("handovers_total"); n < connections/20 {
		t.Errorf("only %v connections were handed over: this tested something else", n)
	}
	for _, why := range []string{"handover-refused", "handover-timeout", "inject-failed"} {
		if n := b.Metric("drops_total", why); n > 0 {
			t.Errorf("%v times %s", n, why)
		}
	}
}

// mixed is one client with one connection.
type mixed struct {
	bed    *testbed.Bed
	rnd    *rand.Rand
	client *http.Client
	six    bool
}

// run asks for some files; a script's connection ends with a body for the script.
func (m *mixed) run(files map[string][]byte, names []string, script bool) error {
	for range 1 + m.rnd.IntN(6) {
		name := names[m.rnd.IntN(len(names))]
		resp, err := m.client.Get(m.bed.URL(m.six, "/"+name))
		if err != nil {
			return err
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, files[name]) {
			return fmt.Errorf("%s: %d octets, or others: %w", name, len(got), err)
		}
	}
	if !script {
		return nil
	}
	body := content(m.rnd.IntN(300_000))
	sum := sha256.Sum256(body)
	resp, err := m.client.Post(m.bed.URL(m.six, "/cgi-bin/who"), "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(answer), hex.EncodeToString(sum[:])) {
		return fmt.Errorf("POST of %d octets: %q %w", len(body), answer, err)
	}
	return nil
}

// 20 MB arrive whole over a link that loses 5 % and reorders 5 % in both directions.
func TestLossyLink(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Impaired: true})
	bad := impair.Link{Loss: 0.05, Reorder: 0.05, ReorderBy: 2 * time.Millisecond}
	b.Path.Set(seed(t), bad, bad)
	body := b.Put("20MB.png", content(20_000_000))
	b.Put("small.png", content(2000))
	b.Warm("20MB.png", "small.png")
	families(t, func(t *testing.T, six bool) {
		r0, _ := settled(b)
		out := b.Dir + "/got"
		cmd := b.Client.Command("curl", "-sSg", "--noproxy", "*", "--max-time", "240", "-o", out, b.URL(six, "/20MB.png"))
		var trace bytes.Buffer
		cmd.Stderr = &trace
		b.Client.Start(cmd)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("curl: %v %s", err, trace.String())
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d octets of %d, or others: %v", len(got), len(body), err)
		}
		if r, _ := settled(b); r-r0 != 1 {
			t.Errorf("xhttpd gave %v answers, want 1", r-r0)
		}
	})
}

// Files that change while they are sent: each response is one whole version.
func TestChangingFiles(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	// All of one length: Apache looks at a file, then opens it, and may answer with the length of the one before.
	const size = 50_000
	version := func(k int) []byte { return bytes.Repeat([]byte{byte('a' + k%26)}, size) }
	b.Put("a.png", version(0))
	b.Put("quiet.png", content(1000))
	b.Warm("a.png", "quiet.png")
	stop := make(chan struct{})
	var done sync.WaitGroup
	var served atomic.Int64
	for range 8 {
		done.Go(func() {
			client := b.HTTP()
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Get(b.URL(false, "/a.png"))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || len(got) != size || !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
					t.Errorf("not one whole version: %d octets of %d, %v", len(got), resp.ContentLength, err)
					return
				}
				served.Add(1)
			}
		})
	}
	for k := 1; k < 12; k++ {
		// Replaced by rename, as those do who care: Apache itself could not answer whole otherwise.
		b.Put("next.png", version(k))
		if err := os.Rename(b.Root+"/next.png", b.Root+"/a.png"); err != nil {
			t.Fatal(err)
		}
		before := served.Load()
		b.Until("it is asked for", func() bool { return served.Load() > before+20 })
	}
	close(stop)
	done.Wait()
}

// Slow heads and clients that vanish in mid-download don't disturb others.
func TestBadClients(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Args: []string{"--max-buffers", "50"}})
	body := b.Put("a.png", content(500))
	b.Put("big.png", content(5_000_000))
	b.Warm("a.png", "big.png")
	for k := range 200 {
		conn, err := b.Dial(false)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if k%2 == 0 {
			say(t, conn, "GET /a.png HTTP/1.1\r\nHost:")
			continue
		}
		say(t, conn, "GET /big.png HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if k%4 == 1 {
			conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // then it closes without a reset
			conn.Close()
		}
	}
	for range 50 {
		if got, err := get(b, "/a.png"); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("beside bad clients: %d octets, %v", len(got), err)
		}
	}
}

// Other traffic on the interface passes: another port, UDP, ping, fragments.
func TestOtherTraffic(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	before := b.Metric("rx_packets_total")
	b.Server.Do(func() {
		listener, err := net.Listen("tcp", ":2222")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		packets, err := net.ListenPacket("udp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { packets.Close() })
		go func() {
			if conn, err := listener.Accept(); err == nil {
				io.Copy(conn, conn) //nolint:errcheck // an echo, as far as it goes
			}
		}()
		go func() {
			buf := make([]byte, 20000)
			if n, from, err := packets.ReadFrom(buf); err == nil {
				packets.WriteTo(buf[:n], from) //nolint:errcheck // an echo, as far as it goes
			}
		}()
	})
	for _, where := range [][2]string{{"tcp", "2222"}, {"udp", "80"}} {
		var conn net.Conn
		var err error
		b.Client.Do(func() { conn, err = net.Dial(where[0], net.JoinHostPort(b.Address(false), where[1])) })
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, strings.Repeat("hello", 1500)) // over the MTU: UDP goes in fragments
		buf := make([]byte, 7500)
		if n, err := io.ReadAtLeast(conn, buf, 7500); err != nil {
			t.Errorf("%s: %d octets came back, %v", where[0], n, err)
		}
		conn.Close()
	}
	if n := b.Metric("rx_packets_total"); n != before {
		t.Errorf("%v packets reached xhttpd", n-before)
	}
}

// Every queue of the interface is served.
func TestTwoQueues(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Options: nstest.Options{Queues: 2}})
	body := b.Put("a.png", content(5000))
	b.Warm("a.png")
	r0, _ := settled(b)
	const n = 60
	for range n {
		if got, err := get(b, "/a.png"); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d octets, %v", len(got), err)
		}
	}
	if r, _ := settled(b); r-r0 != n {
		t.Errorf("xhttpd gave %v answers of %d", r-r0, n)
	}
	if _, err := get(b, "/cgi-bin/who"); err != nil {
		t.Error(err)
	}
}

// shortBacklog listens with a backlog of one, which Go's own listeners can't.
func shortBacklog(t *testing.T, port int) net.Listener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	for _, err := range []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0),
		unix.Bind(fd, &unix.SockaddrInet6{Port: port}),
		unix.Listen(fd, 1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	// FileListener has set the backlog of its own duplicate's socket to nothing else: it is the same socket.
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	return listener
}
