package tcpstate

import (
	"fmt"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// sending returns a world with ten segments of 1000 octets in flight, and more behind them.
func sending(t *testing.T, more uint32, change ...func(*setup)) *world {
	t.Helper()
	w := open(t, change...)
	w.in()
	w.c.Write(10_000 + more)
	if n, _ := w.flood(); n != 10 {
		t.Fatalf("%d segments in the initial window", n)
	}
	w.now += 100 * Millisecond
	return w
}

func wantCwnd(t *testing.T, w *world, cwnd, ssthresh uint32) {
	t.Helper()
	if w.c.cc.cwnd != cwnd || ssthresh != 0 && w.c.cc.ssthresh != ssthresh {
		t.Fatalf("cwnd %d, ssthresh %d; want %d, %d", w.c.cc.cwnd, w.c.cc.ssthresh, cwnd, ssthresh)
	}
}

// RFC 5681, 3.1; RFC 3465, 2.1 and 2.2: slow start by octets, at most two segments for an ACK.
func TestSlowStart(t *testing.T) {
	w := sending(t, 1<<20)
	w.in(ack(1001))
	wantCwnd(t, w, 11_000, 0)
	w.expect(". 10001:11001(1000) ack 101", ". 11001:12001(1000) ack 101")
	w.in(ack(3001))
	wantCwnd(t, w, 13_000, 0)
	w.flood()
	w.in(ack(13001))
	wantCwnd(t, w, 15_000, 0)
}

// RFC 3465, 3 (Savage's ACK splitting): a thousand ACKs for one segment count no more than one.
func TestACKSplittingGainsNothing(t *testing.T) {
	w := sending(t, 1<<20)
	for i := uint32(2); i <= 1001; i++ {
		w.in(ack(i))
	}
	wantCwnd(t, w, 11_000, 0)
}

// RFC 5961, 5.2: nor does acknowledging what was not sent yet (optimistic ACKs).
func TestOptimisticACKsGainNothing(t *testing.T) {
	w := sending(t, 1<<20)
	for i := uint32(10_002); i < 500_000; i += 1000 {
		w.drop(DropBadACK, ack(i))
	}
	wantCwnd(t, w, 10_000, 0)
}

// RFC 5681, 3.1; RFC 3465, 2.1: congestion avoidance adds a segment for each window.
func TestCongestionAvoidance(t *testing.T) {
	w := sending(t, 1<<20)
	w.c.cc.ssthresh = 10_000
	at := uint32(1)
	for i := range 21 {
		at += 1000
		w.in(ack(at))
		w.flood()
		switch i {
		case 8:
			wantCwnd(t, w, 10_000, 0)
		case 9, 19:
			wantCwnd(t, w, 11_000, 0)
		case 20:
			wantCwnd(t, w, 12_000, 0)
		}
	}
}

// RFC 7661, 3: a window that is not filled does not grow.
func TestWindowGrowsOnlyWhenUsed(t *testing.T) {
	w := open(t)
	w.in()
	for i := uint32(1); i < 100; i++ {
		w.c.Write(1000)
		w.flood()
		w.in(ack(i*1000 + 1))
	}
	wantCwnd(t, w, 10_000, 0)
}

// RFC 3042: the first two duplicates let a new segment go each. RFC 5681, 3.2 and RFC 6582, 3.2: the third
// lets the lost one go at once, and each further one a new one when enough have left the network.
func TestFastRetransmitWithoutSACK(t *testing.T) {
	w := sending(t, 1<<20)
	w.in(ack(1))
	w.expect(". 10001:11001(1000) ack 101")
	w.in(ack(1))
	w.expect(". 11001:12001(1000) ack 101")
	w.in(ack(1))
	w.expect(". 1:1001(1000) ack 101")
	wantCwnd(t, w, 6000, 6000) // of 12 in flight
	for range 6 {
		w.in(ack(1))
	}
	w.expect(". 12001:13001(1000) ack 101", ". 13001:14001(1000) ack 101", ". 14001:15001(1000) ack 101")
	// A full acknowledgment: all that was in flight when the loss was found.
	w.in(ack(12001))
	w.expect(". 15001:16001(1000) ack 101")
	if w.c.rec.mode != modeOpen {
		t.Error("still in recovery")
	}
	wantCwnd(t, w, 4000, 6000) // no burst
}

// RFC 6582, 3.2, step 3: a partial acknowledgment means that the next segment was lost, too.
func TestPartialACKsWithoutSACK(t *testing.T) {
	w := sending(t, 0)
	for range 3 {
		w.in(ack(1))
	}
	w.expect(". 1:1001(1000) ack 101")
	for range 4 {
		w.in(ack(1))
	}
	w.in(ack(3001)) // segments 1 and 2 arrived; 4 and 7 were lost
	w.expect(". 3001:4001(1000) ack 101")
	w.in(ack(6001))
	w.expect(". 6001:7001(1000) ack 101")
	w.in(ack(10001))
	w.expect()
	if w.c.rec.mode != modeOpen || !w.c.Quiescent() {
		t.Error("not recovered")
	}
	if w.c.cc.ssthresh != 5000 {
		t.Errorf("reduced more than once: ssthresh %d", w.c.cc.ssthresh)
	}
}

// RFC 6582, 3.2, step 2: duplicates that a time-out has caused do not start a recovery.
func TestDuplicatesAfterTimeout(t *testing.T) {
	w := sending(t, 20_000)
	w.waitTimer()
	w.expect(". 1:1001(1000) ack 101")
	for at := uint32(1); at < 10001; at += 1000 {
		w.in(ack(at + 1000))
		w.flood()
	}
	una := w.c.snd.una
	for range 5 {
		w.in(ack(uint32(una - w.iss)))
	}
	if w.c.rec.mode != modeOpen {
		t.Error("recovery of nothing")
	}
}

// RFC 5681, 2: a segment with data, or with another window, is no duplicate acknowledgment.
func TestWhatIsNoDuplicate(t *testing.T) {
	w := sending(t, 0)
	for i := range 5 {
		w.take(ack(1), fill(10))
		w.in(ack(1), wnd(uint16(50000+i)))
	}
	if w.c.rec.dupAcks != 0 {
		t.Errorf("%d duplicates", w.c.rec.dupAcks)
	}
}

// RFC 6675, 5: with SACK, exactly the holes are sent again, in order, before what is new, and by pipe.
func TestRecoveryWithSACK(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	// Segments 1, 4 and 5 of ten are lost.
	w.in(ack(1), sack(1001, 2001))
	w.expect(". 10001:11001(1000) ack 101") // limited transmit
	w.in(ack(1), sack(1001, 3001))
	w.expect(". 11001:12001(1000) ack 101")
	w.in(ack(1), sack(5001, 6001), sack(1001, 3001))
	w.expect(". 1:1001(1000) ack 101")
	wantCwnd(t, w, 6000, 6000)
	w.in(ack(1), sack(5001, 7001), sack(1001, 3001))
	w.expect()
	w.in(ack(1), sack(5001, 8001), sack(1001, 3001)) // three beyond 4 and 5: lost
	// In flight: 9 to 12, and 1 again: room for one.
	w.expect(". 3001:4001(1000) ack 101")
	w.in(ack(1), sack(5001, 9001), sack(1001, 3001))
	w.expect(". 4001:5001(1000) ack 101")
	w.in(ack(1), sack(5001, 10001), sack(1001, 3001))
	w.expect(". 12001:13001(1000) ack 101")
	w.in(ack(3001), sack(5001, 10001))
	w.expect(". 13001:14001(1000) ack 101")
	w.in(ack(12001))
	if w.c.rec.mode != modeOpen {
		t.Error("still in recovery")
	}
}

// RFC 6675, 5, (1): one acknowledgment with enough SACKed octets is enough.
func TestOneSACKIsEnough(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(2001, 4001))
	w.expect()
	w.in(ack(1), sack(2001, 4002))
	if s := w.poll(); s != ". 1:1001(1000) ack 101" {
		t.Errorf("sent %q", s)
	}
}

