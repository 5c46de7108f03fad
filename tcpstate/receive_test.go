package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// RFC 9293, 3.10.7.4, first: what is acceptable.
func TestAcceptability(t *testing.T) {
	// The window is [101, 2001): that of the SYN/ACK, since 100 octets more are not worth saying.
	for _, c := range []struct {
		name   string
		seg    []func(*draft)
		drop   Drop
		data   int
		off    uint32
		answer string
	}{
		{"in order", []func(*draft){fill(10)}, DropNone, 10, 0, ""},
		{"ahead", []func(*draft){seq(201), fill(10)}, DropNone, 10, 100, ". 1:1(0) ack 101"},
		{"up to the right edge", []func(*draft){seq(1901), fill(100)}, DropNone, 100, 1800, ". 1:1(0) ack 101"},
		{"over the right edge", []func(*draft){seq(1901), fill(101)}, DropNone, 100, 1800, ". 1:1(0) ack 101"},
		{"the last octet", []func(*draft){seq(2000), fill(9)}, DropNone, 1, 1899, ". 1:1(0) ack 101"},
		{"at the right edge", []func(*draft){seq(2001), fill(1)}, DropOutOfWindow, 0, 0, ". 1:1(0) ack 101"},
		{"far beyond", []func(*draft){seq(1 << 30), fill(1)}, DropOutOfWindow, 0, 0, ". 1:1(0) ack 101"},
		{"ACK at the right edge", []func(*draft){seq(2001)}, DropNone, 0, 0, ""},
		{"ACK beyond it", []func(*draft){seq(2002)}, DropOutOfWindow, 0, 0, ". 1:1(0) ack 101"},
		{"old data", []func(*draft){seq(1), fill(100)}, DropOldDuplicate, 0, 0, ". 1:1(0) ack 101"},
		{"old and new data", []func(*draft){seq(1), fill(130)}, DropNone, 30, 0, ". 1:1(0) ack 101"},
		{"more than the window on both sides", []func(*draft){seq(1), fill(5000)}, DropNone, 1900, 0, ". 1:1(0) ack 101"},
		{"old ACK", []func(*draft){seq(50)}, DropOldDuplicate, 0, 0, ". 1:1(0) ack 101"},
		// RFC 9293, 3.8.4: keep-alive probes, with and without a garbage octet.
		{"keep-alive", []func(*draft){seq(100)}, DropOldDuplicate, 0, 0, ". 1:1(0) ack 101"},
		{"keep-alive with an octet", []func(*draft){seq(100), fill(1)}, DropOldDuplicate, 0, 0, ". 1:1(0) ack 101"},
		{"no ACK", []func(*draft){flags(wire.PSH), fill(1)}, DropNoACK, 0, 0, ""},
		{"nothing", []func(*draft){}, DropNone, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, config(func(c *Config) { c.Window = 2000 }))
			w.wait(50 * Millisecond)
			w.expect(". 1:1(0) ack 101")
			in := w.in(c.seg...)
			if in.Drop != c.drop || len(in.Data) != c.data || len(in.Data) > 0 && in.Off != c.off || in.Fate != Alive {
				t.Errorf("got %v, %d octets at %d", in.Drop, len(in.Data), in.Off)
			}
			if c.answer == "" {
				w.expect()
			} else {
				w.expect(c.answer)
			}
		})
	}
}

