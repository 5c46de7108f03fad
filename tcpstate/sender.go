package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// sender is the half of a connection that sends octets.
type sender struct {
	iss    wire.Seq
	una    wire.Seq // SND.UNA
	nxt    wire.Seq // SND.NXT; it never goes back, retransmissions are counted in recovery
	end    wire.Seq // behind all that was written; our FIN stands here
	wl1    wire.Seq // SND.WL1
	wnd    uint16   // SND.WND as it stood in the header
	maxWnd uint16   // the largest wnd
	mss    uint16   // of segments to the peer, options included
	wscale uint8    // of the windows that the peer advertises
	// backoff is how often the retransmission or persist timer has fired in a row.
	backoff uint8
}

func (s *sender) init(una wire.Seq, mss uint16, wscale uint8) {
	*s = sender{iss: una - 1, una: una, nxt: una, end: una, mss: mss, wscale: wscale}
	if wscale == noWScale {
		s.wscale = 0
	}
}

// window is SND.WND in octets, maxWindow the largest that it ever was.
func (s *sender) window() uint32    { return uint32(s.wnd) << s.wscale }
func (s *sender) maxWindow() uint32 { return uint32(s.maxWnd) << s.wscale }

// edge is the right edge of the peer's window: nothing is sent beyond it.
func (s *sender) edge() wire.Seq { return s.una.Add(s.window()) }

func (c *Conn) finSent() bool { return c.snd.nxt == c.snd.end+1 }

// owesFIN reports whether a FIN of ours may go behind what is written, or was sent and is not acknowledged.
func (c *Conn) owesFIN() bool { return c.state.owesFIN() && !c.has(flagMore) }

// plan is a segment that might be sent.
type plan struct {
	kind  planKind
	fin   bool
	probe bool // a tail loss probe, which no window holds back
	seq   wire.Seq
	n     uint32 // octets of payload
}

type planKind uint8

const (
	planNone planKind = iota
	planACK
	planNew
	planRetransmit
	planProbe
	planRST
)

// next decides what would be sent now. It changes nothing, but notes if something has to wait for its time.
func (c *Conn) next(st *Stack, now Time) plan {
	switch {
	case c.has(flagRST):
		return plan{kind: planRST, seq: c.snd.nxt}
	case c.state == StateClosed:
		return plan{}
	// Data segments carry no SACK blocks, so that all of them have the same room for payload.
	case c.has(flagAckNow) && c.rcv.nHeld > 0:
		return c.bare(planACK)
	}
	if p := c.nextData(st); p.kind != planNone && c.inTime(st.of(c), p, now) {
		return p
	}
	switch {
	// RFC 9293, 3.8.6.1. As Linux does, the probe is an old sequence number, which has to be answered,
	// instead of an octet beyond the window, which the peer might take or not.
	case c.has(flagProbe):
		return plan{kind: planProbe, seq: c.snd.una - 1}
	case c.has(flagAckNow):
		return c.bare(planACK)
	}
	return plan{}
}

func (c *Conn) bare(kind planKind) plan { return plan{kind: kind, seq: c.snd.nxt} }

// nextData returns what of the stream is sent next, by the order of RFC 6675, 4, NextSeg: what is lost, what
// is new. What else may be lost is RACK's business.
func (c *Conn) nextData(st *Stack) plan {
	if c.snd.una == c.snd.nxt && c.snd.nxt == c.snd.end && !c.owesFIN() {
		return plan{}
	}
	f := st.of(c)
	if f == nil {
		return c.nextNew(c.has(flagProbe))
	}
	if f.lost == 0 && c.snd.nxt == c.snd.end && !c.owesFIN() && !c.has(flagTailProbe) {
		return plan{} // all is on its way
	}
	if c.has(flagTailProbe) {
		if p := c.nextProbe(); p.kind != planNone {
			return p
		}
	}
	p := c.nextLost(st, f)
	if p.kind == planNone || f.rec.frto == frtoNew {
		if fresh := c.nextNew(c.has(flagProbe)); fresh.kind != planNone {
			p = fresh
		}
	}
	// With nothing in flight a segment may go whatever the congestion window.
	if pipe := f.pipe(c); p.n > 0 && pipe > 0 && pipe+p.n > f.win.cwnd {
		return plan{}
	}
	return p
}

// nextNew returns the segment of new data that the peer's window allows. override lifts the avoidance of the
// silly window syndrome.
func (c *Conn) nextNew(override bool) plan {
	if c.finSent() {
		return plan{}
	}
	room := c.snd.edge().Sub(c.snd.nxt)
	if room <= 0 {
		return plan{} // closed, or taken back (RFC 9293, 3.8.6)
	}
	left, mss := uint32(c.snd.end-c.snd.nxt), c.payloadMSS()
	n := min(left, mss, uint32(room))
	// RFC 9293, 3.8.6.2.1: a full segment, or all there is, or half of the largest window. Responses are
	// written whole, so that all there is need not wait (no Nagle, 3.7.4).
	if n < mss && n < left && n < c.snd.maxWindow()/2 && !override {
		return plan{}
	}
	fin := n == left && uint32(room) > n && c.owesFIN()
	if n == 0 && !fin {
		return plan{}
	}
	return plan{kind: planNew, seq: c.snd.nxt, n: n, fin: fin}
}

// blockedByWindow reports whether something waits to be sent, but the peer's window does not let it.
func (c *Conn) blockedByWindow() bool {
	waits := c.snd.nxt != c.snd.end || c.owesFIN()
	return waits && !c.finSent() && c.nextNew(false).kind == planNone
}

// resend returns a retransmission of what lies between seq and end, as much as fits a segment and the peer's
// window.
func (c *Conn) resend(seq, end wire.Seq) plan {
	end = wire.MinSeq(end, c.snd.edge())
	if !seq.Less(end) {
		return plan{}
	}
	n := min(uint32(end-seq), c.payloadMSS())
	p := plan{kind: planRetransmit, seq: seq, n: n}
	if c.snd.end.Less(seq.Add(n)) { // the FIN is in it
		p.n, p.fin = n-1, true
	}
	return p
}
