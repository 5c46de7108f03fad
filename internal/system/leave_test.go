package system

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// visitors ask on a new connection each time, and take nothing but the right answer.
type visitors struct {
	t      *testing.T
	bed    *testbed.Bed
	body   []byte
	static atomic.Bool  // they ask for the file, else for what is Apache's
	served atomic.Int64 // right answers
	stop   chan struct{}
	all    sync.WaitGroup
}

func visit(t *testing.T, b *testbed.Bed, n int, body []byte) *visitors {
	v := &visitors{t: t, bed: b, body: body, stop: make(chan struct{})}
	for k := range n {
		v.all.Go(func() {
			for turn := k; ; turn++ {
				select {
				case <-v.stop:
					return
				default:
				}
				if err := v.once(turn); err != nil {
					t.Errorf("visitor %d, turn %d: %v", k, turn, err)
					return
				}
				v.served.Add(1)
			}
		})
	}
	t.Cleanup(v.leave)
	return v
}

func (v *visitors) leave() {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	v.all.Wait()
}

// once is one connection. The script tells who the client is.
func (v *visitors) once(turn int) error {
	conn, err := v.bed.Dial(turn%3 == 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // no end keeps TIME-WAIT, which would make a later connection the kernel's
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	path, want := "/a.png?x", v.body
	switch {
	case v.static.Load():
		path = "/a.png"
	case turn%32 == 5:
		at := conn.LocalAddr().(*net.TCPAddr).AddrPort()
		path, want = "/cgi-bin/who", fmt.Appendf(nil, "client %s %d\n", at.Addr(), at.Port())
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("%s from %s: %d octets, %w", path, conn.LocalAddr(), len(got), err)
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.HasSuffix(got, append([]byte("\r\n\r\n"), want...)) {
		return fmt.Errorf("%s from %s: %.300q", path, conn.LocalAddr(), got)
	}
	return nil
}

// serve waits for n more right answers.
func (v *visitors) serve(n int64) {
	v.t.Helper()
	until := v.served.Load() + n
	v.bed.Until(fmt.Sprintf("%d visitors more were served", n), func() bool { return v.served.Load() >= until || v.t.Failed() })
}

// leaving waits until connections are left, or no longer.
func (v *visitors) leaving(want bool) {
	v.t.Helper()
	v.bed.Until(fmt.Sprintf("it is %t that connections are left to Apache", want), func() bool { return v.bed.Metric("leaving") > 0 == want || v.t.Failed() })
}

// Where each connection is for Apache, it soon has them without xhttpd, and sees who the client is. When they ask for what is
// xhttpd's, that answers again. Whatever the daemon does meanwhile, everybody is served.
func TestDynamicSite(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(3000))
	b.Warm("a.png")
	left := func() float64 { return b.Metric("xdp_packets_total", "left") }
	if n := left(); n != 0 {
		t.Errorf("%v were left before there was anybody", n)
	}
	v := visit(t, b, 16, body)
	v.leaving(true)
	handed, before := b.Metric("handovers_total"), left()
	b.Until("many are left", func() bool { return left()-before >= 2000 || t.Failed() })
	// One in 8 is expected when the machine is busy, else fewer.
	if h, l := b.Metric("handovers_total")-handed, left()-before; h > l/4 {
		t.Errorf("%v connections were left, and %v were handed over", l, h)
	}

	v.static.Store(true)
	v.leaving(false)
	before, answered := left(), b.Metric("responses_total")
	v.serve(500)
	b.Until("xhttpd answers", func() bool { return b.Metric("responses_total")-answered >= 450 || t.Failed() })
	if n := left() - before; n > 0 {
		t.Errorf("%v connections were left when they asked for what is xhttpd's", n)
	}

	v.static.Store(false)
	v.leaving(true)
	b.Signal(syscall.SIGSTOP)
	v.serve(100)
	b.Signal(syscall.SIGCONT)
	v.serve(100)
	v.leaving(true)
	b.Signal(syscall.SIGTERM)
	if code := b.Ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.serve(100)
	v.leave()
}

// The setting, and a server behind that the kernel would not give the connections to, keep all of them here.
func TestNobodyIsLeft(t *testing.T) {
	for name, args := range map[string][]string{
		"never":        {"--leave-connections", "never"},
		"another port": {"--backend", "localhost:80"},
	} {
		t.Run(name, func(t *testing.T) {
			b := testbed.Start(t, testbed.Options{Args: args})
			body := b.Put("a.png", content(3000))
			b.Warm("a.png")
			handed := b.Metric("handovers_total")
			v := visit(t, b, 16, body)
			time.Sleep(4 * time.Second) // twice as long as SYNs would be noted
			v.serve(1000)
			v.leave()
			if n := b.Metric("xdp_packets_total", "left"); n > 0 {
				t.Errorf("%v were left", n)
			}
			if n := b.Metric("handovers_total") - handed; n < 1000 {
				t.Errorf("only %v were handed over: this tested something else", n)
			}
		})
	}
}
