package compare_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/made"
	"github.com/xhttpd/xhttpd/bench/xload"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// Flags; scripts/bench says what they are for.
var (
	out      = flag.String("out", "", "directory for results; none if empty")
	peers    = flag.String("peers", "nginx,h2o,lighttpd,apache,nethttp,fasthttp,gvisor,xhttpd", "servers")
	work     = flag.String("work", "1k/64", "OBJECT/CONNECTIONS[/OPTION]..., see ParseWorkload")
	rounds   = flag.Int("rounds", 3, "how often each is measured")
	duration = flag.Duration("duration", 1500*time.Millisecond, "how long each is measured")
	layout   = flag.String("layout", wire, "where packets are received: wire, plain")
	command  = flag.String("command", "", "what was called, for the results")
	variants = map[string][]string{} // arguments of xhttpd by the name that the server has here
	order    []string                // of the variants
)

func init() {
	flag.Func("xhttpd", "NAME=ARGUMENTS: a further server xhttpd-NAME, which is xhttpd with these; without a name for xhttpd itself; may be repeated", func(text string) error {
		name, args, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=ARGUMENTS", text)
		}
		if name = strings.TrimSuffix(self+"-"+name, "-"); name != self {
			order = append(order, name)
		}
		variants[name] = strings.Fields(args)
		return nil
	})
}

// Layouts: each side receives on its own core, or as a veth pair does of itself, on the core of the other.
const (
	wire  = "wire"
	plain = "plain"
)

// stage is where a benchmark runs.
type stage struct {
	testing.TB
	dir, root string
	binaries  string // what was built, kept from bed to bed
	results   *compare.Results
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

func newStage(b *testing.B, results *compare.Results, binaries string, all []compare.Workload) *stage {
	s := &stage{TB: b, dir: b.TempDir(), binaries: binaries, results: results}
	for _, dir := range []string{s.dir, filepath.Dir(s.dir)} { // servers read as another user
		s.must(os.Chmod(dir, 0o755))
	}
	s.root = filepath.Join(s.dir, "root")
	s.must(os.Mkdir(s.root, 0o755))
	for _, w := range all {
		if w.Object == compare.Mix {
			_, err := xload.MakeSPECweb96(s.root, xload.SPECweb96Dirs(mixLoad))
			s.must(err)
			continue
		}
		size := compare.Sizes()[w.Object]
		s.must(os.WriteFile(filepath.Join(s.root, w.Object+".bin"), bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size], 0o644))
	}
	s.build("xload", "../cmd/xload") // not while something is measured
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

// BenchmarkCompare has every server on a stage of its own, all of them running, and measures them in turns: for each network that the work needs.
func BenchmarkCompare(b *testing.B) {
	nstest.Require(b)
	if runtime.NumCPU() < 2 {
		b.Skip("needs two cores, one for the client and one for the server")
	}
	if *layout != wire && *layout != plain {
		b.Fatalf("no layout is called %q", *layout)
	}
	results := &compare.Results{
		Command: "scripts/bench " + *command, Date: time.Now().UTC().Format("2006-01-02"), CPUs: runtime.NumCPU(), Kernel: made.Kernel(), Commit: made.Commit(),
		Layout: *layout,
	}
	widen(b)
	all := workloads(b)
	var beds []compare.Bed
	for _, w := range all {
		if !slices.Contains(beds, w.Bed()) {
			beds = append(beds, w.Bed())
		}
	}
	binaries := b.TempDir()
	for _, bed := range beds {
		b.Run(bed.String(), func(b *testing.B) {
			here := slices.DeleteFunc(slices.Clone(all), func(w compare.Workload) bool { return w.Bed() != bed })
			newStage(b, results, binaries, here).run(bed, here)
			b.ReportMetric(0, "ns/op")
		})
	}
	fmt.Printf("%s\n%s", results.Table(), results.Targets())
}

// run measures all workloads of a bed.
func (s *stage) run(bed compare.Bed, all []compare.Workload) {
	begin := time.Now()
	running := map[string]*server{}
	for _, w := range all {
		for _, name := range serversOf(w) {
			switch {
			case w.Kind == compare.Echo:
				running[name] = &server{name: name}
			case running[name] == nil:
				running[name] = s.start(name, bed)
				s.freeze(running[name])
			}
		}
	}
	s.Logf("%d servers started in %.0f s", len(running), time.Since(begin).Seconds())
	for round := range *rounds {
		for _, w := range all {
			if round > 0 && once(w.Kind) {
				continue
			}
			names := serversOf(w)
			for k := range names {
				name := names[(k+round)%len(names)]
				s.thaw(running[name])
				sample := s.measure(running[name], &w)
				s.freeze(running[name])
				note(s.results, w, name, sample)
				s.Logf("%4.0f s: round %d, %s, %s: %.0f requests/s, %.2f µs", time.Since(begin).Seconds(), round+1, w, name, sample.Requests, sample.CPU)
			}
		}
		s.save() // whatever happens later
	}
}

// once reports whether a kind of work is done in the first round alone: what takes long, or what shows only once.
func once(kind string) bool { return kind == compare.Search || kind == compare.Kept }

// serversOf are those that do a work.
func serversOf(w compare.Workload) (names []string) {
	if w.Kind == compare.Echo {
		return engines
	}
	for _, name := range append(split(*peers), order...) {
		if compare.Own(name) || w.Queues <= 1 && w.Kind != compare.Idle && w.Kind != compare.Apache && w.Kind != compare.Mid {
			names = append(names, name)
		}
	}
	if w.Kind == compare.Apache || w.Kind == compare.Mid {
		names = append(names, compare.Alone, compare.Passed)
	}
	return names
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// workloads are those that the flags say.
func workloads(b *testing.B) (all []compare.Workload) {
	for _, name := range split(*peers) {
		if starters[name] == nil {
			b.Fatalf("no server is called %q", name)
		}
	}
	for _, item := range split(*work) {
		w, err := compare.ParseWorkload(item)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func note(r *compare.Results, w compare.Workload, peer string, m compare.Sample) {
	c := r.Cell(w, peer)
	if c == nil {
		c = &compare.Cell{Workload: w, Peer: peer}
		r.Cells = append(r.Cells, c)
		names := serversOf(w)
		first := slices.IndexFunc(r.Cells, func(c *compare.Cell) bool { return c.Workload == w })
		slices.SortStableFunc(r.Cells[first:], func(a, b *compare.Cell) int { return slices.Index(names, a.Peer) - slices.Index(names, b.Peer) })
	}
	c.Samples = append(c.Samples, m)
}

func (s *stage) save() {
	s.Helper()
	if *out == "" {
		return
	}
	s.must(os.MkdirAll(*out, 0o755))
	s.must(s.results.Save(filepath.Join(*out, "results.json")))
	s.must(os.WriteFile(filepath.Join(*out, "README.md"), []byte(s.results.Report()), 0o644))
	s.must(s.results.Plots(*out))
}
