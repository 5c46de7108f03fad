package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Loan is what another needs to go on with a connection in the simplest of ways: each segment of the peer acknowledges all that
// was sent, and is answered by one segment.
type Loan struct {
	RcvNxt, SndNxt     wire.Seq
	TimestampsOK       bool
	TSRecent, TSOffset uint32
	Wnd                uint16 // to be advertised with each answer, as it stands in the header
	SndWScale          uint8  // of the windows that the peer advertises
	MSS                uint32 // octets of payload of a segment
}

// Repaid is what another has done with a connection since Lend: given answers, or taken in an acknowledgment.
type Repaid struct {
	Received, Sent uint32 // octets; the peer has acknowledged all but those of the last answer
	Answer         uint32 // octets of that; 0: none was given
	First, Last    Time   // when the first segment came, and the one that was answered last
	Acked          Time   // when a bare ACK of the last answer came; 0: it is in flight
	TSRecent       uint32
	Wnd            uint16 // the peer's last, as it stood in the header
}

// Lend returns how another can go on with the connection, whose own timers go on meanwhile, until Repay says what came of it.
// Between the two no other method may be called but those that only tell something. It reports false if the connection is not in
// the simplest of states: octets may be in flight, but none lost, none to be sent, none undecided, and no ACK owed.
func (c *Conn) Lend(st *Stack) (Loan, bool) {
	const doubtful = ^(flagTS | flagSACK | flagIPv6 | flagPaced)
	if c.state != Established || c.flags&doubtful != 0 || c.snd.nxt != c.snd.end || c.snd.backoff != 0 ||
		c.rcv.pending != 0 || c.rcv.nHeld != 0 || c.rcv.unacked != 0 {
		return Loan{}, false
	}
	if f := st.of(c); f != nil && (f.rec.mode != modeOpen || f.sacked != 0 || f.lost != 0 || f.rack.probing) {
		return Loan{}, false
	}
	return Loan{
		RcvNxt: c.rcv.nxt, SndNxt: c.snd.nxt, TimestampsOK: c.has(flagTS), TSRecent: c.rcv.tsRecent, TSOffset: c.tsOffset,
		Wnd: c.advertise(c.rcv.nxt), SndWScale: c.snd.wscale, MSS: c.payloadMSS(),
	}, true
}

// Repay takes in what another has done since Lend: at least one segment of the peer's. It is as if all of it had come and gone here.
func (c *Conn) Repay(st *Stack, r *Repaid) {
	// The first segment has acknowledged what was in flight: a round trip that counts.
	c.repayACK(st, r, r.First)
	if r.Answer == 0 {
		return
	}
	c.rcv.nxt = c.rcv.nxt.Add(r.Received)
	c.snd.wl1 = c.rcv.nxt
	c.snd.una = c.snd.una.Add(r.Sent - r.Answer)
	c.snd.nxt, c.snd.end = c.snd.una, c.snd.una
	c.Write(r.Answer) // the first answer has ended an idle time; only the last one can be in flight
	c.setNow(r.Last)
	c.tmr.mark = c.tick()
	p := plan{kind: planNew, seq: c.snd.nxt, n: r.Answer}
	var out Transmit
	c.onSent(st, &p, c.snd.end, r.Last, &out)
	c.settle()
	if r.Acked != 0 {
		c.repayACK(st, r, r.Acked)
	}
}

// repayACK takes in an acknowledgment of all that was sent, which came at a time.
func (c *Conn) repayACK(st *Stack, r *Repaid, at Time) {
	seg := wire.Segment{Seq: c.rcv.nxt, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: r.Wnd}
	if c.has(flagTS) {
		seg.Options.HasTS, seg.Options.TSVal = true, r.TSRecent
	}
	c.OnSegment(st, &seg, at)
}

// IdleFor returns how long the connection has stood at a request boundary with all acknowledged, at now; 0 if it does not.
func (c *Conn) IdleFor(now Time) Time {
	if c.tmr.phase != phaseIdle {
		return 0
	}
	return Time(tick(Millis(now))-c.tmr.mark) * Millisecond
}
