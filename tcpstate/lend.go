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

// Repaid is what another has done with a connection since Lend.
type Repaid struct {
	Received, Sent uint32 // octets; the peer has acknowledged all but the last Unacked ones
	Unacked        uint32 // of the last answer
	First, Last    Time   // when the first and the last segment came
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

// Repay takes in what another has done since Lend: at least one answer. It is as if all of it had come and gone here.
func (c *Conn) Repay(st *Stack, r *Repaid) {
	// The first segment has acknowledged what was in flight: a round trip that counts.
	seg := wire.Segment{Seq: c.rcv.nxt, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: r.Wnd}
	if c.has(flagTS) {
		seg.Options.HasTS, seg.Options.TSVal = true, c.rcv.tsRecent
	}
	c.OnSegment(st, &seg, r.First)
	c.setNow(r.Last)
	acked := r.Sent - r.Unacked
	c.rcv.nxt = c.rcv.nxt.Add(r.Received)
	c.snd.wl1 = c.rcv.nxt
	c.snd.una = c.snd.una.Add(acked)
	c.snd.nxt, c.snd.end = c.snd.una, c.snd.una
	if c.has(flagTS) {
		c.rcv.tsRecent, c.rcv.tsAge = r.TSRecent, c.hours()
	}
	c.tmr.mark = c.tick()
	if r.Unacked > 0 {
		c.Write(r.Unacked)
		p := plan{kind: planNew, seq: c.snd.nxt, n: r.Unacked}
		var out Transmit
		c.onSent(st, &p, c.snd.end, r.Last, &out)
		c.settle()
	}
}