// RFC 9293, 3.4: nothing changes where the numbers wrap.
func TestSequenceNumbersWrap(t *testing.T) {
	for _, irs := range []wire.Seq{0xffffffff, 0xfffffffe, 0xffffff9b, 0xffffff00, 0x7fffffff, 0x7fffff00} {
		w := open(t, func(s *setup) { s.irs = irs })
		w.c.snd.init(0xffffff00, 1000, noWScale) // our numbers wrap after 256 octets
		w.c.snd.wl1 = irs
		w.iss = 0xfffffeff
		w.in(ack(1))
		w.c.Write(3000)
		w.expect(". 1:1001(1000) ack 101", ". 1001:2001(1000) ack 101", "P. 2001:3001(1000) ack 101")
		w.take(ack(2001), fill(200))
		if w.c.AckedOff() != 2000 || w.c.WrittenOff() != 3000 || w.c.Pending() != 200 {
			t.Errorf("irs %x: acked %d, written %d, pending %d", irs, w.c.AckedOff(), w.c.WrittenOff(), w.c.Pending())
		}
		w.take(ack(3001), fill(100))
		if w.c.Boundary() != irs+101 || w.c.Handover().Seq != irs+101 || !w.c.Quiescent() {
			t.Errorf("irs %x: boundary %x", irs, w.c.Boundary())
		}
	}
}

// RFC 5961, 3.2.
func TestResetMustBeExact(t *testing.T) {
	rst := flags(wire.RST)
	for _, c := range []struct {
		name   string
		seq    uint32
		fate   Fate
		drop   Drop
		answer []string
	}{
		{"at RCV.NXT", 101, Reset, DropNone, nil},
		{"in the window", 102, Alive, DropChallengeRST, []string{". 1:1(0) ack 101"}},
		{"at the right edge", 64001, Alive, DropChallengeRST, []string{". 1:1(0) ack 101"}},
		{"beyond it", 64002, Alive, DropBlindRST, nil},
		{"before RCV.NXT", 100, Alive, DropBlindRST, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			w.wait(50 * Millisecond)
			w.expect(". 1:1(0) ack 101")
			in := w.in(rst, seq(c.seq))
			if in.Fate != c.fate || in.Drop != c.drop {
				t.Errorf("got %+v", in)
			}
			w.expect(c.answer...)
			if c.fate == Reset {
				w.state(StateClosed)
				if !w.c.Finished() {
					t.Error("not finished")
				}
			}
		})
	}
}

// RFC 5961, 3.2: the peer's idea of RCV.NXT is what we last acknowledged. One that has lost its state resets
// with that number, which leaves undecided octets out.
func TestResetAtLastAcknowledgment(t *testing.T) {
	w := open(t)
	w.c.Write(500)
	w.expect("P. 1:501(500) ack 101")
	w.take(fill(70))
	if in := w.in(flags(wire.RST), seq(101)); in.Fate != Reset {
		t.Errorf("got %+v", in)
	}
	w = open(t)
	w.c.Write(500)
	w.expect("P. 1:501(500) ack 101")
	w.take(fill(70))
	if in := w.in(flags(wire.RST), seq(171)); in.Fate != Reset {
		t.Errorf("got %+v", in)
	}
}

// RFC 5961, 4.2: a SYN is answered by a challenge ACK, wherever it lies; the peer that is really new then
// resets.
func TestSYNIsChallenged(t *testing.T) {
	for _, at := range []uint32{0, 100, 101, 150, 1 << 31} {
		w := open(t)
		w.drop(DropChallengeSYN, flags(wire.SYN), seq(at))
		w.expect(". 1:1(0) ack 101")
		w.state(Established)
	}
}

// RFC 5961, 5.2: acknowledgments between SND.UNA less the largest window and SND.NXT only.
func TestAcknowledgmentsOfWhatWasNotSent(t *testing.T) {
	w := open(t, offers(500))
	w.c.Write(1000)
	w.in()
	w.expect(". 1:501(500) ack 101")
	w.in(ack(501))
	w.expect("P. 501:1001(500) ack 101")
	w.drop(DropBadACK, ack(1002), fill(10))
	w.expect(". 1001:1001(0) ack 101")
	w.drop(DropBadACK, ack(0), fill(10)) // 501 - 500 - 1
	w.expect(". 1001:1001(0) ack 101")
	if in := w.in(ack(1), fill(10)); in.Drop != DropNone || len(in.Data) != 10 {
		t.Errorf("an old but possible acknowledgment: %+v", in)
	}
}

