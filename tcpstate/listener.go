package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Listener answers SYNs without keeping state and recognises the connections that come of them. It is
// immutable and may be copied and shared.
type Listener struct {
	cfg Config
	key wire.Key
}

// NewListener returns a listener for cfg whose cookies are made with key. Cookies are recognised by every
// listener with the same key and configuration.
func NewListener(cfg Config, key wire.Key) *Listener {
	return &Listener{cfg: cfg, key: key}
}

// SYNVerdict says what shall be done with a SYN.
type SYNVerdict uint8

const (
	// SYNReply: send the SYN/ACK.
	SYNReply SYNVerdict = iota
	// SYNDrop: ignore it.
	SYNDrop
	// SYNKernel: give it to the kernel.
	SYNKernel
)

// Acceptance says what a segment of an unknown flow is.
type Acceptance uint8

const (
	// AcceptUnknown: nothing of ours. Give it to the kernel.
	AcceptUnknown Acceptance = iota
	// AcceptHandshake: an ACK that completes a handshake of ours and carries nothing. Ignore it.
	AcceptHandshake
	// AcceptEarly: it belongs to a connection whose first octet has not arrived yet. Drop it: the client
	// will send it again.
	AcceptEarly
	// AcceptOpened: the connection was initialised. Give it the same segment.
	AcceptOpened
)

// OnSYN answers the SYN seg of flow: if the verdict is SYNReply, out is the segment to send.
func (l *Listener) OnSYN(flow *wire.Flow, seg *wire.Segment, now Time, out *Transmit) SYNVerdict {
	return SYNKernel
}

// Accept looks at seg, which has no SYN and belongs to no known connection. If it opens one, c is
// initialised in ESTABLISHED and the caller gives it the same segment next.
func (l *Listener) Accept(flow *wire.Flow, seg *wire.Segment, now Time, c *Conn) Acceptance {
	return AcceptUnknown
}
