package impair

import (
	"math/rand/v2"
	"time"
)

// Link is what one direction does to frames. The zero value passes them on at once.
type Link struct {
	Delay  time.Duration // of every frame
	Jitter time.Duration // further delay, evenly from 0 to this; it reorders
	// Loss is the share of frames that vanish. With Burst above 1 they vanish in runs of that mean length, by the
	// model of Gilbert: the share stays the same.
	Loss, Burst float64
	// Reorder is the share of frames that come ReorderBy later than they would, so that others overtake them.
	Reorder   float64
	ReorderBy time.Duration
	Duplicate float64 // share of frames that come twice
	Rate      float64 // bits a second of frames, with their Ethernet headers; 0: any
	Queue     int     // octets that wait for Rate at most; what comes on top is dropped; 0: any number
}

// Counters say what became of the frames of one direction.
type Counters struct {
	Received, Delivered, Lost, Reordered, Duplicated uint64
	Full                                             uint64        // found no room in the queue
	LargestQueue                                     int           // octets
	LargestFrame                                     int           // octets
	Late                                             time.Duration // by how much frames were sent too late, at most
}

// path is one direction in a time of its own: nanoseconds from any point.
type path struct {
	Link
	Counters
	rand *rand.Rand
	free int64 // when the link has sent all that it was given
	bad  bool  // in a burst of losses
}

func newPath(l Link, seed, direction uint64) *path {
	return &path{Link: l, rand: rand.New(rand.NewPCG(seed, direction))}
}

// send returns when the copies of a frame of n octets, which comes at now, are delivered: none, one or two.
func (p *path) send(now int64, n int) (at [2]int64, copies int) {
	p.Received++
	p.LargestFrame = max(p.LargestFrame, n)
	// Always the same number of decisions for a frame, so that a frame's fate does not depend on those before it.
	lost, late, twice, jitter := p.loses(p.rand.Float64()), p.rand.Float64() < p.Reorder, p.rand.Float64() < p.Duplicate, p.rand.Float64()
	at[0] = now
	if p.Rate > 0 {
		p.free = max(p.free, now)
		queue := int(float64(p.free-now) / 1e9 * p.Rate / 8)
		if p.Queue > 0 && queue > 0 && queue+n > p.Queue {
			p.Full++
			return at, 0
		}
		p.LargestQueue = max(p.LargestQueue, queue+n)
		p.free += int64(float64(n) * 8 / p.Rate * 1e9)
		at[0] = p.free
	}
	if lost {
		p.Lost++
		return at, 0
	}
	at[0] += int64(p.Delay) + int64(jitter*float64(p.Jitter))
	if late {
		p.Reordered++
		at[0] += int64(p.ReorderBy)
	}
	if !twice {
		return at, 1
	}
	p.Duplicated++
	at[1] = at[0]
	return at, 2
}

// loses goes on in Gilbert's model of two states: in the bad one every frame is lost, and it lasts for Burst frames in
// the mean.
func (p *path) loses(x float64) bool {
	if p.Burst <= 1 {
		return x < p.Loss
	}
	if p.bad {
		p.bad = x >= 1/p.Burst
	} else {
		p.bad = x < p.Loss/(1-p.Loss)/p.Burst
	}
	return p.bad
}