// RFC 5961, 7: challenge ACKs are rare, whatever provokes them, and come again later.
func TestChallengeACKsAreLimited(t *testing.T) {
	w := open(t)
	count := func() (n int) {
		for range 1000 {
			w.in(flags(wire.SYN))
			w.in(flags(wire.RST), seq(150))
			w.in(ack(5000))
			w.in(seq(50))
			k, _ := w.flood()
			n += k
		}
		return n
	}
	if n := count(); n < 2 || n > 4 {
		t.Errorf("%d challenge ACKs at once", n)
	}
	w.wait(500 * Millisecond)
	if n := count(); n != 1 {
		t.Errorf("%d challenge ACKs after half a second", n)
	}
	w.wait(3 * Second)
	if n := count(); n < 2 || n > 4 {
		t.Errorf("%d challenge ACKs after three seconds", n)
	}
}

// RFC 7323, 5.3: an old timestamp is answered and dropped, an RST is exempt. 3.2: a missing one is dropped.
func TestPAWS(t *testing.T) {
	w := open(t, withTS)
	now := uint32(w.now / Millisecond)
	w.tsVal = now - 20
	w.drop(DropPAWS, fill(10))
	w.expect(". 1:1(0) ack 101")
	w.tsVal = now - 1<<31 + 1
	w.drop(DropPAWS, fill(10))
	w.tsVal = now
	if in := w.in(fill(10)); in.Drop != DropNone || len(in.Data) != 10 {
		t.Errorf("the same timestamp: %+v", in)
	}
	w.drop(DropNoTimestamp, noTS, fill(10))
	w.tsVal = now - 20
	if in := w.in(flags(wire.RST)); in.Fate != Reset {
		t.Errorf("RST with an old timestamp: %+v", in)
	}
}

// RFC 7323, 5.5: after 24 days a timestamp says nothing.
func TestPAWSForgetsAfter24Days(t *testing.T) {
	for _, c := range []struct {
		age  Time
		want Drop
	}{{23 * 24 * Hour, DropPAWS}, {24*24*Hour + 2*Hour, DropNone}} {
		w := open(t, withTS, config(func(c *Config) { c.KeepAliveTimeout = 0 }))
		w.expect()
		w.now += c.age
		w.tsVal = w.c.rcv.tsRecent - 5
		if in := w.in(fill(10)); in.Drop != c.want {
			t.Errorf("after %d h: %v", c.age/Hour, in.Drop)
		}
	}
}

// RFC 7323, 4.3: TS.Recent is that of the segment which begins no later than the last acknowledgment: with
// delayed ACKs, of the first that is unacknowledged.
func TestTSRecentIsOfTheFirstUnacknowledged(t *testing.T) {
	w := open(t, withTS)
	w.c.Write(1)
	w.poll()
	w.tsVal = Millis(w.now) + 1
	w.take(fill(10))
	w.tsVal++
	w.take(fill(10))
	w.tsVal++
	w.in(seq(500), fill(10))
	w.expect(". 2:2(0) ack 121")
	if got, want := w.last.Options.TSEcr, w.tsVal-2; got != want {
		t.Errorf("echoed %d, want %d", got, want)
	}
}

// RFC 7323, 5.4: our timestamps are the clock plus an offset, and never step back.
func TestTimestampsAreTheClock(t *testing.T) {
	w := open(t, withTS)
	w.c.Write(10)
	w.poll()
	if w.last.Options.TSVal != Millis(w.now)+w.c.Handover().TSOffset {
		t.Error("TSval is not Millis(now) + TSOffset")
	}
	w.now += 7 * Millisecond
	w.c.Write(10)
	w.poll()
	if w.last.Options.TSVal != Millis(w.now)+w.c.Handover().TSOffset {
		t.Error("TSval is not Millis(now) + TSOffset")
	}
}

