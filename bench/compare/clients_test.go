package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/bench/xload"
)

// report is a script for wrk: what it has found, as JSON.
const report = `done = function(s, latency, requests)
	local e = s.errors
	io.write(string.format('\nJSON {"requests":%d,"duration":%d,"bytes":%d,"errors":%d,"p50":%f,"p99":%f,"p999":%f}\n',
		s.requests, s.duration, s.bytes, e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`

// wrk asks in a closed loop; it has no warm-up of its own.
func (s *stage) wrk(sv *server, w *compare.Workload, d time.Duration) (m compare.Sample) {
	s.Helper()
	script := filepath.Join(s.dir, "report.lua")
	s.must(os.WriteFile(script, []byte(report), 0o644))
	whole := math.Ceil((d + warmup(w)).Seconds())
	args := append(cores.On(cores.Client), "wrk", "-t1", fmt.Sprintf("-c%d", w.Conns), fmt.Sprintf("-d%.0fs", whole), "--timeout", "10s", "-s", script)
	if w.New {
		args = append(args, "-H", "Connection: close")
	}
	out := s.client(sv, append(args, s.url(sv, w)))
	_, text, ok := bytes.Cut(out, []byte("JSON "))
	var got struct{ Requests, Duration, Bytes, Errors, P50, P99, P999 float64 }
	if err := json.Unmarshal(text, &got); !ok || err != nil {
		s.Fatalf("wrk: %v\n%s", err, out)
	}
	seconds := got.Duration / 1e6
	return compare.Sample{
		Requests: got.Requests / seconds, All: got.Requests, Bits: 8 * got.Bytes / seconds, P50: got.P50, P99: got.P99, P999: got.P999, Errors: int(got.Errors),
	}
}

// source returns the address that xload's connections come from: the kernel's own ports are wrk's. It is another each time, as servers remember for a minute
// whose connections they have ended; where that was Apache, a connection from the same port is Apache's.
func (sv *server) source() string {
	sv.asked++
	return fmt.Sprintf("192.0.2.%d", firstSource+sv.asked%sourceCount)
}

const firstSource, sourceCount = 10, 32

// mixLoad is the load, in requests in a second, that the SPECweb96 mix has its directories for.
const mixLoad = 5

// url is what is asked for. What has a query is Apache's, by xhttpd's default.
func (s *stage) url(sv *server, w *compare.Workload) string {
	switch {
	case w.Object == compare.Mix || w.Kind == compare.Mid:
		return fmt.Sprintf("http://%s/", sv.at.IPv4)
	case w.Kind == compare.Apache:
		return fmt.Sprintf("http://%s/%s.bin?handed", sv.at.IPv4, w.Object)
	}
	return fmt.Sprintf("http://%s/%s.bin", sv.at.IPv4, w.Object)
}

// ringSize is how many frames may wait for xload.
const ringSize = "16384"

// generator is how xload is called for a work. It spins: at a few connections its own sleep would be what is measured.
func (s *stage) generator(sv *server, w *compare.Workload, command string, d time.Duration) []string {
	s.Helper()
	args := append(cores.On(cores.Client), s.build("xload", "../cmd/xload"), command, "-q", "--json", "-", "-i", sv.client.Interface,
		"-c", fmt.Sprint(w.Conns), "-d", d.String(), "--warmup", warmup(w).String(), "--spin", "1ms", "--ring", ringSize, "--timestamps", "--source", sv.source()+"/32", "--ports", "1024-65535")
	if w.New {
		args = append(args, "-n")
	}
	if w.Object == compare.Mix {
		args = append(args, "--specweb96", fmt.Sprint(mixLoad))
	}
	switch w.Kind {
	case compare.Half:
		args = append(args, "--rate", fmt.Sprint(s.half(w)))
	case compare.Kept:
		args = append(args, "--think", "1m")
	case compare.Mid:
		list := filepath.Join(s.dir, "mid")
		s.must(os.WriteFile(list, []byte(w.Object+".bin\n"+strings.Repeat(w.Object+".bin?handed\n", compare.MidRequests-1)), 0o644))
		args = append(args, "--list", list, "--in-turn", "--per-connection", fmt.Sprint(compare.MidRequests))
	}
	return args
}

// xload asks for d, behind a warm-up.
func (s *stage) xload(sv *server, w *compare.Workload, d time.Duration) compare.Sample {
	s.Helper()
	args := append(s.generator(sv, w, "run", d), s.url(sv, w))
	var got xload.Result
	s.decode(s.client(sv, args, 1, 3), &got) // responses were wrong, or it was the limit itself: the result says it
	return sampleOf(&got)
}

func sampleOf(r *xload.Result) (m compare.Sample) {
	for _, n := range r.Errors {
		m.Errors += int(n)
	}
	m.Requests, m.All, m.Bits, m.Offered = r.Rate, float64(r.All), r.Gbits*1e9, r.Offered
	m.P50, m.P99, m.P999 = r.Latency.P50*1e6, r.Latency.P99*1e6, r.Latency.P999*1e6
	m.Limited = r.Limit.By == xload.ByGenerator
	return m
}

// search has xload look for the highest rate. It begins below what the server makes in a closed loop.
func (s *stage) search(sv *server, w *compare.Workload) compare.Sample {
	s.Helper()
	from, closed := 1000.0, *w
	closed.Kind = ""
	if rate, _, _ := s.results.Cell(closed, sv.name).Median(compare.Requests); rate > 0 {
		from = rate / 2
	}
	args := append(s.generator(sv, w, "search", 1200*time.Millisecond), "--quantile", "99", "--latency", fmt.Sprint(time.Duration(compare.SearchBound*1e9)),
		"--precision", "0.05", "--max-errors", "0.0001", "--timeout", "3s", "--from", fmt.Sprintf("%.0f", from), s.url(sv, w))
	answers := &share{s: s, sv: sv}
	answers.begin()
	var got xload.Found
	s.decode(s.client(sv, args, 1, 3), &got)
	answers.end()
	if got.Best < 0 {
		return compare.Sample{}
	}
	m := sampleOf(got.Steps[got.Best].Result)
	m.Limited = got.Limit.By == xload.ByGenerator
	if m.Left = answers.left > 0; compare.Own(sv.name) && answers.answers < answers.left {
		s.Errorf("xhttpd answered %.0f requests, and left %.0f connections to Apache", answers.answers, answers.left)
	}
	return m
}

func (s *stage) decode(text []byte, to any) {
	s.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		s.Fatalf("xload: %v\n%s", err, text)
	}
}

// client runs one to its end and returns what it wrote. It may also end with one of codes.
func (s *stage) client(sv *server, args []string, codes ...int) []byte {
	s.Helper()
	cmd := sv.client.Command(args[0], args[1:]...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	sv.client.Start(cmd)
	if err := cmd.Wait(); err != nil && !slices.Contains(codes, cmd.ProcessState.ExitCode()) {
		s.Fatalf("%s: %v\n%s%s", args, err, &out, &complaints)
	}
	if out.Len() == 0 {
		s.Fatalf("%s: nothing but %s", args, &complaints)
	}
	return out.Bytes()
}
