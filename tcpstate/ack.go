package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// onACK takes in what an acceptable segment says about our octets (RFC 9293, 3.10.7.4, fifth).
func (c *Conn) onACK(seg *wire.Segment, now Time) {
	if seg.Ack.Less(c.snd.una) {
		return // a duplicate, overtaken by a later one
	}
	flight := uint32(c.snd.nxt - c.snd.una)
	sacked := c.has(flagSACK) && seg.Options.NSACK > 0 && c.takeSACK(seg)
	wasClosed := c.snd.wnd == 0
	sameWindow := !c.updateWindow(seg)
	if seg.Ack == c.snd.una {
		if flight > 0 && wasClosed && !sameWindow {
			// Its silence was the window's doing, not the network's.
			c.snd.backoff = 0
			c.startRTO()
		}
		if flight > 0 && c.isDuplicate(seg, sacked, sameWindow) {
			c.onDuplicateACK()
		}
		return
	}
	n := uint32(seg.Ack - c.snd.una)
	c.snd.una = seg.Ack
	c.rec.forgetBelow(seg.Ack)
	c.endTiming(seg, now)
	c.tmr.mark = c.tick()
	c.tmr.kind = timerNone // RFC 6298, 5.2 and 5.3: arm starts it anew if something is left
	c.flags &^= flagProbe
	c.onNewACK(n, flight)
	if c.state.ourFIN() && c.finSent() && c.snd.una == c.snd.nxt {
		c.onFINAcked()
	}
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

// isDuplicate reports whether seg, which acknowledges SND.UNA once more, says that a later segment arrived.
func (c *Conn) isDuplicate(seg *wire.Segment, sacked, sameWindow bool) bool {
	if c.has(flagSACK) {
		return sacked // RFC 6675, 2
	}
	return len(seg.Payload) == 0 && !seg.Flags.Has(wire.FIN) && sameWindow // RFC 5681, 2
}
