package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// RFC 9293, 3.6, case 1: we close first.
func TestWeCloseFirst(t *testing.T) {
	w := open(t)
	w.c.Write(300)
	w.c.Close()
	w.state(FinWait1)
	w.expect("FP. 1:301(300) ack 101")
	w.in(ack(301))
	w.state(FinWait1)
	w.in(ack(302))
	w.state(FinWait2)
	w.take(fin)
	w.state(TimeWait)
	w.expect(". 302:302(0) ack 102")
	if f := w.wait(59 * Second); f != Alive {
		t.Errorf("after 59 s: %v", f)
	}
	if f := w.wait(2 * Second); f != Closed {
		t.Errorf("after 61 s: %v", f)
	}
	if !w.c.Finished() {
		t.Error("not finished")
	}
}

// RFC 9293, 3.6, case 2: the peer closes first; what it asked for before is still answered.
func TestPeerClosesFirst(t *testing.T) {
	w := open(t, fresh)
	first := w.absolute(segment(seq(1), ack(1), data("GET /"), fin))
	if in := w.c.OnSegment(w.st, &first, w.now); string(in.Data) != "GET /" || in.Fate != Alive {
		t.Fatalf("got %+v", in)
	}
	w.state(Established) // the FIN counts when the octets before it are here
	w.c.Received(5, nil)
	w.state(CloseWait)
	if !w.c.PeerClosed() || w.c.Pending() != 5 || w.c.Boundary() != w.irs+1 {
		t.Errorf("pending %d, boundary %d", w.c.Pending(), w.c.Boundary()-w.irs)
	}
	w.expect()
	w.c.Consume(5)
	w.c.Write(1200)
	w.expect(". 1:1001(1000) ack 7", "P. 1001:1201(200) ack 7")
	w.in(ack(1201))
	if !w.c.Quiescent() {
		t.Error("not quiescent")
	}
	w.c.Close()
	w.state(LastAck)
	w.expect("F. 1201:1201(0) ack 7")
	if in := w.in(ack(1202)); in.Fate != Closed {
		t.Errorf("got %+v", in)
	}
	if w.c.AckedOff() != 1200 {
		t.Errorf("acknowledged up to %d", w.c.AckedOff())
	}
	w.state(StateClosed)
	w.expect()
}

// RFC 9293, 3.6, case 3: both close at once.
func TestSimultaneousClose(t *testing.T) {
	w := open(t)
	w.c.Close()
	w.expect("F. 1:1(0) ack 101")
	w.in(ack(1), fin)
	w.state(Closing)
	w.expect(". 2:2(0) ack 102")
	w.in(ack(2))
	w.state(TimeWait)
	if f := w.wait(61 * Second); f != Closed {
		t.Error(f)
	}
}

// The peer's FIN may come while ours still waits behind data that the window holds up.
func TestPeersFINBeforeOursIsSent(t *testing.T) {
	w := open(t, offers(1000))
	w.in()
	w.c.Write(2500)
	w.c.Close()
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(1), fin)
	w.state(Closing)
	w.expect(". 1001:1001(0) ack 102")
	w.in(ack(1001), wnd(5000))
	w.expect(". 1001:2001(1000) ack 102", "FP. 2001:2501(500) ack 102")
	w.in(ack(2501))
	w.state(Closing)
	w.in(ack(2502))
	w.state(TimeWait)
}

// RFC 9293, 3.10.7.4, fifth, FIN-WAIT-1: an ACK of our FIN and the peer's FIN in one segment.
func TestFINWithTheACKOfOurs(t *testing.T) {
	w := open(t)
	w.c.Close()
	w.expect("F. 1:1(0) ack 101")
	w.in(ack(2), fin)
	w.state(TimeWait)
	w.expect(". 2:2(0) ack 102")
}

// A FIN that overtakes data is remembered, and counts in its place. RFC 9293, 3.10.7.4, eighth.
func TestFINOutOfOrder(t *testing.T) {
	w := open(t)
	w.in(seq(201), fin)
	w.state(Established)
	w.expect(". 1:1(0) ack 101")
	w.take(fill(50))
	w.state(Established)
	if in := w.in(seq(151), fill(200)); len(in.Data) != 50 {
		t.Errorf("%d octets up to the FIN", len(in.Data))
	}
	w.c.Received(100, nil)
	w.state(CloseWait)
	if w.c.Pending() != 100 {
		t.Errorf("pending %d", w.c.Pending())
	}
	w.wait(50 * Millisecond)
	w.expect(". 1:1(0) ack 202")
}