// A SACKed segment shows that others were lost, though the acknowledgment itself is new.
func TestLossFoundByNewACK(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(2001), sack(4001, 8001))
	if s := w.poll(); s != ". 2001:3001(1000) ack 101" {
		t.Errorf("sent %q", s)
	}
}

// RFC 6675, 4, NextSeg, (3): with nothing new to send, what may be lost is sent.
func TestDoubtfulHoles(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 2001), sack(3001, 4001), sack(7001, 8001))
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1), sack(8001, 10001))
	w.expect(". 2001:3001(1000) ack 101", ". 4001:5001(1000) ack 101", ". 5001:6001(1000) ack 101", ". 6001:7001(1000) ack 101")
	w.in(ack(10001))
	w.expect()
}

// RFC 2018, 5; RFC 2883: blocks outside of what is in flight say nothing.
func TestSACKLies(t *testing.T) {
	for _, lie := range []func(*draft){
		sack(20_001, 21_001), sack(9_001, 10_002), sack(1<<31, 1<<31+1), // beyond SND.NXT
		sack(0, 1), sack(1, 1001), sack(4294960000, 5001), // not beyond SND.UNA
		sack(5001, 5001), sack(6001, 5001), // empty
		sack(1136063292, 2786000000), sack(1136063292, 2785995005), sack(2<<30, 3<<30), // half of the space and more
	} {
		w := sending(t, 1<<20, withSACK)
		for range 10 {
			w.in(ack(1), lie)
		}
		w.expect()
		if w.c.rec.nSacked != 0 || w.c.rec.mode != modeOpen || w.c.rec.dupAcks != 0 {
			t.Errorf("believed %+v", w.c.rec)
		}
	}
	// Without negotiation, not even the true ones.
	w := sending(t, 0)
	w.in(ack(1), sack(2001, 9001))
	if w.c.rec.nSacked != 0 {
		t.Error("believed what was not negotiated")
	}
}

