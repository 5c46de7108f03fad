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
		c.Repay(st, &Repaid{Received: 300, Sent: 900, Unacked: 300, First: now + 20*Millisecond, Last: now + 60*Millisecond, TSRecent: 99, Wnd: 500})
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
