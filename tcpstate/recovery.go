package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// recovery is where a connection stands between a loss, or another sign of congestion, and its end: RACK and
// PRR with SACK, NewReno (RFC 6582) without, slow start after a time-out (RFC 5681, 3.1).
type recovery struct {
	recover   wire.Seq // SND.NXT when it began: RecoveryPoint of RFC 6675, recover of RFC 6582
	dupOctets uint32   // without SACK: what duplicate acknowledgments say has left the network
	dupAcks   uint8
	mode      mode
	frto      frto

	// PRR (RFC 6937).
	prrDelivered, prrOut, prrFlight uint32

	// To undo it, if it was for nothing.
	undo          bool
	undoAt        uint32 // when the first octet was sent again, ms; valid with sentAgain
	undoLeft      int32  // how many retransmissions the peer has not yet reported as superfluous
	sentAgain     bool
	priorCwnd     uint32
	priorSsthresh uint32
}

const dupThresh = 3

type mode uint8

const (
	modeOpen     mode = iota
	modeReduce        // congestion was reported by ECN: like recovery, with nothing to send again
	modeRecovery      // a loss was found by acknowledgments; over when SND.UNA reaches recover
	modeLoss          // the retransmission timer has expired; over likewise
)

// frto is where F-RTO (RFC 5682) stands after a time-out.
type frto uint8

const (
	frtoOff   frto = iota
	frtoFirst      // the first octets were sent again
	frtoNew        // an acknowledgment came, and new octets go instead of more retransmissions
)

// findsLoss reports whether, without SACK, it is time for fast retransmit (RFC 5681, 3.2). Duplicates of
// what went before the last recovery don't count (RFC 6582, 3.2, step 2).
func (r *recovery) findsLoss(una wire.Seq) bool { return r.dupAcks >= dupThresh && r.recover.Less(una) }

// enter begins mode m.
func (c *Conn) enter(st *Stack, f *flight, m mode, e *ackEvent) {
	r := &f.rec
	if r.mode == modeOpen {
		r.priorCwnd, r.priorSsthresh = f.win.cwnd, f.win.ssthresh
		r.undo, r.undoLeft = true, st.againOut(f)
		// What was sent again before, and is on its way, must not pass for an original that was only late.
		r.sentAgain = r.sentAgain && r.undoLeft > 0
	}
	again := r.mode == modeLoss
	r.mode = m
	r.recover = c.snd.nxt
	// RFC 6937 as revised, 6.1: RecoverFS, with what this acknowledgment has taken from it.
	r.prrDelivered, r.prrOut, r.prrFlight = 0, 0, uint32(c.snd.nxt-c.snd.una)+e.acked
	e.mode = m
	if m == modeLoss {
		st.controller(c).onTimeout(&f.win, again)
		return
	}
	st.controller(c).onCongestion(&f.win)
}

// againOut counts the runs that were sent again and are not known to have arrived.
func (st *Stack) againOut(f *flight) (n int32) {
	for i := f.head; i != 0; i = st.runs[i].next {
		if r := &st.runs[i]; r.has(runAgain) && !r.has(runSACKed) {
			n++
		}
	}
	return n
}

// react is what follows from an acknowledgment once everything that it tells has been entered.
// It returns after how many µs a further look may find a loss, 0 for never.
func (c *Conn) react(st *Stack, f *flight, e *ackEvent, seg *wire.Segment) (wait uint32) {
	r := &f.rec
	if c.tryUndo(st, f, e) {
		r.mode = modeOpen
	}
	unmended := false
	if r.mode != modeOpen && r.recover.LessEq(c.snd.una) {
		c.leave(st, f)
		unmended = c.has(flagSACK) && st.againOut(f) > 0
	}
	if mended := c.endProbe(f, e, seg); mended && r.mode == modeOpen {
		c.enter(st, f, modeReduce, e)
	}
	switch {
	case !c.has(flagSACK):
		c.countDuplicates(st, f, e)
	case e.delivered > 0: // else there is nothing new to conclude from
		wait = c.rackDetect(st, f, e)
	}
	switch {
	// What was found lost meanwhile, of what was sent since that recovery began, is the next one's, also if it was sent
	// again already, as in Linux.
	case (f.lost > 0 || unmended) && r.mode < modeRecovery:
		c.enter(st, f, modeRecovery, e)
	case r.mode == modeOpen && seg.Flags.Has(wire.ECE) && c.has(flagECN):
		c.enter(st, f, modeReduce, e) // RFC 3168, 6.1.2
		c.flags |= flagCWR
	}
	e.mode = r.mode
	e.credit = e.acked
	switch {
	// Where segments overtake each other, holes are no news, and what comes behind them counts at once: as in Linux.
	case f.rack.reordering && c.has(flagSACK):
		e.credit = e.delivered
	case r.mode == modeLoss && e.acked > 0:
		e.credit = e.delivered
	}
	e.left, e.total = f.pipe(c), f.rate.delivered
	e.sample.finish(&f.rate, e.now, c.rtt.least)
	e.lostSoFar, e.excess, f.rate.excess = f.rate.lost, f.rate.excess, excess{}
	st.controller(c).onAck(&f.win, e)
	if !f.win.steers && (r.mode == modeReduce || r.mode == modeRecovery) {
		r.prr(&f.win, e)
	}
	return wait
}

