package xload

import (
	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
)

// Result is what came of a run. All times are seconds.
type Result struct {
	Loop        string  `json:"loop"` // closed or open
	Offered     float64 `json:"offered_per_second,omitempty"`
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
	Pipeline    int     `json:"pipeline"`
	NewEach     bool    `json:"new_connection_each"`

	Requests uint64            `json:"requests"` // answered as expected
	All      uint64            `json:"requests_of_warmup_too"`
	Rate     float64           `json:"requests_per_second"`
	Gbits    float64           `json:"gbit_per_second"` // of bodies and heads
	Octets   uint64            `json:"body_octets"`
	Errors   map[string]uint64 `json:"errors"`
	Retried  uint64            `json:"retried"`
	Unasked  uint64            `json:"unasked"`

	Latency Quantiles          `json:"latency"` // of all requests, from when they were intended; failed ones included
	Connect Quantiles          `json:"connect"`
	Classes map[string]PerKind `json:"classes,omitempty"`
	Series  []PerSecond        `json:"series"`

	Due    uint64 `json:"due"`                   // open loop: requests that should have been made
	Waited uint64 `json:"waited_for_connection"` // of these, those that found no connection free

	Self Self               `json:"generator"`
	TCP  tcpclient.Counters `json:"tcp"`
	Ring Ring               `json:"ring"`

	Limit   Limit `json:"limit"`
	Stopped bool  `json:"stopped"` // by Stop, before its time

	histogram *hdrhistogram.Histogram
}

// Quantiles of a time.
type Quantiles struct {
	Count  int64   `json:"count"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stddev"`
	Min    float64 `json:"min"`
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p99_9"`
	P9999  float64 `json:"p99_99"`
	Max    float64 `json:"max"`
}

// PerKind is what came of the requests of one class.
type PerKind struct {
	Requests uint64    `json:"requests"`
	Octets   uint64    `json:"body_octets"`
	Latency  Quantiles `json:"latency"`
}

// PerSecond is what happened in one second.
type PerSecond struct {
	Done   uint64  `json:"done"`
	Failed uint64  `json:"failed"`
	Worst  float64 `json:"worst"` // latency
}

// Self is how the generator itself did.
type Self struct {
	Busy        float64 `json:"busy"` // share of the time in which it did not wait
	CPU         float64 `json:"cpu"`  // processor seconds of its thread in a second
	PerRequest  float64 `json:"cpu_per_request"`
	Batch       float64 `json:"frames_at_once"` // mean
	Late        float64 `json:"late"`           // share of the requests that it began more than 1 ms late, of an open loop
	MaxLate     float64 `json:"max_late"`
	Stalled     float64 `json:"stalled"`   // share of the time in which somebody else had its processor
	Preemptions int64   `json:"preempted"` // times
}

// Ring is what the AF_XDP sockets have lost.
type Ring struct {
	Dropped uint64 `json:"dropped"`
	Full    uint64 `json:"rx_full"`
	Empty   uint64 `json:"fill_empty"`
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	s := func(v int64) float64 { return float64(v) / 1e9 }
	q := Quantiles{Count: h.TotalCount(), Mean: h.Mean() / 1e9, StdDev: h.StdDev() / 1e9, Min: s(h.Min()), Max: s(h.Max())}
	if q.Count == 0 {
		return Quantiles{}
	}
	for at, to := range map[float64]*float64{50: &q.P50, 90: &q.P90, 99: &q.P99, 99.9: &q.P999, 99.99: &q.P9999} {
		*to = s(h.ValueAtQuantile(at))
	}
	return q
}

