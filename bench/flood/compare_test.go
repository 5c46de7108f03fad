package flood_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/flood"
	"github.com/xhttpd/xhttpd/bench/made"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

var (
	rounds  = flag.Int("rounds", 1, "how often BenchmarkFlood measures each")
	seconds = flag.Int("seconds", 5, "how long BenchmarkFlood measures each")
	out     = flag.String("out", "", "file for BenchmarkFlood's table")
)

func TestMain(m *testing.M) {
	code := m.Run()
	testbed.RemoveBinary()
	os.Exit(code)
}

// measured is one row's part of one round.
type measured struct {
	report        flood.Report
	static, other *flood.Result
	cpu           float64 // of xhttpd: processor seconds in a second
	memory        float64 // of xhttpd, MiB resident
}

// scene is a flood, or none.
type scene struct {
	name   string
	attack flood.Config
}

func scenes() []scene {
	list := []scene{{name: "none"}}
	for _, kind := range flood.Kinds {
		cfg := flood.Config{Kind: kind, Path: "/big.png", Clients: 2000}
		if kind == flood.Idle || kind == flood.Data {
			cfg.Path = "/a.png"
		}
		list = append(list, scene{string(kind), cfg})
	}
	// At full speed the generator gets further the less the server's end of the cable does at once; so also at the same rates.
	for _, rate := range []int{50_000, 150_000} {
		for _, kind := range []flood.Kind{flood.SYN, flood.ACK, flood.RST, flood.Data, flood.Reuse} {
			list = append(list, scene{fmt.Sprintf("%s, %d/s", kind, rate), flood.Config{Kind: kind, Path: "/a.png", Rate: rate}})
		}
	}
	return list
}

// BenchmarkFlood sets xhttpd in front of Apache beside Apache alone, in turns, each on a stage of its own: how well-behaved
// clients fare while a flood goes on. scripts/bench-flood runs it. Give it -benchtime 1x: it has its own flags.
func BenchmarkFlood(b *testing.B) {
	table := map[string][]measured{}
	for round := range *rounds {
		for _, s := range scenes() {
			for _, front := range []string{"Apache", "xhttpd"} {
				b.Run(fmt.Sprintf("%s/%s/%d", s.name, front, round), func(b *testing.B) {
					m := measure(b, s, front == "xhttpd")
					table[s.name+"/"+front] = append(table[s.name+"/"+front], *m)
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(m.static.Success(), "success")
					b.ReportMetric(rate(m.static), "static/s")
					b.ReportMetric(rate(m.other), "other/s")
				})
			}
		}
	}
	if *out != "" {
		if err := os.WriteFile(*out, write(table), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func rate(r *flood.Result) float64 { return float64(r.Asked-r.Failed) / r.Seconds }

func measure(b *testing.B, s scene, front bool) *measured {
	bed := testbed.Start(b, testbed.Options{NoDaemon: !front})
	bed.Beyond(netip.MustParsePrefix("198.18.0.0/15"))
	body := bed.Put("a.png", bytes.Repeat([]byte("0123456789"), 500))
	bed.Put("hidden.png", body)
	bed.Put("big.png", bytes.Repeat([]byte("0123456789"), 500_000))
	if front {
		bed.Warm("a.png", "big.png")
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(*seconds)*time.Second)
	defer cancel()
	var m measured
	var all sync.WaitGroup
	if s.attack.Kind != "" {
		all.Go(func() { m.report = attack(ctx, bed, s.attack) })
	}
	load := func(clients int, path string) *flood.Load {
		return &flood.Load{
			Clients: clients, Pages: map[string][]byte{bed.URL(false, path): body}, Timeout: 10 * time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) { return bed.Dial(false) },
		}
	}
	all.Go(func() { m.static = load(4, "/a.png").Run(ctx) })
	all.Go(func() { m.other = load(2, "/hidden.png?query").Run(ctx) })
	if front {
		m.cpu, m.memory = watch(ctx, bed)
	}
	all.Wait()
	return &m
}

func attack(ctx context.Context, bed *testbed.Bed, cfg flood.Config) (rep flood.Report) {
	cfg.Interface = bed.Client.Interface
	copy(cfg.ServerMAC[:], bed.Server.MAC)
	cfg.Server = netip.AddrPortFrom(bed.Server.IPv4, 80)
	cfg.Sources = netip.MustParsePrefix("198.18.0.0/15")
	bed.Client.Do(func() {
		var err error
		if rep, err = flood.Run(ctx, cfg); err != nil {
			bed.Error(err)
		}
	})
	return rep
}

// watch returns the processor time that xhttpd uses until ctx ends, and the memory that it has then.
func watch(ctx context.Context, bed *testbed.Bed) (cpu, memory float64) {
	before, start := processorTime(bed), time.Now()
	<-ctx.Done()
	cpu = (processorTime(bed) - before) / time.Since(start).Seconds()
	fields := strings.Fields(read(bed, "statm"))
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		bed.Fatal(err)
	}
	return cpu, pages * float64(os.Getpagesize()) / (1 << 20)
}

// processorTime is what xhttpd has used so far, user and system, seconds (proc(5), stat).
func processorTime(bed *testbed.Bed) (sum float64) {
	text := read(bed, "stat")
	for _, field := range strings.Fields(text[strings.LastIndex(text, ")"):])[12:14] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			bed.Fatal(err)
		}
		sum += ticks / 100 // USER_HZ
	}
	return sum
}

