package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Remains is what a connection in TIME-WAIT still needs (RFC 9293, 3.6.1): 20 octets instead of a Conn. Whoever holds
// it sees to its end, Config.TimeWait after it was made, or after Again.
type Remains struct {
	rcvNxt, sndNxt     wire.Seq
	tsRecent, tsOffset uint32
	wnd                uint16 // as it stands in the header
	ts                 bool
	open               bool // the peer's FIN has not come yet
}

// Remains returns what is left of a connection in TIME-WAIT that has nothing to send: see Conn.WantsTransmit. One that we
// have closed, and that is given up before the peer has, leaves what answers the peer's FIN.
func (c *Conn) Remains() Remains {
	wnd := uint32(c.rcv.window)
	if c.rcv.wscale != noWScale {
		wnd >>= c.rcv.wscale
	}
	return Remains{rcvNxt: c.rcv.nxt, sndNxt: c.snd.nxt, tsRecent: c.rcv.tsRecent, tsOffset: c.tsOffset, wnd: uint16(wnd), ts: c.has(flagTS), open: !c.PeerClosed()}
}

// Leftover says what a segment means for Remains.
type Leftover uint8

const (
	// LeftoverIgnored: nothing.
	LeftoverIgnored Leftover = iota
	// LeftoverAnswered: send the acknowledgment.
	LeftoverAnswered
	// LeftoverAgain: likewise, and the time begins anew: it is the peer's FIN once more.
	LeftoverAgain
	// LeftoverOver: the peer has reset the connection; forget it.
	LeftoverOver
	// LeftoverNewSYN: a SYN that may begin a new connection in the place of this one: forget it, and give the segment
	// to Listener.OnSYN.
	LeftoverNewSYN
	// LeftoverText: text that nobody will take; forget the connection, so that the segment is answered like any stray one.
	LeftoverText
)

// Precedes reports whether seg was sent after all of the connection. If it has octets and its cookie is valid, it is the first of a
// new one whose SYN was answered elsewhere: forget this one.
func (r *Remains) Precedes(seg *wire.Segment) bool {
	return isBeyond(seg, r.ts, r.tsRecent, r.rcvNxt)
}

// OnSegment takes in a segment of the flow (RFC 9293, 3.10.7.4, for TIME-WAIT; RFC 6191).
func (r *Remains) OnSegment(seg *wire.Segment, now Time, out *Transmit) Leftover {
	switch {
	case seg.Flags.Has(wire.RST): // RFC 5961, 3.2
		switch off := seg.Seq.Sub(r.rcvNxt); {
		case off == 0:
			return LeftoverOver
		case off < 0 || off > MaxWindow:
			return LeftoverIgnored
		}
	case isNewIncarnation(seg, r.ts, r.tsRecent, r.rcvNxt):
		return LeftoverNewSYN
	case seg.Len() == 0:
		return LeftoverIgnored // an ACK proves nothing, and an answer to it might be answered
	case r.open && seg.Seq == r.rcvNxt && len(seg.Payload) > 0:
		return LeftoverText
	case r.open && seg.Seq == r.rcvNxt && seg.Flags.Has(wire.FIN):
		r.rcvNxt, r.open = r.rcvNxt+1, false
	}
	*out = Transmit{Seq: r.sndNxt, Ack: r.rcvNxt, Flags: wire.ACK, Wnd: r.wnd}
	if r.ts {
		out.Options = wire.Options{HasTS: true, TSVal: Millis(now) + r.tsOffset, TSEcr: r.tsRecent}
	}
	if seg.Flags.Has(wire.FIN) && !seg.Flags.Has(wire.SYN) {
		return LeftoverAgain
	}
	return LeftoverAnswered
}