// result makes what is known when the measured time is over.
func (r *runner) result(p Phase) *Result {
	g, m := r.g, &r.g.meter
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &usage) //nolint:errcheck // cannot fail
	span := float64(g.now-r.began) / 1e9
	res := &Result{
		Loop: "closed", Offered: p.Rate, Seconds: span, Connections: g.cfg.Connections, Pipeline: g.cfg.Pipeline, NewEach: g.cfg.NewConnections,
		Connect: quantiles(m.connect), Gbits: float64(m.received) * 8 / span / 1e9, Due: m.Arrivals, Waited: m.Waited, Retried: m.Retried, Unasked: m.Unasked,
	}
	if p.Rate > 0 {
		res.Loop = "open"
	}
	cpu := func(u *unix.Rusage) float64 { return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9 }
	res.Rate = float64(m.Done) / span
	res.Self = Self{
		Busy: 1 - float64(m.idle)/1e9/span, CPU: (cpu(&usage) - cpu(&r.usage)) / span,
		MaxLate: float64(m.maxLate) / 1e9, Stalled: float64(m.stalled) / 1e9 / span, Preemptions: usage.Nivcsw - r.usage.Nivcsw,
	}
	if m.Done > 0 {
		res.Self.PerRequest = res.Self.CPU / res.Rate
	}
	if m.batches > 0 {
		res.Self.Batch = float64(m.frames) / float64(m.batches)
	}
	if m.Arrivals > 0 {
		res.Self.Late = float64(m.Late) / float64(m.Arrivals)
	}
	return res
}

// finish adds what came after the measured time.
func (r *runner) finish(res *Result, before tcpclient.Counters) {
	g, m := r.g, &r.g.meter
	for u := range g.users { // what has not even timed out
		if g.users[u].count > 0 {
			g.abandon(int32(u))
		}
		for g.users[u].count > 0 {
			g.fail(int32(u), Timeout)
		}
	}
	res.Requests, res.All, res.Octets, res.Errors = m.Done, m.all, m.Octets, map[string]uint64{}
	for why, n := range m.Errors {
		if n > 0 {
			res.Errors[Reason(why).String()] = n
		}
	}
	res.Latency = quantiles(m.latency)
	res.histogram = hdrhistogram.Import(m.latency.Export())
	if len(m.classes) > 1 {
		res.Classes = map[string]PerKind{}
		for _, c := range m.classes {
			res.Classes[c.name] = PerKind{Requests: c.done, Octets: c.octets, Latency: quantiles(c.latency)}
		}
	}
	for _, s := range m.seconds {
		res.Series = append(res.Series, PerSecond{s.done, s.failed, float64(s.worst) / 1e9})
	}
	res.TCP = minus(g.stack.Counters, before)
	res.judge()
}

func minus(a, b tcpclient.Counters) tcpclient.Counters {
	orphans := a.Orphans
	for _, f := range []struct{ x, y *uint64 }{
		{&a.Sent, &b.Sent}, {&a.Received, &b.Received}, {&a.Bad, &b.Bad}, {&a.Stray, &b.Stray}, {&a.Opened, &b.Opened},
		{&a.Retransmitted, &b.Retransmitted}, {&a.Acks, &b.Acks}, {&a.OutOfOrder, &b.OutOfOrder}, {&a.Dropped, &b.Dropped},
		{&a.Duplicate, &b.Duplicate}, {&a.Resets, &b.Resets}, {&a.NoFrame, &b.NoFrame}, {&a.PortsInUse, &b.PortsInUse},
		{&a.ChallengedACKs, &b.ChallengedACKs},
	} {
		*f.x -= *f.y
	}
	a.Orphans = orphans
	return a
}

// Limit is what kept the load from being higher.
type Limit struct {
	By  string `json:"by"`  // server, generator, connections, rate
	Why string `json:"why"` // in words
}

// What limits.
const (
	ByServer      = "server"
	ByGenerator   = "generator"
	ByConnections = "connections"
	ByRate        = "rate"
)

// Thresholds of judge.
const (
	saturated  = 0.95  // share of time
	queued     = 0.25  // share of the requests under way
	tooLate    = 0.01  // share of requests
	tooStalled = 0.02  // share of time
	tooManyBad = 0.001 // share of frames that were lost here
)

// Errs returns how many requests have failed.
func (r *Result) Errs() (n uint64) {
	for _, e := range r.Errors {
		n += e
	}
	return n
}
