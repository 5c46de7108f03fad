package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// A hand-over, as seen from here. The rules it obeys are in package redirect.
//
//	want ──(SND.UNA == SND.NXT)── Begin, Inject ──Established── release
//	                                  │  no socket: the accept queue is full
//	                                  └─ handing: later frames are injected as they come; again and again
//	                                     Inject, until Established, or the client gets a RST

const (
	firstRetry = tcpstate.Time(20e6) // ns; doubles up to lastRetry
	lastRetry  = tcpstate.Time(1e9)
)

// giver builds the frames in which a client's octets are given to the kernel.
type giver struct {
	frames [batch][]byte
	n      int
	room   int // octets of an IP packet
}

func (g *giver) init(mtu int) {
	g.room = mtu
	for k := range g.frames {
		g.frames[k] = make([]byte, wire.EthLen+mtu)
	}
}

// add appends a segment with payload to the batch. It reports false if the batch is full.
func (g *giver) add(h *wire.Header, payload []byte) bool {
	if g.n == len(g.frames) {
		return false
	}
	frame := g.frames[g.n][:cap(g.frames[g.n])]
	copy(frame[h.HeaderLen():], payload)
	n := h.Build(frame, len(payload))
	wire.Finish(frame[:n])
	g.frames[g.n] = frame[:n]
	g.n++
	return true
}

// handOver gives the connection in slot i, which is Quiescent, to the kernel, with the octets held from the
// request boundary on. Unless the kernel has it then, the slot stays, in state "handing".
func (l *Loop) handOver(i uint32, held []byte) {
	s := l.slots.at(i)
	l.work.stopReading(s)
	h := &l.hand
	*h = s.conn.Handover()
	l.cfg.Ours.remove(&s.flow) // first: from the injection on, the kernel may own it
	if err := l.cfg.Handover.Begin(&s.flow, h); err != nil {
		l.refuse(i, DropHandoverRefused)
		return
	}
	// Retries need the octets, and they may stand in a frame that is about to go back.
	buf := l.work.held(s)
	l.giveHeld(s, h, held, buf)
	if l.cfg.Handover.Established(&s.flow) {
		l.handedOver(i)
		return
	}
	if buf == nil && len(held) > 0 {
		if buf = l.work.buffer(s); buf != nil {
			buf.Insert(0, held)
		}
		// Without a buffer the client's retransmission has to do: nothing of this was acknowledged.
	}
	w := l.work.of(s)
	w.tries = 0
	w.giveUp = l.now + tcpstate.Time(l.cfg.HandoverTimeout)
	w.retryAt = l.now + firstRetry
	s.flags |= flagHanding
	l.count.Connections[s.counted]--
	l.count.Handing++
	l.ready.remove(l.slots.all, i)
	l.schedule(i)
}

// handedOver forgets the connection in slot i, for which the kernel has a socket now, but for its flow.
func (l *Loop) handedOver(i uint32) {
	s := l.slots.at(i)
	l.count.Handovers[s.why]++
	l.given.add(&s.flow, l.now)
	l.release(i)
}

// recent is the flows that were handed over last. Of these, frames may still wait in our ring that came before the
// kernel had a socket: they follow it. Without this, those of a connection that was handed over at its first request,
// whose cookie still fits them, would be taken for ones that have overtaken the first.
type recent struct {
	flows [batch]wire.Flow
	until [batch]tcpstate.Time
	next  int
}

// recentLife is how long a frame may wait in our ring. A new connection of the same flow takes longer to come.
const recentLife = tcpstate.Time(100e6) // ns

func (r *recent) add(flow *wire.Flow, now tcpstate.Time) {
	r.flows[r.next], r.until[r.next] = *flow, now+recentLife
	r.next = (r.next + 1) % len(r.flows)
}

func (r *recent) has(flow *wire.Flow, now tcpstate.Time) bool {
	if newest := (r.next + len(r.flows) - 1) % len(r.flows); now > r.until[newest] {
		return false // without looking at each: most connections begin at a time without hand-overs
	}
	for k := range r.flows {
		if r.flows[k] == *flow && now <= r.until[k] {
			return true
		}
	}
	return false
}

// onHanding gives the kernel what a client sends while its hand-over is under way. A client that resets the
// connection must not get a socket any more. Its RST stands behind all that it has sent, of which we have counted only
// what came before the hand-over: so it is asked (RFC 5961, 3.2), and will say it again where we are.
func (l *Loop) onHanding(i uint32) {
	p, s := &l.pkt, l.slots.at(i)
	if p.Segment.Flags.Has(wire.RST) {
		if s.conn.OnSegment(l.st, &p.Segment, l.now).Fate == tcpstate.Reset {
			l.cfg.Handover.Cancel(&s.flow)
			l.release(i)
			return
		}
		if l.frame() != nil && s.conn.PollTransmit(l.st, l.now, &l.out) {
			l.put(s)
		}
	}
	if p.Segment.Flags.Has(wire.SYN) {
		// A double of the client's first: the kernel would take it for a new connection, and that for the one
		// which is on its way.
		l.count.Drops[dropOf(tcpstate.DropChallengeSYN)]++
		return
	}
	l.toKernel()
}

