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

// A peer that reports every other octet as arrived ("SACK bomb") does not get more runs than segments can explain, and all octets
// are sent again until it has them.
func TestSACKBomb(t *testing.T) {
	w := sending(t, 0, withSACK)
	most := 0
	for at := uint32(2); at < 10_000; at += 6 {
		w.in(ack(1), sack(at, at+1), sack(at+2, at+3), sack(at+4, at+5))
		w.flood()
		_, runs := w.st.InUse()
		most = max(most, runs)
	}
	if most > 2*10+slackRuns+1 {
		t.Errorf("%d runs for 10 segments", most)
	}
	sent := map[uint32]bool{}
	for range 3 { // time-outs
		w.waitTimer()
		var out Transmit
		for w.c.PollTransmit(w.st, w.now, &out) {
			for at := range out.Len {
				sent[out.Off+at] = true
			}
		}
		w.in(ack(1))
	}
	if !sent[0] || !sent[2] {
		t.Errorf("of what the peer lacks only %d octets were sent again", len(sent))
	}
	w.in(ack(10_001))
	if flights, runs := w.st.InUse(); flights != 0 || runs != 0 {
		t.Errorf("%d flights and %d runs are left", flights, runs)
	}
}

// With tiny segments a connection has fewer runs: what it sends beyond them is watched over by the retransmission timer.
func TestTinySegmentsGetFewRuns(t *testing.T) {
	w := sending(t, 1<<20, withSACK, func(s *setup) { s.stack.Runs = 20_000 })
	f := w.flight()
	f.win.cwnd, f.win.mss, w.c.snd.mss = 1<<20, 64, 64
	w.in(ack(1), sack(1001, 1002)) // a window of 60,000
	for range 900 {
		w.now += Millisecond
		f.win.cwnd = 1 << 20
		w.c.flags &^= flagPaced
		var out Transmit
		w.c.PollTransmit(w.st, w.now, &out)
	}
	t.Logf("%d runs", f.nRuns)
	if want := uint32(maxRuns / 1024 * 64); f.nRuns > want || f.nRuns < 100 {
		t.Errorf("%d runs, want at most %d", f.nRuns, want)
	}
}