// A FIN whose octets were not taken does not count, and comes again with them.
func TestFINBehindOctetsThatWereNotTaken(t *testing.T) {
	w := open(t)
	w.in(fill(50), fin)
	w.c.Received(20, nil)
	w.state(Established)
	w.in(seq(121), fill(30), fin)
	w.c.Received(50, nil)
	w.state(CloseWait)
}

// Nothing is received beyond the FIN or the window, whatever the caller says.
func TestReceivedTooMuch(t *testing.T) {
	w := open(t)
	w.in(fill(50), fin)
	w.c.Received(1<<20, nil)
	w.state(CloseWait)
	if w.c.Pending() != 50 {
		t.Errorf("pending %d", w.c.Pending())
	}
	w = open(t, config(func(c *Config) { c.Window = 1000 }))
	w.c.Received(1<<20, nil)
	w.check()
	if w.c.Pending() != 900 {
		t.Errorf("pending %d", w.c.Pending())
	}
}

// A FIN beyond the window does not count.
func TestFINBeyondTheWindow(t *testing.T) {
	w := open(t, config(func(c *Config) { c.Window = 1000 }))
	in := w.in(fill(950), fin)
	w.c.Received(uint32(len(in.Data)), nil)
	w.state(Established)
	if w.c.Pending() != 900 {
		t.Errorf("pending %d", w.c.Pending())
	}
}

// RFC 9293, 3.10.7.4, seventh: text behind the peer's own FIN is ignored.
func TestTextBehindTheFIN(t *testing.T) {
	w := open(t)
	w.take(fin)
	w.drop(DropAfterFIN, fill(10))
	w.expect(". 1:1(0) ack 102")
	if w.c.Pending() != 0 {
		t.Error("it was taken")
	}
}

// RFC 9112, 9.6: after our close, what still comes is acknowledged and thrown away, or the client would
// get a RST before it has read our answer.
func TestLingeringClose(t *testing.T) {
	w := open(t)
	w.take(fill(50)) // undecided when we close
	w.c.Write(100)
	w.c.Close()
	w.expect("FP. 1:101(100) ack 151")
	w.drop(DropDiscarded, ack(1), fill(1000))
	w.drop(DropDiscarded, ack(1), fill(1000))
	w.expect(". 102:102(0) ack 2151")
	w.drop(DropDiscarded, ack(102), fill(10))
	w.state(FinWait2)
	w.drop(DropDiscarded, seq(5000), fill(10)) // not in order: not even held
	w.expect(". 102:102(0) ack 2161")
	if f := w.wait(29 * Second); f != Alive {
		t.Error(f)
	}
	w.drop(DropDiscarded, fill(10)) // which does not prolong it
	if f := w.wait(2 * Second); f != Closed {
		t.Error(f)
	}
}

// RFC 9293, 3.8.1: the FIN is retransmitted like an octet, with what was before it.
func TestFINIsRetransmitted(t *testing.T) {
	w := open(t)
	w.c.Write(1500)
	w.c.Close()
	w.expect(". 1:1001(1000) ack 101", "FP. 1001:1501(500) ack 101")
	w.in(ack(1001))
	if f, d := w.waitTimer(); f != Alive || d < 200*Millisecond {
		t.Fatal(f, d)
	}
	w.expect("FP. 1001:1501(500) ack 101")
	w.in(ack(1501))
	w.waitTimer()
	w.expect("F. 1501:1501(0) ack 101")
	w.in(ack(1502))
	w.state(FinWait2)
}