// RFC 2018, 8: after a time-out nothing that was SACKed counts as received.
func TestRenegingPeer(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 10001))
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1001)) // the rest was dropped by the peer
	w.expect()
	if f, _ := w.waitTimer(); f != Alive {
		t.Fatal(f)
	}
	for at := uint32(1001); at < 10001; at += 1000 {
		if s := w.poll(); s != fmt.Sprintf(". %d:%d(1000) ack 101", at, at+1000) && s != fmt.Sprintf("P. %d:%d(1000) ack 101", at, at+1000) {
			t.Fatalf("sent %q at %d", s, at)
		}
		w.in(ack(at + 1000))
	}
	if !w.c.Quiescent() {
		t.Error("not recovered")
	}
}

// What the scoreboard can't hold is forgotten, the smallest span first, and never invented.
func TestScoreboard(t *testing.T) {
	r := random(t, 4)
	for range 300 {
		w := open(t, withSACK)
		w.c.Write(60_000)
		w.c.cc.cwnd = 60_000
		w.in()
		w.flood()
		var told [60_001]bool
		for range 30 {
			lo := uint32(2 + r.IntN(59_000))
			hi := min(lo+1+uint32(r.IntN(3000)), 60_001)
			for i := lo; i < hi; i++ {
				told[i-1] = true
			}
			w.in(ack(1), sack(lo, hi))
			for _, s := range w.c.rec.sacked[:w.c.rec.nSacked] {
				for q := s.Lo; q != s.Hi; q++ {
					if !told[q-w.iss-1] {
						t.Fatal("a span was invented")
					}
				}
			}
		}
		if w.c.rec.nSacked == 0 {
			t.Fatal("nothing is held")
		}
	}
	var b recovery
	for _, s := range []wire.Span{{Lo: 10, Hi: 20}, {Lo: 30, Hi: 40}, {Lo: 50, Hi: 55}, {Lo: 60, Hi: 70}, {Lo: 80, Hi: 90}, {Lo: 100, Hi: 110}} {
		b.add(s)
	}
	if b.nSacked != 5 || b.sacked[2] != (wire.Span{Lo: 60, Hi: 70}) || b.sacked[4] != (wire.Span{Lo: 100, Hi: 110}) {
		t.Errorf("%v", b.sacked)
	}
	if b.add(wire.Span{Lo: 62, Hi: 68}) || !b.add(wire.Span{Lo: 35, Hi: 85}) || b.nSacked != 3 || b.sacked[1] != (wire.Span{Lo: 30, Hi: 90}) {
		t.Errorf("%v", b.sacked)
	}
	b.forgetBelow(85)
	if b.nSacked != 2 || b.sacked[0] != (wire.Span{Lo: 85, Hi: 90}) {
		t.Errorf("%v", b.sacked)
	}
}

