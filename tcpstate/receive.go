package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// OnSegment takes in a segment of the connection (RFC 9293, 3.10.7.4) and says what it means. If it carries
// Data, Received follows, with what of it was taken; then PollTransmit may have something, in any case.
func (c *Conn) OnSegment(st *Stack, seg *wire.Segment, now Time) (in Input) {
	if c.state == StateClosed {
		return Input{Fate: Closed, Drop: DropClosed}
	}
	c.setNow(now)
	switch {
	case c.state == TimeWait && isNewIncarnation(seg, c.has(flagTS), c.rcv.tsRecent, c.rcv.nxt):
		return Input{NewSYN: true}
	case seg.Flags.Has(wire.RST):
		return c.onReset(seg)
	}
	if in.Drop = c.refuse(seg); in.Drop != DropNone {
		c.settle()
		return in
	}
	c.updateTSRecent(seg)
	c.takeECN(seg)
	c.onACK(st, seg, now)
	if c.state == StateClosed {
		in.Fate = Closed
		return in
	}
	if len(seg.Payload) > 0 || seg.Flags.Has(wire.FIN) {
		c.takeText(seg, &in)
	}
	c.settle()
	return in
}

// takeECN notes what routers say about the octets that we receive (RFC 3168, 6.1.3).
func (c *Conn) takeECN(seg *wire.Segment) {
	if !c.has(flagECN) {
		return
	}
	if seg.Flags.Has(wire.CWR) {
		c.flags &^= flagECE
	}
	if seg.CE && !c.has(flagECE) {
		c.flags |= flagECE | flagAckNow
	}
}

// refuse returns why a segment without RST goes no further, after making sure of the answer that it gets.
func (c *Conn) refuse(seg *wire.Segment) Drop {
	switch {
	// RFC 5961, 4.2: whatever the sequence number, so that nobody can probe for it.
	case seg.Flags.Has(wire.SYN):
		c.challenge()
		return DropChallengeSYN
	// RFC 7323, 3.2: once negotiated, every segment has a timestamp.
	case c.has(flagTS) && !seg.Options.HasTS:
		return DropNoTimestamp
	// RFC 7323, 5.3, R1.
	case c.has(flagTS) && c.isStale(seg):
		c.answer(seg)
		return DropPAWS
	}
	if d := c.outside(seg); d != DropNone {
		// RFC 9293, 3.10.7.4, first: an acknowledgment should be sent in reply.
		c.answer(seg)
		if c.state == TimeWait && seg.Flags.Has(wire.FIN) {
			c.enterTimeWait() // RFC 9293, 3.10.7.4, eighth: restart the 2 MSL time-out
		}
		return d
	}
	switch {
	case !seg.Flags.Has(wire.ACK):
		return DropNoACK
	// RFC 5961, 5.2.
	case c.snd.nxt.Less(seg.Ack) || seg.Ack.Less(c.snd.una-wire.Seq(c.snd.maxWindow())):
		c.challenge()
		return DropBadACK
	}
	return DropNone
}

// outside returns why nothing of seg lies in the receive window (RFC 9293, 3.10.7.4, first), or DropNone.
func (c *Conn) outside(seg *wire.Segment) Drop {
	off, n := seg.Seq.Sub(c.rcv.nxt), int32(seg.Len())
	adv := int32(c.rcv.adv)
	switch {
	case off < 0 && off+n <= 0:
		return DropOldDuplicate
	// An ACK at the right edge itself comes from a peer that has used the whole window up; it is in order
	// although the RFC's table leaves it out. So is a probe of a closed window, for its ACK.
	case off > adv, off == adv && n > 0 && off != 0:
		return DropOutOfWindow
	}
	return DropNone
}

// answer makes an ACK go out for a segment that was refused. Segments that carry nothing are answered only
// so often: two ends that disagree would else go on for ever.
func (c *Conn) answer(seg *wire.Segment) {
	if seg.Len() > 0 {
		c.flags |= flagAckNow
		return
	}
	c.challenge()
}

// challenge makes an ACK go out from which an honest peer learns where the connection stands (RFC 5961).
func (c *Conn) challenge() {
	if !c.has(flagAckNow) && c.mayChallenge() {
		c.flags |= flagAckNow
	}
}

