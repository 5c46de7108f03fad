package tcp

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

var (
	controls = flag.String("cc", "bbr,cubic", "algorithms of congestion control; bbr3 is set beside the kernel's bbr")
	sizes    = flag.String("sizes", "10k,1M,20M", "objects")
	rtts     = flag.String("rtt", "1,20,80,200", "round trips, ms")
	losses   = flag.String("loss", "0,0.1,1,3", "losses towards the client, %")
	reorders = flag.String("reorder", "0,5", "reordering towards the client, %")
	rate     = flag.Float64("rate", 50e6, "of the bottleneck towards the client, bit/s")
	repeat   = flag.String("repeat", "21,9,3", "rounds for each size")
	least    = flag.Duration("least", 0, "how long a cell is measured at least, by more rounds")
	limit    = flag.Duration("limit", 60*time.Second, "a download that takes longer is cut, and its time extrapolated")
	parallel = flag.Int("parallel", 1, "cells that are measured at the same time, each on a path of its own")
	deadline = flag.Duration("deadline", 6*time.Hour, "no round begins after so long")
	decided  = flag.Bool("decide", false, "cells that the rounds in -out leave undecided get more, by the rule in rule_test.go")
	pause    = flag.String("pause", "", "while this file exists, no round of -decide begins")
	runs     = flag.Int("runs", 7, "of two flows side by side")
	out      = flag.String("out", "", "folder for the results; without it nothing is written")
	duration = flag.Duration("duration", 30*time.Second, "of two flows side by side")
)

// interrupted is closed by the first Ctrl-C: no round begins after it, so that everything is put back and what was
// measured is kept. A second one ends it at once.
var interrupted = make(chan struct{})

func TestMain(m *testing.M) {
	flag.Parse()
	ctrlC := make(chan os.Signal, 1)
	signal.Notify(ctrlC, os.Interrupt)
	go func() {
		<-ctrlC
		signal.Stop(ctrlC)
		close(interrupted)
	}()
	code := m.Run()
	testbed.RemoveBinary()
	os.Exit(code)
}

func list(s string) []string { return strings.Split(s, ",") }

func numbers(b *testing.B, s string) (all []float64) {
	b.Helper()
	for _, f := range list(s) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			b.Fatalf("%q: %v", s, err)
		}
		all = append(all, v)
	}
	return all
}

// octets reads a size such as 10k or 20M.
func octets(b *testing.B, s string) int {
	b.Helper()
	n := magnitude(s)
	if n <= 0 {
		b.Fatalf("%q is no size", s)
	}
	return n
}

// magnitude returns the octets of a size, or 0 if it is none.
func magnitude(s string) int {
	unit := 1
	switch {
	case strings.HasSuffix(s, "k"):
		unit = 1000
	case strings.HasSuffix(s, "M"):
		unit = 1000000
	}
	n, err := strconv.Atoi(strings.TrimRight(s, "kM"))
	if err != nil {
		return 0
	}
	return n * unit
}

// stage is a testbed on which xhttpd serves one address, and Apache alone another.
type stage struct {
	*testbed.Bed
	alone string // Apache's address
}