// RFC 6298, 5.4 to 5.7, and RFC 5681, 3.1: the first segment again, cwnd one segment, ssthresh half of what
// was in flight, and once only; each time-out doubles the next, up to 60 s.
func TestRetransmissionTimeout(t *testing.T) {
	w := sending(t, 1<<20, config(func(c *Config) { c.StallTimeout = 0 }))
	var waits []Time
	for i := range 9 {
		sentAt := w.now
		if i == 0 {
			sentAt -= 100 * Millisecond // sending lets 100 ms pass
		}
		if f, _ := w.waitTimer(); f != Alive {
			t.Fatal(f)
		}
		waits = append(waits, (w.now-sentAt)/Second)
		w.expect(". 1:1001(1000) ack 101")
		wantCwnd(t, w, 1000, 5000)
	}
	if got := fmt.Sprint(waits); got != "[1 2 4 8 16 32 60 60 60]" {
		t.Errorf("time-outs after %s s", got)
	}
	// RFC 3465, 2.3: slow start with one segment for an ACK.
	w.in(ack(3001))
	wantCwnd(t, w, 2000, 5000)
	w.expect(". 3001:4001(1000) ack 101", ". 4001:5001(1000) ack 101")
	// RFC 5681, 3.1, equation 4: for what was sent again by the timer already, ssthresh stays.
	w.waitTimer()
	w.expect(". 3001:4001(1000) ack 101")
	wantCwnd(t, w, 1000, 5000)
	// When all is sent again, new data follows, and is not sent twice.
	w.in(ack(9001))
	w.expect(". 9001:10001(1000) ack 101", ". 10001:11001(1000) ack 101")
	w.in(ack(10001))
	w.expect(". 11001:12001(1000) ack 101", ". 12001:13001(1000) ack 101")
}

// New data that was sent during the recovery from a time-out is not part of it.
func TestNewDataAfterTimeout(t *testing.T) {
	w := open(t)
	w.in()
	w.c.Write(1500)
	w.flood()
	w.waitTimer()
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1001))
	w.expect("P. 1001:1501(500) ack 101")
	w.c.Write(1200)
	w.expect(". 1501:2501(1000) ack 101", "P. 2501:2701(200) ack 101")
}

// RFC 6675, 5: the retransmission timer starts anew with the first retransmission.
func TestFastRetransmitRestartsTimer(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.wait(700 * Millisecond)
	w.in(ack(1), sack(1001, 5001))
	w.expect(". 1:1001(1000) ack 101")
	if _, d := w.waitTimer(); d < 900*Millisecond {
		t.Errorf("time-out %d ms later", d/Millisecond)
	}
}

// RFC 6675, 4, IsLost: three pieces behind a hole tell of its loss, however small.
func TestThreePiecesTellOfALoss(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 1002), sack(1101, 1102), sack(1201, 1202))
	if s := w.poll(); s != ". 1:1001(1000) ack 101" {
		t.Errorf("sent %q", s)
	}
}

// RFC 6582, 3.2, step 3: the first octet that is missing is sent again, though it was before; and the
// duplicates that were acknowledged do not count twice.
func TestPartialACKInsideOfASegment(t *testing.T) {
	w := sending(t, 1<<20)
	for range 3 {
		w.in(ack(1))
	}
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(501))
	w.expect(". 501:1501(1000) ack 101")
	for range 6 {
		w.in(ack(501))
	}
	// 10 were sent and 9 duplicates came: only the one that was sent again is in flight, of 5.
	if _, octets := w.flood(); octets != 4000 {
		t.Errorf("%d new octets", octets)
	}
	w.in(ack(8001)) // 7 of the 9, and the one sent again
	// Of 8001 to 14001, 2 have left the network, and one is lost; its copy and 3 others are in flight.
	if s := w.poll(); s != ". 8001:9001(1000) ack 101" {
		t.Errorf("sent %q", s)
	}
	if p := w.c.pipe(); p != 4000 {
		t.Errorf("pipe %d", p)
	}
}

