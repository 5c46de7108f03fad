package tcpstate

import "testing"

// bbrPath is a path with a rate and a round trip, on which as much is in flight as the window allows. It has no queue
// but what the window makes.
type bbrPath struct {
	g      bbr
	w      window
	e      ackEvent
	m      memory
	rate   uint64 // octets a second
	minRTT uint32 // µs
}

func newBBRPath(rate uint64, minRTT uint32) *bbrPath {
	p := &bbrPath{rate: rate, minRTT: minRTT, w: window{cwnd: 10_000, ssthresh: maxCwnd, mss: 1000, srtt: minRTT}}
	p.m.init(1000)
	p.e.now = 1
	p.g.begin(&p.w, &p.m, p.e.now, 12345)
	return p
}

// round lets a round trip pass in which the window is delivered, segment by segment.
func (p *bbrPath) round() {
	inFlight := min(p.w.cwnd, uint32(p.w.rate*uint64(p.rtt())/1e6)+p.w.mss)
	rtt := p.rtt()
	prior := p.e.total
	n := max(inFlight/p.w.mss, 1)
	for range n {
		p.e.now += max(rtt/n, uint32(uint64(p.w.mss)*1e6/p.rate))
		p.e.total += p.w.mss
		p.e.acked, p.e.delivered, p.e.rtt = p.w.mss, p.w.mss, rtt
		p.e.flight, p.e.pipe, p.e.left = inFlight, inFlight, inFlight
		p.e.sample = rateSample{valid: true, prior: prior, delivered: inFlight, interval: max(rtt, uint32(uint64(inFlight)*1e6/p.rate))}
		p.g.onAck(&p.w, &p.e)
	}
}

// rtt is the round trip with the queue that the window makes.
func (p *bbrPath) rtt() uint32 {
	return max(p.minRTT, uint32(uint64(p.w.cwnd)*1e6/p.rate))
}

// Startup doubles until the rate no longer grows, Drain empties the queue, ProbeBW goes round.
func TestBBRPhases(t *testing.T) {
	p := newBBRPath(5_000_000, 40_000)
	modes := []bbrMode{p.g.mode}
	phases := map[uint8]bool{}
	for range 200 {
		p.round()
		if m := p.g.mode; m != modes[len(modes)-1] {
			modes = append(modes, m)
		}
		if p.g.mode == bbrProbeBW {
			phases[p.g.phase] = true
		}
	}
	if len(modes) < 3 || modes[0] != bbrStartup || modes[1] != bbrDrain || modes[2] != bbrProbeBW {
		t.Fatalf("modes %v", modes)
	}
	if len(phases) != 8 {
		t.Errorf("phases %v of the cycle", phases)
	}
	if bw := p.g.maxBW(); bw < 4_800_000 || bw > 5_200_000 {
		t.Errorf("rate %d", bw)
	}
	// Twice what the path holds, and some for bursts.
	if bdp := uint32(200_000); p.w.cwnd < bdp || p.w.cwnd > 3*bdp {
		t.Errorf("cwnd %d", p.w.cwnd)
	}
}

// When no round trip was as short for 10 s, four segments are in flight for 200 ms; then the window is as before.
func TestBBRProbeRTT(t *testing.T) {
	p := newBBRPath(5_000_000, 40_000)
	for range 100 {
		p.round()
	}
	p.minRTT = 60_000 // the path has become longer
	before := p.w.cwnd
	seen := false
	for begin := p.e.now; p.e.now-begin < 12_000_000; {
		p.round()
		if p.g.mode == bbrProbeRTT && p.w.cwnd <= 4000 {
			seen = true
		}
	}
	if !seen {
		t.Fatal("never in ProbeRTT")
	}
	if p.g.mode == bbrProbeRTT || p.w.cwnd < before/2 {
		t.Errorf("mode %d, cwnd %d, before %d", p.g.mode, p.w.cwnd, before)
	}
	if p.g.minRTT < 60_000 {
		t.Errorf("minRTT %d is of a path that is no more", p.g.minRTT)
	}
}

