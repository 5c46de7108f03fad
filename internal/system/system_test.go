package system

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.RemoveBinary()
	os.Exit(code)
}

// content returns n octets that look like nothing else.
func content(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	rnd.Read(b) //nolint:errcheck // never fails
	return b
}

func families(t *testing.T, f func(t *testing.T, six bool)) {
	t.Helper()
	t.Run("IPv4", func(t *testing.T) { f(t, false) })
	t.Run("IPv6", func(t *testing.T) { f(t, true) })
}

// settled returns counters once they no longer change: they are published behind the frames.
func settled(b *testbed.Bed) (responses, handovers float64) {
	for {
		responses, handovers = b.Metric("responses_total"), b.Metric("handovers_total")
		time.Sleep(150 * time.Millisecond)
		if responses == b.Metric("responses_total") && handovers == b.Metric("handovers_total") {
			return responses, handovers
		}
	}
}

var sizes = map[string]int{"one.png": 1, "100B.png": 100, "1KB.png": 1024, "mss.png": 1460, "100KB.png": 100_000, "20MB.png": 20_000_000}

// Static objects, octet for octet, by xhttpd; a dynamic page by Apache, which sees the true client.
func TestStaticAndDynamic(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	for name, size := range sizes {
		b.Put(name, content(size))
		b.Warm(name)
	}
	families(t, func(t *testing.T, six bool) {
		r0, h0 := settled(b)
		for name, size := range sizes {
			out, _, err := b.Curl(b.URL(six, "/"+name))
			if err != nil || out != string(content(size)) {
				t.Errorf("%s: %d octets, want %d, or others: %v", name, len(out), size, err)
			}
		}
		if r, h := settled(b); r-r0 != float64(len(sizes)) || h != h0 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want %d and 0", r-r0, h-h0, len(sizes))
		}
		out, trace, err := b.Curl("-w", "\nport %{local_port}", b.URL(six, "/cgi-bin/who"))
		if err != nil {
			t.Fatal(err, trace)
		}
		var addr, port, want string
		if _, err := fmt.Sscanf(out, "client %s %s\n\nport %s", &addr, &port, &want); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		client := b.Client.IPv4
		if six {
			client = b.Client.IPv6
		}
		if addr != client.String() || port != want {
			t.Errorf("the script saw %s port %s, want %s port %s", addr, port, client, want)
		}
	})
}

// Static, static, dynamic, static, and a POST of 1 MB behind static ones, each on one connection.
func TestOneConnection(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	b.Put("a.png", content(1000))
	b.Put("b.png", content(30000))
	b.Warm("a.png", "b.png")
	body := content(1_000_000)
	sum := sha256.Sum256(body)
	post := b.Dir + "/post"
	if err := os.WriteFile(post, body, 0o600); err != nil {
		t.Fatal(err)
	}
	families(t, func(t *testing.T, six bool) {
		r0, h0 := settled(b)
		_, trace, err := b.Curl("-v", b.URL(six, "/a.png"), "-o", "/dev/null", b.URL(six, "/b.png"), "-o", "/dev/null",
			b.URL(six, "/cgi-bin/who"), "-o", "/dev/null", b.URL(six, "/a.png"), "-o", "/dev/null")
		checkOneConnection(t, trace, err, 4)
		if r, h := settled(b); r-r0 != 2 || h-h0 != 1 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want 2 and 1", r-r0, h-h0)
		}
		out, trace, err := b.Curl("-v", b.URL(six, "/a.png"), "-o", "/dev/null", b.URL(six, "/a.png"), "-o", "/dev/null",
			b.URL(six, "/b.png"), "-o", "/dev/null", "--next", "-sSgv", "--noproxy", "*", "-H", "Expect:",
			"--data-binary", "@"+post, b.URL(six, "/cgi-bin/who"))
		checkOneConnection(t, trace, err, 4)
		if !strings.Contains(out, hex.EncodeToString(sum[:])) {
			t.Errorf("Apache's script received something else: %q", out)
		}
	})
}

func checkOneConnection(t *testing.T, trace string, err error, answers int) {
	t.Helper()
	if err != nil || strings.Count(trace, "* Connected to") != 1 || strings.Count(trace, "\n< HTTP/1.1 200 OK") != answers {
		t.Errorf("want %d answers on one connection (%v):\n%s", answers, err, trace)
	}
}

