package xload

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// second1 is a run of a second, brief one of a fifth of that, where much is done.
func second1(rate float64) Phase {
	return Phase{Rate: rate, Warmup: 100 * time.Millisecond, Duration: time.Second}
}

func brief(rate float64) Phase {
	return Phase{Rate: rate, Warmup: 50 * time.Millisecond, Duration: 200 * time.Millisecond}
}

func wantErrors(t *testing.T, r *Result, want map[Reason]uint64) {
	t.Helper()
	names := map[string]uint64{}
	for why, n := range want {
		names[why.String()] = n
	}
	if fmt.Sprint(r.Errors) != fmt.Sprint(names) {
		t.Errorf("errors %v, want %v", r.Errors, names)
	}
}

// The server answers a request in 10 µs, so 100,000 in a second; 64 users in a closed loop get just that.
func TestClosedLoop(t *testing.T) {
	s := newSim(t)
	r := s.generator(Load{Sum: true}).Run(brief(0))
	if r.Rate < 99_000 || r.Rate > 101_000 {
		t.Errorf("%.0f requests/s, the server can 100,000", r.Rate)
	}
	wantErrors(t, r, nil)
	// Each waits for the 63 others.
	if r.Latency.P50 < 0.62e-3 || r.Latency.P50 > 0.75e-3 {
		t.Errorf("p50 is %g s", r.Latency.P50)
	}
	if r.TCP.Retransmitted+r.TCP.Acks != 0 { // each request carries the acknowledgment of the response before
		t.Errorf("%d retransmissions, %d bare acknowledgments", r.TCP.Retransmitted, r.TCP.Acks)
	}
}

func TestThinkTime(t *testing.T) {
	s := newSim(t)
	r := s.generator(Load{Connections: 10, Think: 9900 * time.Microsecond}).Run(second1(0))
	if r.Rate < 950 || r.Rate > 1000 { // 10 users, 10 ms each, and some for the timer
		t.Errorf("%.0f requests/s", r.Rate)
	}
}

func TestPipeline(t *testing.T) {
	s := newSim(t)
	s.service = time.Microsecond
	r := s.generator(Load{Connections: 4, Pipeline: 10}).Run(brief(0))
	wantErrors(t, r, nil)
	if most := bytes.Count(s.packets, []byte{10}); most == 0 {
		t.Error("no segment had 10 requests")
	}
	if r.Requests < 40_000 {
		t.Errorf("%d requests", r.Requests)
	}
}

func TestNewConnections(t *testing.T) {
	s := newSim(t)
	s.handle = func(string, int) (string, bool) { return ok("hello"), true }
	g := s.generator(Load{Connections: 8, NewConnections: true})
	r := g.Run(brief(0))
	wantErrors(t, r, nil)
	if r.Requests < 1000 || uint64(s.syns) < r.Requests {
		t.Errorf("%d requests on %d connections", r.Requests, s.syns)
	}
	if n := g.stack.Counters.Orphans; n > 1000 {
		t.Errorf("%d connections are ending", n)
	}
}

// Each connection asks in turn, from the first path on, so often as it shall.
func TestInTurn(t *testing.T) {
	s := newSim(t)
	asked, next := map[wire.Flow]int{}, []string{"/a", "/b", "/b", "/a", "/b"}
	s.handle = func(path string, _ int) (string, bool) {
		if n := asked[s.pkt.Flow]; n == len(next) || path != next[n] {
			t.Errorf("request %d of a connection is for %s", n, path)
		}
		asked[s.pkt.Flow]++
		return ok(path), false
	}
	targets := []Target{{Path: "/a", Weight: 1, Length: -1}, {Path: "/b", Weight: 9, Length: -1}, {Path: "/b", Weight: 1, Length: -1}}
	r := s.generator(Load{Connections: 4, PerConnection: len(next), InTurn: true, Targets: targets}).Run(brief(0))
	wantErrors(t, r, nil)
	if r.Requests < 1000 || r.Requests/uint64(len(next)) > uint64(len(asked)) {
		t.Errorf("%d requests on %d connections", r.Requests, len(asked))
	}
	if s.fins < len(asked)-4 {
		t.Errorf("the client has ended %d of %d connections, which the server did not", s.fins, len(asked))
	}
}

// A server may close an idle connection, also just before a request comes: that is sent again.
func TestServerCloses(t *testing.T) {
	s := newSim(t)
	n := 0
	s.handle = func(string, int) (string, bool) {
		if n++; n%50 == 0 { // unannounced, behind the response
			return ok("hello"), true
		}
		if n%50 == 25 { // instead of a response
			return "", true
		}
		return ok("hello"), false
	}
	r := s.generator(Load{Connections: 4}).Run(second1(0))
	wantErrors(t, r, nil)
	if r.Retried == 0 || r.TCP.Opened < 100 {
		t.Errorf("sent again %d, opened %d", r.Retried, r.TCP.Opened)
	}
}

