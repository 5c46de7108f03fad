package tcpstate

import (
	"testing"
)

func wantCwnd(t *testing.T, w *world, cwnd, ssthresh uint32) {
	t.Helper()
	if win := w.window(); win.cwnd != cwnd || ssthresh != 0 && win.ssthresh != ssthresh {
		t.Fatalf("cwnd %d, ssthresh %d; want %d, %d", win.cwnd, win.ssthresh, cwnd, ssthresh)
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
	w.flight().win.ssthresh = 10_000
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

// RFC 5681, 4.1: after an idle time longer than the RTO, not more than the initial window.
func TestRestartAfterIdle(t *testing.T) {
	for _, c := range []struct {
		idle Time
		want int
	}{{100 * Millisecond, 42}, {2 * Second, 10}} {
		w := open(t)
		w.in()
		w.c.mem.cwnd = 40_000
		w.c.Write(40_000)
		w.flood()
		w.now += 10 * Millisecond
		w.in(ack(40_001))
		w.wait(c.idle)
		w.take(fill(10))
		w.c.Consume(10)
		w.c.Write(100_000)
		if n, _ := w.flood(); n != c.want {
			t.Errorf("idle for %d ms: %d segments at once, want %d", c.idle/Millisecond, n, c.want)
		}
	}
}
