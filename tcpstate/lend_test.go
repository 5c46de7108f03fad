package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// lent returns a connection with one response of 100 octets in flight, which began at the time begun.
func lent(t *testing.T, ts bool) (*Conn, *Stack, Time) {
	t.Helper()
	st := NewStack(StackConfig{Flights: 4})
	c := &Conn{state: Established, tsOffset: 5}
	c.snd.init(2000, 1460, 7)
	c.snd.wnd, c.snd.maxWnd = 1000, 1000
	c.rcv.init(1000, 64000, 7)
	c.lim.keepAlive, c.lim.stall = 50, 50
	if ts {
		c.flags |= flagTS
		c.rcv.tsRecent = 70
	}
	now := 10 * Second
	c.setNow(now)
	c.Write(100)
	var out Transmit
	if !c.PollTransmit(st, now, &out) || out.Len != 100 {
		t.Fatalf("sent %+v", out)
	}
	return c, st, now
}

// What another has done is as if it had been done here: the round trip counts, what is not acknowledged is sent again, and the end
// leaves nothing.
func TestRepay(t *testing.T) {
	for _, ts := range []bool{false, true} {
		c, st, now := lent(t, ts)
		loan, ok := c.Lend(st)
		if !ok || loan.RcvNxt != 1000 || loan.SndNxt != 2100 || loan.MSS != c.payloadMSS() {
			t.Fatalf("lent %v: %+v", ok, loan)
		}
		c.Repay(st, &Repaid{Received: 300, Sent: 900, Answer: 300, First: now + 20*Millisecond, Last: now + 60*Millisecond, TSRecent: 99, Wnd: 500})
		if c.rtt.srtt != 20_000 {
			t.Errorf("the round trip is %d µs", c.rtt.srtt)
		}
		if c.AckedOff() != 700 || c.SentOff() != 1000 || c.WrittenOff() != 1000 || c.Boundary() != 1300 || c.snd.wnd != 500 {
			t.Errorf("%d acknowledged, %d sent, %d written, boundary %d, window %d", c.AckedOff(), c.SentOff(), c.WrittenOff(), c.Boundary(), c.snd.wnd)
		}
		if ts && c.rcv.tsRecent != 99 {
			t.Errorf("TS.Recent is %d", c.rcv.tsRecent)
		}
		// Nobody acknowledges it.
		at := c.Deadline(st)
		if at <= now+60*Millisecond || at > now+400*Millisecond {
			t.Errorf("the timer is %d ms behind the answer", (at-now-60*Millisecond)/Millisecond)
		}
		c.OnTimeout(st, at)
		var out Transmit
		if !c.PollTransmit(st, at, &out) || out.Seq != 2700 || out.Len != 300 || out.Off != 700 || out.Ack != 1300 {
			t.Errorf("sent again: %+v", out)
		}
		seg := wire.Segment{Seq: 1300, Ack: 3000, Flags: wire.ACK, Wnd: 500, Options: wire.Options{HasTS: ts, TSVal: 100}}
		if in := c.OnSegment(st, &seg, at+Millisecond); in.Drop != DropNone || !c.Quiescent() {
			t.Errorf("the acknowledgment: %v, quiescent %v", in.Drop, c.Quiescent())
		}
		if flights, runs := st.InUse(); flights+runs != 0 {
			t.Errorf("%d flights and %d runs are left", flights, runs)
		}
	}
}

