package tcpstate

import "testing"

// What was promised holds the connection open: it is not quiescent, a FIN waits, and the clocks for the peer stand still while it has
// all that there is.
func TestPromise(t *testing.T) {
	w := open(t)
	w.c.Promise()
	w.c.WritePromised(1500, false, w.now)
	w.expect(". 1:1001(1000) ack 101", "P. 1001:1501(500) ack 101")
	w.in(ack(1501))
	if w.c.Quiescent() || !w.c.Promised() || w.flight() == nil {
		t.Error("quiescent, or what was learnt about the path is forgotten")
	}
	w.c.Close()
	w.state(FinWait1)
	w.expect()
	if f := w.wait(20 * Minute); f != Alive || w.c.Deadline(w.st) != 0 {
		t.Fatalf("%v, and a timer at %d, while nothing but us is slow", f, w.c.Deadline(w.st))
	}
	w.c.WritePromised(700, true, w.now)
	w.expect("FP. 1501:2201(700) ack 101")
	w.in(ack(2202))
	w.state(FinWait2)
	if w.flight() != nil {
		t.Error("the flight is still held")
	}
	w.c.WritePromised(1, true, w.now) // nothing is owed any more
	w.expect()
}

// The peer is still given up when it does not take what there is, for as long as always, counted from when there was something.
func TestPromiseToAStalledPeer(t *testing.T) {
	w := open(t)
	w.c.Promise()
	w.wait(10 * Minute)
	w.c.WritePromised(100, false, w.now)
	w.poll()
	begin, f := w.now, Alive
	for f == Alive {
		if f, _ = w.waitTimer(); f == Alive {
			w.flood()
		}
	}
	if passed := w.now - begin; f != TimedOut || passed < 300*Second || passed > 301*Second {
		t.Errorf("%v after %d ms", f, passed/Millisecond)
	}
}

// The peer may close meanwhile, and gets what it has asked for.
func TestPromiseToAPeerThatHasClosed(t *testing.T) {
	w := open(t)
	w.c.Promise()
	w.take(fin)
	w.c.Close()
	w.state(LastAck)
	w.expect()
	w.c.WritePromised(1, true, w.now)
	w.expect("FP. 1:2(1) ack 102")
}
