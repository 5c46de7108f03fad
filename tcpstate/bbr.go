package tcpstate

// bbr finds the rate at which the path delivers and the time that it takes when nothing queues, and keeps
// about their product in flight (draft-cardwell-iccrg-bbr-congestion-control-00, as Linux's tcp_bbr has it). It
// does not take single losses for congestion.
type bbr struct {
	bw       [3]bwSample // the best of the last bwRounds round trips: see pushBW
	round    uint32      // number of the round trip
	roundEnd uint32      // it ends with the delivery of what was sent when delivery.delivered was this
	mode     bbrMode
	phase    uint8 // of ProbeBW's cycle
	fullFor  uint8 // round trips without growth
	full     bool  // the path was filled once
	newRound bool
	restart  bool // sending begins after a pause
	conserve bool // in the first round trip of a recovery in which much was lost no more is sent than arrives
	watching bool // in the first round trip of a recovery
	recovery mode // of the last acknowledgment
	seen     bool // a round trip was measured
	timed    bool // doneAt is valid
	probed   bool // a round trip has passed in ProbeRTT

	fullBW   uint64
	minRTT   uint32 // µs; 0: none
	minRTTAt uint32 // µs
	phaseAt  uint32 // µs
	doneAt   uint32 // of ProbeRTT, µs
	prior    uint32 // cwnd before a recovery or ProbeRTT
	losable  uint32 // octets that may still be found lost before conserve; valid with watching
	lost     uint32 // delivery.lost at the last acknowledgment
	random   uint32

	bursts aggregation
}

type bwSample struct {
	rate  uint64 // octets a second
	round uint32
}

type bbrMode uint8

const (
	bbrStartup bbrMode = iota
	bbrDrain
	bbrProbeBW
	bbrProbeRTT
)

const (
	bbrUnit      = 256
	bbrHighGain  = bbrUnit*2885/1000 + 1 // 2/ln 2: the least that doubles the rate in each round trip
	bbrDrainGain = bbrUnit * 1000 / 2885
	bbrCwndGain  = 2 * bbrUnit
	bwRounds     = 10
	minRTTWindow = 10_000_000 // µs
	probeRTTTime = 200_000    // µs
	bbrMinCwnd   = 4          // segments
	extraRounds  = 5
)

var bbrCycle = [8]uint64{bbrUnit * 5 / 4, bbrUnit * 3 / 4, bbrUnit, bbrUnit, bbrUnit, bbrUnit, bbrUnit, bbrUnit}

func (g *bbr) begin(w *window, m *memory, us, random uint32) {
	*g = bbr{minRTT: m.minRTT, minRTTAt: m.minRTTAt, full: m.full, random: random, bursts: aggregation{since: us}}
	if m.bw > 0 {
		g.bw[0] = bwSample{rate: m.bw}
		g.bw[1], g.bw[2] = g.bw[0], g.bw[0]
	}
	if g.full {
		g.enterProbeBW(us)
	}
	g.restart = m.bw > 0
	w.ssthresh, w.steers = maxCwnd, true
	switch {
	case g.restart && g.full:
		w.rate = m.bw // not faster than it was, until acknowledgments come
	case g.restart:
		w.rate = m.bw * bbrHighGain / bbrUnit
	case w.srtt > 0:
		w.rate = uint64(w.cwnd) * 1e6 / uint64(w.srtt) * bbrHighGain / bbrUnit
		g.seen = true
	}
}

func (g *bbr) maxBW() uint64 { return g.bw[0].rate }

// gains returns those of the rate and of the window.
func (g *bbr) gains() (pacing, cwnd uint64) {
	switch g.mode {
	case bbrStartup:
		return bbrHighGain, bbrHighGain
	case bbrDrain:
		return bbrDrainGain, bbrHighGain
	case bbrProbeBW:
		return bbrCycle[g.phase], bbrCwndGain
	}
	return bbrUnit, bbrUnit
}

func (g *bbr) onAck(w *window, e *ackEvent) {
	g.updateBW(e)
	g.bursts.onAck(w, e, g.maxBW(), g.newRound, extraRounds)
	g.updateCycle(w, e)
	g.checkFull(e)
	g.checkDrain(w, e)
	g.updateMinRTT(w, e)
	g.setRate(w)
	g.setCwnd(w, e)
}

