package compare_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/bench/xload"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// Flags; scripts/bench says what they are for.
var (
	out        = flag.String("out", "", "directory for results; none if empty")
	peers      = flag.String("peers", "nginx,h2o,lighttpd,apache,nethttp,fasthttp,gvisor,xhttpd", "servers")
	work       = flag.String("work", "1k/64", "SIZE/CONNECTIONS, or SIZE/CONNECTIONS/new for a new connection for each request")
	loads      = flag.String("clients", "wrk", "clients")
	mtu        = flag.Int("mtu", 1500, "octets")
	offloads   = flag.Bool("offloads", false, "with offloads")
	rounds     = flag.Int("rounds", 3, "how often each is measured")
	seconds    = flag.Int("seconds", 3, "how long each is measured")
	daemonArgs = flag.String("xhttpd", "", "further arguments of xhttpd")
	command    = flag.String("command", "", "what was called, for the results")
)

// stage is where a benchmark runs.
type stage struct {
	testing.TB
	dir, root string
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) until(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

var sizes = map[string]int{"100": 100, "1k": 1 << 10, "10k": 10 << 10, "30k": 30 << 10, "100k": 100 << 10, "300k": 300 << 10, "1M": 1 << 20}

// files returns the names of all files below root.
func files(root string) (names []string) {
	fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error { //nolint:errcheck // it is ours
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	return names
}

func newStage(b *testing.B) *stage {
	nstest.Require(b)
	if runtime.NumCPU() < 2 {
		b.Skip("needs two cores, one for the client and one for the server")
	}
	s := &stage{TB: b, dir: b.TempDir()}
	for _, dir := range []string{s.dir, filepath.Dir(s.dir)} { // servers read as another user
		s.must(os.Chmod(dir, 0o755))
	}
	s.root = filepath.Join(s.dir, "root")
	s.must(os.Mkdir(s.root, 0o755))
	for name, size := range sizes {
		s.must(os.WriteFile(filepath.Join(s.root, name+".bin"), bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size], 0o644))
	}
	if strings.Contains(*work, mix) {
		_, err := xload.MakeSPECweb96(s.root, xload.SPECweb96Dirs(mixLoad))
		s.must(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range files(s.root) {
		s.must(os.Chtimes(filepath.Join(s.root, name), old, old))
	}
	return s
}

// TestMain ends what testbed has built.
func TestMain(m *testing.M) {
	code := m.Run()
	testbed.RemoveBinary()
	os.Exit(code)
}

// BenchmarkCompare has every server on a stage of its own, all of them running, and measures them in turns.
func BenchmarkCompare(b *testing.B) {
	s := newStage(b)
	results := &compare.Results{
		Command: "scripts/bench " + *command, Date: time.Now().UTC().Format("2006-01-02"), CPUs: runtime.NumCPU(), Kernel: release(), Commit: commit(),
	}
	names := split(*peers)
	running := map[string]*server{}
	for _, name := range names {
		if starters[name] == nil {
			b.Fatalf("no server is called %q", name)
		}
		running[name] = s.start(name, *mtu, *offloads)
	}
	all := workloads(b)
	for round := range *rounds {
		for _, w := range all {
			for k := range names {
				name := names[(k+round)%len(names)]
				sample := s.measure(running[name], &w)
				note(results, w, name, sample)
				b.Logf("round %d, %s, %s: %.0f requests/s, %.2f µs", round+1, w, name, sample.Requests, sample.CPU)
			}
		}
		s.save(results) // whatever happens later
	}
	b.ReportMetric(0, "ns/op")
	fmt.Printf("%s\n%s", results.Table(), results.Targets())
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// workloads are those that the flags say.
func workloads(b *testing.B) (all []compare.Workload) {
	for _, item := range split(*work) {
		parts := strings.Split(item, "/")
		isNew := len(parts) == 3 && parts[2] == "new"
		if len(parts) != 2 && !isNew || sizes[parts[0]] == 0 && parts[0] != mix {
			b.Fatalf("no such work: %s", item)
		}
		count, err := strconv.Atoi(parts[1])
		if err != nil {
			b.Fatalf("no such work: %s", item)
		}
		for _, client := range split(*loads) {
			if clients[client] == nil {
				b.Fatalf("no client is called %q", client)
			}
			if client == "wrk" && parts[0] == mix {
				continue // it asks for one thing
			}
			all = append(all, compare.Workload{Object: parts[0], Conns: count, New: isNew, Client: client, MTU: *mtu, Offloads: *offloads})
		}
	}
	return all
}

// measure has the client load the server, and looks at its core meanwhile.
func (s *stage) measure(sv *server, w *compare.Workload) compare.Sample {
	s.Helper()
	// Whoever uses the machine while we wait would disturb us.
	quiet := s.look()
	time.Sleep(200 * time.Millisecond)
	loud := s.look()
	d := time.Duration(*seconds) * time.Second
	var before, after cores.Times
	var used float64
	watched := make(chan struct{})
	go func() { // a little after its beginning to a little before its end
		defer close(watched)
		time.Sleep(d / 8)
		before = s.look()
		time.Sleep(d * 6 / 8)
		after = s.look()
		used = memory(s, sv.pids)
	}()
	answered, left := 0.0, 0.0
	if sv.bed != nil {
		answered, left = sv.bed.Metric("responses_total"), sv.bed.Metric("handovers_total", "large")
	}
	m := clients[w.Client](s, sv, w, d)
	<-watched
	busy, stolen := after.Since(&before, cores.Server)
	m.CPU, m.Memory = busy/m.Requests*1e6, used
	_, stolenFromClient := after.Since(&before, cores.Client)
	for _, core := range []int{cores.Client, cores.Server} {
		other, _ := loud.Since(&quiet, core)
		m.Disturbed = m.Disturbed || other > 0.1
	}
	m.Disturbed = m.Disturbed || stolen+stolenFromClient > 0.05
	if sv.bed != nil {
		m.Left = sv.bed.Metric("handovers_total", "large") > left
	}
	if sv.bed != nil && !(m.Left && w.Object != mix) {
		m.Disturbed = m.Disturbed || s.ownShare(sv, m.Requests*d.Seconds(), answered) < 0.99
	}
	return m
}

// ownShare is how much of the requests xhttpd has answered itself. Others may be Apache's, when a busy machine makes its heartbeat late; if
// many are, it is Apache that was measured, and the benchmark fails.
func (s *stage) ownShare(sv *server, requests, before float64) float64 {
	s.Helper()
	time.Sleep(100 * time.Millisecond) // the counters are published behind the frames
	share := (sv.bed.Metric("responses_total") - before) / requests
	if share < 0.9 {
		s.Fatalf("xhttpd answered only %.0f %% of %.0f requests itself", 100*share, requests)
	}
	return share
}

func note(r *compare.Results, w compare.Workload, peer string, m compare.Sample) {
	c := r.Cell(w, peer)
	if c == nil {
		c = &compare.Cell{Workload: w, Peer: peer}
		r.Cells = append(r.Cells, c)
		order := split(*peers)
		slices.SortStableFunc(r.Cells, func(a, b *compare.Cell) int { return slices.Index(order, a.Peer) - slices.Index(order, b.Peer) })
	}
	c.Samples = append(c.Samples, m)
}

func (s *stage) save(r *compare.Results) {
	s.Helper()
	if *out == "" {
		return
	}
	s.must(os.MkdirAll(*out, 0o755))
	s.must(r.Save(filepath.Join(*out, "results.json")))
	s.must(os.WriteFile(filepath.Join(*out, "README.md"), []byte("# xhttpd beside others\n\n"+r.Targets()+
		"\n![requests in a second](requests.png)\n\n![processor time for a request](cpu.png)\n\nFrames that are only sent back, by several means, in the same run: [echo.txt](echo.txt).\n\n"+r.Table()), 0o644))
	s.must(r.Plot(filepath.Join(*out, "requests.png"), "requests/s", compare.Requests, true))
	s.must(r.Plot(filepath.Join(*out, "cpu.png"), "CPU for a request, µs", compare.CPU, false))
}

func release() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease") //nolint:errcheck // then it is missing
	return strings.TrimSpace(string(text))
}

func commit() string {
	text, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