// What the client says is cut at every place, with a pause, and pipelined: the answers are the same.
func TestEveryCut(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(300))
	b.Warm("a.png")
	request := "GET /a.png HTTP/1.1\r\nHost: x\r\n\r\n" + "HEAD /a.png HTTP/1.1\r\nHost: x\r\n\r\n" + "GET /a.png HTTP/1.0\r\n\r\n"
	for cut := 1; cut < len(request); cut += 3 {
		conn, err := b.Dial(cut%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, request[:cut])
		time.Sleep(2 * time.Millisecond)
		say(t, conn, request[cut:])
		in := bufio.NewReader(conn)
		for k, method := range []string{"GET", "HEAD", "GET"} {
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("cut at %d, response %d: %v", cut, k, err)
			}
			got, err := io.ReadAll(resp.Body)
			want := body
			if method == "HEAD" {
				want = nil
			}
			if err != nil || !bytes.Equal(got, want) || resp.ContentLength != int64(len(body)) {
				t.Fatalf("cut at %d, response %d: %d octets of %d: %v", cut, k, len(got), resp.ContentLength, err)
			}
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Fatalf("cut at %d: after the last response %q, %v; want the end", cut, rest, err)
		}
		conn.Close()
	}
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// A client that closes its side with the request still gets the answer, by either server.
func TestHalfClose(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(50000))
	b.Warm("a.png")
	for _, path := range []string{"/a.png", "/cgi-bin/who", "/none"} {
		conn, err := b.Dial(false)
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || path == "/a.png" && !bytes.HasSuffix(got, body) || !bytes.HasPrefix(got, []byte("HTTP/1.1 ")) {
			t.Errorf("%s: %d octets, %v", path, len(got), err)
		}
		conn.Close()
	}
	// Half a head and the end: whatever Apache makes of it, the connection ends.
	conn, err := b.Dial(false)
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, "GET /a.png HT")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("half a head: %v", err)
	}
	conn.Close()
}

// Conditional requests and a changed file: no stale answer after the bound, which is a second.
func TestConditionalAndChanged(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	b.Put("a.png", content(500))
	b.Warm("a.png")
	client := b.HTTP()
	defer client.CloseIdleConnections()
	resp, err := client.Get(b.URL(false, "/a.png"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	before := b.Metric("responses_total", "304")
	req, err := http.NewRequest("GET", b.URL(false, "/a.png"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("If-None-Match", resp.Header.Get("ETag"))
	if resp, err = client.Do(req); err != nil || resp.StatusCode != 304 {
		t.Fatalf("If-None-Match: %v %v", resp, err)
	}
	b.Until("the 304 is counted as xhttpd's", func() bool { return b.Metric("responses_total", "304") == before+1 })
	changed := b.Put("a.png", content(501))
	b.Until("the new file is served", func() bool {
		resp, err := client.Get(b.URL(false, "/a.png"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || len(got) != int(resp.ContentLength) {
			t.Fatalf("%d octets of %d: %v", len(got), resp.ContentLength, err)
		}
		return bytes.Equal(got, changed)
	})
}

// The names that others rely upon.
func TestMetricsAndHealth(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	b.Put("a.png", content(10))
	b.Warm("a.png")
	for _, name := range []string{"responses_total", "handovers_total", "rx_packets_total", "tx_packets_total", "cache_objects", "cache_bytes"} {
		b.Until(name+" is not 0", func() bool { return b.Metric(name) > 0 })
	}
	out := b.Server.Exec("curl", "-s", "http://127.0.0.1:9180/metrics")
	for _, series := range []string{`xhttpd_responses_total{status="200"}`, `xhttpd_handovers_total{reason="miss"}`, `xhttpd_connections{state="ESTABLISHED"}`, `xhttpd_drops_total{reason="tcp-checksum"}`} {
		if !strings.Contains(out, series+" ") {
			t.Errorf("/metrics lacks %s", series)
		}
	}
	if code, body := b.Health(); code != 200 || strings.TrimSpace(body) != "ok" {
		t.Errorf("/healthz: %d %q", code, body)
	}
}

// A file server in the process itself, on an ordinary listener, gets its connections the same way.
func TestBuiltinBackend(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoApache: true, Args: []string{"--backend", "builtin"}})
	body := b.Put("a.png", content(70000))
	b.Put("sub/index.html", []byte("inside"))
	b.Warm("a.png")
	families(t, func(t *testing.T, six bool) {
		r0, h0 := settled(b)
		out, trace, err := b.Curl("-v", b.URL(six, "/a.png"), b.URL(six, "/a.png"), b.URL(six, "/sub/?a")) // a query is not ours
		checkOneConnection(t, trace, err, 3)
		if !strings.HasPrefix(out, string(body)+string(body)) || !strings.HasSuffix(out, "inside") {
			t.Errorf("%d octets that are not two files and an index", len(out))
		}
		if r, h := settled(b); r-r0 != 2 || h-h0 != 1 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want 2 and 1", r-r0, h-h0)
		}
	})
}