// onReset is RFC 5961, 3.2. RCV.NXT is there what the peer knows as such: a peer that has lost its state
// resets with the acknowledgment that it sees, which leaves undecided octets out.
func (c *Conn) onReset(seg *wire.Segment) (in Input) {
	known := c.rcv.lastAck()
	switch {
	case seg.Seq == c.rcv.nxt || seg.Seq == known:
		c.close()
		in.Fate = Reset
	case known.Less(seg.Seq) && seg.Seq.LessEq(c.rcv.edge()):
		c.challenge()
		in.Drop = DropChallengeRST
	default:
		in.Drop = DropBlindRST
	}
	return in
}

// isNewIncarnation reports whether seg is a SYN that may reopen the connection from TIME-WAIT (RFC 9293,
// 3.10.7.4, fourth; RFC 6191, 2): it lies beyond all of the old one, by its timestamp or its sequence number.
func isNewIncarnation(seg *wire.Segment, ts bool, tsRecent uint32, rcvNxt wire.Seq) bool {
	if seg.Flags&(wire.SYN|wire.RST|wire.ACK|wire.FIN) != wire.SYN {
		return false
	}
	return isBeyond(seg, ts, tsRecent, rcvNxt)
}

// isBeyond reports whether seg was sent after all of a connection that has ended.
func isBeyond(seg *wire.Segment, ts bool, tsRecent uint32, rcvNxt wire.Seq) bool {
	if ts && seg.Options.HasTS && seg.Options.TSVal != tsRecent {
		return int32(seg.Options.TSVal-tsRecent) > 0
	}
	return rcvNxt.Less(seg.Seq)
}

// isStale is PAWS. A TS.Recent of more than 24 days ago says nothing any more (RFC 7323, 5.5).
func (c *Conn) isStale(seg *wire.Segment) bool {
	return int32(seg.Options.TSVal-c.rcv.tsRecent) < 0 && c.hours()-c.rcv.tsAge <= 24*24
}

// updateTSRecent is RFC 7323, 4.3, (2), for a segment that passed isStale.
func (c *Conn) updateTSRecent(seg *wire.Segment) {
	if c.has(flagTS) && seg.Seq.LessEq(c.rcv.lastAck()) {
		c.rcv.tsRecent = seg.Options.TSVal
		c.rcv.tsAge = c.hours()
	}
}

// takeText takes in the payload and FIN of an acceptable segment (RFC 9293, 3.10.7.4, seventh and eighth).
func (c *Conn) takeText(seg *wire.Segment, in *Input) {
	if c.state.peerFIN() {
		in.Drop = DropAfterFIN // RFC 9293: this should not occur; ignore the segment text
		c.flags |= flagAckNow
		return
	}
	off, text, fin := c.trim(seg)
	if off < 0 || len(text) == 0 && !fin || seg.Seq.Less(c.rcv.nxt) {
		c.flags |= flagAckNow // some of it was here before, or is beyond the window
	}
	if fin && !c.has(flagFINSeen) {
		c.flags |= flagFINSeen
		c.rcv.finOff = uint16(off) + uint16(len(text))
	}
	// RFC 5681, 4.2: at once, when it is out of order, and when it fills a gap.
	if off > 0 || c.rcv.nHeld > 0 {
		c.flags |= flagAckNow
	}
	switch {
	case len(text) == 0:
	case !c.has(flagDiscard):
		in.Data, in.Off = text, uint32(c.rcv.pending)+uint32(off)
		return // Received goes on with it
	case off == 0:
		in.Drop = DropDiscarded
		c.advance(uint32(len(text)))
		c.delayAck()
	default:
		in.Drop = DropDiscarded
	}
	c.takeFIN()
}

// trim returns the part of the segment's text that lies between RCV.NXT and the right edge or the peer's FIN,
// its distance from RCV.NXT, and whether the segment's FIN comes right behind it.
func (c *Conn) trim(seg *wire.Segment) (off int32, text []byte, fin bool) {
	off, text, fin = seg.Seq.Sub(c.rcv.nxt), seg.Payload, seg.Flags.Has(wire.FIN)
	if off < 0 {
		text = text[min(int(-off), len(text)):]
		off = 0
	}
	room := int32(c.rcv.adv)
	if c.has(flagFINSeen) {
		room = min(room, int32(c.rcv.finOff))
	}
	if keep := max(room-off, 0); int(keep) < len(text) {
		text = text[:keep]
		fin = false
	}
	return off, text, fin
}