// leave ends a recovery.
func (c *Conn) leave(st *Stack, f *flight) {
	r := &f.rec
	if r.mode == modeRecovery || r.mode == modeReduce {
		st.controller(c).onRecovered(&f.win)
	}
	if r.mode != modeReduce {
		f.rack.onRecoveryOver()
	}
	r.mode, r.frto = modeOpen, frtoOff // a DSACK may still undo it
	r.dupAcks, r.dupOctets = 0, 0
}

// prr is RFC 6937 with the heuristic of its revision, 6.2: as much is sent as has arrived, in the proportion
// in which the window shrinks, and if too little is in flight, one segment more for each acknowledgment that
// brings progress without a further loss.
func (r *recovery) prr(w *window, e *ackEvent) {
	r.prrDelivered += e.delivered
	var n int64
	if e.left > w.ssthresh {
		n = int64(r.prrDelivered)*int64(w.ssthresh)/int64(max(r.prrFlight, 1)) - int64(r.prrOut)
		if mss := int64(w.mss); n > 0 {
			n = (n + mss - 1) / mss * mss // whole segments
		}
	} else {
		limit := max(int64(r.prrDelivered)-int64(r.prrOut), int64(e.delivered))
		if e.acked > 0 && e.lost == 0 {
			limit += int64(w.mss)
		}
		n = min(int64(w.ssthresh)-int64(e.left), limit)
	}
	// The fast retransmit itself, and that of each further hole (RFC 6582, 3.2, step 3), is not held up.
	if r.prrOut == 0 || e.partial {
		n = max(n, int64(w.mss))
	}
	w.cwnd = e.left + uint32(max(n, 0))
}

// countDuplicates finds losses without SACK: RFC 5681, 3.2 and RFC 6582, 3.2.
func (c *Conn) countDuplicates(st *Stack, f *flight, e *ackEvent) {
	r, mss := &f.rec, f.win.mss
	switch {
	case e.acked > 0 && r.mode == modeRecovery:
		// RFC 6582, 3.2, step 3, partial acknowledgments: the next hole begins here. Of the duplicates, as
		// many as were acknowledged now no longer stand for anything in flight.
		r.dupOctets -= min(r.dupOctets, e.acked-min(e.acked, mss))
		e.delivered, e.partial = min(e.acked, mss), true
		c.markHeadLost(st, f, e)
	case e.acked > 0:
		r.dupAcks, r.dupOctets = 0, 0
		if r.mode == modeOpen {
			r.recover = wire.MaxSeq(r.recover, c.snd.una-1)
		}
	case e.flight == 0 || !e.duplicate:
	default:
		r.dupAcks = min(r.dupAcks, 0xfe) + 1
		room := f.pipe(c)
		n := min(mss, room-min(room, mss)) // the first segment itself has not arrived
		r.dupOctets += n
		e.delivered += n
		// After a time-out what was sent again causes duplicates, which say nothing.
		if r.mode < modeRecovery && r.findsLoss(c.snd.una) {
			c.markHeadLost(st, f, e)
		}
	}
}

// markHeadLost marks the first segment in flight as lost.
func (c *Conn) markHeadLost(st *Stack, f *flight, e *ackEvent) {
	if f.head == 0 {
		return
	}
	end := wire.MinSeq(c.snd.una.Add(f.win.mss), c.snd.nxt)
	if end.Less(st.runs[f.head].end) && !st.split(f, f.head, end) {
		return
	}
	if r := &st.runs[f.head]; !r.has(runLost) {
		f.markLost(r, c.snd.una, e)
		f.rec.dupOctets = min(f.rec.dupOctets, uint32(c.snd.nxt-c.snd.una)-f.lost)
	}
}

