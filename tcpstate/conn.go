package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Conn is one connection, made by Listener.Accept: a flat value of at most 160 octets, without pointers. It
// may be copied as long as only one copy goes on. The zero value is in CLOSED.
//
//	received    ──── decided ────┬─── pending ───┬── gaps and held spans ──┬── beyond the window
//	                         boundary         RCV.NXT                 right edge
//
//	sent        ─ acknowledged ─┬── in flight ──┬── written, not sent ──┬
//	                         SND.UNA         SND.NXT                   end (and our FIN)
//
// Methods without an argument for time use that of the last call with one.
type Conn struct {
	snd sender
	rcv receiver
	mem memory
	rtt roundTrip
	tmr timers

	flight   uint32 // what it has of its Stack while something is in flight, or 0
	nowLow   uint32 // time of the last call, ms, bits 0 to 31
	tsOffset uint32 // of our timestamps
	nowHigh  uint16 // bits 32 to 47
	lim      limits
	flags    connFlags
	state    State
}

// connFlags are what would be booleans.
type connFlags uint16

const (
	flagTS        connFlags = 1 << iota // timestamps were negotiated
	flagSACK                            // SACK was negotiated
	flagRST                             // a RST waits to be sent
	flagFINSeen                         // the peer's FIN lies rcv.finOff behind RCV.NXT
	flagDiscard                         // payload is acknowledged and thrown away
	flagAckNow                          // an ACK is due, and acknowledges all that is held
	flagAckTimer                        // the delayed ACK's timer runs
	flagProbe                           // the persist timer has fired
	flagTailProbe                       // a tail loss probe is due
	flagPaced                           // something waits for its time
	flagECN                             // ECN was negotiated
	flagECE                             // congestion was experienced by what we received: say so until CWR
	flagIPv6                            // the flow's address family
	flagCWR                             // the next new octets say that we have reduced our window
	flagMore                            // more was promised than is written
)

const maxWScale = 14 // RFC 7323, 2.3

func (c *Conn) has(f connFlags) bool { return c.flags&f != 0 }

func (c *Conn) setNow(now Time) {
	ms := uint64(now / Millisecond)
	c.nowLow, c.nowHigh = uint32(ms), uint16(ms>>32)
}

func (c *Conn) tick() tick { return tick(c.nowLow) }

// hours returns the time in hours, modulo 2¹⁶, for RFC 7323's rule of 24 days.
func (c *Conn) hours() uint16 {
	return uint16((uint64(c.nowHigh)<<32 | uint64(c.nowLow)) / uint64(Hour/Millisecond))
}

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// Boundary returns the sequence number of the request boundary: the first octet that is not consumed.
func (c *Conn) Boundary() wire.Seq { return c.rcv.boundary(c.state) }

// Pending returns how many octets from the request boundary on were received without a gap.
func (c *Conn) Pending() uint32 { return uint32(c.rcv.pending) }

// PeerClosed reports whether the peer has closed its side and all octets before its FIN were received.
func (c *Conn) PeerClosed() bool { return c.state.peerFIN() }

// Finished reports whether the connection is over and nothing of it waits to be sent. Release it.
func (c *Conn) Finished() bool { return c.state == StateClosed && !c.has(flagRST) }

// AckedOff returns the stream offset, modulo 2³², of the first octet that the peer has not acknowledged.
// Nothing before it will be sent again.
func (c *Conn) AckedOff() uint32 {
	return uint32(wire.MinSeq(c.snd.una, c.snd.end) - c.snd.iss - 1)
}

// SentOff returns the stream offset, modulo 2³², of the first octet that was never sent.
func (c *Conn) SentOff() uint32 {
	return uint32(wire.MinSeq(c.snd.nxt, c.snd.end) - c.snd.iss - 1)
}

// WrittenOff returns the stream offset, modulo 2³², of the end of what was written.
func (c *Conn) WrittenOff() uint32 { return uint32(c.snd.end - c.snd.iss - 1) }

