package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// onACK takes in what an acceptable segment says about our octets (RFC 9293, 3.10.7.4, fifth).
func (c *Conn) onACK(st *Stack, seg *wire.Segment, now Time) {
	if seg.Ack.Less(c.snd.una) {
		return // a duplicate, overtaken by a later one
	}
	wasClosed := c.snd.wnd == 0
	blocked := c.blockedByWindow()
	sameWindow := !c.updateWindow(seg)
	f := st.of(c)
	if f == nil {
		return // nothing is in flight
	}
	e := &st.ack
	*e = ackEvent{now: micros(now), flight: uint32(c.snd.nxt - c.snd.una), pipe: f.pipe(c), fack: f.rack.fack, used: f.use.filled(&f.win), limited: f.use.limited}
	e.duplicate = sameWindow && seg.Ack == c.snd.una && len(seg.Payload) == 0 && !seg.Flags.Has(wire.FIN)
	c.echoed(seg, now, e)
	if c.has(flagSACK) {
		c.takeSACK(st, f, seg, e)
	}
	if seg.Ack != c.snd.una {
		c.takeACK(st, f, seg.Ack, e)
		c.onProgress(seg.Ack, e)
	} else if e.flight > 0 && wasClosed && !sameWindow {
		// Its silence was the window's doing, not the network's.
		c.snd.backoff = 0
		c.startRTO()
	}
	c.measure(f, e)
	c.adaptReorder(f, e)
	// What the peer's window holds back says as little about the path as what was never written, as long as no queue
	// grows behind it. Linux takes it for all that the path delivers, and BBR then may believe too soon that the path is full.
	if pipe := f.pipe(c); blocked && f.lost == 0 && pipe+f.win.mss <= f.win.cwnd && c.rtt.srtt < c.rtt.least/4*5 {
		f.rate.setAppLimited(pipe)
	}
	wait := c.react(st, f, e, seg)
	c.armFlight(f, e, wait)
	st.end(c)
	if e.acked > 0 && c.state.ourFIN() && c.finSent() && c.snd.una == c.snd.nxt {
		c.onFINAcked()
	}
}

// onProgress moves SND.UNA.
func (c *Conn) onProgress(ack wire.Seq, e *ackEvent) {
	e.acked = uint32(ack - c.snd.una)
	c.snd.una = ack
	c.tmr.mark = c.tick()
	// Only a measurement ends the back-off (RFC 6298, 5.7), but a peer that takes something is not given up for it.
	c.snd.backoff = min(c.snd.backoff, slowBackoff)
	c.tmr.kind = timerNone // RFC 6298, 5.2 and 5.3: started anew if something is left
	c.flags &^= flagProbe | flagTailProbe
}

// armFlight starts the timer that fits what is in flight: the reordering timer if there will be something to
// find in wait µs, else after progress the tail loss probe's or the retransmission timer.
func (c *Conn) armFlight(f *flight, e *ackEvent, wait uint32) {
	switch {
	case c.snd.una == c.snd.nxt:
	case wait > 0:
		c.startTimer(timerReorder, Time(wait)*Microsecond)
	case e.delivered > 0 || c.tmr.kind == timerNone:
		c.startLossTimer(f)
	}
}

// startLossTimer starts the tail loss probe's timer where one is in order and comes first, else the
// retransmission timer.
func (c *Conn) startLossTimer(f *flight) {
	if d := c.probeTimeout(); c.mayProbe(f) && d < c.backedOff() {
		c.startTimer(timerProbe, d)
		return
	}
	c.startRTO()
}

// onFINAcked is RFC 9293, 3.10.7.4, fifth, for the states that wait for it.
func (c *Conn) onFINAcked() {
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		c.startTimer(timerLinger, Time(c.lim.linger)*limitStep)
	case Closing:
		c.enterTimeWait()
	case LastAck:
		c.close()
	}
}

// enterTimeWait starts the 2 MSL time-out, anew if it runs.
func (c *Conn) enterTimeWait() {
	c.state = TimeWait
	c.startTimer(timerTimeWait, Time(c.lim.timeWait)*limitStep)
}

// updateWindow is RFC 9293, 3.10.7.4, fifth, but for what decides first which of two segments is the later
// one: their acknowledgment, as in Linux, and then their sequence number. The RFC has it the other way round,
// and would, when the peer sends old octets again, add the old window to the new SND.UNA: more than the peer
// has offered. SND.WL2 is SND.UNA. It reports whether the window changed.
func (c *Conn) updateWindow(seg *wire.Segment) (changed bool) {
	if seg.Ack == c.snd.una && seg.Seq.Less(c.snd.wl1) {
		return false
	}
	changed = c.snd.wnd != seg.Wnd
	c.snd.wl1 = seg.Seq
	c.snd.wnd = seg.Wnd
	c.snd.maxWnd = max(c.snd.maxWnd, seg.Wnd)
	return changed
}
