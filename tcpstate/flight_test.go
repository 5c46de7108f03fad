package tcpstate

import "testing"

// Octets that were sent at different times are told apart, and each has the round trip that it took.
func TestRunsAreOfOneTime(t *testing.T) {
	w := open(t, withSACK)
	w.in()
	w.c.Write(1000)
	w.flood()
	w.now += 30 * Millisecond
	w.c.Write(1000)
	w.flood()
	if n := w.flight().nRuns; n != 2 {
		t.Errorf("%d runs", n)
	}
	w.now += 20 * Millisecond
	w.in(ack(1), sack(1001, 2001))
	if w.c.rtt.least != 20_000 {
		t.Errorf("a round trip of %d µs, want 20 ms", w.c.rtt.least)
	}
}

// RFC 2018, 8: what a peer takes back and then reports again has arrived, the second time too.
func TestReportedAgainAfterReneging(t *testing.T) {
	w := sending(t, 0, withSACK)
	w.in(ack(1), sack(1001, 5001))
	w.flood()
	w.in(ack(1001)) // and the rest was dropped
	w.waitTimer()
	w.flood()
	if f := w.flight(); f.sacked != 0 {
		t.Fatalf("%d octets are held as reported", f.sacked)
	}
	w.in(ack(1001), sack(2001, 5001))
	if f := w.flight(); f.sacked != 3000 {
		t.Errorf("%d octets are held as reported, want 3000", f.sacked)
	}
}

// A connection that ends with octets in flight gives back all that it has borrowed.
func TestReleaseGivesBackAll(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(1), sack(1001, 2001), sack(4001, 5001))
	if flights, runs := w.st.InUse(); flights != 1 || runs < 4 {
		t.Fatalf("%d flights, %d runs", flights, runs)
	}
	w.c.Abort()
	w.st.Release(&w.c)
	if flights, runs := w.st.InUse(); flights != 0 || runs != 0 {
		t.Errorf("%d flights and %d runs are left", flights, runs)
	}
	w.st.Release(&w.c) // once more does no harm
	if flights, _ := w.st.InUse(); flights != 0 {
		t.Errorf("%d flights", flights)
	}
}
