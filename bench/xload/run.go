package xload

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStopped is what a search returns that was ended by Stop.
var ErrStopped = errors.New("stopped")

// Phase is one run of a generator.
type Phase struct {
	Rate     float64       // requests in a second; 0: a closed loop
	Ramp     time.Duration // the rate rises from 0 in this time
	Warmup   time.Duration // what is intended before its end does not count; it begins with the ramp
	Duration time.Duration // of what counts
	// Progress gets a state every second, if it can take it at once.
	Progress chan<- Progress
}

// Progress is the state of a run.
type Progress struct {
	Since   time.Duration // since its begin
	Warm    bool          // what happens counts
	Rate    float64       // requests answered as expected in the last second
	Failed  uint64        // so far
	P50     time.Duration // so far
	P99     time.Duration
	Busy    float64 // share of the last second
	Backlog int     // requests that wait for a free connection
	Open    int     // connections
}

// longestWait keeps the timers going.
const longestWait = time.Millisecond

// stallNanos: when a turn takes so long, somebody else had the processor.
const stallNanos = int64(2 * time.Millisecond)

// Run makes requests as p says, and returns what came of them. Connections stay open for the next run. Requests that are under
// way at the end are waited for, until their time-out. The stack's and the device's totals are those of the run.
func (g *Generator) Run(p Phase) *Result {
	s := &g.schedule
	start := g.clock()
	ramp := max(p.Warmup, p.Ramp)
	from, to := start+int64(ramp), start+int64(ramp+p.Duration)
	g.meter.begin(from, to)
	was := s.open
	*s = newSchedule(p.Rate, p.Ramp, start)
	g.now = start
	if g.openedAt == 0 {
		g.openedAt = start
	}
	g.restart(was)
	stack := g.stack.Counters
	r := &runner{g: g, progress: p.Progress, start: start, tickAt: start + int64(time.Second)}
	r.until(from)
	r.measure()
	r.until(to)
	res := r.result(p)
	s.draining = true
	r.until(to + int64(g.cfg.Timeout) + int64(time.Second))
	r.finish(res, stack)
	res.Stopped = g.stop.flag.Swap(false)
	return res
}

// restart has all users that are there already begin again.
func (g *Generator) restart(wasOpen bool) {
	for u := range int32(g.opened) {
		if g.schedule.open && !wasOpen {
			for range g.cfg.Pipeline - int(g.users[u].count) {
				g.release(u)
			}
		}
		g.mark(u)
	}
	if !g.schedule.open {
		g.idle.first, g.idle.used = 0, 0
	}
}

// runner is a run under way.
type runner struct {
	g        *Generator
	progress chan<- Progress
	start    int64
	tickAt   int64 // of the next progress
	lastDone uint64
	lastIdle int64
	began    int64 // when measuring began
	usage    unix.Rusage
	quit     bool // the user's wish
}

// until turns until a time, or until nothing is left to be done if no new requests are made.
func (r *runner) until(end int64) {
	g := r.g
	for {
		before := g.now
		worked := g.turn()
		if g.now >= end || g.schedule.draining && !g.busy() {
			return
		}
		if g.now >= r.tickAt {
			r.tell()
			if g.stop.isSet() && !r.quit {
				r.quit = true
				g.meter.to = min(g.meter.to, g.now)
			}
		}
		if r.quit && !g.schedule.draining {
			return
		}
		if worked {
			if took := g.now - before; took > stallNanos {
				g.meter.stalled += took
			}
			continue
		}
		g.rest(end)
	}
}

// rest waits until there may be something to do.
func (g *Generator) rest(end int64) {
	wait := min(longestWait, time.Duration(end-g.now))
	s := &g.schedule
	if s.open && !s.draining {
		wait = min(wait, time.Duration(s.next-g.now))
	}
	if wait <= 0 {
		return
	}
	begin := g.clock()
	g.device.Wait(wait)
	g.now = g.clock()
	g.meter.idle += g.now - begin
}

// busy reports whether requests are under way.
func (g *Generator) busy() bool { return g.underway > 0 || g.backlog.used > 0 }

// measure begins what counts.
func (r *runner) measure() {
	m := &r.g.meter
	r.began = r.g.now
	m.idle, m.stalled, m.received, m.batches, m.frames, m.maxLate = 0, 0, 0, 0, 0, 0
	m.Arrivals, m.Late, m.Waited, m.Opened, m.Retried = 0, 0, 0, 0, 0
	m.connect.Reset()
	r.lastIdle, r.lastDone = 0, m.Done
	unix.Getrusage(unix.RUSAGE_THREAD, &r.usage) //nolint:errcheck // cannot fail
}

// tell sends the progress of the last second.
func (r *runner) tell() {
	g := r.g
	m := &g.meter
	span := float64(g.now-r.tickAt)/1e9 + 1
	r.tickAt = g.now + int64(time.Second)
	done := m.Done
	p := Progress{
		Since: time.Duration(g.now - r.start), Warm: g.now >= m.from, Failed: m.Failed,
		Rate: float64(done-r.lastDone) / span, Busy: 1 - float64(m.idle-r.lastIdle)/1e9/span,
		Backlog: g.backlog.used, Open: len(g.owners) - g.stack.Free() - int(g.stack.Counters.Orphans),
	}
	if r.progress != nil && p.Warm {
		p.P50, p.P99 = time.Duration(m.latency.ValueAtQuantile(50)), time.Duration(m.latency.ValueAtQuantile(99))
	}
	r.lastDone, r.lastIdle = done, m.idle
	select {
	case r.progress <- p:
	default:
	}
}