func read(bed *testbed.Bed, name string) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(bed.PID()), name))
	if err != nil {
		bed.Fatal(err)
	}
	return string(text)
}

// write makes the table: medians of the rounds, but all requests for the shares.
func write(table map[string][]measured) []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "%s, commit %s, Linux %s, %d CPUs, %s; %d rounds of %d s each, in turns.\n\n", time.Now().UTC().Format("2006-01-02"), made.Commit(), made.Kernel(),
		runtime.NumCPU(), runtime.Version(), *rounds, *seconds)
	fmt.Fprint(&w, "| flood | server | hostile packets/s | of them lost before the server | static: success | static/s | Apache's: success | Apache's/s | worst answer, ms | xhttpd: CPU | MiB |\n")
	fmt.Fprint(&w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, s := range scenes() {
		for _, front := range []string{"Apache", "xhttpd"} {
			if all := table[s.name+"/"+front]; len(all) > 0 { // else -bench has left it out
				row(&w, s.name, front, all)
			}
		}
	}
	return w.Bytes()
}

func row(w *bytes.Buffer, name, front string, all []measured) {
	median := func(f func(m *measured) float64) float64 {
		var v []float64
		for k := range all {
			v = append(v, f(&all[k]))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	share := func(f func(m *measured) *flood.Result) float64 {
		var sum flood.Result
		for k := range all {
			r := f(&all[k])
			sum.Asked, sum.Failed = sum.Asked+r.Asked, sum.Failed+r.Failed
		}
		return 100 * sum.Success()
	}
	static, other := func(m *measured) *flood.Result { return m.static }, func(m *measured) *flood.Result { return m.other }
	own := "| |"
	if front == "xhttpd" {
		own = fmt.Sprintf("%.0f %% | %.0f |", 100*median(func(m *measured) float64 { return m.cpu }), median(func(m *measured) float64 { return m.memory }))
	}
	fmt.Fprintf(w, "| %s | %s | %.0f | %.0f %% | %.2f %% | %.0f | %.2f %% | %.0f | %.0f | %s\n", name, front,
		median(func(m *measured) float64 { return float64(m.report.Sent) / max(m.report.Seconds, 1) }),
		100*median(func(m *measured) float64 { return float64(m.report.Lost) / max(float64(m.report.Sent), 1) }),
		share(static), median(func(m *measured) float64 { return rate(m.static) }),
		share(other), median(func(m *measured) float64 { return rate(m.other) }),
		median(func(m *measured) float64 { return float64(max(m.static.Worst, m.other.Worst).Milliseconds()) }), own)
}
