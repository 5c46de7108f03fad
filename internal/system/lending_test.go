package system

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// version is a body that says which it is.
func version(n int) []byte { return append(fmt.Appendf(nil, "%08d", n), content(900)...) }

// hot asks for a path again and again on one connection, and returns how often the answer was what is wanted.
type hot struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	path string
}

func newHot(b *testbed.Bed, t *testing.T, six bool, path string) *hot {
	t.Helper()
	conn, err := b.Dial(six)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &hot{t: t, conn: conn, in: bufio.NewReader(conn), path: path}
}

// get asks once; the answer must come within d.
func (h *hot) get(d time.Duration) ([]byte, error) {
	if err := h.conn.SetDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(h.conn, "GET %s HTTP/1.1\r\nHost: x\r\nUser-Agent: hot\r\n\r\n", h.path); err != nil {
		return nil, err
	}
	return h.read()
}

func (h *hot) read() ([]byte, error) {
	resp, err := http.ReadResponse(h.in, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Close {
		return nil, fmt.Errorf("%s, close %v", resp.Status, resp.Close)
	}
	return io.ReadAll(resp.Body)
}

const patience = 20 * time.Second

// Requests for what is asked for often are answered without the daemon, and every answer is counted once, whatever else is on the
// connection. Stopped, the daemon cannot say that an answer is still right: then there is none.
func TestAnswersWithoutDaemon(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Config: "MaxKeepAliveRequests 0\n", Args: []string{"--keepalive-requests", "0"}})
	want := b.Put("hot.png", version(1))
	other := b.Put("other.png", content(30_000))
	b.Warm("hot.png", "other.png")
	for _, six := range []bool{false, true} {
		before, without := b.Metric("responses_total"), b.Metric("bpf_responses_total")
		h := newHot(b, t, six, "/hot.png")
		const requests = 3000
		for k := range requests {
			expect := want
			if h.path = "/hot.png"; k%100 == 99 {
				h.path, expect = "/other.png", other
			}
			if got, err := h.get(patience); err != nil || !bytes.Equal(got, expect) {
				t.Fatalf("request %d: %d octets, %v", k, len(got), err)
			}
		}
		if n := counted(b, before+requests) - before; n != requests {
			t.Errorf("IPv6 %t: %v responses are counted", six, n)
		}
		if n := b.Metric("bpf_responses_total") - without; n < requests/2 {
			t.Errorf("IPv6 %t: only %v requests were answered without the daemon: this tested something else", six, n)
		}
		h.path = "/hot.png"
		b.Signal(syscall.SIGSTOP)
		time.Sleep(300 * time.Millisecond) // three times as long as an answer lies ready
		if got, err := h.get(time.Second); err == nil {
			t.Errorf("IPv6 %t: an answer of %d octets without a daemon", six, len(got))
		}
		b.Signal(syscall.SIGCONT)
		if err := h.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if got, err := h.read(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("IPv6 %t: when the daemon goes on: %d octets, %v", six, len(got), err)
		}
		// The kernel can go on with the connection from where the program has left it.
		for range 100 {
			if got, err := h.get(patience); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("again: %d octets, %v", len(got), err)
			}
		}
		h.path = "/cgi-bin/who"
		if got, err := h.get(patience); err != nil || len(got) == 0 {
			t.Errorf("IPv6 %t: handed over: %q, %v", six, got, err)
		}
	}
}

// A file that is asked for all the time changes: from a second later on, nobody gets the old one.
func TestHotFileChanges(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Config: "MaxKeepAliveRequests 0\n", Args: []string{"--keepalive-requests", "0"}})
	b.Put("hot.png", version(0))
	b.Warm("hot.png")
	const late = time.Second + 200*time.Millisecond // and what it takes to tell the time
	var replaced [6]atomic.Int64                    // when a version was, ns since begin
	begin := time.Now()
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for k := range 6 {
		clients.Go(func() {
			h := newHot(b, t, k%2 == 0, "/hot.png")
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked := time.Since(begin)
				got, err := h.get(patience)
				if err != nil && b.Metric("handovers_total") > 0 {
					// Apache has the connection since a change, and closes idle ones when it is busy. The request is repeated once.
					h = newHot(b, t, k%2 == 0, "/hot.png")
					got, err = h.get(patience)
				}
				var v int
				if _, scan := fmt.Sscanf(string(got[:min(8, len(got))]), "%08d", &v); err != nil || scan != nil || !bytes.Equal(got, version(v)) {
					t.Errorf("client %d: %d octets, %v", k, len(got), err)
					return
				}
				if at := replaced[v].Load(); at != 0 && asked > time.Duration(at)+late {
					t.Errorf("client %d: version %d, %v after it was replaced", k, v, asked-time.Duration(at))
					return
				}
				if k%2 == 1 && asked%64 == 0 { // the kernel has this connection after a change; a new one is ours again
					h = newHot(b, t, k%2 == 0, "/hot.png")
				}
			}
		})
	}
	for v := 1; v < len(replaced); v++ {
		before := b.Metric("bpf_responses_total")
		b.Until("the program answers", func() bool { return b.Metric("bpf_responses_total")-before > 100 || t.Failed() })
		path := filepath.Join(b.Root, "new")
		old := time.Now().Add(-time.Hour)
		if err := os.WriteFile(path, version(v), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, filepath.Join(b.Root, "hot.png")); err != nil {
			t.Fatal(err)
		}
		replaced[v-1].Store(int64(time.Since(begin)))
	}
	time.Sleep(2 * late) // how long it goes on at least
	close(stop)
	clients.Wait()
}

