package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Conn is one connection. See doc.go.
type Conn struct {
	state State
}

func (c *Conn) OnSegment(seg *wire.Segment, now Time) Input { return Input{} }
func (c *Conn) Received(n uint32, spans []wire.Span)        {}
func (c *Conn) Consume(n uint32)                            {}
func (c *Conn) Discard()                                    {}
func (c *Conn) Write(n uint32)                              {}
func (c *Conn) Close()                                      {}
func (c *Conn) Abort()                                      {}
func (c *Conn) PollTransmit(now Time, out *Transmit) bool   { return false }
func (c *Conn) OnTimeout(now Time) Fate                     { return Alive }
func (c *Conn) Deadline() Time                              { return 0 }
func (c *Conn) WantsTransmit(now Time) bool                 { return false }
func (c *Conn) AckedOff() uint32                            { return 0 }
func (c *Conn) WrittenOff() uint32                          { return 0 }
func (c *Conn) Quiescent() bool                             { return false }
func (c *Conn) Finished() bool                              { return false }
func (c *Conn) PeerClosed() bool                            { return false }
func (c *Conn) State() State                                { return c.state }
func (c *Conn) Pending() uint32                             { return 0 }
func (c *Conn) Boundary() wire.Seq                          { return 0 }
func (c *Conn) Handover() Handover                          { return Handover{} }
