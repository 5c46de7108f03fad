package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Transmit is one segment to be sent.
type Transmit struct {
	Seq, Ack wire.Seq
	Flags    wire.Flags
	Wnd      uint16 // as it goes into the header, scaled
	Options  wire.Options
	// Off and Len name the payload: Len octets of the stream, beginning at offset Off modulo 2³².
	Off, Len uint32
	// ECT says that the IP header shall offer ECN: ECT(0) (RFC 3168, 6.1.5).
	ECT bool
}

// Input is what a segment meant for its connection.
type Input struct {
	// Data is the part of the segment's payload that lies between RCV.NXT and the right edge of the window.
	// It belongs to the segment. It counts as received only when Received says so.
	Data []byte
	// Off is the distance of Data from the request boundary. If Off equals Pending, Data is in order.
	Off uint32
	// Fate is Alive, Closed or Reset.
	Fate Fate
	// Drop is the reason why the segment or a part of it was not taken.
	Drop Drop
	// NewSYN says that the segment is a SYN that may begin a new connection in the place of this one, which
	// is in TIME-WAIT: release this one, and give the segment to Listener.OnSYN.
	NewSYN bool
}

// Handover is what another TCP needs to go on with a connection.
type Handover struct {
	Seq wire.Seq // the request boundary: the first octet that the other TCP shall receive
	Ack wire.Seq // SND.NXT
	// MSS is the largest segment that may be sent to the peer, options included: never more than it offered.
	MSS uint16
	// RcvWScale is the shift of the windows that we advertise, SndWScale of those that the peer does.
	RcvWScale, SndWScale           uint8
	WScaleOK, SACKOK, TimestampsOK bool
	ECNOK                          bool
	TSOffset                       uint32 // TSval = Millis(now) + TSOffset
	TSRecent                       uint32 // the peer's timestamp, to be put into injected segments
	Wnd                            uint16 // the peer's last window as it stood in the header, for injected segments
}