// counted returns how many responses are counted, at least n. Those of the program are when the loop takes their connection back.
func counted(b *testbed.Bed, n float64) float64 {
	b.Helper()
	b.Until("all responses are counted", func() bool { return b.Metric("responses_total") >= n })
	responses, _ := settled(b)
	return responses
}

// Who thinks before it asks again acknowledges each answer first. That takes nothing from the program.
func TestAnswersToThinkers(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Config: "MaxKeepAliveRequests 0\n", Args: []string{"--keepalive-requests", "0"}})
	want := b.Put("hot.png", version(1))
	b.Warm("hot.png")
	for _, six := range []bool{false, true} {
		begin, _ := settled(b)
		h := newHot(b, t, six, "/hot.png")
		get := func() {
			t.Helper()
			if got, err := h.get(patience); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d octets, %v", len(got), err)
			}
		}
		const first, requests = 100, 60
		for range first {
			get()
		}
		counted(b, begin+first)
		without, acked := b.Metric("bpf_responses_total"), b.Metric("xdp_packets_total", "acknowledged")
		for range requests {
			time.Sleep(60 * time.Millisecond) // longer than Linux delays an ACK
			get()
		}
		if n := counted(b, begin+first+requests) - begin; n != first+requests {
			t.Errorf("IPv6 %t: %v responses are counted", six, n)
		}
		// Not all, as the daemon may have been held up now and then.
		n, acks := b.Metric("bpf_responses_total")-without, b.Metric("xdp_packets_total", "acknowledged")-acked
		t.Logf("IPv6 %t: of %d requests %v were answered without the daemon, %v acknowledgments taken in", six, requests, n, acks)
		if n < requests*3/4 || acks < requests*3/4 {
			t.Error("too few")
		}
	}
}

// browsing asks for a path until the connection ends, as browsers ask, and returns the answers' octets but for the date.
func browsing(t *testing.T, b *testbed.Bed, address, path string) (answers []string) {
	t.Helper()
	conn, err := b.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(conn, &raw))
	for {
		say(t, conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"+
			"Accept: image/avif,image/webp,*/*\r\nAccept-Language: en-US,en;q=0.5\r\nConnection: keep-alive\r\nPriority: u=5, i\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s, behind %d answers: %v", address, len(answers), err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		answers = append(answers, strings.Replace(raw.String(), resp.Header.Get("Date"), "now", 1))
		raw.Reset()
		if resp.Close {
			break
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("%s, behind %d answers: %v", address, len(answers), err)
	}
	return answers
}

// With Apache's stock configuration a browser is told with each answer how many requests may follow, down to none. The program's
// answers are Apache's in that, too, octet for octet.
func TestBrowserCountsDown(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true})
	b.Put("hot.png", version(1))
	alone4, alone6 := b.Alone()
	b.StartDaemon("--address", b.Address(false), "--address", b.Address(true))
	b.Warm("hot.png")
	for six, alone := range map[bool]string{false: alone4, true: alone6} {
		want := browsing(t, b, alone, "/hot.png")
		if n := len(want); n < 100 || !strings.Contains(want[0], "max=") {
			t.Fatalf("Apache gave %d answers, %q", n, want[0])
		}
		b.Until("most of a connection's answers are the program's", func() bool {
			before, without := settled(b)
			program := b.Metric("bpf_responses_total")
			for range 4 { // one alone does not ask often enough when one digit is left
				got := browsing(t, b, b.Address(six), "/hot.png")
				for k := range max(len(got), len(want)) {
					if k >= len(got) || k >= len(want) || got[k] != want[k] {
						t.Fatalf("IPv6 %t: of %d and %d answers, %d is %q, want %q", six, len(got), len(want), k, got[min(k, len(got)-1)], want[min(k, len(want)-1)])
					}
				}
			}
			responses := counted(b, before+float64(4*len(want)))
			handed := b.Metric("handovers_total")
			if n := responses - before; n != float64(4*len(want)) || handed != without {
				t.Errorf("IPv6 %t: %v responses are counted", six, n)
			}
			n := b.Metric("bpf_responses_total") - program
			t.Logf("IPv6 %t: %v of %d answers were the program's", six, n, 4*len(want))
			return t.Failed() || n > float64(4*(len(want)-10))
		})
	}
}
