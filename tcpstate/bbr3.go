package tcpstate

import "math"

// bbr3 is BBR as draft-ietf-ccwg-bbr has it ("BBRv3"; the working group's text of August 2026): as bbr, but it remembers up to
// what was in flight a probe of the rate lost no more than 2 %, keeps below that, and slows down to what is delivered when
// something is lost between probes. The names of the draft stand behind the fields.
//
// Here is the state machine; what it knows of the path is updated in bbr3_model.go.
//
//	Startup ─▶ Drain ─▶ Down ─▶ Cruise ─▶ Refill ─▶ Up ─▶ Down …      each but Startup, Drain ─▶ ProbeRTT ─▶ Cruise
type bbr3 struct {
	bw             [2]uint64 // max_bw_filter: the best of this cycle and of the one before, octets a second
	fullBW         uint64    // full_bw
	bwLatest       uint64    // bw_latest
	bwShort        uint64    // bw_shortterm
	undoBWShort    uint64
	inflightLatest uint32 // inflight_latest, octets
	inflightLong   uint32 // inflight_longterm
	inflightShort  uint32 // inflight_shortterm
	undoLong       uint32
	undoShort      uint32

	roundEnd     uint32 // next_round_delivered
	lossRoundEnd uint32 // loss_round_delivered
	lost         uint32 // delivery.lost at the last acknowledgment

	minRTT     uint32 // µs; unlimited: none
	minRTTAt   uint32 // µs
	probeMin   uint32 // probe_rtt_min_delay, µs
	probeMinAt uint32 // µs
	doneAt     uint32 // probe_rtt_done_stamp, µs; valid with timed
	cycleAt    uint32 // cycle_stamp, µs
	wait       uint32 // bw_probe_wait, µs
	upAcked    uint32 // bw_probe_up_acked, octets
	perStep    uint32 // probe_up_acked_per_inc, octets
	prior      uint32 // prior_cwnd
	random     uint32

	state, undoState bbr3State
	acks             bbr3Acks
	fullFor          uint8 // full_bw_count
	upRounds         uint8 // bw_probe_up_rounds
	sinceUp          uint8 // rounds_since_probe_up
	drainRounds      uint8 // since the beginning of Drain
	lossEvents       uint8 // acknowledgments that told of losses in this round trip
	recovery         mode  // of the last acknowledgment

	full      bool // full_bw_reached
	fullNow   bool // full_bw_now
	newRound  bool // round_start
	lossRound bool // loss_round_start
	lossy     bool // is_loss_in_round
	probes    bool // is_bw_probe_sample
	tooHigh   bool // prev_probe_too_high
	cautious  bool // prev_probe_precautionary
	restart   bool // idle_restart
	timed     bool
	probed    bool // probe_rtt_round_done
	seen      bool // a round trip was measured

	bursts aggregation
}

type bbr3State uint8

const (
	bbr3None bbr3State = iota
	bbr3Startup
	bbr3Drain
	bbr3Down // of ProbeBW, as the next three
	bbr3Cruise
	bbr3Refill
	bbr3Up
	bbr3ProbeRTT
)

// bbr3Acks is what acknowledgments speak of: the draft's ack_phase.
type bbr3Acks uint8

const (
	acksInit bbr3Acks = iota
	acksRefilling
	acksProbeStarting
	acksProbeFeedback
	acksProbeStopping
)

const (
	bbr3StartupGain  = bbrUnit * 277 / 100
	bbr3ProbeRTTTime = 200_000   // µs
	bbr3ProbeRTTEach = 5_000_000 // µs
	bbr3StartupLoss  = 6         // BBRStartupFullLossCnt
	bbr3MostRounds   = 63        // between probes, for the sake of Reno
	unlimited        = math.MaxUint32
	unlimitedRate    = math.MaxUint64
)