// RFC 9293, 3.10.7.4, eighth: a FIN that comes again is acknowledged again, and TIME-WAIT begins anew.
func TestFINAgainInTimeWait(t *testing.T) {
	w := open(t)
	w.c.Close()
	w.expect("F. 1:1(0) ack 101")
	w.in(ack(2), fin)
	w.expect(". 2:2(0) ack 102")
	w.wait(50 * Second)
	w.drop(DropOldDuplicate, seq(101), fin)
	w.expect(". 2:2(0) ack 102")
	if f := w.wait(50 * Second); f != Alive {
		t.Error(f)
	}
	if f := w.wait(11 * Second); f != Closed {
		t.Error(f)
	}
}

// RFC 9293, 3.10.7.4, fourth; RFC 6191, 2: a SYN may reopen the connection from TIME-WAIT if it lies beyond
// all of the old one. Another is challenged (RFC 5961, 4.2).
func TestSYNInTimeWait(t *testing.T) {
	for _, c := range []struct {
		name string
		ts   bool
		seq  uint32
		ahd  int32 // its timestamp before or behind the last
		want bool
	}{
		{"beyond", false, 103, 0, true},
		{"at RCV.NXT", false, 102, 0, false},
		{"below", false, 50, 0, false},
		{"below, later timestamp", true, 50, 1, true},
		{"beyond, earlier timestamp", true, 5000, -1, false},
		{"beyond, same timestamp", true, 5000, 0, true},
		{"below, same timestamp", true, 50, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, func(s *setup) {
				if c.ts {
					withTS(s)
				}
			})
			w.c.Close()
			w.expect("F. 1:1(0) ack 101")
			w.in(ack(2), fin)
			w.expect(". 2:2(0) ack 102")
			w.tsVal = w.c.rcv.tsRecent + uint32(c.ahd)
			in := w.in(flags(wire.SYN), seq(c.seq))
			if in.NewSYN != c.want || !c.want && in.Drop != DropChallengeSYN {
				t.Errorf("got %+v", in)
			}
		})
	}
}

// RFC 9293, 3.10.7.4, second: RST ends TIME-WAIT too.
func TestResetInTimeWait(t *testing.T) {
	w := open(t)
	w.c.Close()
	w.expect("F. 1:1(0) ack 101")
	w.in(ack(2), fin)
	if in := w.in(flags(wire.RST)); in.Fate != Reset {
		t.Errorf("got %+v", in)
	}
}

// RFC 9293, 3.10.5.
func TestAbort(t *testing.T) {
	w := open(t)
	w.c.Write(100)
	w.expect("P. 1:101(100) ack 101")
	w.c.Abort()
	w.state(StateClosed)
	if w.c.Finished() {
		t.Error("finished before its RST was sent")
	}
	w.expect("R. 101:101(0) ack 101")
	if !w.c.Finished() || w.c.Deadline(w.st) != 0 {
		t.Error("not finished")
	}
	if in := w.in(fill(10)); in.Fate != Closed || in.Drop != DropClosed {
		t.Errorf("got %+v", in)
	}
	w.c.Write(10)
	w.c.Close()
	w.c.Discard()
	w.expect()
}

