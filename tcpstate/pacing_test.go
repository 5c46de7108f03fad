package tcpstate

import "testing"

// paced returns a world in which 20 segments a round trip of 100 ms may go, of which the first are gone.
func paced(t *testing.T) *world {
	t.Helper()
	w := open(t, with(BBR), withSACK)
	w.in()
	w.c.Write(1 << 20)
	w.flood()
	w.now += 100 * Millisecond
	w.paced = true
	w.in(ack(10_001))
	return w
}

// What the window allows goes out in bursts of a few segments, evenly over time, and each burst has its deadline.
func TestPacing(t *testing.T) {
	w := paced(t)
	f := w.flight()
	begin, octets, bursts := w.now, uint32(0), 0
	for w.now < begin+50*Millisecond {
		n, o := w.flood()
		octets += o
		if n > 0 {
			bursts++
			if most := max(f.win.quantum(), 2000) + 1000; o > most {
				t.Fatalf("a burst of %d octets, at most %d", o, most)
			}
		}
		if w.c.WantsTransmit(w.st, w.now) {
			t.Fatal("something is left to send at once")
		}
		at := w.c.Deadline(w.st)
		if at == 0 || at > w.now+10*Millisecond {
			t.Fatalf("the next burst in %d µs", (at-w.now)/Microsecond)
		}
		w.wait(max(at-w.now, Microsecond))
	}
	want := uint32(f.win.rate / 20) // in 50 ms
	if octets < want*9/10 || octets > want*11/10+2000 || bursts < 5 {
		t.Errorf("%d octets in %d bursts, want %d", octets, bursts, want)
	}
}

// A timer that is late is made up for, but not without limit.
func TestPacingMakesUpForLateTimers(t *testing.T) {
	w := &window{mss: 1000, rate: 1e6} // a segment each ms
	var p pacing
	now := Time(Second)
	sent := 0
	for range 100 {
		for p.ready(w, now) {
			p.sent(w, w.mss, now)
			sent++
		}
		now += 3 * Millisecond / 2
	}
	if sent < 148 || sent > 153 {
		t.Errorf("%d segments in 150 ms", sent)
	}
	now += Second
	for sent = 0; p.ready(w, now); sent++ {
		p.sent(w, w.mss, now)
	}
	if sent > 5 {
		t.Errorf("%d segments at once after a pause", sent)
	}
}

// The first window goes at once, as the kernel does; so does what answers a request after that, if it fits.
func TestFirstWindowIsNotPaced(t *testing.T) {
	for control := range NumControls {
		w := open(t, with(control), withTS)
		w.paced = true
		w.in()
		w.c.Write(9000)
		if n, _ := w.flood(); n != 10 {
			t.Errorf("%v: %d segments", control, n)
		}
	}
}

// Retransmissions are paced too, but probes and bare acknowledgments never wait.
func TestWhatIsNotPaced(t *testing.T) {
	w := paced(t)
	w.flood()
	if w.c.WantsTransmit(w.st, w.now) {
		t.Fatal("not paced")
	}
	w.take(fill(10))
	w.take(fill(3000))
	if s := w.poll(); s == "" || w.last.Len != 0 {
		t.Errorf("sent %q", s)
	}
	w.c.flags |= flagTailProbe
	if s := w.poll(); s == "" || w.last.Len == 0 {
		t.Errorf("sent %q for a probe", s)
	}
}
