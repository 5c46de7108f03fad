package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/bench/xload"
)

// clients measure a server for a time.
var clients = map[string]func(s *stage, sv *server, w *compare.Workload, d time.Duration) compare.Sample{"wrk": (*stage).wrk, "xload": (*stage).xload}

// report is a script for wrk: what it has found, as JSON.
const report = `done = function(s, latency, requests)
	local e = s.errors
	io.write(string.format('\nJSON {"requests":%d,"duration":%d,"bytes":%d,"errors":%d,"p50":%f,"p99":%f,"p999":%f}\n',
		s.requests, s.duration, s.bytes, e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`

func (s *stage) wrk(sv *server, w *compare.Workload, d time.Duration) (m compare.Sample) {
	s.Helper()
	script := filepath.Join(s.dir, "report.lua")
	s.must(os.WriteFile(script, []byte(report), 0o644))
	args := append(cores.On(cores.Client), "wrk", "-t1", fmt.Sprintf("-c%d", w.Conns), fmt.Sprintf("-d%.0fs", d.Seconds()), "--timeout", "10s", "-s", script)
	if w.New {
		args = append(args, "-H", "Connection: close")
	}
	out := s.run(sv, append(args, fmt.Sprintf("http://%s/%s.bin", sv.at.IPv4, w.Object)))
	_, text, ok := bytes.Cut(out, []byte("JSON "))
	var got struct{ Requests, Duration, Bytes, Errors, P50, P99, P999 float64 }
	if err := json.Unmarshal(text, &got); !ok || err != nil {
		s.Fatalf("wrk: %v\n%s", err, out)
	}
	seconds := got.Duration / 1e6
	return compare.Sample{
		Requests: got.Requests / seconds, Bits: 8 * got.Bytes / seconds, P50: got.P50, P99: got.P99, P999: got.P999, Errors: int(got.Errors),
	}
}

// mix is the object of a workload that is the SPECweb96 mix.
const mix = "specweb96"

// sources is the address that xload's connections come from: the kernel's own ports are wrk's.
const sources = "192.0.2.10"

// mixLoad is the load, in requests in a second, that the SPECweb96 mix has its directories for.
const mixLoad = 5

// xload asks in the same way. Its warm-up comes on top of d.
func (s *stage) xload(sv *server, w *compare.Workload, d time.Duration) (m compare.Sample) {
	s.Helper()
	args := append(cores.On(cores.Client), s.build("xload", "../cmd/xload"), "run", "-q", "--json", "-", "-i", sv.client.Interface,
		"-c", fmt.Sprint(w.Conns), "-d", d.String(), "--warmup", "0s", "--timestamps", "--source", sources+"/32", "--ports", "1024-65535")
	if w.New {
		args = append(args, "-n")
	}
	url := fmt.Sprintf("http://%s/%s.bin", sv.at.IPv4, w.Object)
	if w.Object == mix {
		args = append(args, "--specweb96", fmt.Sprint(mixLoad))
		url = fmt.Sprintf("http://%s/", sv.at.IPv4)
	}
	var got xload.Result
	out := s.run(sv, append(args, url), 1, 3) // responses were wrong, or it was the limit itself: the result says it
	if err := json.Unmarshal(out, &got); err != nil {
		s.Fatalf("xload: %v\n%s", err, out)
	}
	for _, n := range got.Errors {
		m.Errors += int(n)
	}
	m.Requests, m.Bits = got.Rate, got.Gbits*1e9
	m.P50, m.P99, m.P999 = got.Latency.P50*1e6, got.Latency.P99*1e6, got.Latency.P999*1e6
	m.Limited = got.Limit.By == xload.ByGenerator
	return m
}

// run runs a client to its end and returns what it wrote. It may also end with one of codes.
func (s *stage) run(sv *server, args []string, codes ...int) []byte {
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