// retryHandover looks whether the kernel has taken the connection in slot i, and offers it again if not.
func (l *Loop) retryHandover(i uint32) {
	s := l.slots.at(i)
	w := l.work.at(s.work)
	switch {
	case l.now < w.retryAt:
		l.schedule(i)
		return
	case l.cfg.Handover.Established(&s.flow):
		l.handedOver(i)
		return
	case l.now >= w.giveUp:
		l.cfg.Handover.Cancel(&s.flow)
		l.refuse(i, DropHandoverTimeout)
		return
	}
	h := &l.hand
	*h = s.conn.Handover()
	if err := l.cfg.Handover.Begin(&s.flow, h); err == nil {
		var held []byte
		buf := l.work.held(s)
		if buf != nil {
			held = buf.Contiguous()
		}
		l.giveHeld(s, h, held, buf)
		if l.cfg.Handover.Established(&s.flow) {
			l.handedOver(i)
			return
		}
	}
	w.tries++
	w.retryAt = l.now + min(firstRetry<<min(w.tries, 10), lastRetry)
	l.schedule(i)
}

// refuse ends a hand-over that can't be done: the client gets a RST.
func (l *Loop) refuse(i uint32, why Drop) {
	s := l.slots.at(i)
	l.count.Drops[why]++
	if s.flags&flagHanding != 0 {
		s.flags &^= flagHanding
		l.count.Handing--
		l.count.Connections[s.counted]++
	}
	s.flags |= flagClosing
	s.conn.Abort()
	l.markReady(i)
	l.schedule(i)
}

// giveHeld injects the octets from the request boundary on: the contiguous ones, whatever buf holds beyond, and
// the client's FIN. Without any of these it injects a bare ACK, which makes a socket as well.
func (l *Loop) giveHeld(s *slot, h *tcpstate.Handover, held []byte, buf *tcpstate.RecvBuf) {
	l.flushInject() // what came earlier goes first
	g := &l.give
	hdr := wire.Header{Src: s.peer, Dst: l.cfg.LocalMAC, Flow: &s.flow, Inbound: true, Seq: h.Seq, Ack: h.Ack, Flags: wire.ACK | wire.PSH, Wnd: h.Wnd}
	var opts wire.Options
	if h.TimestampsOK {
		// The kernel takes the TSval of the first of these as ts_recent, so all of them carry the same.
		opts = wire.Options{HasTS: true, TSVal: h.TSRecent, TSEcr: tcpstate.Millis(l.now) + h.TSOffset}
	}
	hdr.Options = &opts
	if len(held) == 0 {
		hdr.Flags = wire.ACK
		g.add(&hdr, nil)
		hdr.Flags |= wire.PSH
	}
	l.giveData(&hdr, held)
	end := hdr.Seq
	if buf != nil {
		var spans [4]wire.Span
		for _, sp := range buf.Spans(spans[:0], h.Seq) {
			hdr.Seq = sp.Lo
			l.giveData(&hdr, buf.At(uint32(sp.Lo.Sub(h.Seq)), int(sp.Hi.Sub(sp.Lo))))
		}
	}
	if s.conn.PeerClosed() {
		hdr.Seq, hdr.Flags = end, wire.ACK|wire.FIN
		g.add(&hdr, nil)
	}
	l.flushGiver()
}

// giveData adds data in segments that fit the interface; hdr.Seq is moved behind it.
func (l *Loop) giveData(hdr *wire.Header, data []byte) {
	room := l.give.room + wire.EthLen - hdr.HeaderLen()
	for len(data) > 0 {
		n := min(len(data), room)
		if !l.give.add(hdr, data[:n]) {
			l.flushGiver()
			continue
		}
		hdr.Seq = hdr.Seq.Add(uint32(n))
		data = data[n:]
	}
}

func (l *Loop) flushGiver() {
	if l.give.n == 0 {
		return
	}
	if err := l.cfg.Handover.Inject(l.give.frames[:l.give.n]); err != nil {
		l.count.Drops[DropInject] += uint64(l.give.n)
	}
	l.count.Injected += uint64(l.give.n)
	l.give.n = 0
}

// handOverUnheld gives the connection l.fresh, for which there is no slot, to the kernel with the segment
// that began it. Nothing was acknowledged: if it gets lost the client sends it again.
func (l *Loop) handOverUnheld(why Reason) {
	h := &l.hand
	*h = l.fresh.Handover()
	if err := l.cfg.Handover.Begin(&l.pkt.Flow, h); err != nil {
		l.count.Drops[DropHandoverRefused]++
		return
	}
	l.toKernel()
	l.given.add(&l.pkt.Flow, l.now)
	l.count.Handovers[why]++
}
