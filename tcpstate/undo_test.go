package tcpstate

import "testing"

// spurious returns a world in which the first segment was sent again in recovery, for nothing, 50 ms after the rest.
func spurious(t *testing.T, change ...func(*setup)) *world {
	t.Helper()
	w := sending(t, 1<<20, change...)
	w.in(ack(1), sack(1001, 5001))
	if w.poll(); w.last.Off != 0 || w.mode() != modeRecovery {
		t.Fatalf("%d at %d, mode %d", w.last.Len, w.last.Off, w.mode())
	}
	return w
}

// RFC 2883, 5; RFC 3708: when the peer reports the retransmission as the second copy, the window is as before.
func TestUndoByDSACK(t *testing.T) {
	w := spurious(t, withSACK)
	w.now += 20 * Millisecond
	w.in(ack(10001)) // all had arrived
	if ssthresh := w.window().ssthresh; ssthresh != 5000 {
		t.Fatalf("ssthresh %d", ssthresh)
	}
	w.flood()
	w.now += 80 * Millisecond
	w.in(ack(10001), sack(1, 1001))
	if win := w.window(); win.ssthresh != maxCwnd || win.cwnd < 10_000 {
		t.Errorf("cwnd %d, ssthresh %d", win.cwnd, win.ssthresh)
	}
}

// A DSACK for one of two retransmissions says nothing of the other.
func TestNoUndoByHalfTheDSACKs(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(1), sack(1001, 2001), sack(3001, 10001))
	w.expect(". 1:1001(1000) ack 101", ". 2001:3001(1000) ack 101", ". 10001:11001(1000) ack 101", ". 11001:12001(1000) ack 101", ". 12001:13001(1000) ack 101")
	w.in(ack(10001), sack(1, 1001))
	if ssthresh := w.window().ssthresh; ssthresh != 5000 {
		t.Errorf("ssthresh %d", ssthresh)
	}
}

// RFC 3522 (Eifel): the timestamp that is echoed tells which copy came first.
func TestUndoByTimestamp(t *testing.T) {
	for name, c := range map[string]struct {
		later Time // the echo is of so much later than the first copy
		undo  bool
	}{"first copy": {0, true}, "second copy": {100 * Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			w := spurious(t, withSACK, withTS)
			w.tsEcr = Millis(w.now-100*Millisecond+c.later) + w.c.tsOffset
			w.now += 20 * Millisecond
			w.in(ack(9881))
			if undone := w.window().ssthresh == maxCwnd; undone != c.undo {
				t.Errorf("cwnd %d, ssthresh %d", w.window().cwnd, w.window().ssthresh)
			}
		})
	}
}

// What was taken for lost arrives before it could be sent again.
func TestUndoOfWhatWasNotSentAgain(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(1), sack(1001, 5001))
	if w.mode() != modeRecovery {
		t.Fatal("no recovery")
	}
	w.in(ack(5001))
	if win := w.window(); win.ssthresh != maxCwnd || w.mode() != modeOpen {
		t.Errorf("cwnd %d, ssthresh %d", win.cwnd, win.ssthresh)
	}
}

// RFC 5682, 3.1: after a time-out the acknowledgment of something that was sent once shows that all was only late.
func TestFRTO(t *testing.T) {
	w := sending(t, 1<<20)
	w.waitTimer()
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1001)) // of which copy?
	// So new octets go, and not the next of the old ones.
	w.expect(". 10001:11001(1000) ack 101", ". 11001:12001(1000) ack 101")
	w.in(ack(3001))
	if win := w.window(); w.mode() != modeOpen || win.ssthresh != maxCwnd || win.cwnd < 10_000 {
		t.Errorf("mode %d, cwnd %d, ssthresh %d", w.mode(), win.cwnd, win.ssthresh)
	}
	if f := w.flight(); f.lost != 0 {
		t.Errorf("%d octets are still lost", f.lost)
	}
}

// RFC 5682, 3.1, step 3a: a duplicate shows that something was lost.
func TestFRTOOfATrueLoss(t *testing.T) {
	w := sending(t, 1<<20)
	w.waitTimer()
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1001))
	w.expect(". 10001:11001(1000) ack 101", ". 11001:12001(1000) ack 101")
	w.in(ack(1001))
	if s := w.poll(); s != ". 1001:2001(1000) ack 101" {
		t.Errorf("sent %q", s)
	}
	if w.window().ssthresh != 5000 {
		t.Errorf("ssthresh %d", w.window().ssthresh)
	}
}

// An undo shows that the path reorders: from now on a hole gets its time (RFC 8985, 6.2, step 4).
func TestUndoTeachesReordering(t *testing.T) {
	w := spurious(t, withSACK, withTS)
	w.tsEcr = Millis(w.now-100*Millisecond) + w.c.tsOffset
	w.now += 20 * Millisecond
	w.in(ack(9881))
	if !w.flight().rack.reordering {
		t.Error("nothing was learnt")
	}
}

// What an earlier recovery has sent again, and arrives in a later one, is no original that was only late.
func TestNoUndoByAnEarlierRetransmission(t *testing.T) {
	w := sending(t, 1<<20, withSACK, withTS)
	const n = 988 // octets of a segment
	at := func(k uint32) uint32 { return 1 + k*n }
	echo := func(sent Time) { w.tsEcr = Millis(sent) + w.c.tsOffset }
	pass := func(d Time) { w.now += d; echo(w.now - 100*Millisecond) }

	w.in(ack(1), sack(at(1), at(4)))
	w.flood() // the first segment again, and new ones
	pass(20 * Millisecond)
	w.in(ack(1), sack(at(1), at(10)))
	w.flood()
	pass(50 * Millisecond)
	w.in(ack(1), sack(at(11), at(14)), sack(at(1), at(10)))
	again := w.now
	w.flood() // segment 10 again
	pass(30 * Millisecond)
	w.in(ack(at(10)), sack(at(11), at(14)))
	if w.flight().rec.recover != w.c.snd.nxt {
		t.Fatal("the first recovery is not over")
	}
	first := w.c.snd.nxt
	w.flood()
	pass(50 * Millisecond)
	lost := uint32(first - w.c.snd.iss)
	w.in(ack(at(10)), sack(lost+n, lost+2*n), sack(at(11), at(14)))
	w.flood()
	if w.mode() != modeRecovery {
		t.Fatalf("no second recovery: mode %d", w.mode())
	}
	w.now += 30 * Millisecond
	echo(again)
	w.in(ack(at(14)), sack(lost+n, lost+2*n))
	if w.st.of(&w.c).rack.reordering || w.mode() != modeRecovery {
		t.Errorf("undone: mode %d, reordering %v", w.mode(), w.st.of(&w.c).rack.reordering)
	}
}
