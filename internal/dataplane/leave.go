package dataplane

import (
	"sync/atomic"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Leaving is memory in which a loop tells the program that steers packets (xdp/bpf/leave.h) to leave new connections to the kernel,
// from their SYN on, but for a sample. Two of the words are times, ns of the loop's clock.
//
// A connection whose first request is the server's costs two packets here and a hand-over. Where hardly any other comes, that is what
// xhttpd would take from the server, and give nothing for it.
type Leaving struct {
	// Note is until when the program takes note of SYNs that it does not leave, so that one that was answered here is not answered by the
	// kernel, too, when it comes again.
	Note *uint64
	// Leave is until when it leaves the others. It is never far off: a loop that is stuck leaves nobody.
	Leave *uint64
	// Mask are the bits of a hash of which those in the sample have none.
	Mask *uint64
}

const (
	leaveLook   = 250 * tcpstate.Millisecond
	leaveFor    = tcpstate.Second     // from one look on
	leaveNoting = 2 * tcpstate.Second // before anybody is left: clients send their SYN again after 1 s
	leaveMemory = 2 * tcpstate.Second // of the rates
)

// rates are what becomes of new connections, in a second.
type rates struct {
	syns   float64 // that were answered
	opened float64 // connections that brought octets
	ours   float64 // those whose first request was answered here; objects that the Store has taken count, too: they will be
	theirs float64 // those whose first request was the server's, and will be the next time
}

// The policy is for those who would notice: 100 hand-overs in a second are half a percent of a processor. A connection that is left by mistake costs
// the server a hundred microseconds, and each further request on it some fifty, where a hand-over costs 45: so there must be few of ours.
// Between the limits all stays as it is. Where SYNs come to nothing it is a flood, and not for the kernel's queue.
const (
	leaveFloor = 100 // theirs, for it to begin
	leaveEnd   = 25  // theirs, for it to go on: of which some are seen in a second
	leaveRare  = 32  // theirs for one of ours, for it to begin
	leaveOften = 16  // theirs for one of ours, for it to go on
	leaveFlood = 4   // SYNs for each connection that brings octets
)

// The sample costs a loop the same, however many come: about so many connections in a second, of which one stands for a power of two.
const (
	sampleRate  = 32
	leastSample = 8
	mostSample  = 512
)

// sample returns for how many one is to stand.
func (r *rates) sample() uint64 {
	n := uint64(leastSample)
	for n < mostSample && float64(2*n*sampleRate) <= r.opened {
		n *= 2
	}
	return n
}

// begins reports whether connections are to be left, if they are not yet.
func (r *rates) begins() bool {
	return r.theirs >= leaveFloor && r.theirs >= leaveRare*r.ours && r.syns <= leaveFlood*r.opened
}

// goesOn reports whether they are to be left further.
func (r *rates) goesOn() bool {
	return r.theirs >= leaveEnd && r.theirs >= leaveOften*r.ours && r.syns <= leaveFlood*r.opened
}

// move takes the rates of an interval in, which was a part of leaveMemory.
func (r *rates) move(last *rates, part float64) {
	part = min(part, 1)
	r.syns += (last.syns - r.syns) * part
	r.opened += (last.opened - r.opened) * part
	r.ours += (last.ours - r.ours) * part
	r.theirs += (last.theirs - r.theirs) * part
}

// leaveStage is how far leaving has come.
type leaveStage uint8

const (
	leaveNobody leaveStage = iota
	leaveNote              // SYNs are noted, so that connections may be left
	leaveMost
)

// firsts counts what comes first of connections; rates are made of it.
type firsts struct{ syns, opened, ours, theirs uint32 }

// leaver is the loop's side of a Leaving.
type leaver struct {
	Leaving
	stage  leaveStage
	since  tcpstate.Time // when the stage began
	last   tcpstate.Time // when it looked
	sample uint64        // how many each connection stands for
	rates  rates
	filled uint64 // Store.Filled at last
}

func newLeaver(m *Leaving) *leaver {
	if m == nil {
		return nil
	}
	return &leaver{Leaving: *m, sample: 1}
}

// tick is called at the beginning of each Step, which come more often than it looks.
func (n *leaver) tick(l *Loop) {
	took := l.now - n.last
	if took < leaveLook {
		return
	}
	n.look(&l.firsts, l.cfg.Store.Filled(), took)
	l.firsts, n.last = firsts{}, l.now
	late := took > leaveFor
	if next := n.next(l.now, late, l.draining); next != n.stage || late {
		n.stage, n.since = next, l.now
	}
	n.sample, l.count.Leaving = 1, 0
	var note, leave tcpstate.Time
	if n.stage >= leaveNote {
		note = l.now + leaveFor
	}
	if n.stage == leaveMost {
		n.sample, leave, l.count.Leaving = n.rates.sample(), note, 1
	}
	atomic.StoreUint64(n.Mask, n.sample-1)
	atomic.StoreUint64(n.Leave, uint64(leave))
	atomic.StoreUint64(n.Note, uint64(note))
}

// look takes in what was counted in the time that it took.
func (n *leaver) look(f *firsts, filled uint64, took tcpstate.Time) {
	each := float64(n.sample) * float64(tcpstate.Second) / float64(took)
	n.rates.move(&rates{
		syns: each * float64(f.syns), opened: each * float64(f.opened),
		ours: each * (float64(f.ours) + float64(filled-n.filled)), theirs: each * float64(f.theirs),
	}, float64(took)/float64(leaveMemory))
	n.filled = filled
}

// next is the stage from now on. If the last look was so late that for a while nothing was noted, noting begins anew.
func (n *leaver) next(now tcpstate.Time, late, draining bool) leaveStage {
	switch {
	case draining, n.stage == leaveNobody && !n.rates.begins(), !n.rates.goesOn():
		return leaveNobody
	case n.stage == leaveNobody, late:
		return leaveNote
	case n.stage == leaveMost, now-n.since < leaveNoting:
		return n.stage
	case !n.rates.begins():
		return leaveNobody // it was a burst
	}
	return leaveMost
}

// lasts reports whether the next request like one that was handed over for r will be, too. Misses will, unless the Store takes what is
// missed, which it tells.
func (r Reason) lasts() bool {
	return r < Reason(httpwire.NumReasons) || r == ReasonMiss || r == ReasonLarge
}