// Payload stays unacknowledged until it is decided, or for 40 ms.
func TestUndecidedOctetsAreAcknowledgedLate(t *testing.T) {
	w := open(t)
	w.c.Write(10)
	w.expect("P. 1:11(10) ack 101")
	w.in(ack(11))
	w.take(fill(50))
	w.expect()
	w.c.Write(10)
	w.expect("P. 11:21(10) ack 101") // a response before it does not acknowledge it
	w.wait(39 * Millisecond)
	w.expect()
	w.wait(3 * Millisecond)
	w.expect(". 21:21(0) ack 151")
	w.c.Write(10)
	w.expect("P. 21:31(10) ack 151") // and never less than before
	w.take(fill(30))
	w.c.Consume(80)
	w.c.Write(10)
	w.expect("P. 31:41(10) ack 181")
	w.wait(Millisecond * 100)
	w.expect()
}

// The response carries the acknowledgment of its request; no bare ACK goes out.
func TestResponseCarriesTheACK(t *testing.T) {
	w := open(t)
	w.c.Write(1500)
	w.expect(". 1:1001(1000) ack 101", "P. 1001:1501(500) ack 101")
	w.wait(100 * Millisecond)
	w.expect()
}

// RFC 9293, 3.8.6.3; RFC 5681, 4.2: every second full-sized segment, at the latest.
func TestEverySecondFullSegmentIsAcknowledged(t *testing.T) {
	w := open(t)
	w.take(fill(1000)) // and the 100 octets before it
	w.expect()
	w.take(fill(1000))
	w.expect(". 1:1(0) ack 2101")
	w.take(fill(1000))
	w.expect()
	w.take(fill(1000))
	w.expect(". 1:1(0) ack 4101")
}

// RFC 5681, 4.2: at once when out of order and when a gap is filled, with SACK blocks (RFC 2018, 4): the most
// recent first, at most three.
func TestGapsAreReportedAtOnce(t *testing.T) {
	w := open(t, withSACK)
	span := func(lo, hi uint32) wire.Span { return wire.Span{Lo: w.irs + wire.Seq(lo), Hi: w.irs + wire.Seq(hi)} }
	w.in(seq(301), fill(100))
	w.c.Received(0, []wire.Span{span(301, 401)})
	w.expect(". 1:1(0) ack 101 sack 301:401")
	w.in(seq(501), fill(100))
	w.c.Received(0, []wire.Span{span(501, 601), span(301, 401)})
	w.expect(". 1:1(0) ack 101 sack 501:601 sack 301:401")
	w.in(seq(901), fill(100))
	w.c.Received(0, []wire.Span{span(901, 1001), span(701, 801), span(501, 601), span(301, 401)})
	w.expect(". 1:1(0) ack 101 sack 901:1001 sack 701:801 sack 501:601")
	w.in(fill(200))
	w.c.Received(300, []wire.Span{span(901, 1001)})
	w.expect(". 1:1(0) ack 401 sack 901:1001")
	w.c.Consume(300)
	w.in(fill(500))
	w.c.Received(600, nil)
	w.expect(". 1:1(0) ack 1001")
}

// Without negotiation no SACK block is sent, and data segments never carry one, so that all have the same
// room.
func TestSACKOnlyInBareACKs(t *testing.T) {
	w := open(t)
	w.in(seq(301), fill(100))
	w.c.Received(0, []wire.Span{{Lo: w.irs + 301, Hi: w.irs + 401}})
	w.expect(". 1:1(0) ack 101")
	w = open(t, withSACK)
	w.c.Write(1500)
	w.in(seq(301), fill(100))
	w.c.Received(0, []wire.Span{{Lo: w.irs + 301, Hi: w.irs + 401}})
	w.expect(". 1:1(0) ack 101 sack 301:401", ". 1:1001(1000) ack 101", "P. 1001:1501(500) ack 101")
}

