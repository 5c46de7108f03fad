package tcpstate

import (
	"math"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// cubicRounds gives a window the acknowledgments of a path with a fixed round trip, and returns the window in segments
// after each round.
func cubicRounds(g *cubic, w *window, rtt Time, rounds int, at uint32) (segments []float64, now uint32) {
	us := uint32(rtt / Microsecond)
	w.srtt = us
	for range rounds {
		for left := w.cwnd; left > 0; left -= min(left, w.mss) {
			at += us / max(w.cwnd/w.mss, 1)
			g.onAck(w, &ackEvent{now: at, acked: w.mss, credit: w.mss, delivered: w.mss, flight: w.cwnd, left: w.cwnd, used: true})
		}
		segments = append(segments, float64(w.cwnd)/float64(w.mss))
	}
	return segments, at
}

// RFC 9438, 4.2: after a reduction the window follows the cubic function: steep, flat about where the loss was, steep.
func TestCubicFunction(t *testing.T) {
	const rtt = 100 * Millisecond
	w := &window{cwnd: 1000_000, ssthresh: 1000_000, mss: 1000}
	g := &cubic{}
	g.onCongestion(w)
	g.onRecovered(w)
	if w.cwnd != 700_000 || g.peak != 1000 {
		t.Fatalf("cwnd %d, W_max %g", w.cwnd, g.peak)
	}
	got, _ := cubicRounds(g, w, rtt, 150, 5)
	k := math.Cbrt(300 / 0.4)
	for n, segments := range got {
		at := float64(n+1) * 0.1
		want := 1000 + 0.4*(at-k)*(at-k)*(at-k)
		if math.Abs(segments-want) > 0.04*want {
			t.Errorf("after %.1f s: %.0f segments, want %.0f", at, segments, want)
		}
	}
}

// RFC 9438, 4.3: where windows are small, not slower than Reno would be with the same factor.
func TestCubicIsFriendlyToReno(t *testing.T) {
	const rtt = 10 * Millisecond
	w := &window{cwnd: 20_000, ssthresh: 20_000, mss: 1000}
	g := &cubic{}
	g.onCongestion(w)
	g.onRecovered(w)
	got, _ := cubicRounds(g, w, rtt, 100, 5)
	for n, segments := range got {
		if want := 14 + cubicAlpha*float64(n+1); n > 1 && segments < 0.93*min(want, 20) {
			t.Errorf("round %d: %.1f segments, Reno would have %.1f", n+1, segments, want)
		}
	}
}

// RFC 9438, 4.6 and 4.7: seven tenths are left; and who loses before the old peak leaves room to others.
func TestCubicReduction(t *testing.T) {
	w := &window{cwnd: 100_000, mss: 1000}
	g := &cubic{}
	g.onCongestion(w)
	if w.ssthresh != 70_000 || g.peak != 100 {
		t.Errorf("ssthresh %d, W_max %g", w.ssthresh, g.peak)
	}
	w.cwnd = 80_000
	g.onCongestion(w)
	if w.ssthresh != 56_000 || g.peak != 68 {
		t.Errorf("ssthresh %d, W_max %g", w.ssthresh, g.peak)
	}
	w.cwnd = 1000
	g.onCongestion(w)
	if w.ssthresh != 2000 {
		t.Errorf("ssthresh %d", w.ssthresh)
	}
}

// hystartRound gives a round of acknowledgments, with gaps of gap µs and round trips of rtt µs, and reports whether slow
// start ended in it.
func hystartRound(h *hystart, e *ackEvent, n int, rtt, gap uint32) bool {
	e.rtt = rtt
	for range n {
		e.now += gap
		e.total += 1000
		e.left = uint32(n) * 1000
		if h.onAck(e) {
			return true
		}
	}
	return false
}

// RFC 9406, 4.2: round trips that grow by an eighth make slow start slower, and after five rounds end it; if they shrink
// again, it goes on.
func TestHystart(t *testing.T) {
	var h hystart
	e := &ackEvent{now: 1}
	for range 4 {
		if hystartRound(&h, e, 20, 100_000, 5000) || h.conservative {
			t.Fatal("nothing has changed")
		}
	}
	hystartRound(&h, e, 20, 111_000, 5000) // less than an eighth
	if h.conservative {
		t.Fatal("conservative too early")
	}
	hystartRound(&h, e, 20, 111_000+13_900, 5000)
	hystartRound(&h, e, 8, 111_000+13_900, 5000)
	if !h.conservative {
		t.Fatal("not conservative")
	}
	again := h
	rounds := 0
	for !hystartRound(&h, e, 20, 130_000, 5000) {
		if rounds++; rounds > 7 {
			t.Fatal("slow start does not end")
		}
	}
	if rounds < 3 {
		t.Errorf("ended after %d rounds", rounds)
	}
	hystartRound(&again, e, 40, 100_000, 5000)
	if again.conservative {
		t.Error("a passing delay is not forgotten")
	}
}

// A round begins with the first acknowledgment of what was sent in it, not with the last one of what was sent before: the
// time between them would count for it.
func TestHystartRoundBegins(t *testing.T) {
	var h hystart
	e := &ackEvent{now: 1000, rtt: 20_000, total: 1000, left: 9000}
	h.onAck(e) // what is in flight now is a round
	for range 9 {
		e.now, e.total = e.now+200, e.total+1000
		h.onAck(e)
	}
	if h.begun != 1000 {
		t.Errorf("the last acknowledgment of a round began the next, at %d", h.begun)
	}
	e.now, e.total = 21_000, e.total+1000
	if h.onAck(e); h.begun != 21_000 {
		t.Errorf("the round began at %d", h.begun)
	}
}

// Acknowledgments that come densely for half a round trip end slow start; with gaps they do not, nor do few segments.
func TestAckTrain(t *testing.T) {
	for name, c := range map[string]struct {
		gap, cwnd uint32
		want      bool
	}{"dense": {1000, 100_000, true}, "gaps": {3000, 100_000, false}, "small window": {1000, 10_000, false}} {
		var h hystart
		w := &window{cwnd: c.cwnd, mss: 1000}
		e := &ackEvent{now: 1, rtt: 40_000, left: 100_000}
		ended := false
		for range 30 {
			e.now += c.gap
			e.total += 1000
			h.onAck(e)
			ended = ended || h.train(w, e)
		}
		if ended != c.want {
			t.Errorf("%s: ended %v", name, ended)
		}
	}
}

func TestControlNames(t *testing.T) {
	for k := range NumControls {
		if got, ok := ParseControl(k.String()); !ok || got != k {
			t.Errorf("%v is read as %v", k, got)
		}
	}
	if _, ok := ParseControl("vegas"); ok {
		t.Error("vegas is known")
	}
}

// A window is used if it was full at any time since what was sent then was acknowledged: octets that pacing holds back
// while acknowledgments come do not make it less. One that was never half full does not grow.
func TestUsageOfTheWindow(t *testing.T) {
	w := &window{cwnd: 10_000, ssthresh: maxCwnd, mss: 1000}
	var u usage
	una, nxt := wire.Seq(0xffffff00), wire.Seq(0xffffff00)
	send := func(n uint32) { nxt = nxt.Add(n); u.sent(w, uint32(nxt-una), una, nxt) }
	acked := func(n uint32) { una = una.Add(n) }
	send(10_000)
	for range 8 {
		if acked(1000); !u.filled(w) {
			t.Fatal("a window that was full is not used while its acknowledgments come")
		}
		w.cwnd += 1000
	}
	acked(2000)
	send(4000) // of 18,000
	if u.filled(w) {
		t.Error("a window that is a quarter full is used")
	}
	send(6000)
	if !u.filled(w) {
		t.Error("slow start: more than half of the window is used")
	}
	if w.ssthresh = 1000; u.filled(w) {
		t.Error("congestion avoidance: the window was not the limit")
	}
	if send(7001); !u.filled(w) {
		t.Error("congestion avoidance: no segment would fit any more")
	}
}
