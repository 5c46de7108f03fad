package compare_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
)

// clients measure a server for a time.
var clients = map[string]func(s *stage, sv *server, w *compare.Workload, d time.Duration) compare.Sample{"wrk": (*stage).wrk}

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

// run runs a client to its end and returns what it wrote.
func (s *stage) run(sv *server, args []string) []byte {
	s.Helper()
	cmd := sv.client.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	sv.client.Start(cmd)
	if err := cmd.Wait(); err != nil {
		s.Fatalf("%s: %v\n%s", args, err, &out)
	}
	return out.Bytes()
}