func (g *bbr3) begin(w *window, m *memory, us, random uint32) {
	*g = bbr3{
		minRTT: unlimited, minRTTAt: m.minRTTAt, probeMin: unlimited, probeMinAt: us, full: m.full, random: random, bursts: aggregation{since: us},
		inflightLong: unlimited, inflightShort: unlimited, bwShort: unlimitedRate, perStep: unlimited, state: bbr3Startup, cycleAt: us,
	}
	if m.minRTT > 0 {
		g.minRTT, g.probeMin, g.probeMinAt = m.minRTT, m.minRTT, m.minRTTAt
	}
	if m.peak > 0 {
		g.inflightLong = m.peak
	}
	g.bw[0] = m.bw
	if g.full {
		g.startDown(us, 0)
		g.state = bbr3Cruise // nothing is in flight
	}
	g.restart = m.bw > 0
	w.ssthresh, w.steers = maxCwnd, true
	switch {
	case g.restart && g.full:
		w.rate = m.bw
	case g.restart:
		w.rate = m.bw * bbr3StartupGain / bbrUnit
	case w.srtt > 0:
		w.rate = uint64(w.cwnd) * 1e6 / uint64(w.srtt) * bbr3StartupGain / bbrUnit
		g.seen = true
	}
}

// gains returns those of the rate and of the window, in units of bbrUnit.
func (g *bbr3) gains() (pacing, cwnd uint64) {
	switch g.state {
	case bbr3Startup:
		return bbr3StartupGain, 2 * bbrUnit
	case bbr3Drain:
		return bbrUnit / 2, 2 * bbrUnit
	case bbr3Down:
		return bbrUnit * 9 / 10, 2 * bbrUnit
	case bbr3Up:
		return bbrUnit * 5 / 4, bbrUnit * 9 / 4
	case bbr3ProbeRTT:
		return bbrUnit, bbrUnit / 2
	}
	return bbrUnit, 2 * bbrUnit
}

func (g *bbr3) inProbeBW() bool { return bbr3Down <= g.state && g.state <= bbr3Up }
func (g *bbr3) probing() bool {
	return g.state == bbr3Startup || g.state == bbr3Refill || g.state == bbr3Up
}

func (g *bbr3) onAck(w *window, e *ackEvent) {
	g.onLoss(w, e)
	g.updateSignals(w, e)
	rounds := uint8(1)
	if g.full {
		rounds = extraRounds
	}
	g.bursts.onAck(w, e, g.rate(), g.newRound, rounds)
	g.checkFull(e)
	g.checkStartup(w, e)
	g.checkDrain(w, e)
	g.updateCycle(w, e)
	g.checkProbeRTT(w, e, g.updateMinRTT(e))
	if g.lossRound {
		g.bwLatest, g.inflightLatest = e.sample.rate(), e.sample.delivered
	}
	g.setRate(w)
	g.setCwnd(w, e)
}

func (g *bbr3) resetFull() { g.fullBW, g.fullFor, g.fullNow = 0, 0, false }

// checkFull finds that the rate has not grown by a quarter in three round trips.
func (g *bbr3) checkFull(e *ackEvent) {
	if g.fullNow || !g.newRound || e.sample.appLimited {
		return
	}
	if rate := e.sample.rate(); rate >= g.fullBW+g.fullBW/4 {
		g.resetFull()
		g.fullBW = rate
		return
	}
	g.fullFor++
	g.fullNow = g.fullFor >= 3
	g.full = g.full || g.fullNow
}

// checkStartup ends Startup when the path is full, or loses too much.
func (g *bbr3) checkStartup(w *window, e *ackEvent) {
	if g.state != bbr3Startup {
		return
	}
	if g.lossRound {
		if !g.full && e.mode == modeRecovery && g.lossEvents >= bbr3StartupLoss && tooMuch(e.sample.lost, e.sample.inFlight) {
			g.undoState, g.full = bbr3Startup, true
			g.inflightLong = max(g.bdp(bbrUnit, w), g.inflightLatest)
		}
		g.lossEvents = 0
	}
	if g.full {
		g.state, g.drainRounds = bbr3Drain, 0
	}
}