// Write makes the stream to be sent n octets longer. No more than 1 GiB may be unacknowledged. After Close
// or Abort it has no effect.
func (c *Conn) Write(n uint32) {
	if c.state == Established || c.state == CloseWait {
		c.snd.end = c.snd.end.Add(n)
		c.settle()
	}
}

// SetKeepAlive sets how long the connection may be idle, instead of Config.KeepAliveTimeout.
func (c *Conn) SetKeepAlive(d Time) { c.lim.keepAlive = steps(d) }

// Promise says that the stream goes on behind what is written, with octets that can't be had yet. Until WritePromised has
// brought the last of them, the connection is not Quiescent, a FIN of ours waits behind them, and while the peer has
// acknowledged what there is, no time counts against it.
func (c *Conn) Promise() {
	if c.state == Established || c.state == CloseWait {
		c.flags |= flagMore
		c.settle()
	}
}

// Promised reports whether more was promised than is written.
func (c *Conn) Promised() bool { return c.has(flagMore) }

// WritePromised is Write, at any time now, for n octets of what was promised; unlike Write, it may come after Close. last says that
// nothing is owed any more; it comes with at least one octet. Without a promise it has no effect.
func (c *Conn) WritePromised(n uint32, last bool, now Time) {
	if !c.has(flagMore) {
		return
	}
	c.setNow(now)
	c.snd.end = c.snd.end.Add(n)
	if last {
		c.flags &^= flagMore
	}
	c.settle()
}

// Close sends a FIN behind all that was written, or promised. What the peer sends from now on is thrown away, as after
// Discard.
func (c *Conn) Close() {
	switch c.state {
	case Established: // RFC 9293, 3.10.4
		c.state = FinWait1
	case CloseWait:
		c.state = LastAck
	default:
		return
	}
	c.Discard()
	c.settle()
}

// Abort ends the connection. PollTransmit yields one RST, if the peer can still use it; then Finished
// reports true.
func (c *Conn) Abort() {
	// RFC 9293, 3.10.5.
	if c.state != StateClosed && c.state != TimeWait {
		c.flags |= flagRST
	}
	c.close()
}

func (c *Conn) close() {
	c.state = StateClosed
	c.tmr.kind = timerNone
	c.flags &= flagRST | flagTS
	c.settle()
}

// Quiescent reports whether the peer has acknowledged all that was written or promised, and no FIN of ours was sent or
// is to be sent: the connection may be handed over now. If PeerClosed, the peer's FIN goes with it.
func (c *Conn) Quiescent() bool {
	return (c.state == Established || c.state == CloseWait) && c.snd.una == c.snd.end && !c.has(flagMore)
}

// Handover returns what another TCP needs to go on with the connection. Only if Quiescent.
func (c *Conn) Handover() Handover {
	h := Handover{
		Seq: c.Boundary(), Ack: c.snd.nxt, MSS: c.snd.mss, Wnd: c.snd.wnd,
		SACKOK: c.has(flagSACK), TimestampsOK: c.has(flagTS), ECNOK: c.has(flagECN), TSOffset: c.tsOffset, TSRecent: c.rcv.tsRecent,
	}
	if c.rcv.wscale != noWScale {
		h.WScaleOK, h.RcvWScale, h.SndWScale = true, c.rcv.wscale, c.snd.wscale
	}
	return h
}

// optionsLen is what the options of a data segment take.
func (c *Conn) optionsLen() uint32 {
	if c.has(flagTS) {
		return 12
	}
	return 0
}

// flowBits is a number that differs from one connection to the next.
func (c *Conn) flowBits() uint32 { return uint32(c.snd.iss) }

// payloadMSS is how many octets of payload fit a segment to the peer (RFC 9293, 3.7.1; RFC 6691).
func (c *Conn) payloadMSS() uint32 {
	return max(uint32(c.snd.mss), minMSS) - c.optionsLen()
}

// minMSS keeps payloadMSS positive. Offers below it never come here: see Listener.OnSYN.
const minMSS = 64
