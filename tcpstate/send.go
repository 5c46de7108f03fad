package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// WantsTransmit reports whether PollTransmit would yield a segment now. If it would later, Deadline says when.
func (c *Conn) WantsTransmit(st *Stack, now Time) bool {
	return c.next(st, now).kind != planNone
}

// PollTransmit yields the next segment to be sent, or false. The caller sends every segment that it gets:
// SND.NXT and the timers have moved by then.
func (c *Conn) PollTransmit(st *Stack, now Time, out *Transmit) bool {
	p := c.next(st, now)
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
		c.onSent(st, &p, end, now, out)
	case planRetransmit:
		c.onSentAgain(st, &p, end, now)
	case planProbe:
		c.flags &^= flagProbe
	}
	c.settle()
	return true
}

// inTime reports whether p may go now as far as pacing is concerned. It notes if something waits.
func (c *Conn) inTime(f *flight, p plan, now Time) bool {
	if f == nil || p.n == 0 || p.probe || f.pace.ready(&f.win, now) {
		return true
	}
	c.flags |= flagPaced
	return false
}

// onSent takes in that p, which ends at end, goes out for the first time.
func (c *Conn) onSent(st *Stack, p *plan, end wire.Seq, now Time, out *Transmit) {
	f := st.of(c)
	if f == nil {
		f = st.begin(c, now)
	}
	us := micros(now)
	if c.snd.una == c.snd.nxt {
		f.rate.restart(us)
	}
	st.push(f, c.snd.una, end, us, f.pipe(c)+uint32(end-p.seq))
	c.snd.nxt = end
	f.rec.prrOut += uint32(end - p.seq)
	f.use.sent(&f.win, f.pipe(c), c.snd.una, end)
	c.flags &^= flagProbe
	if p.n > 0 && c.has(flagECN) {
		out.ECT = true
		if c.has(flagCWR) {
			out.Flags |= wire.CWR // RFC 3168, 6.1.2
			c.flags &^= flagCWR
		}
	}
	// As Linux does, the first window of a connection is not paced.
	if out.Off >= initialWindow(f.win.mss) {
		f.pace.sent(&f.win, p.n, now)
	}
	if c.snd.nxt == c.snd.end && f.pipe(c) < f.win.cwnd {
		f.rate.setAppLimited(f.pipe(c))
	}
	c.probed(f, p, false)
	// RFC 8985, 7.2: a probe is put off by each new segment.
	if d := c.probeTimeout(); c.mayProbe(f) && d < c.backedOff() {
		c.startTimer(timerProbe, d)
	}
}

// onSentAgain takes in that p, which ends at end, goes out once more.
func (c *Conn) onSentAgain(st *Stack, p *plan, end wire.Seq, now Time) {
	f := st.of(c)
	c.onRetransmitted(st, f, p.seq, end, now)
	f.pace.sent(&f.win, p.n, now)
	f.use.sent(&f.win, f.pipe(c), c.snd.una, c.snd.nxt)
	c.probed(f, p, true)
	if p.seq == c.snd.una && !p.probe {
		c.startRTO() // a time-out while this is under way would be too early
	}
}

// probed notes that p was a tail loss probe, if it was.
func (c *Conn) probed(f *flight, p *plan, again bool) {
	if !p.probe {
		return
	}
	c.flags &^= flagTailProbe
	f.rack.probing, f.rack.probeAgain, f.rack.probeEnd = true, again, c.snd.nxt
	c.startRTO()
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
	if c.has(flagECE) {
		out.Flags |= wire.ECE
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