func (g *bbr3) checkDrain(w *window, e *ackEvent) {
	if g.state != bbr3Drain {
		return
	}
	if g.newRound {
		g.drainRounds++
	}
	if e.left <= g.inflight(bbrUnit, w) || g.drainRounds > 3 {
		g.startDown(e.now, e.total)
	}
}

// startDown lets the queue go that a probe has made, and decides when the next one shall be.
func (g *bbr3) startDown(us, total uint32) {
	g.random = g.random*1664525 + 1013904223
	g.lossy, g.bwLatest, g.inflightLatest = false, 0, 0
	g.perStep = unlimited
	g.sinceUp = uint8(g.random >> 31)
	g.wait = 2_000_000 + g.random>>8%1_000_000
	g.cycleAt = us
	g.acks, g.roundEnd = acksProbeStopping, total
	g.state = bbr3Down
}

// startRefill fills the path without a queue, before a probe makes one.
func (g *bbr3) startRefill(total uint32) {
	g.bwShort, g.inflightShort = unlimitedRate, unlimited
	g.upRounds, g.upAcked = 0, 0
	g.cautious = false
	g.acks, g.roundEnd = acksRefilling, total
	g.state = bbr3Refill
}

func (g *bbr3) startUp(w *window, e *ackEvent) {
	g.acks, g.roundEnd = acksProbeStarting, e.total
	g.resetFull()
	g.fullBW = e.sample.rate()
	g.state = bbr3Up
	g.raiseSlope(w)
}

// updateCycle goes on in ProbeBW.
func (g *bbr3) updateCycle(w *window, e *ackEvent) {
	if !g.full || g.adaptLongTerm(w, e) {
		return
	}
	switch g.state {
	case bbr3Down, bbr3Cruise:
		switch {
		case e.now-g.cycleAt > g.wait || uint32(g.sinceUp) >= min(g.target(w)/w.mss, bbr3MostRounds):
			g.startRefill(e.total)
		case g.state == bbr3Down && e.left <= min(g.withHeadroom(w), g.inflightAt(g.maxBW(), bbrUnit, w)):
			g.state = bbr3Cruise
		}
	case bbr3Refill:
		if g.newRound {
			g.probes = true
			g.startUp(w, e)
		}
	case bbr3Up:
		if g.timeToGoDown(w, e) {
			g.tooHigh = false
			g.startDown(e.now, e.total)
		}
	}
}

func (g *bbr3) timeToGoDown(w *window, e *ackEvent) bool {
	switch {
	case g.tooHigh && e.pipe >= g.inflightLong:
		g.cautious = true
		return true
	case e.limited && w.cwnd >= g.inflightLong: // the bound, not the path, is what the rate does not grow for
		g.resetFull()
		g.fullBW = e.sample.rate()
		return false
	}
	return g.fullNow
}

// updateMinRTT keeps the shortest round trips of the last 5 s and of the last 10 s, and reports whether there was none as
// short for 5 s.
func (g *bbr3) updateMinRTT(e *ackEvent) (expired bool) {
	expired = e.now-g.probeMinAt > bbr3ProbeRTTEach
	if e.rtt > 0 && (e.rtt < g.probeMin || expired) {
		g.probeMin, g.probeMinAt = e.rtt, e.now
	}
	if g.probeMin < g.minRTT || e.now-g.minRTTAt > minRTTWindow {
		g.minRTT, g.minRTTAt = g.probeMin, g.probeMinAt
	}
	return expired
}

// checkProbeRTT lets queues empty, so that the shortest round trip is seen.
func (g *bbr3) checkProbeRTT(w *window, e *ackEvent, expired bool) {
	if expired && !g.restart && g.state != bbr3ProbeRTT {
		g.state, g.timed = bbr3ProbeRTT, false
		g.saveCwnd(w)
		g.acks, g.roundEnd = acksProbeStopping, e.total
	}
	switch {
	case g.state != bbr3ProbeRTT:
	case !g.timed && e.left <= g.probeRTTCwnd(w):
		g.timed, g.doneAt, g.probed = true, e.now+bbr3ProbeRTTTime, false
		g.roundEnd = e.total
	case g.timed:
		g.probed = g.probed || g.newRound
		if g.probed && int32(e.now-g.doneAt) > 0 {
			g.probeMinAt = e.now
			w.cwnd = max(w.cwnd, g.prior)
			g.bwShort, g.inflightShort = unlimitedRate, unlimited
			if g.state = bbr3Startup; g.full {
				g.startDown(e.now, e.total)
				g.state = bbr3Cruise
			}
		}
	}
	if e.delivered > 0 {
		g.restart = false
	}
}

