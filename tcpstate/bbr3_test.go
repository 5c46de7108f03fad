package tcpstate

import (
	"slices"
	"testing"
)

// bbr3Path is a path with a rate, a round trip and a queue, on which as much is in flight as the window allows: what
// does not fit is lost, and a share of the rest.
type bbr3Path struct {
	g      bbr3
	w      window
	e      ackEvent
	m      memory
	rate   uint64 // octets a second
	minRTT uint32 // µs
	holds  uint32 // octets: path and queue
	loss   uint32 // octets lost of each 1,000
	lost   uint32 // octets, in the last round trip
	states []bbr3State
}

func newBBR3Path(holds uint32) *bbr3Path {
	p := &bbr3Path{rate: 5_000_000, minRTT: 40_000, holds: holds, w: window{cwnd: 10_000, ssthresh: maxCwnd, mss: 1000, srtt: 40_000}}
	p.m.init(1000)
	p.e.now = 1
	p.g.begin(&p.w, &p.m, p.e.now, 12345)
	p.states = append(p.states, p.g.state)
	return p
}

func (p *bbr3Path) bdp() uint32 { return uint32(p.rate * uint64(p.minRTT) / 1e6) }

// round lets a round trip pass in which the window is delivered, segment by segment, or lost.
func (p *bbr3Path) round() {
	sent := p.w.cwnd
	if pacing := uint32(p.w.rate * uint64(p.minRTT) / 1e6); p.w.rate > 0 && p.g.state != bbr3Startup {
		sent = min(sent, max(pacing, 4*p.w.mss))
	}
	inFlight := min(sent, p.holds)
	rtt := max(p.minRTT, uint32(uint64(inFlight)*1e6/p.rate))
	prior, lostBefore := p.e.total, p.e.lostSoFar
	lost := sent - inFlight + inFlight/1000*p.loss
	n := max(inFlight/p.w.mss, 1)
	for i := range n {
		p.e.now += max(rtt/n, 1)
		p.e.total += p.w.mss
		p.e.delivered, p.e.rtt = p.w.mss, rtt
		p.e.pipe, p.e.left = inFlight, inFlight
		p.e.limited = sent == p.w.cwnd
		p.e.lost, p.e.excess = 0, excess{}
		if i < 8 { // spread over some acknowledgments
			p.e.lost = lost / 8
			p.e.lostSoFar += lost / 8
			if tooMuch(p.e.lostSoFar-lostBefore, sent) {
				p.e.excess = excess{inFlight: inFlight, valid: true}
			}
		}
		was := p.e.mode
		if p.e.mode = modeOpen; lost > 0 {
			p.e.mode = modeRecovery
		}
		if was != p.e.mode && lost > 0 {
			p.g.onCongestion(&p.w)
		}
		p.e.sample = rateSample{
			valid: true, prior: prior, delivered: inFlight, interval: rtt, inFlight: sent,
			lost: p.e.lostSoFar - lostBefore + uint32(uint64(p.lost)*uint64(n-i)/uint64(n)),
		}
		p.g.onAck(&p.w, &p.e)
		if s := p.g.state; s != p.states[len(p.states)-1] {
			p.states = append(p.states, s)
		}
	}
	p.lost = lost
}

// until lets round trips pass until the state is s.
func (p *bbr3Path) until(t *testing.T, s bbr3State) {
	t.Helper()
	for range 1000 {
		if p.round(); p.g.state == s {
			return
		}
	}
	t.Fatalf("never in state %d: %v", s, p.states)
}

// Startup finds the rate, Drain empties the queue, so that there is nothing left for Down to do, and ProbeBW goes round.
func TestBBR3Phases(t *testing.T) {
	p := newBBR3Path(1 << 30)
	for range 200 {
		p.round()
	}
	want := []bbr3State{bbr3Startup, bbr3Drain, bbr3Cruise, bbr3Refill, bbr3Up, bbr3Down, bbr3Cruise}
	if len(p.states) < len(want) || !slices.Equal(p.states[:len(want)], want) {
		t.Fatalf("states %v, want %v", p.states, want)
	}
	if bw := p.g.maxBW(); bw < 4_800_000 || bw > 5_200_000 {
		t.Errorf("rate %d", bw)
	}
	if p.w.cwnd < p.bdp() || p.w.cwnd > 3*p.bdp() {
		t.Errorf("cwnd %d, the path holds %d", p.w.cwnd, p.bdp())
	}
	if p.g.inflightLong != unlimited {
		t.Errorf("nothing was lost, but no more than %d may be in flight", p.g.inflightLong)
	}
}

// A probe that overflows the queue teaches how much may be in flight; in Cruise, 15 % of that are left to others.
func TestBBR3RemembersWhatWasTooMuch(t *testing.T) {
	p := newBBR3Path(1 << 30)
	p.until(t, bbr3Refill)
	p.holds = p.bdp() * 11 / 10
	p.until(t, bbr3Down)
	if long := p.g.inflightLong; long < p.bdp()*7/10 || long > p.bdp()*5/4 {
		t.Fatalf("%d may be in flight, the path and its queue hold %d", long, p.holds)
	}
	if !p.g.tooHigh {
		t.Error("the probe was not too high")
	}
	p.until(t, bbr3Cruise)
	if p.round(); p.w.cwnd > p.g.inflightLong*86/100 {
		t.Errorf("cwnd %d in Cruise, %d may be in flight", p.w.cwnd, p.g.inflightLong)
	}
	// The next probe ends as soon as so much is in flight, and if nothing was lost another follows at once, which goes further.
	bound := p.g.inflightLong
	p.holds = 1 << 30
	p.until(t, bbr3Up)
	p.until(t, bbr3Refill)
	if got := p.states[len(p.states)-3:]; !slices.Equal(got, []bbr3State{bbr3Up, bbr3Down, bbr3Refill}) {
		t.Errorf("after a cautious probe: %v", got)
	}
	for range 100 {
		p.round()
	}
	if p.g.inflightLong <= bound {
		t.Errorf("%d may be in flight, as before", p.g.inflightLong)
	}
}

