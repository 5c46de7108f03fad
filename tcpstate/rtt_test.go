package tcpstate

import (
	"fmt"
	"testing"
)

// RFC 6298, 5.4 to 5.7, and RFC 5681, 3.1: the first segment again, cwnd one segment, ssthresh half of what
// was in flight, and once only; each time-out doubles the next, up to 60 s.
func TestRetransmissionTimeout(t *testing.T) {
	w := sending(t, 1<<20, config(func(c *Config) { c.StallTimeout = 0 }))
	w.c.flags |= flagIPv6 // whose least MTU is larger than what is sent here
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
	if r.rto() != 10*Millisecond+minRTO || r.srtt < 9990 || r.srtt > 10_010 {
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
	if r.rto() != minRTO+Microsecond {
		t.Errorf("RTO %d ms", r.rto()/Millisecond)
	}
}

// RFC 6298, 2.1 and 2.2; RFC 7323, 4: the first segment's echo is a first measurement, unless the client took
// its time.
func TestHandshakeIsMeasured(t *testing.T) {
	w := open(t, withTS)
	w.c.Write(100)
	w.poll()
	if _, d := w.waitTimer(); d < 211*Millisecond || d > 213*Millisecond {
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
