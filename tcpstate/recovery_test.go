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
