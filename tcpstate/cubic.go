package tcpstate

import "math"

// cubic is RFC 9438, with HyStart++ (RFC 9406) to leave slow start. Windows are in segments here, as there.
type cubic struct {
	peak  float64 // W_max
	prior float64 // cwnd before the last reduction, for W_est
	k     float64 // seconds from the beginning of the epoch until the window is peak again
	est   float64 // W_est
	part  float64 // of an octet by which cwnd should be larger
	epoch uint32  // when the current congestion avoidance began, µs
	open  bool    // epoch is valid
	start hystart
}

const (
	cubicC    = 0.4
	cubicBeta = 0.7
	// cubicAlpha makes W_est as aggressive as Reno (RFC 9438, 4.3).
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

func (g *cubic) begin(w *window, m *memory, _, _ uint32) {
	*g = cubic{peak: float64(m.peak) / float64(w.mss)}
	w.restart(m)
}

func (g *cubic) onAck(w *window, e *ackEvent) {
	switch {
	case e.mode != modeOpen && e.mode != modeLoss || e.credit == 0:
	case e.mode == modeOpen && !e.used:
		g.open = false // RFC 9438, 5.8: time in which the application sent little does not count
	case w.cwnd < w.ssthresh:
		g.slowStart(w, e)
	default:
		g.avoid(w, e)
	}
	w.pace(e.left)
}

// RFC 9406, 4.3 paced: L is infinite.
func (g *cubic) slowStart(w *window, e *ackEvent) {
	divisor := uint32(1)
	if g.start.conservative {
		divisor = hystartDivisor
	}
	w.slowStart(e, 1<<10, divisor)
	if e.mode == modeOpen && (g.start.onAck(e) || g.start.train(w, e)) {
		w.ssthresh = w.cwnd
	}
}

// avoid is RFC 9438, 4.2 to 4.5.
func (g *cubic) avoid(w *window, e *ackEvent) {
	mss := float64(w.mss)
	cwnd := float64(w.cwnd) / mss
	acked := float64(e.credit) / mss
	if !g.open {
		g.open, g.epoch, g.est, g.part = true, e.now, cwnd, 0
		g.peak = max(g.peak, cwnd)
		g.k = math.Cbrt((g.peak - cwnd) / cubicC)
	}
	// 4.2: where the window shall be one round trip from now.
	t := float64(e.now-g.epoch+w.srtt)/1e6 - g.k
	target := min(max(g.peak+cubicC*t*t*t, cwnd), 1.5*cwnd)
	alpha := cubicAlpha
	if g.est >= g.prior {
		alpha = 1
	}
	g.est += alpha * acked / cwnd
	grow := (target - cwnd) / cwnd * acked
	if g.est > cwnd+grow {
		grow = g.est - cwnd // 4.3: never slower than Reno
	}
	g.part += grow * mss
	whole := math.Floor(g.part)
	g.part -= whole
	w.cwnd = uint32(min(float64(w.cwnd)+whole, maxCwnd))
}

// onCongestion is RFC 9438, 4.6 and 4.7.
func (g *cubic) onCongestion(w *window) {
	cwnd := float64(w.cwnd) / float64(w.mss)
	g.prior = cwnd
	if cwnd < g.peak {
		g.peak = cwnd * (1 + cubicBeta) / 2
	} else {
		g.peak = cwnd
	}
	w.ssthresh = max(uint32(float64(w.cwnd)*cubicBeta), 2*w.mss)
	g.open = false
}

func (g *cubic) onTimeout(w *window, again bool) {
	if !again {
		g.onCongestion(w)
	}
	g.open = false
	g.start = hystart{}
}

func (g *cubic) onRecovered(w *window) { w.cwnd = w.ssthresh }

func (g *cubic) onUndo(w *window) {
	g.peak = max(g.peak, float64(w.cwnd)/float64(w.mss)) // 4.9
	g.open = false
}

func (g *cubic) keep(w *window, m *memory) {
	m.cwnd, m.ssthresh = w.cwnd, w.ssthresh
	m.peak = uint32(min(g.peak*float64(w.mss), maxCwnd))
}

// hystart leaves slow start when round trips get longer, before anything is lost (RFC 9406, 4.2).
type hystart struct {
	end          uint32 // delivery.delivered at the end of the round
	last, now    uint32 // shortest round trip of the last round and of this one, µs; 0: none
	baseline     uint32 // of the round before conservative slow start
	begun        uint32 // when the round began, µs
	lastAck      uint32 // of the train, µs
	least        uint32 // shortest round trip of all, µs
	samples      uint8
	rounds       uint8 // in conservative slow start
	conservative bool
	open         bool // a round has begun
}

const (
	hystartSamples = 8
	hystartRounds  = 5
	hystartDivisor = 4
	minThreshold   = 4000  // µs
	maxThreshold   = 16000 // µs
	trainGap       = 2000  // µs
	trainWindow    = 16    // segments
)

// onAck reports whether slow start is over.
func (h *hystart) onAck(e *ackEvent) (over bool) {
	if !h.open || int32(e.total-h.end) > 0 { // what was sent in this round begins to arrive
		if h.open && h.conservative {
			if h.rounds++; h.rounds == hystartRounds {
				return true
			}
		}
		h.open, h.end = true, e.total+e.left
		h.begun, h.lastAck = e.now, e.now
		h.last, h.now, h.samples = h.now, 0, 0
	}
	if e.rtt == 0 {
		return false
	}
	if h.now == 0 || e.rtt < h.now {
		h.now = e.rtt
	}
	if h.least == 0 || e.rtt < h.least {
		h.least = e.rtt
	}
	if h.samples++; h.samples < hystartSamples {
		return false
	}
	h.samples = hystartSamples
	switch {
	case h.conservative:
		if h.now < h.baseline {
			h.conservative = false // it was a passing delay
		}
	case h.last != 0 && h.now >= h.last+min(max(h.last/8, minThreshold), maxThreshold):
		h.conservative, h.baseline, h.rounds = true, h.last, 0
	}
	return false
}

// train reports whether the acknowledgments of a round come so densely for half a round trip that the path is about
// full: the other sign of the original HyStart (Ha and Rhee, 2011, 4.1), which Linux heeds. RFC 9406 leaves it to the
// round trips, which tell a round later, when the queue is full.
func (h *hystart) train(w *window, e *ackEvent) bool {
	if !h.open || e.now-h.lastAck > trainGap {
		return false
	}
	h.lastAck = e.now
	return w.cwnd >= trainWindow*w.mss && h.least > 0 && e.now-h.begun > h.least/2
}
