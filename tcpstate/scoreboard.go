package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// ackEvent is what one acknowledgment, or one look at the clock, says about what is in flight.
type ackEvent struct {
	now  uint32 // µs
	tsok bool   // the segment echoes a timestamp of ours:
	echo uint32 // how many ms ago we sent it

	acked     uint32 // octets by which SND.UNA moved
	credit    uint32 // octets by which a window may grow: acked, or what was delivered
	delivered uint32 // octets that are known to have arrived, and were not before
	lost      uint32 // octets that are believed lost, and were not before
	flight    uint32 // SND.NXT − SND.UNA before it
	pipe      uint32 // in the network before it
	left      uint32 // in the network after it
	total     uint32 // delivery.delivered after it
	rtt       uint32 // round trip of the octets that were sent last, µs; 0: not measured
	sample    rateSample
	mode      mode
	used      bool   // the window was filled before it
	limited   bool   // and held something back
	lostSoFar uint32 // delivery.lost
	excess    excess // of losses found since the last one

	fack      wire.Seq // rack.fack before it
	partial   bool     // without SACK: it acknowledges a part of what a recovery waits for
	duplicate bool     // it acknowledges the same once more, and carries nothing else
	original  bool     // octets that were sent once, and before a time-out, arrived: it was spurious
	again     bool     // octets that were sent more than once were acknowledged
	dsack     bool     // the peer got something twice

	// When octets that it tells of were sent, µs, of those that were sent once; each valid with its has.
	first, sackFirst, last          uint32 // the earliest acknowledged, the earliest SACKed, the last of both
	hasFirst, hasSACKFirst, hasLast bool
}

// takeSACK enters the blocks of seg into the runs (RFC 2018, 5). A block that lies outside of what is in
// flight is a lie, or old, and is ignored; one that was acknowledged already is a DSACK (RFC 2883, 4).
func (c *Conn) takeSACK(st *Stack, f *flight, seg *wire.Segment, e *ackEvent) {
	for k, b := range seg.Options.SACK[:seg.Options.NSACK] {
		if k == 0 && c.isDSACK(seg, b) {
			e.dsack = true
			continue
		}
		// By distance from the acknowledgment: a block of half the sequence space passes any comparison in pairs.
		lo, hi := uint32(b.Lo-seg.Ack), uint32(b.Hi-seg.Ack)
		if lo == 0 || hi <= lo || hi > uint32(c.snd.nxt-seg.Ack) {
			continue
		}
		if !b.Hi.LessEq(c.snd.una) && !f.knows(b) && c.markSACKed(st, f, b, e) {
			f.learn(b)
		}
	}
}

// isDSACK is RFC 2883, 4: the first block lies below the acknowledgment, or in the second block.
func (c *Conn) isDSACK(seg *wire.Segment, b wire.Span) bool {
	n := uint32(b.Hi - b.Lo)
	if n == 0 || n > 1<<30 {
		return false
	}
	if b.Hi.LessEq(seg.Ack) {
		return c.snd.una.Sub(b.Lo) <= int32(c.snd.maxWindow()) // RFC 8985, 7.4.2; not something from long ago
	}
	if seg.Options.NSACK < 2 {
		return false
	}
	outer := seg.Options.SACK[1]
	return outer.Lo.LessEq(b.Lo) && b.Hi.LessEq(outer.Hi)
}

// knows reports whether b was SACKed in full before.
func (f *flight) knows(b wire.Span) bool {
	for _, k := range f.known {
		if k.Lo != k.Hi && k.Lo.LessEq(b.Lo) && b.Hi.LessEq(k.Hi) {
			return true
		}
	}
	return false
}

func (f *flight) learn(b wire.Span) {
	for i := range f.known {
		if k := &f.known[i]; k.Lo != k.Hi && k.Lo.LessEq(b.Hi) && b.Lo.LessEq(k.Hi) {
			k.Lo, k.Hi = wire.MinSeq(k.Lo, b.Lo), wire.MaxSeq(k.Hi, b.Hi)
			return
		}
	}
	f.known[f.nextKnown] = b
	f.nextKnown = (f.nextKnown + 1) % uint8(len(f.known))
}

