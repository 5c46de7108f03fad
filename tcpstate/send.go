package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// WantsTransmit reports whether PollTransmit would yield a segment now.
func (c *Conn) WantsTransmit(now Time) bool { return c.next().kind != planNone }

// PollTransmit yields the next segment to be sent, or false. The caller sends every segment that it gets:
// SND.NXT and the timers have moved by then.
func (c *Conn) PollTransmit(now Time, out *Transmit) bool {
	p := c.next()
	if p.kind == planNone {
		return false
	}
	c.setNow(now)
	*out = Transmit{Seq: p.seq, Off: uint32(p.seq - c.snd.iss - 1), Len: p.n, Flags: wire.ACK}
	if p.kind == planRST {
		c.emitReset(out)
		return true
	}
	if p.kind == planACK && c.has(flagSACK) {
		c.putSACK(&out.Options)
	}
	c.putTimestamp(&out.Options)
	c.putACK(out)
	end := p.seq.Add(p.n)
	if p.n > 0 && end == c.snd.end {
		out.Flags |= wire.PSH // RFC 9293, 3.9.1.2: the last segment of what was written
	}
	if p.fin {
		out.Flags |= wire.FIN
		end++
	}
	switch p.kind {
	case planNew:
		c.snd.nxt = end
		c.startTiming(end, now)
		c.flags &^= flagProbe
	case planRetransmit:
		c.onRetransmitted(p.seq, end)
	case planProbe:
		c.flags &^= flagProbe
	}
	c.settle()
	return true
}

// emitReset completes the RST of RFC 9293, 3.10.5.
func (c *Conn) emitReset(out *Transmit) {
	out.Flags = wire.RST | wire.ACK
	out.Ack = c.rcv.nxt
	c.putTimestamp(&out.Options)
	c.flags &^= flagRST
}

func (c *Conn) putTimestamp(o *wire.Options) {
	if c.has(flagTS) {
		o.HasTS = true
		o.TSVal = c.nowLow + c.tsOffset
		o.TSEcr = c.rcv.tsRecent
	}
}

// putACK sets the acknowledgment and window of a segment and notes that they are sent. Octets that are
// undecided are acknowledged only if that is due: until then the connection may be handed over as if they
// had not come yet.
func (c *Conn) putACK(out *Transmit) {
	ack := c.rcv.nxt
	if c.rcv.pending > 0 && !c.has(flagAckNow) {
		ack = wire.MaxSeq(c.rcv.lastAck(), c.Boundary())
	}
	out.Ack = ack
	out.Wnd = c.advertise(ack)
	c.rcv.unacked = uint16(c.rcv.nxt - ack)
	c.flags &^= flagAckNow
	if c.rcv.unacked == 0 {
		c.flags &^= flagAckTimer
	}
}

// putSACK says what is held beyond the acknowledgment, most recent first (RFC 2018, 4).
func (c *Conn) putSACK(o *wire.Options) {
	o.NSACK = c.rcv.nHeld
	for i, h := range c.rcv.held[:c.rcv.nHeld] {
		o.SACK[i] = wire.Span{Lo: c.rcv.nxt.Add(uint32(h.lo)), Hi: c.rcv.nxt.Add(uint32(h.hi))}
	}
}
