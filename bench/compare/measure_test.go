package compare_test

import (
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/cores"
)

// warmup is how long a client asks before it measures. xhttpd takes some seconds to find that no connection is for it.
func warmup(w *compare.Workload) time.Duration {
	if w.Kind == compare.Apache && w.New {
		return 5 * time.Second
	}
	return 500 * time.Millisecond
}

// measure has the client load the server, and looks at its core meanwhile.
func (s *stage) measure(sv *server, w *compare.Workload) compare.Sample {
	s.Helper()
	quiet := s.quiet()
	var m compare.Sample
	switch w.Kind {
	case compare.Echo:
		m = s.echo(sv, w)
	case compare.Idle:
		m = s.idle(sv)
	case compare.Kept:
		m = s.kept(sv, w)
	case compare.Search:
		m = s.search(sv, w)
	default:
		m = s.load(sv, w)
	}
	m.Disturbed = m.Disturbed || !quiet
	return m
}

// quiet waits until nobody uses the cores, the last server no longer either, and reports whether it came to that: who uses them now would disturb us.
func (s *stage) quiet() bool {
	s.Helper()
	for range 10 {
		before := s.look()
		time.Sleep(200 * time.Millisecond)
		after := s.look()
		client, _ := after.Since(&before, cores.Client)
		server, _ := after.Since(&before, cores.Server)
		if max(client, server) <= 0.1 {
			return true
		}
	}
	return false
}

// load has a client ask for a while.
func (s *stage) load(sv *server, w *compare.Workload) compare.Sample {
	s.Helper()
	d, warm := *duration, warmup(w)
	var before, after cores.Times
	var busy, used float64
	dropped := dropped(s)
	answers := &share{s: s, sv: sv}
	answers.begin() // not while the server's core is busy: that takes long then
	watched := make(chan struct{})
	go func() { // a little after its beginning to a little before its end
		defer close(watched)
		time.Sleep(warm + d/8)
		before, busy = s.look(), s.spent(sv)
		time.Sleep(d * 6 / 8)
		after, busy = s.look(), s.spent(sv)-busy
		used = memory(s, sv.pids)
	}()
	var m compare.Sample
	if w.Client == "wrk" {
		m = s.wrk(sv, w, d)
	} else {
		m = s.xload(sv, w, d)
	}
	<-watched
	time.Sleep(200 * time.Millisecond) // answers of the XDP program are counted when their connections are over
	answers.end()
	m.Dropped = dropped()
	if m.Requests == 0 {
		s.Logf("%s: nothing was answered: %s", sv.name, w)
		if compare.Own(sv.name) { // what a peer does not do is noted in its row
			s.Fail()
		}
		return compare.Sample{Errors: max(m.Errors, 1), Disturbed: true}
	}
	cpu, stolen := after.Since(&before, cores.Server)
	_, stolenFromClient := after.Since(&before, cores.Client)
	m.CPU, m.Memory = cpu/m.Requests*1e6, used
	m.Process = busy / after.Elapsed(&before) / m.Requests * 1e6
	if w.Queues > 1 { // its cores are the client's, too
		m.CPU = 0
	}
	m.Disturbed = m.Disturbed || stolen+stolenFromClient > 0.05
	answers.judge(w, &m)
	return m
}

// share is how much of the requests xhttpd answers itself.
type share struct {
	s                   *stage
	sv                  *server
	answers, left, over float64 // in a run, with its warm-up: responses; connections left to Apache for the length of a response, or handed over at all
	unseen              float64 // connections left to Apache without a look at their requests
}

func (h *share) begin() { h.count(-1) }

func (h *share) end() { h.count(1) }

func (h *share) count(sign float64) {
	if compare.Own(h.sv.name) {
		h.answers += sign * h.sv.bed.Metric("responses_total")
		h.left += sign * h.sv.bed.Metric("handovers_total", "large")
		h.over += sign * h.sv.bed.Metric("handovers_total")
		h.unseen += sign * h.sv.bed.Metric("xdp_packets_total", "left")
	}
}

// judge fails the benchmark, which goes on, if it was not xhttpd that was measured, or, where requests are Apache's, not the handing over. Single ones may be
// Apache's when a busy machine makes the heartbeat late. What xhttpd leaves to Apache for the length of the response is what its user gets: it is noted.
func (h *share) judge(w *compare.Workload, m *compare.Sample) {
	s := h.s
	s.Helper()
	if !compare.Own(h.sv.name) {
		return
	}
	requests := m.All
	m.Own = h.answers / requests
	// A connection that was left is Apache's for good, and the first ones were before.
	long := compare.Sizes()[w.Object] >= 100<<10
	m.Left = h.left > 0 || long && m.Own < 0.01
	m.Unseen = h.unseen / requests
	wrong := ""
	switch {
	case w.Kind == compare.Apache && (m.Own > 0.01 || w.New && h.over+h.unseen < 0.5*requests):
		wrong = "it answered what is Apache's, or left it nowhere"
	case w.Kind == compare.Mid && (h.over < 0.5*requests/compare.MidRequests || m.Own < 0.5/compare.MidRequests):
		wrong = "it handed too few connections over"
	case w.Kind == compare.Apache || w.Kind == compare.Mid, m.Left && w.Object != compare.Mix:
	case m.Own < 0.9:
		wrong = "it did not answer itself"
	case m.Own < 0.99:
		m.Disturbed = true
	}
	if wrong != "" {
		m.Disturbed = true
		s.Errorf("%s, %s: %s: of %.0f requests it answered %.0f %%, handed over %.0f connections, and left %.0f without a look", w, h.sv.name, wrong, requests, 100*m.Own, h.over, h.unseen)
	}
}

// idle has nobody ask.
func (s *stage) idle(sv *server) (m compare.Sample) {
	s.Helper()
	const d = 4 * time.Second
	before := s.spent(sv)
	time.Sleep(d)
	m.Busy = (s.spent(sv) - before) / d.Seconds()
	m.Memory = memory(s, sv.pids)
	return m
}

// kept has many connections open, and looks what the server's processes have grown by since they began, and the kernel's memory since before.
func (s *stage) kept(sv *server, w *compare.Workload) (m compare.Sample) {
	s.Helper()
	kernel, d := slab(s), 3*time.Second
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		time.Sleep(d)
		m.Memory = memory(s, sv.pids)
		kernel = slab(s) - kernel
	}()
	r := s.xload(sv, w, d)
	<-watched
	m.Errors = r.Errors
	m.Each = max(0, (m.Memory-sv.cold)*(1<<20)+kernel) / float64(w.Conns)
	return m
}

// half returns half of what nginx makes in a closed loop in this run.
func (s *stage) half(w *compare.Workload) float64 {
	s.Helper()
	closed := *w
	closed.Kind = ""
	rate, _, _ := s.results.Cell(closed, "nginx").Median(compare.Requests)
	if !(rate > 0) {
		s.Fatalf("%s: needs that nginx was measured before, in a closed loop", w)
	}
	return rate / 2
}