// onRTO takes in that the retransmission timer has expired (RFC 6298, 5.4 to 5.7).
func (c *Conn) onRTO(st *Stack, f *flight, now Time) {
	if c.snd.window() == 0 {
		c.flags |= flagProbe // the peer has taken its window back
		return
	}
	e := &st.ack
	*e = ackEvent{now: micros(now), flight: uint32(c.snd.nxt - c.snd.una), pipe: f.pipe(c)}
	r := &f.rec
	first := r.mode != modeLoss
	c.enter(st, f, modeLoss, e)
	st.markAllLost(c, f, e)
	r.dupAcks, r.dupOctets = 0, 0
	r.frto = frtoOff
	if first {
		r.frto = frtoFirst
	}
	f.rack.probing = false
	c.suspectMTU(st, f, now)
	f.win.cwnd = f.pipe(c) + f.win.mss
}

// onRetransmitted notes that [seq, end) goes out once more.
func (c *Conn) onRetransmitted(st *Stack, f *flight, seq, end wire.Seq, now Time) {
	r := &f.rec
	if !r.sentAgain {
		r.sentAgain, r.undoAt = true, c.nowLow
	}
	r.undoLeft++
	r.prrOut += uint32(end - seq)
	st.again(c, f, seq, end, micros(now))
}

// tryUndo takes the reduction of the window back if nothing was lost, and reports whether it did.
func (c *Conn) tryUndo(st *Stack, f *flight, e *ackEvent) bool {
	r := &f.rec
	if e.dsack && r.undo && r.sentAgain {
		r.undoLeft--
	}
	switch {
	case !r.undo || r.mode == modeReduce:
		return false
	// RFC 2883, 5 and RFC 3708: each retransmission was superfluous, as it turns out now or later.
	case e.dsack && r.sentAgain && r.undoLeft <= 0:
	case r.mode == modeOpen:
		return false
	// RFC 5682, 3.1, step 3: octets arrived that were sent before the time-out, and only then.
	case r.frto != frtoOff && e.original && e.delivered > 0:
	// What was taken for lost has arrived before it was sent again.
	case e.acked > 0 && !r.sentAgain && f.lost == 0 && r.mode == modeRecovery:
	// RFC 3522 (Eifel): what is acknowledged was there before it was sent again.
	case e.acked > 0 && e.tsok && r.sentAgain && int32(c.nowLow-e.echo-r.undoAt) < 0:
	default:
		c.advanceFRTO(f, e)
		return false
	}
	if r.mode != modeLoss {
		f.rack.reordering = true // as Linux concludes: what filled the hole was only late
	}
	st.unmarkLost(f)
	f.win.cwnd = max(f.win.cwnd, r.priorCwnd)
	f.win.ssthresh = max(f.win.ssthresh, r.priorSsthresh)
	st.controller(c).onUndo(&f.win)
	c.snd.backoff = 0
	r.undo, r.frto = false, frtoOff
	r.dupAcks, r.dupOctets = 0, 0
	return true
}

// advanceFRTO is RFC 5682, 3.1, step 2: progress lets new octets go, a duplicate ends the doubt.
func (c *Conn) advanceFRTO(f *flight, e *ackEvent) {
	switch {
	case f.rec.mode != modeLoss || f.rec.frto == frtoOff:
	case e.acked > 0 && f.rec.frto == frtoFirst:
		f.rec.frto = frtoNew
	default:
		f.rec.frto = frtoOff
	}
}

// nextLost returns what of the lost octets is sent next.
func (c *Conn) nextLost(st *Stack, f *flight) plan {
	lo, hi := st.firstLost(c, f)
	return c.resend(lo, hi)
}

// onReorderTimer looks again for what is lost by now (RFC 8985, 6.3).
func (c *Conn) onReorderTimer(st *Stack, f *flight, now Time) {
	e := &st.ack
	*e = ackEvent{now: micros(now), flight: uint32(c.snd.nxt - c.snd.una), pipe: f.pipe(c)}
	wait := c.rackDetect(st, f, e)
	if f.lost > 0 && f.rec.mode < modeRecovery {
		c.enter(st, f, modeRecovery, e)
	}
	e.left = f.pipe(c)
	if !f.win.steers && f.rec.mode == modeRecovery {
		f.rec.prr(&f.win, e)
	}
	c.startRTO()
	if wait > 0 {
		c.startTimer(timerReorder, Time(wait)*Microsecond)
	}
}