func TestWrongResponses(t *testing.T) {
	const every = 100
	for why, wrong := range map[Reason]string{
		Status:    "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhello",
		Length:    ok("hello!"),
		Checksum:  ok("hellO"),
		Malformed: "garbage garbage garbage\r\n\r\n",
		Truncated: "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
	} {
		s := newSim(t)
		bad := uint64(0)
		from := s.now + int64(100*time.Millisecond)
		s.handle = func(_ string, n int) (string, bool) {
			if n%every != every-1 {
				return ok("hello"), false
			}
			if s.now >= from+int64(time.Millisecond) && s.now < from+int64(time.Second) { // intended in the measured time
				bad++
			}
			return wrong, why == Truncated
		}
		r := s.generator(Load{Sum: true, Connections: 1}).Run(second1(0))
		if len(r.Errors) != 1 || r.Errors[why.String()] < bad || r.Errors[why.String()] > bad+1 || bad < 20 {
			t.Errorf("%v: errors %v, %d were wrong", why, r.Errors, bad)
		}
	}
}

func TestExpectedLengths(t *testing.T) {
	s := newSim(t)
	r := s.generator(Load{Targets: []Target{{Path: "/a", Weight: 1, Length: 5}, {Path: "/b", Weight: 1, Length: 6}}}).Run(second1(1000))
	if n := r.Errors[Length.String()]; n < 400 || n > 600 || r.Errs() != n {
		t.Errorf("errors %v of %d", r.Errors, r.Requests)
	}
}

// A server that says more than it was asked for.
func TestUnasked(t *testing.T) {
	s := newSim(t)
	s.handle = func(_ string, n int) (string, bool) {
		if n%100 == 99 {
			return ok("hello") + ok("again"), false
		}
		return ok("hello"), false
	}
	r := s.generator(Load{Connections: 1, Think: time.Millisecond}).Run(second1(0))
	if r.Unasked < 5 || r.TCP.Opened < r.Unasked {
		t.Errorf("%d times octets that nobody had asked for, %d connections", r.Unasked, r.TCP.Opened)
	}
}

func TestRefused(t *testing.T) {
	s := newSim(t)
	s.syn = func(int) wire.Flags { return wire.RST | wire.ACK }
	r := s.generator(Load{Connections: 2}).Run(second1(0))
	if n := r.Errors[Refused.String()]; n < 18 || n > 22 || r.Requests != 0 { // one in 100 ms each
		t.Errorf("errors %v", r.Errors)
	}
}

// A server that takes connections and says nothing.
func TestTimeout(t *testing.T) {
	s := newSim(t)
	s.handle = func(string, int) (string, bool) { return "", false }
	r := s.generator(Load{Connections: 2, Timeout: 200 * time.Millisecond}).Run(second1(100))
	wantErrors(t, r, map[Reason]uint64{Timeout: 100})
	if r.Latency.Max < 0.2 {
		t.Errorf("the worst latency is %g s", r.Latency.Max)
	}
	if r.Requests != 0 {
		t.Errorf("%d requests", r.Requests)
	}
}

// The open loop keeps its rate, and says that nothing else has limited it.
func TestOpenLoop(t *testing.T) {
	for _, poisson := range []bool{false, true} {
		s := newSim(t)
		r := s.generator(Load{Poisson: poisson, Seed: 7}).Run(brief(20_000))
		if r.Rate < 19_600 || r.Rate > 20_400 || r.Limit.By != ByRate {
			t.Errorf("%.0f requests/s, limit %+v", r.Rate, r.Limit)
		}
		if !poisson && r.Latency.Max > 0.3e-3 {
			t.Errorf("the worst latency is %g s", r.Latency.Max)
		}
		if poisson == (r.Latency.Max < 0.112e-3) { // random arrivals wait for each other
			t.Errorf("poisson %v: the worst latency is %g s", poisson, r.Latency.Max)
		}
	}
}

// A server that stalls for half a second cannot hide it: all requests that were due meanwhile count with the time that they
// waited, although only four connections could have one under way.
func TestStallShows(t *testing.T) {
	const rate, stall = 1000, 500 * time.Millisecond
	s := newSim(t)
	g := s.generator(Load{Connections: 4})
	s.stallAt, s.stall = s.now+int64(400*time.Millisecond), stall
	r := g.Run(second1(rate))
	wantErrors(t, r, nil)
	if r.Requests != rate {
		t.Errorf("%d requests, want %d", r.Requests, rate)
	}
	for _, c := range []struct{ longer, want int64 }{{450, 50}, {250, 250}, {100, 400}} { // ms, requests
		n := int64(0)
		for _, b := range r.histogram.Distribution() {
			if b.From >= c.longer*int64(time.Millisecond) {
				n += b.Count
			}
		}
		if n < c.want-5 || n > c.want+20 {
			t.Errorf("%d requests took longer than %d ms, want some %d", n, c.longer, c.want)
		}
	}
	if r.Latency.Max < 0.495 || r.Latency.P50 > 0.2 {
		t.Errorf("p50 %g, max %g", r.Latency.P50, r.Latency.Max)
	}
	if r.Waited < 450 {
		t.Errorf("%d requests found no connection", r.Waited)
	}
}

