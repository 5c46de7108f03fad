package tcpstate

import (
	"testing"
)

// RFC 8985, 7.2 and 7.3: two round trips without an acknowledgment, and the last segment goes once more.
func TestTailLossProbe(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(5001)) // a round trip of 100 ms was measured
	if _, d := w.waitTimer(); d < 202*Millisecond || d > 204*Millisecond {
		t.Errorf("probe after %d ms", d/Millisecond)
	}
	w.expect("P. 9001:10001(1000) ack 101")
	w.now += 100 * Millisecond
	// It finds what was lost: the last three. RFC 8985, 7.4: and that counts as congestion.
	w.in(ack(7001), sack(9001, 10001))
	w.expect(". 7001:8001(1000) ack 101", ". 8001:9001(1000) ack 101")
	if w.mode() != modeRecovery {
		t.Errorf("mode %d", w.mode())
	}
}

// RFC 8985, 7.3: new octets are a better probe, and no window holds it back.
func TestTailLossProbeWithNewData(t *testing.T) {
	w := sending(t, 5000, withSACK)
	w.in(ack(1001))
	w.flood()
	w.flight().win.cwnd = 1000
	w.waitTimer()
	w.expect(". 12001:13001(1000) ack 101")
	// Only one: then the retransmission timer is in charge.
	if _, d := w.waitTimer(); d < 290*Millisecond {
		t.Errorf("next after %d ms", d/Millisecond)
	}
	if w.mode() != modeLoss {
		t.Errorf("mode %d", w.mode())
	}
}

// RFC 8985, 7.4.2: the probe mended a loss if nobody tells of a second copy, and none if somebody does.
func TestTailLossProbeThatMends(t *testing.T) {
	for name, c := range map[string]struct {
		answer  []func(*draft)
		reduced bool
	}{
		"one copy arrived": {[]func(*draft){ack(11001)}, true},
		"two copies":       {[]func(*draft){ack(11001), sack(9001, 10001)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := sending(t, 0, withSACK)
			w.in(ack(5001))
			w.waitTimer()
			w.expect("P. 9001:10001(1000) ack 101")
			w.c.Write(2000)
			w.flood()
			w.in(c.answer...)
			if got := w.window().ssthresh < maxCwnd; got != c.reduced {
				t.Errorf("ssthresh %d", w.window().ssthresh)
			}
		})
	}
}

// RFC 8985, 6.2: a retransmission that is lost too is found by what was sent after it, without a time-out.
func TestLostRetransmission(t *testing.T) {
	w := sending(t, 1<<20, withSACK, withTS)
	w.in(ack(1), sack(1001, 5001))
	w.expect(". 1:989(988) ack 101")
	w.now += 50 * Millisecond
	w.in(ack(1), sack(1001, 9001))
	n, _ := w.flood()
	if n == 0 {
		t.Fatal("nothing new was sent")
	}
	w.now += 100 * Millisecond
	end := uint32(w.c.snd.nxt - w.iss)
	w.in(ack(1), sack(1001, end)) // what was sent after the retransmission has arrived
	if s := w.poll(); s != ". 1:989(988) ack 101" || w.mode() != modeRecovery {
		t.Errorf("sent %q in mode %d", s, w.mode())
	}
}

// RFC 8985, 6.2, step 4: once reordering was seen, three segments behind a hole do not make it a loss; a quarter of
// the round trip does.
func TestReorderingIsLearnt(t *testing.T) {
	w := sending(t, 1<<20, withSACK, withTS)
	w.in(ack(1), sack(989, 1977))
	w.in(ack(1977)) // it was only late
	w.flood()
	if !w.flight().rack.reordering {
		t.Fatal("not seen")
	}
	w.now += 10 * Millisecond
	w.in(ack(1977), sack(2965, 9000))
	if w.mode() != modeOpen {
		t.Fatal("a loss at once")
	}
	w.waitTimer()
	if s := w.poll(); s != ". 1977:2965(988) ack 101" {
		t.Errorf("sent %q", s)
	}
}

// RFC 8985, 6.2, step 4: a DSACK says that the window was too narrow, once for a round trip; after 16 recoveries
// without one it is as before.
func TestReorderingWindowAdapts(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(2001), sack(1, 1001))
	w.in(ack(2001), sack(1, 1001))
	f := w.flight()
	if f.rack.reoMult != 2 {
		t.Errorf("multiplier %d", f.rack.reoMult)
	}
	for range reoPersistence {
		f.rack.onRecoveryOver()
	}
	if f.rack.reoMult != 1 {
		t.Errorf("multiplier %d after %d recoveries", f.rack.reoMult, reoPersistence)
	}
}

// RFC 6937: how much goes while the window shrinks, and while too little is in flight.
func TestPRR(t *testing.T) {
	w := &window{mss: 1000, ssthresh: 5000}
	r := recovery{prrFlight: 10_000}
	for k, c := range []struct {
		e    ackEvent
		sent uint32
		cwnd uint32
	}{
		{ackEvent{delivered: 1000, left: 8000, lost: 1000}, 1000, 9000}, // the fast retransmit
		{ackEvent{delivered: 1000, left: 8000}, 0, 8000},                // 2 arrived, half of it was sent
		{ackEvent{delivered: 1000, left: 7000}, 1000, 8000},
		{ackEvent{delivered: 1000, left: 2000, lost: 4000}, 2000, 4000}, // far below: what has arrived, without more
		{ackEvent{delivered: 1000, left: 2000, acked: 1000}, 0, 4000},   // and with progress one segment more
		{ackEvent{delivered: 1000, left: 4900, acked: 1000}, 0, 5000},   // never above ssthresh
	} {
		r.prr(w, &c.e)
		if w.cwnd != c.cwnd {
			t.Errorf("acknowledgment %d: cwnd %d, want %d", k+1, w.cwnd, c.cwnd)
		}
		r.prrOut += c.sent
	}
}

// The peer acknowledges what it has reported, and everything in one: nothing is counted twice.
func TestDeliveredIsCountedOnce(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(2001, 4001))
	w.in(ack(1), sack(2001, 4001), sack(6001, 7001))
	w.in(ack(3501), sack(6001, 7001))
	if got := w.flight().rate.delivered; got != 5000 {
		t.Errorf("%d octets delivered, want 5000", got)
	}
	if f := w.flight(); f.sacked != 1500 || f.pipe(&w.c)+f.lost != 5000 {
		t.Errorf("%d SACKed, %d in the network, %d lost", f.sacked, f.pipe(&w.c), f.lost)
	}
}

// RFC 8985, 6.2, step 2: what comes sooner after a retransmission than a round trip takes is of the first copy, and says
// nothing about what was sent since.
func TestQuickAnswerToRetransmission(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(1), sack(1001, 5001))
	w.flood()
	before := w.flight().rack.sentAt
	w.now += 5 * Millisecond
	w.in(ack(1001), sack(1001, 5001))
	if f := w.flight(); f.rack.sentAt != before {
		t.Errorf("moved by %d µs", f.rack.sentAt-before)
	}
}