// What was not taken is not acknowledged, and the peer's retransmission of it is welcome.
func TestOctetsThatWereNotTaken(t *testing.T) {
	w := open(t)
	w.in(fill(100))
	w.c.Received(40, nil)
	w.wait(50 * Millisecond)
	w.expect(". 1:1(0) ack 141")
	in := w.in(seq(101), fill(100))
	if len(in.Data) != 60 || in.Off != 40 {
		t.Errorf("got %d octets at %d", len(in.Data), in.Off)
	}
}

// A retransmission of undecided octets is answered at once, with all that is held.
func TestRetransmissionOfUndecidedOctets(t *testing.T) {
	w := open(t)
	w.c.Write(1)
	w.expect("P. 1:2(1) ack 101")
	w.take(ack(2), fill(50))
	w.expect()
	w.drop(DropOldDuplicate, seq(101), fill(50))
	w.expect(". 2:2(0) ack 151")
}

// RFC 9293, 3.8.6: the right edge of the window never moves back, and is never more than the window beyond
// the boundary, but for the rounding. RFC 7323, 2.3: scaled.
func TestRightEdgeNeverMovesBack(t *testing.T) {
	w := open(t, scaled(6))
	edge := wire.Seq(0)
	for i := range 5000 {
		w.take(fill(1 + i%7))
		if i%3 == 0 {
			w.wait(50 * Millisecond)
		}
		if i%1000 == 999 {
			w.c.Consume(w.c.Pending())
		}
		w.c.Write(1)
		for w.poll() != "" {
			e := w.last.Ack.Add(uint32(w.last.Wnd) << 7)
			if i > 0 && e.Less(edge) {
				t.Fatalf("step %d: edge moved back by %d", i, edge.Sub(e))
			}
			edge = e
		}
		w.in()
	}
	if over := edge.Sub(w.c.rcv.nxt); over > 64000+127 {
		t.Errorf("window of %d octets", over)
	}
}

// RFC 9293, 3.8.6.2.2: a window that was used up opens in one piece, and is told at once.
func TestWindowOpensInOnePiece(t *testing.T) {
	w := open(t, config(func(c *Config) { c.Window = 1000 }))
	w.wait(50 * Millisecond)
	w.expect(". 1:1(0) ack 101")
	w.take(fill(900))
	w.wait(50 * Millisecond)
	w.expect(". 1:1(0) ack 1001")
	if w.last.Wnd != 0 {
		t.Fatalf("window %d", w.last.Wnd)
	}
	w.drop(DropNone, fill(1)) // a probe: its ACK counts, its octet does not
	w.expect(". 1:1(0) ack 1001")
	w.c.Consume(300)
	w.expect()
	w.c.Consume(100)
	w.expect(". 1:1(0) ack 1001")
	if w.last.Wnd != 500 {
		t.Fatalf("window %d", w.last.Wnd)
	}
}

// Requests in pieces, in any order, through a RecvBuf.
func TestPiecesInAnyOrder(t *testing.T) {
	r := random(t, 3)
	for range 200 {
		w := open(t, withSACK)
		text := make([]byte, 1+r.IntN(3000))
		for i := range text {
			text[i] = byte(r.Uint32())
		}
		var buf RecvBuf
		for int(w.c.Pending()) < len(text) {
			lo := r.IntN(len(text))
			if r.IntN(3) == 0 {
				lo = min(int(w.c.Pending()), len(text)-1)
			}
			hi := min(lo+1+r.IntN(700), len(text))
			in := w.in(seq(101+uint32(lo)), data(string(text[lo:hi])))
			buf.Insert(in.Off, in.Data)
			var spans [3]wire.Span
			w.c.Received(uint32(len(buf.Contiguous())), buf.Spans(spans[:0], w.c.Boundary()))
			w.check()
			w.flood()
		}
		if string(buf.Contiguous()) != string(text) {
			t.Fatal("octets differ")
		}
	}
}