// A stall that lasts beyond the end of the measured time shows, too.
func TestStallAtTheEnd(t *testing.T) {
	s := newSim(t)
	g := s.generator(Load{Connections: 4})
	s.stallAt, s.stall = s.now+int64(900*time.Millisecond), 2*time.Second
	r := g.Run(second1(1000))
	if r.Requests != 1000 || r.Latency.Max < 1.99 || r.Rate > 850 {
		t.Errorf("%d requests, %.0f/s, max %g", r.Requests, r.Rate, r.Latency.Max)
	}
}

func TestRamp(t *testing.T) {
	s := newSim(t)
	var at []int64
	s.handle = func(string, int) (string, bool) { at = append(at, s.now); return ok("x"), false }
	start := s.now
	s.generator(Load{}).Run(Phase{Rate: 10_000, Ramp: time.Second, Warmup: time.Second, Duration: 500 * time.Millisecond})
	half, whole, all := 0, 0, len(at)
	for _, a := range at {
		if a < start+int64(500*time.Millisecond) {
			half++
		}
		if a < start+int64(time.Second) {
			whole++
		}
	}
	if half < 1240 || half > 1260 || whole < 4980 || whole > 5010 || all < 9980 || all > 10_010 {
		t.Errorf("%d requests in half of the ramp, %d in it, %d in all", half, whole, all)
	}
}

// Runs follow each other on the same connections, closed and open.
func TestRunsInTurn(t *testing.T) {
	s := newSim(t)
	g := s.generator(Load{Connections: 8})
	for _, rate := range []float64{0, 1000, 0, 2000, 500} {
		r := g.Run(brief(rate))
		wantErrors(t, r, nil)
		if rate > 0 && (r.Rate < 0.99*rate || r.Rate > 1.01*rate) || r.Requests == 0 {
			t.Errorf("rate %g: %.0f requests/s", rate, r.Rate)
		}
	}
	if s.syns != 8 {
		t.Errorf("%d connections were opened", s.syns)
	}
}

func TestStop(t *testing.T) {
	s := newSim(t)
	g := s.generator(Load{})
	g.Stop()
	r := g.Run(Phase{Rate: 100, Duration: time.Hour})
	if !r.Stopped || r.Seconds > 2 || r.Requests < 90 {
		t.Errorf("stopped %v after %g s, %d requests", r.Stopped, r.Seconds, r.Requests)
	}
}

// The search finds what the server can do within the bound: 100,000 requests in a second.
func TestSearch(t *testing.T) {
	s := newSim(t)
	g := s.generator(Load{Connections: 256, Poisson: true})
	search := Search{Quantile: 99, Bound: 2 * time.Millisecond, From: 3000, Precision: 0.02, Warmup: 40 * time.Millisecond, Duration: 120 * time.Millisecond}
	f, err := search.Run(func(p Phase) (*Result, error) { return g.Run(p), nil })
	if err != nil {
		t.Fatal(err)
	}
	if f.Rate < 85_000 || f.Rate > 101_000 || f.Limit.By != ByServer {
		var b strings.Builder
		f.WriteText(&b) //nolint:errcheck // to memory
		t.Errorf("found:\n%s", &b)
	}
	var png bytes.Buffer
	if err := f.WritePNG(&png); err != nil || !bytes.HasPrefix(png.Bytes(), []byte("\x89PNG")) {
		t.Errorf("no picture: %v", err)
	}
}

// A bound that no response can keep.
func TestSearchInVain(t *testing.T) {
	s := newSim(t)
	s.delay = 3 * time.Millisecond
	g := s.generator(Load{})
	search := Search{Quantile: 50, Bound: 5 * time.Millisecond, From: 1000, Precision: 0.1, Warmup: 20 * time.Millisecond, Duration: 50 * time.Millisecond}
	f, err := search.Run(func(p Phase) (*Result, error) { return g.Run(p), nil })
	if err != nil || f.Best >= 0 || f.Rate != 0 || f.Limit.By != ByServer {
		t.Errorf("found %+v, %v", f, err)
	}
}

// A turn allocates nothing; what the simulated server allocates is counted apart.
func TestNothingIsAllocated(t *testing.T) {
	for _, rate := range []float64{0, 50_000} {
		s := newSim(t)
		g := s.generator(Load{Connections: 16, Sum: true})
		g.schedule = newSchedule(rate, 0, s.now)
		g.openedAt = s.now
		g.meter.begin(s.now, s.now+int64(time.Hour))
		turns := func(n int) {
			for range n {
				g.turn()
				s.Wait(100 * time.Microsecond)
			}
		}
		turns(1000)
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
		s.counting, s.allocated = true, 0
		before, done := s.mallocs(), g.meter.Done
		turns(300)
		if n := s.mallocs() - before - s.allocated; n > 30 { // the runtime's own, and those of tests beside it
			t.Errorf("rate %g: %d allocations for %d requests", rate, n, g.meter.Done-done)
		}
		if g.meter.Done-done < 250 {
			t.Errorf("rate %g: %d requests", rate, g.meter.Done-done)
		}
	}
}