// A hand-over names the request boundary, and is possible only when all is acknowledged.
func TestHandover(t *testing.T) {
	w := open(t, withTS, withSACK, scaled(5))
	w.c.Write(100)
	if w.c.Quiescent() {
		t.Error("quiescent before anything was sent")
	}
	w.poll()
	if w.c.Quiescent() {
		t.Error("quiescent with octets in flight")
	}
	w.take(ack(101), fill(70), wnd(777))
	if !w.c.Quiescent() {
		t.Error("not quiescent")
	}
	got := w.c.Handover()
	want := Handover{
		Seq: w.irs + 101, Ack: w.iss + 101, MSS: 1000, RcvWScale: 7, SndWScale: 5, WScaleOK: true, SACKOK: true,
		TimestampsOK: true, TSOffset: w.c.tsOffset, TSRecent: Millis(w.now), Wnd: 777,
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	w.c.Close()
	if w.c.Quiescent() {
		t.Error("quiescent with a FIN to send")
	}
}

// Keep-alive, head and stall limits.
func TestPhaseLimits(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		w := open(t)
		w.c.Write(10)
		w.expect("P. 1:11(10) ack 101")
		w.wait(100 * Millisecond)
		w.in(ack(11))
		if f, d := w.waitTimer(); f != IdleExpired || d < 5*Second || d > 5*Second+2*Millisecond {
			t.Fatal(f, d)
		}
		w.state(Established)
		if f, d := w.waitTimer(); f != IdleExpired || d < 5*Second {
			t.Fatal(f, d) // told again, but not at once
		}
		w.c.Close()
		w.expect("F. 11:11(0) ack 101")
	})
	t.Run("slow head", func(t *testing.T) {
		w := open(t)
		w.poll()
		for range 19 { // the first octet comes after 1 s
			w.wait(Second)
			w.take(data("x"))
			w.flood()
		}
		for f := Alive; f != HeadExpired; {
			if f, _ = w.waitTimer(); w.now > start+40*Second || f != Alive && f != HeadExpired {
				t.Fatal(f)
			}
		}
		if passed := w.now - start; passed < 21*Second || passed > 21*Second+100*Millisecond {
			t.Errorf("after %d ms", passed/Millisecond)
		}
	})
	t.Run("a new head begins anew", func(t *testing.T) {
		w := open(t)
		w.take(fill(10))
		w.wait(15 * Second)
		w.flood()
		w.take(fill(10))
		w.c.Consume(15)
		w.wait(50 * Millisecond)
		w.flood()
		if f := w.wait(15 * Second); f != Alive {
			t.Error(f)
		}
		if f := w.wait(6 * Second); f != HeadExpired {
			t.Error(f)
		}
	})
	t.Run("silent peer", func(t *testing.T) {
		w := open(t)
		w.c.Write(100)
		w.poll()
		begin := w.now
		f := Alive
		for f == Alive {
			f, _ = w.waitTimer()
			if f == Alive {
				w.flood()
			}
		}
		if passed := w.now - begin; f != TimedOut || passed < 300*Second || passed > 301*Second {
			t.Errorf("%v after %d ms", f, passed/Millisecond)
		}
		w.expect("R. 101:101(0) ack 101")
		if !w.c.Finished() {
			t.Error("not finished")
		}
	})
	t.Run("never-reading peer", func(t *testing.T) {
		w := open(t)
		w.in(wnd(0))
		w.c.Write(100)
		begin := w.now
		f := Alive
		for f == Alive {
			if f, _ = w.waitTimer(); f == Alive {
				w.flood()
				w.in(wnd(0)) // it answers every probe
			}
		}
		if passed := w.now - begin; f != TimedOut || passed < 300*Second || passed > 301*Second {
			t.Errorf("%v after %d ms", f, passed/Millisecond)
		}
	})
	t.Run("fifteen back-offs", func(t *testing.T) {
		w := open(t, config(func(c *Config) { c.StallTimeout = 0 }))
		w.c.Write(100)
		w.poll()
		n := 0
		for f := Alive; f == Alive; n++ {
			f, _ = w.waitTimer()
			w.flood()
		}
		if n != maxBackoff+1 {
			t.Errorf("given up after %d expiries", n)
		}
	})
	t.Run("back-offs with progress", func(t *testing.T) {
		// Without timestamps nothing is measured, since everything is sent again; but it arrives.
		w := open(t, config(func(c *Config) { c.StallTimeout = 0 }))
		w.c.Write(100_000)
		w.flood()
		for n := range 3 * maxBackoff {
			if f, _ := w.waitTimer(); f != Alive {
				t.Fatalf("given up after %d expiries, between which octets were acknowledged", n+1)
			}
			w.flood()
			if n%3 == 2 {
				w.in(ack(uint32(101 + 10*(n/3+1))))
			}
		}
	})
	t.Run("never", func(t *testing.T) {
		w := open(t, config(func(c *Config) { c.KeepAliveTimeout = 0 }))
		w.wait(50 * Millisecond)
		w.flood()
		if d := w.c.Deadline(w.st); d != 0 {
			t.Errorf("a timer runs: %d", d)
		}
	})
}

// OnTimeout before its time does nothing.
func TestOnTimeoutTooEarly(t *testing.T) {
	w := open(t)
	w.c.Write(5000)
	w.flood()
	before := w.c
	if f := w.c.OnTimeout(w.st, w.now); f != Alive || w.c != before {
		t.Errorf("%v, or it changed", f)
	}
}
