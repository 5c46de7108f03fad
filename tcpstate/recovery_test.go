package tcpstate

import (
	"fmt"
	"testing"
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
	wantCwnd(t, w, w.window().cwnd, 5000)
	for range 6 {
		w.in(ack(1))
	}
	// RFC 6937: 12 were in flight and it shall be 5, so of 7 that have arrived 5/12 of as many may go, the lost one
	// among them.
	w.expect(". 12001:13001(1000) ack 101", ". 13001:14001(1000) ack 101")
	// A full acknowledgment: all that was in flight when the loss was found.
	w.in(ack(12001))
	w.expect(". 14001:15001(1000) ack 101", ". 15001:16001(1000) ack 101", ". 16001:17001(1000) ack 101", ". 17001:18001(1000) ack 101")
	if w.mode() != modeOpen {
		t.Error("still in recovery")
	}
	wantCwnd(t, w, 6000, 5000) // and one for the window that was acknowledged
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
	if w.mode() != modeOpen || !w.c.Quiescent() {
		t.Error("not recovered")
	}
	if w.window().ssthresh != 5000 {
		t.Errorf("reduced more than once: ssthresh %d", w.window().ssthresh)
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
	if w.mode() != modeOpen {
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
	if w.flight().rec.dupAcks != 0 {
		t.Errorf("%d duplicates", w.flight().rec.dupAcks)
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
	wantCwnd(t, w, w.window().cwnd, 5000)
	// RFC 6937: 12 were in flight, and it shall be 5. Of the 7 that are, 2 more have to arrive.
	w.in(ack(1), sack(5001, 7001), sack(1001, 3001))
	w.expect()
	w.in(ack(1), sack(5001, 8001), sack(1001, 3001))
	w.expect()
	w.in(ack(1), sack(5001, 9001), sack(1001, 3001))
	w.expect(". 3001:4001(1000) ack 101")
	w.in(ack(1), sack(5001, 10001), sack(1001, 3001))
	w.expect(". 4001:5001(1000) ack 101")
	w.in(ack(3001), sack(5001, 10001))
	w.expect(". 12001:13001(1000) ack 101")
	w.in(ack(12001))
	if w.mode() != modeOpen {
		t.Error("still in recovery")
	}
}

// What was sent after a recovery began and was lost is the next one's, which begins when the first is over, also if it
// was sent again by then: it counts as congestion once more, and BBR keeps its window through all of it.
func TestRecoveryAfterRecovery(t *testing.T) {
	for control := range NumControls {
		t.Run(control.String(), func(t *testing.T) {
			w := sending(t, 1<<20, withSACK, with(control))
			w.in(ack(1), sack(1001, 4001))
			w.flood() // the first segment again, and new ones
			w.now += 20 * Millisecond
			w.in(ack(1), sack(1001, 10001))
			w.flood()
			w.now += 80 * Millisecond
			w.in(ack(1), sack(11001, 12001), sack(1001, 10001))
			if n, _ := w.flood(); n == 0 || w.flight().lost != 0 || w.mode() != modeRecovery {
				t.Fatalf("the segment at 10001 was not sent again: mode %d, %d lost", w.mode(), w.flight().lost)
			}
			ssthresh, cwnd := w.window().ssthresh, w.window().cwnd
			w.now += 10 * Millisecond
			w.in(ack(10001), sack(11001, 12001))
			if w.mode() != modeRecovery || w.flight().rec.recover != w.c.snd.nxt {
				t.Fatalf("no second recovery: mode %d, up to %d", w.mode(), w.flight().rec.recover-w.iss)
			}
			switch {
			case control == BBR && (w.window().cwnd < cwnd || w.st.bbr[w.c.flight].conserve), control == BBR3 && w.window().cwnd < cwnd:
				t.Errorf("cwnd %d, was %d", w.window().cwnd, cwnd)
			case control < BBR && w.window().ssthresh >= ssthresh:
				t.Errorf("ssthresh %d, was %d", w.window().ssthresh, ssthresh)
			}
			nxt := uint32(w.c.snd.nxt - w.iss)
			w.now += 100 * Millisecond
			if w.in(ack(nxt)); w.mode() != modeOpen {
				t.Errorf("all has arrived: mode %d", w.mode())
			}
		})
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

// RFC 6675, 4, IsLost, and RFC 8985, 6.2, step 4: when three segments have arrived behind them, all holes are lost.
func TestAllHolesAreLost(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 2001), sack(3001, 4001), sack(7001, 8001))
	// RFC 6937: three have arrived, so three may go.
	w.expect(". 1:1001(1000) ack 101", ". 2001:3001(1000) ack 101", ". 4001:5001(1000) ack 101")
	w.in(ack(1), sack(8001, 10001))
	w.expect(". 5001:6001(1000) ack 101", ". 6001:7001(1000) ack 101")
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
		if f := w.flight(); f.sacked != 0 || f.rec.mode != modeOpen || f.rec.dupAcks != 0 {
			t.Errorf("believed %+v", f)
		}
	}
	// Without negotiation, not even the true ones.
	w := sending(t, 0)
	w.in(ack(1), sack(2001, 9001))
	if w.flight().sacked != 0 {
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

// What the peer reports is held exactly, and never more than that: against an octet by octet record. With too
// little memory for it, something may be forgotten, never invented.
func TestScoreboard(t *testing.T) {
	r := random(t, 4)
	for round := range 300 {
		w := open(t, withSACK, func(s *setup) {
			if round%2 == 1 {
				s.stack.Runs = 20
			}
		})
		w.c.mem.cwnd = 60_000
		w.c.Write(60_000)
		w.in()
		w.flood()
		var told [60_001]bool
		want := uint32(0)
		for range 30 {
			lo := uint32(2 + r.IntN(59_000))
			hi := min(lo+1+uint32(r.IntN(3000)), 60_001)
			for i := lo; i < hi; i++ {
				if !told[i-1] {
					want++
				}
				told[i-1] = true
			}
			w.in(ack(1), sack(lo, hi))
			begin := w.c.snd.una
			for i := w.flight().head; i != 0; i = w.st.runs[i].next {
				run := &w.st.runs[i]
				for q := begin; run.has(runSACKed) && q != run.end; q++ {
					if !told[q-w.iss-1] {
						t.Fatal("octets that were not reported are held as reported")
					}
				}
				begin = run.end
			}
			if round%2 == 0 && w.flight().sacked != want {
				t.Fatalf("%d octets are held as reported, want %d", w.flight().sacked, want)
			}
		}
	}
}

// RFC 8985, 6.2, steps 4 and 5: little has arrived behind a hole, so it is given a quarter of a round trip.
func TestReorderingTimer(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 1002), sack(1101, 1102), sack(1201, 1202))
	w.expect()
	if _, d := w.waitTimer(); d < 25*Millisecond || d > 27*Millisecond {
		t.Errorf("looked again after %d ms", d/Millisecond)
	}
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
	w.expect(". 501:1001(500) ack 101")
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
	if p := w.flight().pipe(&w.c); p != 4000 {
		t.Errorf("pipe %d", p)
	}
}
