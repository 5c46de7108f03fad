package xload_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/bench/made"
	"github.com/xhttpd/xhttpd/bench/xload"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

var (
	rounds  = flag.Int("rounds", 1, "how often BenchmarkWrk measures each")
	seconds = flag.Int("seconds", 3, "how long BenchmarkWrk measures each")
	out     = flag.String("out", "", "file for BenchmarkWrk's table")
)

// measured is what a client has made of a server.
type measured struct {
	rate  float64 // requests/s
	cpu   float64 // µs of the client's processor for a request
	p99   float64 // ms
	limit string  // of xload: by whom
}

var servers = []struct {
	name  string
	start func(b *testing.B, ns *nstest.NS, root string)
}{
	{"nginx", startNginx},
	{"xhttpd", startXhttpd},
	{"responder", func(b *testing.B, ns *nstest.NS, _ string) { startResponder(b, ns, 1024) }},
}

// BenchmarkWrk sets xload beside wrk: the same core, the same servers, 64 connections, a file of 1 KiB, in turns.
// scripts/bench-xload runs it. Give it -benchtime 1x: it has its own flags.
func BenchmarkWrk(b *testing.B) {
	nstest.Require(b)
	binaries := buildBinaries(b)
	load := loadAverage()
	table := map[string][]measured{}
	for round := range *rounds {
		for _, s := range servers {
			b.Run(fmt.Sprintf("%s/%d", s.name, round), func(b *testing.B) {
				client, server := nstest.Pair(b, nstest.Options{WireLike: true})
				root := b.TempDir()
				for _, dir := range []string{root, filepath.Dir(root)} {
					if err := os.Chmod(dir, 0o755); err != nil {
						b.Fatal(err)
					}
				}
				name := filepath.Join(root, "1k.html")
				old := time.Now().Add(-time.Hour)
				if err := os.WriteFile(name, bytes.Repeat([]byte{'x'}, 1024), 0o644); err != nil {
					b.Fatal(err)
				}
				if err := os.Chtimes(name, old, old); err != nil {
					b.Fatal(err)
				}
				binaryDir = binaries
				s.start(b, server, root)
				url := "http://" + server.IPv4.String() + "/1k.html"
				if s.name != "responder" {
					await(b, client, url)
				}
				w := runWrk(b, client, url)
				x := runXload(b, client, filepath.Join(binaries, "xload"), url)
				table[s.name+"/wrk"] = append(table[s.name+"/wrk"], w)
				table[s.name+"/xload"] = append(table[s.name+"/xload"], x)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(w.rate, "wrk/s")
				b.ReportMetric(x.rate, "xload/s")
				b.ReportMetric(x.rate/w.rate, "ratio")
				b.ReportMetric(w.cpu/x.cpu, "cpu-ratio")
			})
		}
	}
	if *out != "" {
		if err := os.WriteFile(*out, write(table, load), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

var binaryDir string

func buildBinaries(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for _, p := range []string{"cmd/xhttpd", "bench/cmd/xload"} {
		if text, err := exec.Command("go", "build", "-o", dir+"/", "github.com/xhttpd/xhttpd/"+p).CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", p, err, text)
		}
	}
	return dir
}

// pinned returns a command that stays on a core.
func pinned(ns *nstest.NS, core int, name string, args ...string) *exec.Cmd {
	line := append(append(cores.On(core), name), args...)
	return ns.Command(line[0], line[1:]...)
}

func startNginx(b *testing.B, ns *nstest.NS, root string) {
	dir := b.TempDir()
	config := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events { worker_connections 20000; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=1000;
types { text/html html; } server { listen 80 backlog=4096; root %[2]s; } }
`, dir, root)
	if err := os.WriteFile(dir+"/nginx.conf", []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	master := pinned(ns, cores.Server, "nginx", "-c", dir+"/nginx.conf", "-e", dir+"/error.log")
	ns.Start(master)
	b.Cleanup(func() { // in order, so that it ends its worker
		master.Process.Signal(unix.SIGTERM) //nolint:errcheck // then it has ended
		master.Wait()                       //nolint:errcheck // by a signal
	})
}

func startXhttpd(b *testing.B, ns *nstest.NS, root string) {
	ns.Start(pinned(ns, cores.Server, filepath.Join(binaryDir, "xhttpd"), "run", "--interface", ns.Interface, "--root", root,
		"--backend", "builtin", "--keepalive-requests", "0", "--admin", "off", "--log-level", "error"))
}

// await asks until the server answers, and a few times more: xhttpd has an object after it was asked for.
func await(b *testing.B, ns *nstest.NS, url string) {
	b.Helper()
	for good, deadline := 0, time.Now().Add(20*time.Second); good < 5; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("nobody answers for %s", url)
		}
		text, err := runIn(ns, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", url)
		if err == nil && strings.TrimSpace(text) == "200" {
			good++
		}
	}
}

func runIn(ns *nstest.NS, name string, args ...string) (string, error) {
	var text []byte
	var err error
	cmd := ns.Command(name, args...)
	ns.Do(func() { text, err = cmd.Output() })
	return string(text), err
}

// timed runs a command to its end and returns what it wrote and the processor time that it took, with that of its children.
func timed(b *testing.B, ns *nstest.NS, cmd *exec.Cmd) (text string, cpu time.Duration) {
	b.Helper()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	ns.Start(cmd)
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 3 {
		b.Fatalf("%s: %v\n%s%s", cmd, err, o.String(), e.String())
	}
	return o.String(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

var (
	wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkDone = regexp.MustCompile(`(\d+) requests in`)
	wrkP99  = regexp.MustCompile(`99%\s+([0-9.]+)(us|ms|s)`)
)

func runWrk(b *testing.B, ns *nstest.NS, url string) (m measured) {
	b.Helper()
	text, cpu := timed(b, ns, pinned(ns, cores.Client, "wrk", "-t1", "-c64", "--latency", fmt.Sprintf("-d%ds", *seconds), url))
	number := func(r *regexp.Regexp) float64 {
		found := r.FindStringSubmatch(text)
		if found == nil {
			b.Fatalf("wrk says:\n%s", text)
		}
		v, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	m.rate, m.p99 = number(wrkRate), number(wrkP99)
	m.p99 *= map[string]float64{"us": 1e-3, "ms": 1, "s": 1e3}[wrkP99.FindStringSubmatch(text)[2]]
	m.cpu = float64(cpu.Microseconds()) / number(wrkDone)
	return m
}

func runXload(b *testing.B, ns *nstest.NS, binary, url string) (m measured) {
	b.Helper()
	cmd := pinned(ns, cores.Client, binary, "run", "-q", "--json", "-", "--warmup", "500ms", "-d", fmt.Sprintf("%ds", *seconds), url)
	text, _ := timed(b, ns, cmd)
	var r xload.Result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		b.Fatalf("%v:\n%s", err, text)
	}
	if r.Errs() > 0 {
		b.Errorf("errors: %v", r.Errors)
	}
	return measured{r.Rate, r.Self.PerRequest * 1e6, r.Latency.P99 * 1e3, r.Limit.By}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// write makes the table: medians of the rounds, with the least and the most of the ratios.
func write(table map[string][]measured, load string) []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "%s, commit %s, Linux %s, %d CPUs, %s; %d rounds of %d s each, in turns.\n"+
		"Load average %s at the beginning: at more than 1, others were at work, and only the ratios say something.\n\n", time.Now().UTC().Format("2006-01-02"), made.Commit(),
		made.Kernel(), runtime.NumCPU(), runtime.Version(), *rounds, *seconds, load)
	fmt.Fprint(&w, "| server | wrk, requests/s | xload, requests/s | ratio (least–most) | wrk, client's CPU µs | xload, client's CPU µs | ratio | p99 wrk, ms | p99 xload, ms | limit of xload |\n")
	fmt.Fprint(&w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n")
	for _, s := range servers {
		wrk, x := table[s.name+"/wrk"], table[s.name+"/xload"]
		if len(wrk) == 0 || len(wrk) != len(x) {
			continue
		}
		med := func(of []measured, f func(*measured) float64) float64 {
			var v []float64
			for k := range of {
				v = append(v, f(&of[k]))
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		rate, cpu := func(m *measured) float64 { return m.rate }, func(m *measured) float64 { return m.cpu }
		p99 := func(m *measured) float64 { return m.p99 }
		var ratios, costs []float64
		limits := map[string]int{}
		for k := range x {
			ratios, costs = append(ratios, x[k].rate/wrk[k].rate), append(costs, wrk[k].cpu/x[k].cpu)
			limits[x[k].limit]++
		}
		slices.Sort(ratios)
		slices.Sort(costs)
		var by []string
		for name, n := range limits {
			by = append(by, fmt.Sprintf("%s (%d)", name, n))
		}
		slices.Sort(by)
		fmt.Fprintf(&w, "| %s | %.0f | %.0f | %.2f (%.2f–%.2f) | %.2f | %.2f | %.2f | %.2f | %.2f | %s |\n", s.name, med(wrk, rate), med(x, rate),
			ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], med(wrk, cpu), med(x, cpu), costs[len(costs)/2], med(wrk, p99), med(x, p99),
			strings.Join(by, ", "))
	}
	return w.Bytes()
}
