package tcpstate

// What bbr3 knows of the path: a rate and how much may be in flight, each in the long term, from probes, and in the short
// term, from losses between them.

func (g *bbr3) maxBW() uint64 { return max(g.bw[0], g.bw[1]) }

// rate is the draft's bw.
func (g *bbr3) rate() uint64 { return min(g.maxBW(), g.bwShort) }

// bdp is what the path holds at the present rate, times gain.
func (g *bbr3) bdp(gain uint64, w *window) uint32 { return g.bdpAt(g.rate(), gain, w) }

func (g *bbr3) bdpAt(rate, gain uint64, w *window) uint32 {
	if g.minRTT == unlimited {
		return initialWindow(w.mss)
	}
	return uint32(min(rate*uint64(g.minRTT)/1e6*gain/bbrUnit, maxCwnd))
}

// budget makes n large enough for bursts and delayed acknowledgments.
func (g *bbr3) budget(n uint64, w *window) uint32 {
	n = max(n, 3*uint64(min(w.quantum(), 65536)), uint64(bbrMinCwnd*w.mss))
	if g.state == bbr3Up {
		n += 2 * uint64(w.mss)
	}
	return uint32(min(n, maxCwnd))
}

func (g *bbr3) inflight(gain uint64, w *window) uint32 { return g.inflightAt(g.rate(), gain, w) }

func (g *bbr3) inflightAt(rate, gain uint64, w *window) uint32 {
	return g.budget(uint64(g.bdpAt(rate, gain, w)), w)
}

// target is the draft's TargetInflight.
func (g *bbr3) target(w *window) uint32 { return min(g.bdp(bbrUnit, w), w.cwnd) }

func (g *bbr3) probeRTTCwnd(w *window) uint32 { return max(g.bdp(bbrUnit/2, w), bbrMinCwnd*w.mss) }

// withHeadroom leaves others 15 % of what may be in flight in the long term.
func (g *bbr3) withHeadroom(w *window) uint32 {
	if g.inflightLong == unlimited {
		return unlimited
	}
	room := max(w.mss, g.inflightLong/100*15)
	return max(g.inflightLong-min(g.inflightLong, room), bbrMinCwnd*w.mss)
}

// updateSignals is the draft's UpdateLatestDeliverySignals and UpdateCongestionSignals.
func (g *bbr3) updateSignals(w *window, e *ackEvent) {
	s := &e.sample
	g.newRound, g.lossRound = false, false
	if !s.valid {
		return
	}
	g.bwLatest = max(g.bwLatest, s.rate())
	g.inflightLatest = max(g.inflightLatest, s.delivered)
	if int32(s.prior-g.lossRoundEnd) >= 0 {
		g.lossRoundEnd = e.total
		g.lossRound = true
	}
	if int32(s.prior-g.roundEnd) >= 0 {
		g.roundEnd = e.total
		g.sinceUp = min(g.sinceUp+1, 254)
		g.newRound = true
	}
	if rate := s.rate(); rate > 0 && (!s.appLimited || rate >= g.maxBW()) {
		g.bw[0] = max(g.bw[0], rate)
	}
	if !g.lossRound {
		return
	}
	if g.lossy && !g.probing() {
		g.lowerBounds(w)
	}
	g.lossy = false
}

// lowerBounds slows down towards what was delivered in the last round trip, in which something was lost.
func (g *bbr3) lowerBounds(w *window) {
	if g.bwShort == unlimitedRate {
		g.bwShort = g.maxBW()
	}
	if g.inflightShort == unlimited {
		g.inflightShort = w.cwnd
	}
	g.bwShort = max(g.bwLatest, g.bwShort*7/10)
	g.inflightShort = max(g.inflightLatest, g.inflightShort/10*7)
}

// onLoss takes in what was found lost since the last acknowledgment, and marks of congestion, which the draft wants to be taken for
// congestion without saying how: they count as a loss, and while the rate is probed as too many of them (RFC 3168, 5). So does what a tail
// loss probe has mended.
func (g *bbr3) onLoss(w *window, e *ackEvent) {
	marked := e.mode == modeReduce && g.recovery != modeReduce
	if g.lost == e.lostSoFar && !marked {
		return
	}
	g.lost = e.lostSoFar
	if !g.lossy {
		g.lossRoundEnd = e.total
	}
	g.lossy = true
	g.lossEvents = min(g.lossEvents+1, 15)
	switch {
	case !g.probes: // nothing of it was sent to probe the rate
	case e.excess.valid:
		g.tooMuchInFlight(w, e, e.excess.inFlight, e.excess.appLimited)
	case marked:
		g.tooMuchInFlight(w, e, e.sample.inFlight, e.sample.appLimited)
	}
}

// tooMuchInFlight is the draft's HandleInflightTooHigh: a probe has lost too much with n octets in flight.
func (g *bbr3) tooMuchInFlight(w *window, e *ackEvent, n uint32, appLimited bool) {
	g.tooHigh, g.probes = true, false
	if !appLimited {
		g.inflightLong = max(n, g.target(w)/10*7)
	}
	if g.state == bbr3Up {
		g.undoState = bbr3Up
		g.startDown(e.now, e.total)
	}
}

// adaptLongTerm follows what acknowledgments say of the last probe, and lets more be in flight where that was safe. It reports
// whether it has gone on to another state.
func (g *bbr3) adaptLongTerm(w *window, e *ackEvent) bool {
	switch {
	case !g.newRound:
	case g.acks == acksProbeStarting:
		g.acks = acksProbeFeedback
	case g.acks == acksProbeStopping: // the last sample of the probe
		g.probes, g.acks = false, acksInit
		if g.inProbeBW() && !e.sample.appLimited && g.bw[0] > 0 {
			g.bw[1], g.bw[0] = g.bw[0], 0
		}
		if g.inProbeBW() && g.cautious && !g.tooHigh {
			g.startRefill(e.total)
			return true
		}
	}
	if g.inflightLong == unlimited || !e.sample.valid || tooMuch(e.sample.lost, e.sample.inFlight) {
		return false
	}
	g.inflightLong = max(g.inflightLong, e.sample.inFlight)
	if g.state == bbr3Up {
		g.probeUpward(w, e)
	}
	return false
}

// probeUpward lets one segment more be in flight in the first round trip of a probe, two more in the second, four in the third …
func (g *bbr3) probeUpward(w *window, e *ackEvent) {
	if !e.limited || w.cwnd < g.inflightLong {
		return
	}
	g.upAcked += e.delivered
	if steps := g.upAcked / g.perStep; steps > 0 {
		g.upAcked -= steps * g.perStep
		g.inflightLong = min(g.inflightLong+steps*w.mss, maxCwnd)
	}
	if g.newRound {
		g.raiseSlope(w)
	}
}

func (g *bbr3) raiseSlope(w *window) {
	g.perStep = max(w.cwnd>>g.upRounds, w.mss)
	g.upRounds = min(g.upRounds+1, 30)
}

// save keeps what is to be put back if nothing was lost: the draft's SaveStateUponLoss, once for each recovery. As in the draft, with
// each loss of a new round trip, it would forget that a probe has ended for it.
func (g *bbr3) save(w *window) {
	g.saveCwnd(w)
	g.undoState = bbr3None
	g.undoBWShort, g.undoShort, g.undoLong = g.bwShort, g.inflightShort, g.inflightLong
}
