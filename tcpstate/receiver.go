package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// receiver is the half of a connection that takes octets in. Positions up to 64 Ki octets from RCV.NXT are
// held as distances.
type receiver struct {
	nxt      wire.Seq // RCV.NXT, the peer's FIN included
	tsRecent uint32   // TS.Recent (RFC 7323, 4.3)
	pending  uint16   // octets before nxt that the caller has not consumed
	adv      uint16   // right edge that we have advertised, less nxt
	unacked  uint16   // nxt less the last acknowledgment sent
	finOff   uint16   // the peer's FIN, less nxt; valid with flagFINSeen
	window   uint16   // Config.Window
	tsAge    uint16   // hour in which tsRecent was set
	ackAt    uint16   // delayed ACK's timer, ms modulo 2¹⁶
	held     [3]struct{ lo, hi uint16 }
	nHeld    uint8 // valid entries of held, which are less nxt, most recent first
	wscale   uint8 // of the windows that we advertise; noWScale: not negotiated
}

func (r *receiver) init(nxt wire.Seq, window uint16, wscale uint8) {
	*r = receiver{nxt: nxt, window: window, adv: window, wscale: wscale}
}

func (r *receiver) boundary(s State) wire.Seq {
	b := r.nxt - wire.Seq(r.pending)
	if s.peerFIN() {
		b--
	}
	return b
}

// lastAck is the last acknowledgment that we sent: Last.ACK.sent of RFC 7323, and RCV.NXT as the peer knows it.
func (r *receiver) lastAck() wire.Seq { return r.nxt - wire.Seq(r.unacked) }

// edge is the right edge of the window that we have advertised.
func (r *receiver) edge() wire.Seq { return r.nxt.Add(uint32(r.adv)) }

// advance moves RCV.NXT by n octets, which must lie in the window.
func (r *receiver) advance(n uint32) {
	r.nxt = r.nxt.Add(n)
	r.adv -= uint16(min(n, uint32(r.adv)))
	r.unacked += uint16(n)
}

// Received says that the n octets from the request boundary on are held without a gap, and spans beyond
// them; of these at most three are told to the peer. It may say less than OnSegment gave: the rest was not
// taken, and the peer sends it again. An ACK of undecided octets is delayed as long as it may.
func (c *Conn) Received(n uint32, spans []wire.Span) {
	c.hold(n, spans)
	c.settle()
}

// Take is Received without spans, and Consume, of n octets.
func (c *Conn) Take(n uint32) {
	c.hold(n, nil)
	c.Consume(n)
}

func (c *Conn) hold(n uint32, spans []wire.Span) {
	if c.state == StateClosed || c.has(flagDiscard) || c.state.peerFIN() {
		return
	}
	if n > uint32(c.rcv.pending) {
		n = min(n, uint32(c.rcv.pending)+uint32(c.rcv.adv))
		if c.has(flagFINSeen) {
			n = min(n, uint32(c.rcv.pending)+uint32(c.rcv.finOff))
		}
		more := n - uint32(c.rcv.pending)
		c.rcv.pending = uint16(n)
		c.advance(more)
		c.delayAck()
	}
	c.rcv.nHeld = 0
	for _, s := range spans {
		lo, hi := s.Lo.Sub(c.rcv.nxt), s.Hi.Sub(c.rcv.nxt)
		if int(c.rcv.nHeld) == len(c.rcv.held) || lo <= 0 || hi <= lo || hi > 0xffff {
			continue
		}
		h := &c.rcv.held[c.rcv.nHeld]
		h.lo, h.hi = uint16(lo), uint16(hi)
		c.rcv.nHeld++
	}
	c.takeFIN()
}

func (c *Conn) advance(n uint32) {
	c.rcv.advance(n)
	if c.has(flagFINSeen) {
		c.rcv.finOff -= uint16(n)
	}
}

// Consume says that the first n pending octets were decided: the request boundary moves behind them, and
// what is sent next acknowledges them.
func (c *Conn) Consume(n uint32) {
	c.rcv.pending -= uint16(min(n, uint32(c.rcv.pending)))
	if c.tmr.phase == phaseReading {
		c.tmr.mark = c.tick() // what is still undecided belongs to another request
	}
	// RFC 9293, 3.8.6.2.2: a window that was too small for a segment has opened again.
	if mss := c.payloadMSS(); uint32(c.rcv.adv) < mss && c.newEdge() != c.rcv.edge() {
		c.flags |= flagAckNow
	}
	c.settle()
}

// Discard gives the undecided octets up and lets all further payload be acknowledged and thrown away.
func (c *Conn) Discard() {
	if c.state == StateClosed {
		return
	}
	c.flags |= flagDiscard
	c.rcv.pending, c.rcv.nHeld = 0, 0
	c.settle()
}

// takeFIN takes the peer's FIN in if it is next (RFC 9293, 3.10.7.4, eighth).
func (c *Conn) takeFIN() {
	if !c.has(flagFINSeen) || c.rcv.finOff != 0 || c.state.peerFIN() {
		return
	}
	c.rcv.advance(1)
	c.rcv.nHeld = 0
	switch c.state {
	case Established:
		c.state = CloseWait
		// What answers the request, or our own FIN, usually follows at once and carries the ACK.
		c.delayAck()
	case FinWait1:
		c.state = Closing
		c.flags |= flagAckNow
	case FinWait2:
		c.enterTimeWait()
		c.flags |= flagAckNow
	}
}

// delayAck makes sure that what was received is acknowledged within ackDelay, and at once if it is two
// full-sized segments (RFC 9293, 3.8.6.3; RFC 5681, 4.2).
func (c *Conn) delayAck() {
	if uint32(c.rcv.unacked) >= 2*c.payloadMSS() {
		c.flags |= flagAckNow
		return
	}
	if !c.has(flagAckTimer) {
		c.flags |= flagAckTimer
		c.rcv.ackAt = uint16(c.tick().after(ackDelay))
	}
}

// newEdge is the right edge that the next segment advertises: what the caller can take, if that is enough
// more than before to be worth saying (RFC 9293, 3.8.6.2.2), and never less than before (RFC 9293, 3.8.6).
func (c *Conn) newEdge() wire.Seq {
	old := c.rcv.edge()
	want := c.rcv.nxt.Add(uint32(c.rcv.window) - min(uint32(c.rcv.pending), uint32(c.rcv.window)))
	if want.Sub(old) >= int32(min(uint32(c.rcv.window)/2, c.payloadMSS())) {
		return want
	}
	return old
}

// advertise returns the window field of a segment that acknowledges ack, and notes what it promises. The
// field is rounded up, since rounding down would take back what was promised before; so the right edge may
// move a little, and RecvBuf takes what it has room for.
func (c *Conn) advertise(ack wire.Seq) uint16 {
	shift := c.rcv.wscale
	if shift == noWScale {
		shift = 0
	}
	wnd := uint32(c.newEdge() - ack)
	field := min((wnd+1<<shift-1)>>shift, 0xffff)
	if edge := ack.Add(field << shift); c.rcv.edge().Less(edge) {
		c.rcv.adv = uint16(min(uint32(edge-c.rcv.nxt), 0xffff))
	}
	return uint16(field)
}