// A sample that is small for want of octets to send does not make the estimate smaller; one that is large counts.
func TestBBRAppLimitedSamples(t *testing.T) {
	p := newBBRPath(5_000_000, 40_000)
	for range 50 {
		p.round()
	}
	bw := p.g.maxBW()
	for range 30 {
		p.e.now += 40_000
		p.e.total += 1000
		p.e.sample = rateSample{valid: true, appLimited: true, prior: p.e.total - 1000, delivered: 1000, interval: 40_000}
		p.g.onAck(&p.w, &p.e)
	}
	if p.g.maxBW() != bw {
		t.Errorf("rate %d, was %d", p.g.maxBW(), bw)
	}
	p.e.sample = rateSample{valid: true, appLimited: true, prior: p.e.total, delivered: 400_000, interval: 40_000}
	if p.g.onAck(&p.w, &p.e); p.g.maxBW() != 10_000_000 {
		t.Errorf("rate %d", p.g.maxBW())
	}
}

// The best of ten rounds: against the obvious way.
func TestBBRMaxFilter(t *testing.T) {
	r := random(t, 11)
	var g bbr
	var all []bwSample
	for round := uint32(1); round < 2000; round++ {
		s := bwSample{rate: uint64(r.IntN(1000)), round: round}
		all = append(all, s)
		g.pushBW(s)
		best := uint64(0)
		for _, old := range all[max(0, len(all)-bwRounds-1):] {
			best = max(best, old.rate)
		}
		// It keeps three samples, so what it says may be of a few rounds less than ten, never of more.
		if got := g.maxBW(); got > best || got < s.rate {
			t.Fatalf("round %d: %d, best of the last rounds is %d", round, got, best)
		}
	}
}

// A rate that is no more is forgotten after ten round trips, or little more.
func TestBBRForgets(t *testing.T) {
	var g bbr
	g.pushBW(bwSample{1000, 1})
	for round := uint32(2); round <= 14; round++ {
		g.pushBW(bwSample{500, round})
		if got := g.maxBW(); got != 1000 && round <= 11 || got != 500 && round > 13 {
			t.Errorf("round %d: %d", round, got)
		}
	}
}

// What was learnt outlasts a pause, in which nothing is in flight.
func TestBBRRemembers(t *testing.T) {
	p := newBBRPath(5_000_000, 40_000)
	for range 50 {
		p.round()
	}
	p.g.keep(&p.w, &p.m)
	var g bbr
	w := window{cwnd: p.m.cwnd, mss: 1000, srtt: 40_000}
	g.begin(&w, &p.m, p.e.now+1_000_000, 1)
	if g.mode != bbrProbeBW || g.maxBW() != p.g.maxBW() || g.minRTT != p.g.minRTT || w.rate != p.g.maxBW() {
		t.Errorf("mode %d, rate %d, minRTT %d, pacing %d", g.mode, g.maxBW(), g.minRTT, w.rate)
	}
}

// Where an eighth of the window is lost, no more goes out in the first round of a recovery than arrives, also if it is found bit by bit; where
// less is, the window stays. At the end it is what it was.
func TestBBRRecovery(t *testing.T) {
	for _, c := range []struct {
		name   string
		losses []uint32
		timer  uint32 // what the reordering timer has found before
		heavy  bool
	}{
		{"a little", []uint32{10_000, 10_000}, 0, false},
		{"much at once", []uint32{60_000}, 0, true},
		{"much, bit by bit", []uint32{20_000, 20_000, 20_000}, 0, true},
		{"much, by the timer", []uint32{0}, 60_000, true},
	} {
		p := newBBRPath(5_000_000, 40_000)
		for range 50 {
			p.round()
		}
		before := p.w.cwnd
		p.g.onCongestion(&p.w)
		p.e.mode, p.e.left, p.e.delivered = modeRecovery, 100_000, 1000
		p.e.lostSoFar = c.timer
		for _, p.e.lost = range c.losses {
			p.e.lostSoFar += p.e.lost
			p.g.onAck(&p.w, &p.e)
		}
		switch cwnd := p.w.cwnd; {
		case c.heavy && cwnd != 101_000:
			t.Errorf("%s: cwnd %d with 100,000 in flight and 1,000 arrived", c.name, cwnd)
		case !c.heavy && (cwnd < before-20_000 || cwnd > before):
			t.Errorf("%s: cwnd %d, before %d", c.name, cwnd, before)
		}
		p.e.mode, p.e.lost = modeOpen, 0
		p.g.onAck(&p.w, &p.e)
		if p.w.cwnd < before-p.w.mss {
			t.Errorf("%s: cwnd %d afterwards, before %d", c.name, p.w.cwnd, before)
		}
	}
}