// RFC 6298, 2: the estimate. 5.3: an acknowledgment restarts the timer.
func TestRTOFollowsRoundTrip(t *testing.T) {
	w := sending(t, 0)
	w.in(ack(1001)) // after 100 ms
	// SRTT 100, RTTVAR 50: 300 ms.
	if _, d := w.waitTimer(); d < 300*Millisecond || d > 302*Millisecond {
		t.Errorf("RTO of %d ms", d/Millisecond)
	}
	var r roundTrip
	for range 200 {
		r.sample(10_000)
	}
	if r.rto() != minRTO || r.srtt < 9990 || r.srtt > 10_010 {
		t.Errorf("srtt %d, RTO %d ms", r.srtt, r.rto()/Millisecond)
	}
	r.sample(1 << 31)
	for range 200 {
		r.sample(300_000_000)
	}
	if r.rto() != maxRTO {
		t.Errorf("RTO %d ms", r.rto()/Millisecond)
	}
	r = roundTrip{}
	r.sample(0)
	if r.rto() != minRTO {
		t.Errorf("RTO %d ms", r.rto()/Millisecond)
	}
}

// RFC 6298, 2.1 and 2.2; RFC 7323, 4: the first segment's echo is a first measurement, unless the client took
// its time.
func TestHandshakeIsMeasured(t *testing.T) {
	w := open(t, withTS)
	w.c.Write(100)
	w.poll()
	if _, d := w.waitTimer(); d < 200*Millisecond || d > 202*Millisecond {
		t.Errorf("RTO of %d ms", d/Millisecond)
	}
	w = open(t)
	w.c.Write(100)
	w.poll()
	if _, d := w.waitTimer(); d < Second {
		t.Errorf("RTO of %d ms without timestamps", d/Millisecond)
	}
	var r roundTrip
	r.firstSample(1000)
	if r.srtt != 0 {
		t.Error("a client that took its time was measured")
	}
}

// RFC 6298, 3 (Karn): a segment that was sent twice is not measured, and the back-off stays until one is.
// RFC 7323, 4: with timestamps it is.
func TestKarn(t *testing.T) {
	w := open(t)
	w.c.Write(1000)
	w.flood()
	w.waitTimer()
	w.flood()
	w.now += 50 * Millisecond
	w.in(ack(1001))
	if w.c.rtt.srtt != 0 || w.c.snd.backoff != 1 {
		t.Errorf("srtt %d, back-off %d", w.c.rtt.srtt, w.c.snd.backoff)
	}
	w.c.Write(1000)
	w.flood()
	w.now += 50 * Millisecond
	w.in(ack(2001))
	if w.c.rtt.srtt != 50_000 || w.c.snd.backoff != 0 {
		t.Errorf("srtt %d, back-off %d", w.c.rtt.srtt, w.c.snd.backoff)
	}

	w = open(t, func(s *setup) { s.now = 4 * Second }) // the clock itself looks like an echo of 0
	w.c.Write(1000)
	w.flood()
	w.waitTimer()
	w.flood()
	w.in(ack(1001))
	if w.c.rtt.srtt != 0 {
		t.Errorf("srtt %d", w.c.rtt.srtt)
	}

	w = open(t, withTS)
	w.c.rtt.srtt = 0
	w.c.Write(900)
	w.flood()
	w.waitTimer()
	w.flood()
	w.now += 50 * Millisecond
	w.in(ack(901))
	if w.c.rtt.srtt < 49_000 || w.c.rtt.srtt > 51_000 || w.c.snd.backoff != 0 {
		t.Errorf("srtt %d, back-off %d", w.c.rtt.srtt, w.c.snd.backoff)
	}
}

// RFC 5681, 4.1: after an idle time longer than the RTO, not more than the initial window.
func TestRestartAfterIdle(t *testing.T) {
	for _, c := range []struct {
		idle Time
		want int
	}{{100 * Millisecond, 40}, {2 * Second, 10}} {
		w := open(t)
		w.in()
		w.c.cc.cwnd = 40_000
		w.c.Write(40_000)
		w.flood()
		w.now += 10 * Millisecond
		w.in(ack(40_001))
		w.c.cc.cwnd = 40_000
		w.wait(c.idle)
		w.take(fill(10))
		w.c.Consume(10)
		w.c.Write(100_000)
		if n, _ := w.flood(); n != c.want {
			t.Errorf("idle for %d ms: %d segments at once, want %d", c.idle/Millisecond, n, c.want)
		}
	}
}
