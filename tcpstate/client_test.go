package tcpstate

import (
	"slices"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// client is the peer of a sim: slow, plain, and correct. Positions are octets of the streams, from 0.
type client struct {
	s        *sim
	state    int // 0: SYN-SENT, 1: open
	peerISS  wire.Seq
	ts, sack bool
	theirMSS uint16
	shift    uint8 // of the server's windows
	ourShift uint8

	una, end uint32 // octets of requests acknowledged, and to be sent by now
	fin      bool   // our FIN follows on end
	finAcked bool
	edge     uint32 // of the server's window
	resendAt Time
	rto      Time

	rcvNxt   uint32 // octets received in order
	ooo      []span // received beyond
	twice    span   // received once more, to be reported
	peerFIN  int64  // its position, or -1
	gotFIN   bool
	adv      uint32 // right edge that we have advertised, the furthest
	wnd      uint32
	reopenAt Time // when the closed window opens
	tsRecent uint32
	lastTS   uint32
	unacked  int
	ackAt    Time
}

type span struct{ lo, hi uint32 }

func (c *client) init(s *sim) {
	*c = client{s: s, peerFIN: -1, rto: 500 * Millisecond, wnd: s.p.window}
	if s.p.syn.HasWScale {
		c.ourShift = s.p.syn.WScale
	}
	c.wnd = min(c.wnd>>c.ourShift, 0xffff) << c.ourShift
}

func (c *client) mss() uint16 {
	return c.s.p.syn.MSS
}

func (c *client) total() uint32 { return uint32(c.s.p.num * c.s.p.response) }

func (c *client) done() bool {
	return c.rcvNxt == c.total() && c.gotFIN && (c.fin && c.finAcked || c.s.over != Alive)
}

func (c *client) begin() {
	o := c.s.p.syn
	if o.HasTS {
		o.TSVal = c.clock()
	}
	c.s.carry(true, wire.Segment{Seq: c.s.p.irs, Flags: wire.SYN, Wnd: uint16(min(c.wnd, 0xffff)), Options: o})
	c.resendAt = c.s.now + c.rto
}

func (c *client) clock() uint32 { return 77 + uint32(c.s.now/Millisecond) }

func (c *client) deadline() Time {
	var d Time
	for _, at := range []Time{c.resendAt, c.ackAt, c.reopenAt} {
		if at != 0 && (d == 0 || at < d) {
			d = at
		}
	}
	return d
}

func (c *client) timeout() {
	now := c.s.now
	if c.reopenAt != 0 && c.reopenAt <= now {
		c.reopenAt = 0
		c.ack()
	}
	if c.ackAt != 0 && c.ackAt <= now {
		c.ack()
	}
	if c.resendAt != 0 && c.resendAt <= now {
		c.rto = min(2*c.rto, 5*Second)
		c.resendAt = now + c.rto
		if c.state == 0 {
			c.begin()
			return
		}
		c.sendFrom(c.una)
	}
}

// want decides how much of the requests is to be sent by now.
func (c *client) want() {
	p := &c.s.p
	requests := p.num
	if !p.pipelined {
		requests = min(p.num, int(c.rcvNxt)/p.response+1)
	}
	end := uint32(requests * p.request)
	fin := c.gotFIN
	switch p.closes {
	case clientHalf:
		fin = fin || requests == p.num
	case clientCloses:
		fin = fin || c.rcvNxt == c.total()
	}
	if end == c.end && fin == c.fin {
		return
	}
	from := c.end
	c.end, c.fin = end, fin
	c.sendFrom(from)
	if c.resendAt == 0 {
		c.resendAt = c.s.now + c.rto
	}
}

// sendFrom sends requests from an octet on, in pieces of any size, as far as the window goes.
func (c *client) sendFrom(at uint32) {
	for n := 0; n < 4; n++ {
		size := min(c.end-at, 1+uint32(c.s.r.IntN(int(min(c.theirMSS, 1460)-12))), c.edge-min(at, c.edge))
		seg := c.segment(at)
		seg.Payload = make([]byte, size)
		for i := range seg.Payload {
			seg.Payload[i] = requestOctet(at + uint32(i))
		}
		at += size
		if c.fin && at == c.end {
			seg.Flags |= wire.FIN
		}
		if size == 0 && !seg.Flags.Has(wire.FIN) && c.una != c.end {
			return
		}
		c.s.carry(true, seg)
		if at == c.end {
			return
		}
	}
}

func (c *client) segment(at uint32) wire.Segment {
	seg := wire.Segment{Seq: c.s.p.irs + 1 + wire.Seq(at), Ack: c.peerISS + 1 + wire.Seq(c.rcvNxt), Flags: wire.ACK}
	if c.gotFIN {
		seg.Ack++
	}
	wnd := c.wnd
	if c.reopenAt != 0 {
		wnd = c.adv - min(c.rcvNxt, c.adv) // uses up what it has promised
	}
	seg.Wnd = uint16(min(wnd>>c.ourShift, 0xffff))
	c.adv = max(c.adv, c.rcvNxt+uint32(seg.Wnd)<<c.ourShift)
	if c.ts {
		seg.Options.HasTS, seg.Options.TSVal, seg.Options.TSEcr = true, c.clock(), c.tsRecent
	}
	if c.sack {
		if c.twice.hi != 0 { // RFC 2883
			seg.Options.SACK[0] = wire.Span{Lo: c.peerISS + 1 + wire.Seq(c.twice.lo), Hi: c.peerISS + 1 + wire.Seq(c.twice.hi)}
			seg.Options.NSACK, c.twice = 1, span{}
		}
		for _, o := range c.ooo[:min(3, len(c.ooo))] {
			seg.Options.SACK[seg.Options.NSACK] = wire.Span{Lo: c.peerISS + 1 + wire.Seq(o.lo), Hi: c.peerISS + 1 + wire.Seq(o.hi)}
			seg.Options.NSACK++
		}
	}
	return seg
}

func (c *client) ack() {
	c.unacked, c.ackAt = 0, 0
	at := c.end // SND.NXT, near enough: what was sent may have been lost
	if at > c.edge {
		at = c.edge
	}
	seg := c.segment(at)
	if c.fin && c.finAcked {
		seg.Seq++
	}
	c.s.carry(true, seg)
}

func (c *client) receive(seg *wire.Segment) {
	t := c.s
	if seg.Flags.Has(wire.SYN) {
		c.onSYNACK(seg)
		return
	}
	if c.state == 0 {
		return
	}
	if seg.Flags.Has(wire.RST) {
		t.Fatalf("at %d ms: RST, client at %d of %d", (t.now-start)/Millisecond, c.rcvNxt, c.total())
	}
	if c.ts {
		if !seg.Options.HasTS || int32(seg.Options.TSEcr-c.clock()) > 0 {
			t.Fatalf("timestamps %+v", seg.Options)
		}
		c.lastTS = seg.Options.TSVal
	}
	lo := uint32(seg.Seq - c.peerISS - 1)
	hi := lo + uint32(len(seg.Payload))
	if len(seg.Payload) > 0 {
		if c.adv < hi {
			t.Fatalf("octets up to %d, right edge %d", hi, c.adv)
		}
		for i, b := range seg.Payload {
			if b != responseOctet(lo+uint32(i)) {
				t.Fatalf("response octet %d is wrong", lo+uint32(i))
			}
		}
	}
	if int32(lo-c.rcvNxt) <= 0 && c.ts {
		c.tsRecent = seg.Options.TSVal
	}
	if seg.Flags.Has(wire.FIN) {
		if hi != c.total() {
			t.Fatalf("FIN at %d of %d", hi, c.total())
		}
		c.peerFIN = int64(hi)
	}
	c.onACK(seg)
	if len(seg.Payload) > 0 || seg.Flags.Has(wire.FIN) || int32(lo-c.rcvNxt) < 0 {
		c.take(lo, hi)
	}
	c.want()
}

func (c *client) onSYNACK(seg *wire.Segment) {
	if c.state == 1 {
		if seg.Seq == c.peerISS {
			c.ack()
		}
		return
	}
	c.state = 1
	c.peerISS, c.theirMSS = seg.Seq, seg.Options.MSS
	c.ts, c.sack = seg.Options.HasTS, seg.Options.SACKPermitted
	if seg.Options.HasWScale {
		c.shift = seg.Options.WScale
	} else {
		c.ourShift = 0
		c.wnd = min(c.wnd, 0xffff)
	}
	c.tsRecent = seg.Options.TSVal
	c.edge = uint32(seg.Wnd)
	c.resendAt = 0
	if c.s.r.IntN(2) == 0 {
		c.ack()
	}
	c.want()
}

func (c *client) onACK(seg *wire.Segment) {
	acked := uint32(seg.Ack - c.s.p.irs - 1)
	if int32(acked-c.una) < 0 {
		return
	}
	end := c.end
	if c.fin {
		end++
	}
	if acked > end {
		c.s.Fatalf("acknowledged %d of %d", acked, end)
	}
	if edge := acked + uint32(seg.Wnd)<<c.shift; edge > c.edge {
		c.edge = edge
	}
	if acked != c.una {
		c.rto = 500 * Millisecond
		c.resendAt = c.s.now + c.rto
	}
	c.una = acked
	if acked == end {
		c.finAcked = c.fin
		c.resendAt = 0
	}
	if c.fin && acked > c.end {
		c.una = c.end
	}
}

// take enters [lo, hi) and acknowledges: at once when something is odd, else every second segment or late.
func (c *client) take(lo, hi uint32) {
	inOrder := lo == c.rcvNxt && len(c.ooo) == 0
	if lo < hi && (hi <= c.rcvNxt || slices.ContainsFunc(c.ooo, func(o span) bool { return o.lo <= lo && hi <= o.hi })) {
		c.twice = span{lo, hi}
	}
	if hi > c.rcvNxt {
		merged := span{max(lo, c.rcvNxt), hi}
		c.ooo = slices.DeleteFunc(c.ooo, func(o span) bool {
			if o.hi < merged.lo || merged.hi < o.lo {
				return false
			}
			merged.lo, merged.hi = min(merged.lo, o.lo), max(merged.hi, o.hi)
			return true
		})
		if merged.lo == c.rcvNxt {
			c.rcvNxt = merged.hi
		} else {
			c.ooo = slices.Insert(c.ooo, 0, merged)
		}
	}
	if c.peerFIN == int64(c.rcvNxt) {
		c.gotFIN, inOrder = true, false
	}
	if c.s.p.stalls && c.reopenAt == 0 && c.s.r.IntN(10) == 0 {
		c.reopenAt = c.s.now + Time(1+c.s.r.Int64N(3000))*Millisecond
	}
	if c.unacked++; inOrder && c.unacked < 2 && c.s.r.IntN(4) > 0 {
		if c.ackAt == 0 {
			c.ackAt = c.s.now + 40*Millisecond
		}
		return
	}
	c.ack()
}