func (g *bbr) updateBW(e *ackEvent) {
	g.newRound = false
	s := &e.sample
	if !s.valid || s.interval == 0 {
		return
	}
	if int32(s.prior-g.roundEnd) >= 0 {
		g.roundEnd = e.total
		g.round++
		g.newRound, g.conserve, g.watching = true, false, false
	}
	// A sample that is small for want of octets to send tells nothing, unless it is large.
	if rate := s.rate(); !s.appLimited || rate >= g.maxBW() {
		g.pushBW(bwSample{rate, g.round})
	}
}

// pushBW keeps the best three samples of a sliding window, each of a later round than the one before (Kathleen
// Nichols' algorithm, as in Linux's lib/win_minmax.c).
func (g *bbr) pushBW(s bwSample) {
	b := &g.bw
	if s.rate >= b[0].rate || s.round-b[2].round > bwRounds {
		b[0], b[1], b[2] = s, s, s
		return
	}
	if s.rate >= b[1].rate {
		b[1], b[2] = s, s
	} else if s.rate >= b[2].rate {
		b[2] = s
	}
	age := s.round - b[0].round
	switch {
	case age > bwRounds:
		b[0], b[1], b[2] = b[1], b[2], s
		if s.round-b[0].round > bwRounds {
			b[0], b[1] = b[1], b[2]
		}
	case b[1].round == b[0].round && age > bwRounds/4:
		b[1], b[2] = s, s
	case b[2].round == b[1].round && age > bwRounds/2:
		b[2] = s
	}
}

// inflight is what is in the network when the path is used with gain and a queue of nothing, and bursts.
func (g *bbr) inflight(w *window, gain uint64) uint32 {
	if g.minRTT == 0 {
		return initialWindow(w.mss)
	}
	n := g.maxBW() * uint64(g.minRTT) / 1e6 * gain / bbrUnit
	n += 3 * uint64(min(w.quantum(), 65536))
	if g.mode == bbrProbeBW && g.phase == 0 {
		n += 2 * uint64(w.mss)
	}
	return uint32(min(n, maxCwnd))
}

// updateCycle goes on to the next phase of ProbeBW when it is time.
func (g *bbr) updateCycle(w *window, e *ackEvent) {
	if g.mode != bbrProbeBW {
		return
	}
	whole := e.now-g.phaseAt > g.minRTT
	switch gain := bbrCycle[g.phase]; {
	case gain > bbrUnit: // until the queue that it shall make is there
		whole = whole && (e.lost > 0 || e.pipe >= g.inflight(w, gain))
	case gain < bbrUnit: // until the queue is gone
		whole = whole || e.pipe <= g.inflight(w, bbrUnit)
	}
	if whole {
		g.phase = (g.phase + 1) % 8
		g.phaseAt = e.now
	}
}

// enterProbeBW begins the cycle anywhere but where the queue is drained.
func (g *bbr) enterProbeBW(us uint32) {
	g.random = g.random*1664525 + 1013904223
	g.mode, g.phaseAt = bbrProbeBW, us
	if g.phase = uint8(g.random>>16) % 7; g.phase >= 1 {
		g.phase++
	}
}

// checkFull ends Startup when three round trips have not made the rate grow by a quarter.
func (g *bbr) checkFull(e *ackEvent) {
	if g.full || !g.newRound || e.sample.appLimited {
		return
	}
	if bw := g.maxBW(); bw >= g.fullBW+g.fullBW/4 {
		g.fullBW, g.fullFor = bw, 0
		return
	}
	g.fullFor++
	g.full = g.fullFor >= 3
}

// checkDrain lets the queue of Startup go.
func (g *bbr) checkDrain(w *window, e *ackEvent) {
	if g.mode == bbrStartup && g.full {
		g.mode = bbrDrain
	}
	if g.mode == bbrDrain && e.left <= g.inflight(w, bbrUnit) {
		g.enterProbeBW(e.now)
	}
}

// updateMinRTT looks for the shortest round trip of the last 10 s, and if there was none as short, sends
// almost nothing for a while, so that queues empty.
func (g *bbr) updateMinRTT(w *window, e *ackEvent) {
	expired := g.minRTT != 0 && int32(e.now-g.minRTTAt) > minRTTWindow
	if e.rtt > 0 && (g.minRTT == 0 || e.rtt <= g.minRTT || expired) {
		g.minRTT, g.minRTTAt = e.rtt, e.now
	}
	if expired && !g.restart && g.mode != bbrProbeRTT {
		g.mode, g.timed = bbrProbeRTT, false
		g.saveCwnd(w)
	}
	if g.mode == bbrProbeRTT {
		g.probeRTT(w, e)
	}
	if e.delivered > 0 {
		g.restart = false
	}
}