// A bare ACK that another has taken in leaves nothing in flight: behind what we had sent, and behind the last answer, whose round trip
// counts, too. From then on the connection is idle.
func TestRepayACK(t *testing.T) {
	for _, ts := range []bool{false, true} {
		for _, answers := range []bool{false, true} {
			c, st, now := lent(t, ts)
			if _, ok := c.Lend(st); !ok {
				t.Fatal("not lent")
			}
			r := Repaid{First: now + 20*Millisecond, TSRecent: 80, Wnd: 0}
			idle, offset, boundary, srtt := r.First, uint32(100), wire.Seq(1000), uint32(20_000)
			if answers {
				r.Received, r.Sent, r.Answer, r.Last, r.Acked = 300, 900, 300, now+60*Millisecond, now+160*Millisecond
				idle, offset, boundary, srtt = r.Acked, 1000, 1300, 20_000+100_000/8-20_000/8
			}
			c.Repay(st, &r)
			if c.rtt.srtt != srtt {
				t.Errorf("answers %v: the round trip is %d µs, want %d", answers, c.rtt.srtt, srtt)
			}
			if !c.Quiescent() || c.AckedOff() != offset || c.SentOff() != offset || c.WrittenOff() != offset || c.Boundary() != boundary || c.snd.wnd != 0 {
				t.Errorf("answers %v: quiescent %v, %d acknowledged, %d sent, %d written, boundary %d, window %d", answers, c.Quiescent(), c.AckedOff(), c.SentOff(),
					c.WrittenOff(), c.Boundary(), c.snd.wnd)
			}
			if ts && c.rcv.tsRecent != 80 {
				t.Errorf("answers %v: TS.Recent is %d", answers, c.rcv.tsRecent)
			}
			if flights, runs := st.InUse(); flights+runs != 0 {
				t.Errorf("answers %v: %d flights and %d runs are left", answers, flights, runs)
			}
			// No timer but that of the idle connection runs, from the acknowledgment on.
			limit := Time(c.lim.keepAlive) * limitStep
			if at := c.Deadline(st); at != idle+limit+Millisecond {
				t.Errorf("answers %v: the timer is %d ms behind the acknowledgment, want %d", answers, (at-idle)/Millisecond, limit/Millisecond+1)
			}
			if d := c.IdleFor(idle + 7*Millisecond); d != 7*Millisecond {
				t.Errorf("answers %v: idle for %d", answers, d)
			}
			// It can be lent again, and goes on from there: the time without anything to send is seen.
			if _, ok := c.Lend(st); !ok {
				t.Fatalf("answers %v: it can't be lent again", answers)
			}
			asked := idle + Second
			c.Repay(st, &Repaid{Received: 50, Sent: 60, Answer: 60, First: asked, Last: asked, TSRecent: 80, Wnd: 500})
			if d := c.IdleFor(asked + Second); d != 0 {
				t.Errorf("answers %v: idle for %d with an answer in flight", answers, d)
			}
			if at := c.Deadline(st); at <= asked || at > asked+400*Millisecond {
				t.Errorf("answers %v: the timer is %d ms behind the answer", answers, (at-asked)/Millisecond)
			}
			seg := wire.Segment{Seq: boundary + 50, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: 500, Options: wire.Options{HasTS: ts, TSVal: 100}}
			if in := c.OnSegment(st, &seg, asked+Millisecond); in.Drop != DropNone || !c.Quiescent() {
				t.Errorf("answers %v: the acknowledgment: %v, quiescent %v", answers, in.Drop, c.Quiescent())
			}
		}
	}
}

// The congestion window restarts if the connection was idle for longer than the time-out before another's first answer, and not
// because it answered for as long.
func TestRepayIdle(t *testing.T) {
	for _, idle := range []Time{50 * Millisecond, 2 * Second} {
		c, st, now := lent(t, false)
		c.Repay(st, &Repaid{First: now + Millisecond, Wnd: 1000})
		c.mem.cwnd = 1 << 20
		first := now + Millisecond + idle
		c.Repay(st, &Repaid{Received: 100, Sent: 900, Answer: 100, First: first, Last: first + Second, Wnd: 1000})
		if got := st.of(c).win.cwnd; got < 1<<20 != (idle > Second) {
			t.Errorf("idle for %d ms: the congestion window is %d", idle/Millisecond, got)
		}
	}
}

// Whoever is in a state that only we know how to go on from is not lent.
func TestNotLent(t *testing.T) {
	for name, change := range map[string]func(c *Conn, st *Stack){
		"our FIN is sent":           func(c *Conn, _ *Stack) { c.Close() },
		"something is to be sent":   func(c *Conn, _ *Stack) { c.Write(1) },
		"something is undecided":    func(c *Conn, _ *Stack) { c.Received(3, nil) },
		"a gap":                     func(c *Conn, _ *Stack) { c.Received(0, []wire.Span{{Lo: 1010, Hi: 1020}}) },
		"an ACK is owed":            func(c *Conn, _ *Stack) { c.Received(3, nil); c.rcv.pending = 0 },
		"the peer's FIN is seen":    func(c *Conn, _ *Stack) { c.flags |= flagFINSeen },
		"ECN":                       func(c *Conn, _ *Stack) { c.flags |= flagECN },
		"discarding":                func(c *Conn, _ *Stack) { c.flags |= flagDiscard },
		"the time-out has fired":    func(c *Conn, st *Stack) { c.OnTimeout(st, 12*Second) },
		"a loss is being repaired":  func(c *Conn, st *Stack) { st.of(c).rec.mode = modeRecovery },
		"something was reported":    func(c *Conn, st *Stack) { st.of(c).sacked = 1 },
		"something is lost":         func(c *Conn, st *Stack) { st.of(c).lost = 1 },
		"a tail loss probe is sent": func(c *Conn, st *Stack) { st.of(c).rack.probing = true },
	} {
		c, st, _ := lent(t, true)
		change(c, st)
		if _, ok := c.Lend(st); ok {
			t.Errorf("%s: it is lent", name)
		}
	}
}