// setRate leaves 1 % of the rate, so that queues go in time.
func (g *bbr3) setRate(w *window) {
	pacing, _ := g.gains()
	if !g.seen && w.srtt > 0 {
		g.seen = true
		w.rate = uint64(w.cwnd) * 1e6 / uint64(w.srtt) * bbr3StartupGain / bbrUnit
	}
	if rate := g.rate() * pacing / bbrUnit * 99 / 100; rate > 0 && (g.full || rate > w.rate) {
		w.rate = rate
	}
}

func (g *bbr3) setCwnd(w *window, e *ackEvent) {
	was := g.recovery
	g.recovery = e.mode
	if was >= modeRecovery && e.mode < modeRecovery {
		w.cwnd = max(w.cwnd, g.prior)
	}
	_, gain := g.gains()
	most := g.budget(uint64(g.bdp(gain, w))+uint64(g.bursts.extra(g.rate())), w)
	switch {
	case g.full:
		w.cwnd = min(w.cwnd+e.delivered, most)
	case w.cwnd < most || e.total < initialWindow(w.mss):
		w.cwnd = min(w.cwnd+e.delivered, maxCwnd)
	}
	if g.state == bbr3ProbeRTT {
		w.cwnd = min(w.cwnd, g.probeRTTCwnd(w))
	}
	bound := uint32(unlimited)
	switch {
	case g.state == bbr3Cruise || g.state == bbr3ProbeRTT:
		bound = g.withHeadroom(w)
	case g.inProbeBW():
		bound = g.inflightLong
	}
	w.cwnd = max(min(w.cwnd, bound, g.inflightShort), bbrMinCwnd*w.mss)
}

func (g *bbr3) saveCwnd(w *window) {
	if g.recovery < modeRecovery && g.state != bbr3ProbeRTT {
		g.prior = w.cwnd
	} else {
		g.prior = max(g.prior, w.cwnd)
	}
}

func (g *bbr3) onCongestion(w *window) { g.save(w) }

func (g *bbr3) onTimeout(w *window, _ bool) {
	g.save(w)
	g.recovery = modeLoss
}

func (g *bbr3) onRecovered(*window) {}

// onUndo is the draft's HandleSpuriousLossDetection; cwnd was put back already.
func (g *bbr3) onUndo(*window) {
	g.lossy = false
	g.resetFull()
	g.bwShort = max(g.bwShort, g.undoBWShort)
	g.inflightShort = max(g.inflightShort, g.undoShort)
	g.inflightLong = max(g.inflightLong, g.undoLong)
	switch {
	case g.undoState == bbr3Startup && g.state != bbr3Startup:
		if g.full = false; g.state != bbr3ProbeRTT {
			g.state = bbr3Startup
		}
	case g.undoState == bbr3Up && g.state != bbr3Up && g.state != bbr3ProbeRTT:
		g.startRefill(g.roundEnd)
	}
	g.undoState = bbr3None
}

func (g *bbr3) keep(w *window, m *memory) {
	m.cwnd, m.ssthresh = w.cwnd, w.ssthresh
	if g.state == bbr3ProbeRTT || g.recovery >= modeRecovery {
		m.cwnd = max(m.cwnd, g.prior)
	}
	m.bw, m.full, m.peak = g.maxBW(), g.full, 0
	if g.inflightLong != unlimited {
		m.peak = g.inflightLong
	}
	if m.minRTT, m.minRTTAt = 0, 0; g.minRTT != unlimited {
		m.minRTT, m.minRTTAt = g.minRTT, g.minRTTAt
	}
}