// markSACKed enters one block, and reports whether there was memory for it.
func (c *Conn) markSACKed(st *Stack, f *flight, b wire.Span, e *ackEvent) bool {
	begin, prev := c.snd.una, uint32(0)
	for i := f.head; i != 0 && begin.Less(b.Hi); {
		r := &st.runs[i]
		switch {
		case r.has(runSACKed) || r.end.LessEq(b.Lo):
		case begin.Less(b.Lo):
			if c.tooFine(f) || !st.split(f, i, b.Lo) {
				return false // it will be sent again in vain
			}
			r = &st.runs[i]
		default:
			if b.Hi.Less(r.end) && (c.tooFine(f) || !st.split(f, i, b.Hi)) {
				return false
			}
			r = &st.runs[i]
			c.onDelivered(f, r, begin, r.end, e)
			e.sackFirst, e.hasSACKFirst = earliest(e.sackFirst, e.hasSACKFirst, r)
			r.flags = r.flags&^runLost | runSACKed
			f.sacked += uint32(r.end - begin)
			if prev != 0 && st.runs[prev].has(runSACKed) {
				st.runs[prev].end = r.end
				begin = r.end
				st.cut(f, prev, i)
				i = st.runs[prev].next
				continue
			}
		}
		begin, prev = r.end, i
		i = r.next
	}
	return true
}

// tooFine reports whether there are more runs already than segments can explain, two for each since the MSS may have changed on the
// way. A peer that reports single octets would have the runs of all others, and its next acknowledgments take their time.
func (c *Conn) tooFine(f *flight) bool {
	return f.nRuns >= 2*uint32(c.snd.nxt-c.snd.una)/f.win.mss+slackRuns
}

const slackRuns = 16

// takeACK removes what lies before the acknowledgment from the runs. SND.UNA is still the old one.
func (c *Conn) takeACK(st *Stack, f *flight, ack wire.Seq, e *ackEvent) {
	for i, k := range f.known {
		if k.Hi.LessEq(ack) {
			f.known[i] = wire.Span{}
		}
	}
	begin := c.snd.una
	for f.head != 0 && begin.Less(ack) {
		r := &st.runs[f.head]
		end := wire.MinSeq(r.end, ack)
		if r.has(runSACKed) {
			f.sacked -= uint32(end - begin)
		} else {
			c.onDelivered(f, r, begin, end, e)
			e.first, e.hasFirst = earliest(e.first, e.hasFirst, r)
			e.again = e.again || r.has(runAgain)
		}
		if end != r.end {
			break
		}
		begin = end
		st.cut(f, 0, f.head)
	}
}

func earliest(at uint32, has bool, r *run) (uint32, bool) {
	switch {
	case r.has(runAgain): // RFC 6298, 3 (Karn): nobody knows which copy arrived
		return at, has
	case !has || int32(r.sentAt-at) < 0:
		return r.sentAt, true
	}
	return at, has
}

// onDelivered takes in that the octets [begin, end) of r have arrived.
func (c *Conn) onDelivered(f *flight, r *run, begin, end wire.Seq, e *ackEvent) {
	n := uint32(end - begin)
	e.delivered += n
	f.rate.delivered += n
	f.rate.deliveredAt = e.now
	if r.has(runLost) {
		f.lost -= n
	}
	e.sample.take(&f.rate, r)
	if !r.has(runAgain) {
		if !e.hasLast || int32(r.sentAt-e.last) > 0 {
			e.last, e.hasLast = r.sentAt, true
		}
		// RFC 8985, 6.2, step 3: something that was sent earlier arrives later.
		if end.LessEq(e.fack) {
			f.rack.reordering = true
		}
		if end.LessEq(f.rec.recover) {
			e.original = true
		}
	}
	f.rack.fack = wire.MaxSeq(f.rack.fack, end)
	c.rackAdvance(f, r, end, e)
}