// What is lost between probes slows down to what is delivered, by 30 % at most for a round trip; the next probe forgets it.
func TestBBR3SlowsDownBetweenProbes(t *testing.T) {
	p := newBBR3Path(1 << 30)
	p.until(t, bbr3Cruise)
	before := p.g.rate()
	p.loss = 30
	p.rate /= 10
	for range 3 {
		p.round()
	}
	if now := p.g.rate(); p.g.state != bbr3Cruise || now >= before || now < before/3 {
		t.Errorf("state %d: rate %d, before %d", p.g.state, now, before)
	}
	if p.w.rate > p.g.bwShort {
		t.Errorf("paced at %d", p.w.rate)
	}
	p.loss, p.rate = 0, p.rate*10
	p.until(t, bbr3Refill)
	if p.g.bwShort != unlimitedRate || p.g.inflightShort != unlimited {
		t.Errorf("short-term bounds %d, %d in Refill", p.g.bwShort, p.g.inflightShort)
	}
}

// Startup ends when more than 2 % are lost in a round trip, in six places.
func TestBBR3LeavesStartupForLosses(t *testing.T) {
	for loss, leaves := range map[uint32]bool{10: false, 60: true} {
		p := newBBR3Path(1 << 30)
		p.rate *= 1000 // never full
		for range 7 {
			p.round()
		}
		p.loss = loss
		for range 2 {
			p.round()
		}
		if left := p.g.state != bbr3Startup; left != leaves || left && p.g.inflightLong == unlimited {
			t.Errorf("%d of 1,000 lost: state %d, %d may be in flight", loss, p.g.state, p.g.inflightLong)
		}
	}
}

// What turned out not to be lost takes nothing away: Startup goes on, and so does a probe.
func TestBBR3Undo(t *testing.T) {
	p := newBBR3Path(1 << 30)
	p.until(t, bbr3Refill)
	p.until(t, bbr3Up)
	p.holds = p.bdp()
	p.until(t, bbr3Down)
	if p.g.inflightLong == unlimited {
		t.Fatal("no bound")
	}
	if p.g.onUndo(&p.w); p.g.state != bbr3Refill || p.g.inflightLong != unlimited {
		t.Errorf("state %d, %d may be in flight", p.g.state, p.g.inflightLong)
	}
}

// A mark of congestion in a probe ends it, and counts as a loss outside (RFC 3168, 5).
func TestBBR3HeedsMarks(t *testing.T) {
	for _, s := range []bbr3State{bbr3Up, bbr3Cruise} {
		p := newBBR3Path(1 << 30)
		p.until(t, bbr3Refill)
		p.until(t, s)
		p.e.mode = modeReduce
		p.g.onCongestion(&p.w)
		p.g.onAck(&p.w, &p.e)
		switch {
		case s == bbr3Up && (p.g.state != bbr3Down || p.g.inflightLong == unlimited):
			t.Errorf("marked in a probe: state %d, %d may be in flight", p.g.state, p.g.inflightLong)
		case s == bbr3Cruise && !p.g.lossy:
			t.Error("marked in Cruise: no sign of congestion")
		}
	}
}

// When no round trip was as short for 5 s, half of what the path holds is in flight for 200 ms; then the window is as before.
func TestBBR3ProbeRTT(t *testing.T) {
	p := newBBR3Path(1 << 30)
	for range 50 {
		p.round()
	}
	p.minRTT = 60_000 // the path has become longer
	least := p.w.cwnd
	for begin := p.e.now; p.e.now-begin < 11_000_000; {
		p.round()
		if p.g.state == bbr3ProbeRTT {
			least = min(least, p.w.cwnd)
		}
	}
	if least > 110_000 { // the path held 200,000
		t.Errorf("cwnd %d in ProbeRTT", least)
	}
	if p.g.minRTT < 60_000 {
		t.Errorf("minRTT %d is of a path that is no more", p.g.minRTT)
	}
	if p.until(t, bbr3Cruise); p.w.cwnd < p.bdp() {
		t.Errorf("cwnd %d afterwards", p.w.cwnd)
	}
}

// What was learnt outlasts a pause, in which nothing is in flight.
func TestBBR3Remembers(t *testing.T) {
	p := newBBR3Path(1 << 30)
	p.until(t, bbr3Cruise)
	p.g.inflightLong = 150_000
	p.g.keep(&p.w, &p.m)
	var g bbr3
	w := window{cwnd: p.m.cwnd, mss: 1000, srtt: 40_000}
	g.begin(&w, &p.m, p.e.now+1_000_000, 1)
	if g.state != bbr3Cruise || g.maxBW() != p.g.maxBW() || g.minRTT != p.g.minRTT || g.inflightLong != 150_000 || w.rate != p.g.maxBW() {
		t.Errorf("state %d, rate %d, minRTT %d, %d in flight, pacing %d", g.state, g.maxBW(), g.minRTT, g.inflightLong, w.rate)
	}
}
