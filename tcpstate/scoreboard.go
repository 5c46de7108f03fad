package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// takeSACK enters the blocks of seg into the scoreboard (RFC 2018, 5; RFC 6675, 3) and reports whether one of
// them told anything new. A block that lies outside of what is in flight is a lie, a duplicate's report
// (RFC 2883), or old, and is ignored.
func (c *Conn) takeSACK(seg *wire.Segment) (news bool) {
	for _, b := range seg.Options.SACK[:seg.Options.NSACK] {
		// By distance from the acknowledgment: a block of half the sequence space passes any comparison in pairs.
		lo, hi := uint32(b.Lo-seg.Ack), uint32(b.Hi-seg.Ack)
		if lo == 0 || hi <= lo || hi > uint32(c.snd.nxt-seg.Ack) {
			continue
		}
		if c.rec.add(b) {
			news = true
		}
	}
	return news
}

// add enters the span b and reports whether it was not yet covered.
func (r *recovery) add(b wire.Span) bool {
	var next [maxSacked + 1]wire.Span
	n, placed := 0, false
	for _, s := range r.sacked[:r.nSacked] {
		switch {
		case s.Lo.LessEq(b.Lo) && b.Hi.LessEq(s.Hi):
			return false
		case s.Hi.Less(b.Lo):
			next[n] = s
			n++
		case b.Hi.Less(s.Lo):
			if !placed {
				next[n], placed = b, true
				n++
			}
			next[n] = s
			n++
		default:
			b = wire.Span{Lo: wire.MinSeq(s.Lo, b.Lo), Hi: wire.MaxSeq(s.Hi, b.Hi)}
		}
	}
	if !placed {
		next[n] = b
		n++
	}
	if n > maxSacked {
		copy(next[smallest(&next):], next[smallest(&next)+1:])
		n--
	}
	r.nSacked = uint8(copy(r.sacked[:], next[:n]))
	return true
}

// smallest returns the index of the span that is the least loss to forget; of equals, the last.
func smallest(spans *[maxSacked + 1]wire.Span) (at int) {
	for i, s := range spans {
		if s.Hi-s.Lo <= spans[at].Hi-spans[at].Lo {
			at = i
		}
	}
	return at
}

// forgetBelow removes what is before una.
func (r *recovery) forgetBelow(una wire.Seq) {
	n := uint8(0)
	for _, s := range r.sacked[:r.nSacked] {
		if s.Hi.LessEq(una) {
			continue
		}
		s.Lo = wire.MaxSeq(s.Lo, una)
		r.sacked[n] = s
		n++
	}
	r.nSacked = n
}

// highest returns the end of what the peer has reported, which must not be nothing.
func (r *recovery) highest() wire.Seq { return r.sacked[r.nSacked-1].Hi }

// holeFrom returns the first hole in the scoreboard that begins at or behind seq, or goes over it.
func (c *Conn) holeFrom(seq wire.Seq) (lo, hi wire.Seq) {
	lo = wire.MaxSeq(seq, c.snd.una)
	for _, s := range c.rec.sacked[:c.rec.nSacked] {
		if lo.Less(s.Lo) {
			return lo, s.Lo
		}
		lo = wire.MaxSeq(lo, s.Hi)
	}
	return lo, c.snd.nxt
}

// isLost is RFC 6675, 4, IsLost: enough arrived behind seq to believe that seq did not.
func (c *Conn) isLost(seq wire.Seq) bool {
	var octets uint32
	spans := 0
	for _, s := range c.rec.sacked[:c.rec.nSacked] {
		if seq.Less(s.Hi) {
			octets += uint32(s.Hi - wire.MaxSeq(s.Lo, seq))
			spans++
		}
	}
	return spans >= dupThresh || octets > (dupThresh-1)*c.payloadMSS()
}

func (c *Conn) firstHoleLost() bool { return c.rec.nSacked > 0 && c.isLost(c.snd.una) }