// newStage has both sides use the algorithm cc, the kernel bbr where it lacks bbr3, and serve objects of the given sizes, as /SIZE.png.
func newStage(b *testing.B, cc string, sizes []string) *stage {
	b.Helper()
	kernels := cc
	if cc == "bbr3" {
		kernels = "bbr"
	}
	allow(b, kernels)
	s := &stage{Bed: testbed.Start(b, testbed.Options{Impaired: true, NoDaemon: true}), alone: "192.0.2.33"}
	s.Server.Sysctl("net/ipv4/tcp_congestion_control", kernels)
	// The kernel's buffers shall not be the limit, on either side, nor what it remembers of the path before.
	for _, name := range []string{"net/ipv4/tcp_wmem", "net/ipv4/tcp_rmem"} {
		s.Server.Sysctl(name, "4096 131072 33554432")
		s.Client.Sysctl(name, "4096 131072 33554432")
	}
	s.Server.Sysctl("net/ipv4/tcp_no_metrics_save", "1")
	s.Client.Sysctl("net/ipv4/tcp_no_metrics_save", "1")
	s.Server.Exec("ip", "addr", "add", s.alone+"/24", "dev", s.Server.Interface)
	s.Client.Exec("ip", "neigh", "add", s.alone, "lladdr", s.Server.MAC.String(), "dev", s.Client.Interface, "nud", "permanent")
	var names []string
	for _, size := range sizes {
		file := filepath.Join(s.Root, size+".png")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			b.Fatal(err)
		}
		if err := os.Truncate(file, int64(octets(b, size))); err != nil {
			b.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(file, old, old); err != nil {
			b.Fatal(err)
		}
		names = append(names, size+".png")
	}
	s.StartDaemon("--address", s.Address(false), "--congestion-control", cc, "--cache-size", "1GiB", "--max-object", "500MB")
	for _, name := range names {
		s.Until("xhttpd answers "+name, func() bool { return s.gives(name) })
	}
	return s
}

// gives asks for a file's header section as the downloads will ask for the file, and reports whether xhttpd gave it.
func (s *stage) gives(name string) bool {
	before := s.Metric("responses_total")
	conn, err := s.Dial(false)
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return false
	}
	fmt.Fprintf(conn, "HEAD /%s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", name)
	if _, err := io.ReadAll(conn); err != nil {
		return false
	}
	time.Sleep(5 * time.Millisecond) // the counters are published behind the frames
	return s.Metric("responses_total") > before
}

// allow lets namespaces use cc: only the initial one's list counts, and it is put back.
func allow(b *testing.B, cc string) {
	b.Helper()
	const file = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
	old, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	allowed := strings.TrimSpace(string(old))
	for _, name := range strings.Fields(allowed) {
		if name == cc {
			return // also when another stage has done it: that one puts it back
		}
	}
	if err := os.WriteFile(file, []byte(allowed+" "+cc), 0o644); err != nil {
		b.Fatalf("the kernel lacks %s, or does not allow it: %v", cc, err)
	}
	b.Cleanup(func() { os.WriteFile(file, old, 0o644) }) //nolint:errcheck // as it was, if it can be
}

// path makes the path between client and server as a cell says: loss and reordering towards the client, and a queue of
// what the bottleneck passes in a round trip.
func (s *stage) path(seed uint64, rttMS, lossPercent, reorderPercent float64) {
	one := time.Duration(rttMS * float64(time.Millisecond) / 2)
	s.Path.Set(seed, impair.Link{
		Delay: one, Loss: lossPercent / 100, Reorder: reorderPercent / 100, ReorderBy: max(one/2, time.Millisecond),
		Rate: *rate, Queue: max(int(*rate/8*rttMS/1000), 30_000),
	}, impair.Link{Delay: one})
}

func (s *stage) connect(addr string, limit time.Duration) (conn net.Conn, err error) {
	s.Client.Do(func() {
		dialer := net.Dialer{Timeout: limit}
		conn, err = dialer.DialContext(context.Background(), "tcp", net.JoinHostPort(addr, "80"))
	})
	return conn, err
}

// download fetches a file from addr over a connection of its own, and returns how long that took, from the SYN to the
// last octet, and how many octets came before limit.
func (s *stage) download(addr, file string, limit time.Duration) (took time.Duration, got int64, err error) {
	begin := time.Now()
	conn, err := s.connect(addr, limit)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()                 //nolint:errcheck // read to the end
	conn.SetDeadline(begin.Add(limit)) //nolint:errcheck // cannot fail on TCP
	fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", file)
	got, err = io.Copy(io.Discard, conn)
	took = time.Since(begin)
	if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
		err = nil
	}
	return took, got, err
}