func (g *bbr) probeRTT(w *window, e *ackEvent) {
	switch {
	case !g.timed && e.left <= bbrMinCwnd*w.mss:
		g.timed, g.doneAt, g.probed = true, e.now+probeRTTTime, false
		g.roundEnd = e.total
	case g.timed:
		g.probed = g.probed || g.newRound
		if g.probed && int32(e.now-g.doneAt) > 0 {
			g.minRTTAt = e.now
			w.cwnd = max(w.cwnd, g.prior)
			if g.mode = bbrStartup; g.full {
				g.enterProbeBW(e.now)
			}
		}
	}
}

// setRate leaves 1 % of the rate, so that queues go in time.
func (g *bbr) setRate(w *window) {
	pacing, _ := g.gains()
	if !g.seen && w.srtt > 0 {
		g.seen = true
		w.rate = uint64(w.cwnd) * 1e6 / uint64(w.srtt) * bbrHighGain / bbrUnit
	}
	if rate := g.maxBW() * pacing / bbrUnit * 99 / 100; rate > 0 && (g.full || rate > w.rate) {
		w.rate = rate
	}
}

func (g *bbr) setCwnd(w *window, e *ackEvent) {
	if e.delivered > 0 && !g.recoverCwnd(w, e) {
		_, gain := g.gains()
		target := g.inflight(w, gain) + g.aggregated()
		switch {
		case g.full:
			w.cwnd = min(w.cwnd+e.delivered, target)
		case w.cwnd < target || e.total < initialWindow(w.mss):
			w.cwnd = min(w.cwnd+e.delivered, maxCwnd)
		}
		w.cwnd = max(w.cwnd, bbrMinCwnd*w.mss)
	}
	if g.mode == bbrProbeRTT {
		w.cwnd = min(w.cwnd, bbrMinCwnd*w.mss)
	}
}

// aggregated is what the window is larger by, because acknowledgments come in bursts.
func (g *bbr) aggregated() uint32 {
	if !g.full {
		return 0
	}
	return g.bursts.extra(g.maxBW())
}

// recoverCwnd keeps to what arrives for the first round trip of a recovery, and reports whether it has set cwnd. Linux does so whenever
// anything is lost; here it must be an eighth of the window, as when a queue overflows. What a path loses otherwise does not go away
// by sending less, and draft-ietf-ccwg-bbr has no such round trip at all.
func (g *bbr) recoverCwnd(w *window, e *ackEvent) bool {
	was := g.recovery
	g.recovery = e.mode
	if e.mode == modeRecovery && was != modeRecovery {
		g.watching, g.losable = true, g.prior/8
		g.roundEnd = e.total
	}
	if e.lost > 0 {
		w.cwnd = max(w.cwnd-min(w.cwnd, e.lost), w.mss)
	}
	found := e.lostSoFar - g.lost // also by the reordering timer
	g.lost = e.lostSoFar
	if g.watching && found > g.losable {
		g.watching, g.conserve = false, true
		w.cwnd = e.left + e.delivered
	}
	g.losable -= min(g.losable, found)
	if was >= modeRecovery && e.mode < modeRecovery {
		w.cwnd = max(w.cwnd, g.prior)
		g.conserve, g.watching = false, false
	}
	if g.conserve {
		w.cwnd = max(w.cwnd, e.left+e.delivered)
	}
	return g.conserve
}

func (g *bbr) saveCwnd(w *window) {
	if g.recovery < modeRecovery && g.mode != bbrProbeRTT {
		g.prior = w.cwnd
	} else {
		g.prior = max(g.prior, w.cwnd)
	}
}

func (g *bbr) onCongestion(w *window) { g.saveCwnd(w) }

func (g *bbr) onTimeout(w *window, _ bool) {
	g.saveCwnd(w)
	g.recovery = modeLoss
	g.watching = false
	g.fullBW = 0
	g.newRound = true
}

func (g *bbr) onRecovered(*window) {}

func (g *bbr) onUndo(*window) { g.fullBW, g.fullFor = 0, 0 }

func (g *bbr) keep(w *window, m *memory) {
	m.cwnd, m.ssthresh = w.cwnd, w.ssthresh
	if g.mode == bbrProbeRTT || g.recovery >= modeRecovery {
		m.cwnd = max(m.cwnd, g.prior)
	}
	m.bw, m.minRTT, m.minRTTAt, m.full = g.maxBW(), g.minRTT, g.minRTTAt, g.full
}
