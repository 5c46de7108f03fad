package xload

import (
	"math"
	"sync/atomic"
	"time"
)

// schedule says when requests are due. The zero value is a closed loop.
type schedule struct {
	open     bool
	draining bool    // no new requests
	rate     float64 // requests in a second, of an open loop
	ramp     float64 // seconds in which the rate rises from 0
	begin    int64
	count    float64 // requests so far, in the mean: more or less than were made if arrivals are random
	next     int64   // when the next request is due
}

func newSchedule(rate float64, ramp time.Duration, begin int64) schedule {
	s := schedule{open: rate > 0, rate: rate, ramp: ramp.Seconds(), begin: begin, count: 1}
	s.next = s.at(1)
	return s
}

// at returns when the rate, in the mean, will have made so many requests: it rises evenly during the ramp, which makes half of those
// that the whole rate would have made.
func (s *schedule) at(count float64) int64 {
	t := math.Sqrt(2 * count * s.ramp / s.rate)
	if t >= s.ramp {
		t = s.ramp/2 + count/s.rate
	}
	return s.begin + int64(t*1e9)
}

// advance moves on to the request that is share of the mean distance away.
func (s *schedule) advance(share float64) {
	s.count += share
	s.next = s.at(s.count)
}

// lateNanos: what is sent so much later than intended, for our own fault, was late.
const lateNanos = int64(time.Millisecond)

// arrivals gives the requests that are due to users, or puts them aside. Each keeps the time that it was due at.
func (g *Generator) arrivals() {
	s := &g.schedule
	if s.draining {
		return
	}
	for s.next <= g.now {
		intended, share := s.next, 1.0
		if g.cfg.Poisson {
			share = -math.Log1p(-float64(g.rnd.Uint64()>>11) / (1 << 53))
		}
		s.advance(share)
		g.meter.arrival(g.now - intended)
		u, ok := g.idle.pop()
		switch {
		case ok:
			g.ask(u, intended)
			g.mark(u)
		case g.backlog.push(intended):
			g.meter.waited(intended)
		default:
			g.meter.done(intended, g.now, 0, 0, Backlog)
		}
	}
}

// release says that user u can take one more request: it takes the oldest that waits.
func (g *Generator) release(u int32) {
	if intended, ok := g.backlog.pop(); ok {
		g.ask(u, intended)
		g.mark(u)
		return
	}
	g.idle.push(u)
}

// queue is a ring of users, first in, first out, so that all connections are used in turn.
type queue struct {
	ring        []int32
	first, used int
}

func newQueue(n int) queue { return queue{ring: make([]int32, n)} }

func (q *queue) push(u int32) {
	at := q.first + q.used
	if at >= len(q.ring) {
		at -= len(q.ring)
	}
	q.ring[at] = u
	q.used++
}

func (q *queue) pop() (u int32, ok bool) {
	if q.used == 0 {
		return none, false
	}
	u = q.ring[q.first]
	if q.first++; q.first == len(q.ring) {
		q.first = 0
	}
	q.used--
	return u, true
}

// backlog is a ring of the times that requests were due at, for which no connection is free.
type backlog struct {
	ring        []int64
	first, used int
}

const backlogSize = 1 << 20

func newBacklog() backlog { return backlog{ring: make([]int64, backlogSize)} }

func (b *backlog) push(intended int64) bool {
	if b.used == len(b.ring) {
		return false
	}
	b.ring[(b.first+b.used)%backlogSize] = intended
	b.used++
	return true
}

func (b *backlog) pop() (intended int64, ok bool) {
	if b.used == 0 {
		return 0, false
	}
	intended = b.ring[b.first]
	b.first = (b.first + 1) % backlogSize
	b.used--
	return intended, true
}

// stopper is a flag that may be set from anywhere.
type stopper struct{ flag atomic.Bool }

func (s *stopper) set()        { s.flag.Store(true) }
func (s *stopper) isSet() bool { return s.flag.Load() }
