package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// RFC 9293, 3.7.1; RFC 6691: a segment's payload and options together do not exceed the peer's MSS.
func TestPayloadLeavesRoomForOptions(t *testing.T) {
	w := open(t, withTS, withSACK)
	w.c.Write(3000)
	w.expect(". 1:989(988) ack 101", ". 989:1977(988) ack 101", ". 1977:2965(988) ack 101", "P. 2965:3001(36) ack 101")
	if n := w.last.Options.Len(); n != 12 {
		t.Errorf("%d octets of options", n)
	}
}

// RFC 6928, 2: ten segments, or 14,600 octets.
func TestInitialWindow(t *testing.T) {
	for _, c := range []struct{ mss, want uint32 }{{536, 5360}, {1000, 10000}, {1460, 14600}, {1448, 14480}, {8960, 17920}, {4312, 14600}} {
		if got := initialWindow(c.mss); got != c.want {
			t.Errorf("MSS %d: %d, want %d", c.mss, got, c.want)
		}
	}
	w := open(t)
	w.c.Write(100_000)
	if n, octets := w.flood(); n != 10 || octets != 10_000 {
		t.Errorf("%d segments with %d octets", n, octets)
	}
}

// RFC 9293, 3.8.6: the peer's window is respected to the octet, scaled or not (RFC 7323, 2.3).
func TestPeersWindowIsRespected(t *testing.T) {
	w := open(t, offers(2345), scaled(0))
	w.in()
	w.c.Write(5000)
	w.expect(". 1:1001(1000) ack 101", ". 1001:2001(1000) ack 101") // 345 octets are less than half of it
	w.in(ack(2001), wnd(2344))
	w.expect(". 2001:3001(1000) ack 101", ". 3001:4001(1000) ack 101")
	w.in(ack(4001), wnd(500))
	w.expect()
	w.in(wnd(1000))
	w.expect("P. 4001:5001(1000) ack 101")

	w = open(t, offers(3), scaled(9))
	w.in()
	w.c.Write(5000)
	w.expect(". 1:1001(1000) ack 101") // of 1536
}

// RFC 9293, 3.8.6.2.1: nothing is sent in crumbs, but the last piece of a response goes at once, in flight or
// not (no Nagle, 3.7.4).
func TestSillyWindowAvoidance(t *testing.T) {
	w := open(t, offers(1400))
	w.in()
	w.c.Write(1450)
	w.expect(". 1:1001(1000) ack 101") // 400 are neither the rest, nor a segment, nor half of the window
	w.in(ack(1001), wnd(440))
	w.expect()
	w.in(wnd(450))
	w.expect("P. 1001:1451(450) ack 101")
	w.c.Write(30)
	w.in(wnd(500))
	w.expect("P. 1451:1481(30) ack 101")
	w.in(ack(1481))

	w.c.Write(2000)
	w.in(wnd(700))
	w.expect(". 1481:2181(700) ack 101") // half of the largest window will do
}

// RFC 9293, 3.8.6.2.1: the override time-out ends the wait for a better window.
func TestSillyWindowOverride(t *testing.T) {
	w := open(t, offers(60000))
	w.quiet()
	w.in(wnd(100))
	w.c.Write(5000)
	w.expect()
	_, d := w.waitTimer()
	if d < 100*Millisecond || d > 1002*Millisecond {
		t.Errorf("after %d ms", d/Millisecond)
	}
	w.expect(". 1:101(100) ack 101")
	w.in(ack(101), wnd(0))
	w.expect()
}

// RFC 9293, 3.8.6.1: a closed window is probed with back-off; nothing is lost, and nothing sent into it.
func TestZeroWindowProbes(t *testing.T) {
	w := open(t)
	w.quiet()
	w.in(wnd(0))
	w.c.Write(3000)
	w.expect()
	for _, want := range []Time{1, 2, 4, 8, 16} {
		if _, d := w.waitTimer(); d/Second != want {
			t.Errorf("probe after %d s, want %d", d/Second, want)
		}
		w.expect(". 0:0(0) ack 101")
		w.in(wnd(0))
		w.expect()
	}
	w.in(wnd(3000))
	w.expect(". 1:1001(1000) ack 101", ". 1001:2001(1000) ack 101", "P. 2001:3001(1000) ack 101")
	if _, d := w.waitTimer(); d > 1002*Millisecond {
		t.Errorf("the back-off of probes stays: %d ms", d/Millisecond)
	}
	w.expect(". 1:1001(1000) ack 101")
	w.in(ack(3001), wnd(0))
	w.c.Close() // a FIN needs room, too
	w.expect()
	w.waitTimer()
	w.expect(". 3000:3000(0) ack 101")
	w.in(wnd(1))
	w.expect("F. 3001:3001(0) ack 101")
}

// A FIN takes part in the window like an octet.
func TestFINNeedsWindow(t *testing.T) {
	w := open(t, offers(1000))
	w.in()
	w.c.Write(1000)
	w.c.Close()
	w.expect("P. 1:1001(1000) ack 101")
	w.in(ack(1001))
	w.expect("F. 1001:1001(0) ack 101")
}

