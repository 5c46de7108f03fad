package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Path MTU: routers that tell (RFC 1191, 8201), and routers that do not (RFC 4821).

const (
	// Less is not believed: IPv4's default datagram (RFC 1122, 3.3.3), IPv6's least MTU (RFC 8200, 5).
	minMTU4, minMTU6 = 576, 1280
	// cautiousMTU is what a path is taken to pass when full-sized segments vanish.
	cautiousMTU = 1280
	headers4    = wire.IPv4Len + wire.TCPLen
	headers6    = wire.IPv6Len + wire.TCPLen
)

// plateaus are sizes to try where a router does not say (RFC 1191, 7.1).
var plateaus = [...]uint32{8166, 4352, 2002, 1492, 1006, minMTU4}

func (c *Conn) headers() uint32 {
	if c.has(flagIPv6) {
		return headers6
	}
	return headers4
}

func (c *Conn) leastMTU() uint32 {
	if c.has(flagIPv6) {
		return minMTU6
	}
	return minMTU4
}

// OnTooBig takes in that a router could not forward the segment at seq, which mtu octets would have fitted (0: it
// did not say), and reports whether that was believed: only of a segment that is in flight (RFC 5927, 4.1), and
// only if it makes segments smaller. They are then sent again in smaller ones; PollTransmit has them.
func (c *Conn) OnTooBig(st *Stack, seq wire.Seq, mtu uint32, now Time) bool {
	f := st.of(c)
	if f == nil || c.state == StateClosed || seq.Less(c.snd.una) || !seq.Less(c.snd.nxt) {
		return false
	}
	switch {
	case mtu != 0 && mtu < c.leastMTU() && c.has(flagIPv6):
		return false // RFC 8201, 4
	// What was in flight before segments got smaller is told of too, and would make them smaller with each message.
	case mtu == 0 && f.rec.mode == modeLoss && seq.Less(f.rec.recover):
		return false
	case mtu == 0:
		mtu = c.nextPlateau()
	}
	c.setNow(now)
	if !c.shrink(st, f, max(mtu, c.leastMTU()), now) {
		return false
	}
	c.settle()
	return true
}

// nextPlateau is a guess, below what is sent now.
func (c *Conn) nextPlateau() uint32 {
	for _, p := range plateaus {
		if p < uint32(c.snd.mss)+c.headers() {
			return p
		}
	}
	return minMTU4
}

// shrink makes segments fit mtu, and has all that is in flight sent again: congestion it is not. It reports
// whether anything changed.
func (c *Conn) shrink(st *Stack, f *flight, mtu uint32, now Time) bool {
	mss := mtu - c.headers()
	if mss >= uint32(c.snd.mss) {
		return false
	}
	c.snd.mss = uint16(mss)
	f.win.mss = c.payloadMSS()
	e := &st.ack
	*e = ackEvent{now: micros(now)}
	st.markAllLost(c, f, e)
	f.rec.mode, f.rec.recover, f.rec.undo, f.rec.frto = modeLoss, c.snd.nxt, false, frtoOff
	f.rec.dupAcks, f.rec.dupOctets = 0, 0
	f.rack.probing = false
	return true
}

// suspectMTU is called when the retransmission timer has expired backoff times in a row: a path that loses
// full-sized segments for ever, and says nothing, is a black hole for them (RFC 4821, 7.7).
func (c *Conn) suspectMTU(st *Stack, f *flight, now Time) {
	switch c.snd.backoff {
	case 2:
		c.shrink(st, f, cautiousMTU, now)
	case 4:
		c.shrink(st, f, c.leastMTU(), now)
	}
}