// A lost window update is found by the probe's answer.
func TestProbeFindsOpenWindow(t *testing.T) {
	w := open(t)
	w.quiet()
	w.in(wnd(0))
	w.c.Write(1000)
	w.waitTimer()
	w.expect(". 0:0(0) ack 101")
	w.in(wnd(1000))
	w.expect("P. 1:1001(1000) ack 101")
}

// RFC 9293, 3.8.6: a window that shrinks below what is in flight stops new data, and what is sent again stays
// inside of it.
func TestShrinkingWindow(t *testing.T) {
	w := open(t)
	w.in()
	w.c.Write(20_000)
	if n, _ := w.flood(); n != 10 {
		t.Fatal(n)
	}
	w.in(ack(1001), wnd(500))
	w.expect()
	w.waitTimer()
	w.expect(". 1001:1501(500) ack 101")
	w.in(ack(1501), wnd(0))
	w.expect()
	w.waitTimer() // everything beyond is the peer's to ask for
	w.expect(". 1500:1500(0) ack 101")
	w.in(ack(1501), wnd(30000))
	w.waitTimer()
	w.expect(". 1501:2501(1000) ack 101")
}

// RFC 9293, 3.10.7.4, fifth: SND.WL1 keeps old segments from setting the window.
func TestOldSegmentsDoNotSetTheWindow(t *testing.T) {
	w := open(t)
	w.take(fill(100), wnd(2000))
	w.take(fill(100), wnd(3000))
	w.c.Consume(200)
	w.in(seq(150), fill(160), wnd(100)) // overlaps, and so is acceptable
	if got := w.c.Handover().Wnd; got != 3000 {
		t.Errorf("window %d", got)
	}
	w.in(seq(301), wnd(4000))
	if got := w.c.Handover().Wnd; got != 4000 {
		t.Errorf("window %d", got)
	}
}

// RFC 9293, 3.9.1.2: PSH is on the last segment of what was written.
func TestPushAtTheEnd(t *testing.T) {
	w := open(t)
	w.c.Write(1000)
	w.c.Write(1000)
	w.expect(". 1:1001(1000) ack 101", "P. 1001:2001(1000) ack 101")
}

// Nothing moves while nobody polls: the transmit ring may be full.
func TestNothingMovesWithoutPolling(t *testing.T) {
	w := open(t)
	w.c.Write(5000)
	before := w.c
	for range 3 {
		if !w.c.WantsTransmit(w.st, w.now) {
			t.Fatal("does not want to transmit")
		}
	}
	if w.c != before || w.c.snd.nxt != w.iss+1 {
		t.Error("it moved")
	}
}

// Offsets count modulo 2³², over more than 4 GiB on one connection.
func TestMoreThan4GiB(t *testing.T) {
	w := open(t, scaled(14))
	w.in()
	const response = 1 << 30
	var total uint64
	for range 5 {
		w.c.Write(response)
		for left := uint32(response); left > 0; {
			if w.poll() == "" {
				t.Fatal("nothing to send")
			}
			if got := w.last.Off; got != uint32(total) {
				t.Fatalf("offset %d after %d octets", got, total)
			}
			// The peer acknowledges more than was polled only if the segment is made larger: jump.
			jump := min(left, 1<<20) - min(left, w.last.Len)
			w.c.snd.nxt += wire.Seq(jump)
			n := w.last.Len + jump
			total += uint64(n)
			left -= n
			s := wire.Segment{Seq: w.c.rcv.nxt, Ack: w.c.snd.nxt, Flags: wire.ACK, Wnd: 60000}
			w.c.OnSegment(w.st, &s, w.now)
			w.check()
		}
		if w.c.AckedOff() != uint32(total) || w.c.WrittenOff() != uint32(total) || !w.c.Quiescent() {
			t.Fatalf("acked %d, written %d after %d", w.c.AckedOff(), w.c.WrittenOff(), total)
		}
	}
}

// The same for what the peer sends while we discard.
func TestMoreThan4GiBDiscarded(t *testing.T) {
	w := open(t, config(func(c *Config) { c.LingerTimeout = Hour }))
	w.c.Close()
	w.flood()
	w.in(ack(2))
	payload := make([]byte, 60000)
	var total uint64
	for total < 5<<30 {
		s := wire.Segment{Seq: w.c.rcv.nxt, Ack: w.c.snd.nxt, Flags: wire.ACK, Wnd: 60000, Payload: payload}
		if in := w.c.OnSegment(w.st, &s, w.now); in.Drop != DropDiscarded {
			t.Fatal(in.Drop)
		}
		total += uint64(len(payload))
		var out Transmit
		for w.c.PollTransmit(w.st, w.now, &out) {
		}
		if out.Ack != s.Seq+wire.Seq(len(payload)) {
			t.Fatalf("acknowledged %d of %d", out.Ack, s.Seq)
		}
	}
	w.check()
}
