package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// receive takes one batch of frames and reports whether there may be more.
func (l *Loop) receive() bool {
	n := l.cfg.Device.Receive(l.rx[:])
	l.count.RxPackets += uint64(n)
	if n > 0 && l.cfg.Clock != nil {
		l.now = max(l.now, l.cfg.Clock())
		l.work.now = l.now
	}
	for _, frame := range l.rx[:n] {
		l.onFrame(frame)
	}
	l.flushInject()
	return n == len(l.rx)
}

func (l *Loop) onFrame(frame []byte) {
	p := &l.pkt
	switch problem := wire.Parse(frame, p); problem {
	case wire.OK:
	case wire.NotTCP:
		l.onNotTCP(frame)
		return
	default:
		l.count.Drops[problem]++
		return
	}
	if l.isOtherMAC(p.Dst) {
		l.count.Drops[DropOtherMAC]++
		return
	}
	if i := l.slots.find(&p.Flow); i != 0 {
		if anew := l.onSegment(i); !anew {
			return
		}
	}
	if !l.onWaiting() {
		l.onUnknown()
	}
}

// isOtherMAC reports whether a frame is addressed to another station, as seen on an interface in promiscuous mode.
func (l *Loop) isOtherMAC(dst wire.MAC) bool {
	return dst != l.cfg.LocalMAC && l.cfg.LocalMAC != (wire.MAC{})
}

// onUnknown answers a segment of a flow that has no slot: without state as long as that is possible.
func (l *Loop) onUnknown() {
	p := &l.pkt
	switch {
	case p.Segment.Flags.Has(wire.RST):
		l.count.Drops[DropStrayReset]++
		return
	case p.Segment.Flags.Has(wire.SYN):
		l.onSYN()
		return
	}
	switch l.cfg.Listener.Accept(&p.Flow, &p.Segment, l.now, &l.fresh) {
	case tcpstate.AcceptUnknown:
		l.stray() // the kernel knows more flows than we do, and answers the rest with RST
	case tcpstate.AcceptEarly:
		if l.given.has(&p.Flow, l.now) {
			l.toKernel()
			return
		}
		l.count.Drops[DropEarly]++
	case tcpstate.AcceptOpened:
		l.open()
	}
}

func (l *Loop) onSYN() {
	p := &l.pkt
	if l.draining {
		l.toKernel()
		return
	}
	switch l.cfg.Listener.OnSYN(&p.Flow, &p.Segment, l.now, &l.out) {
	case tcpstate.SYNKernel:
		l.stray()
	case tcpstate.SYNDrop:
		l.count.Drops[dropOf(tcpstate.DropBadSYN)]++
	case tcpstate.SYNReply:
		l.firsts.syns++
		l.reply()
	}
}

// reply sends l.out, which carries nothing, to the sender of l.pkt.
func (l *Loop) reply() {
	p, frame := &l.pkt, l.frame()
	if frame == nil {
		l.count.Drops[DropNoFrame]++
		return
	}
	h := wire.Header{
		Src: p.Dst, Dst: p.Src, Flow: &p.Flow, Seq: l.out.Seq, Ack: l.out.Ack, Flags: l.out.Flags, Wnd: l.out.Wnd, Options: &l.out.Options,
		Partial: l.cfg.PartialChecksums,
	}
	l.queue(h.Build(frame, 0))
}

// open gives l.fresh a slot and the segment that it was made of.
func (l *Loop) open() {
	p := &l.pkt
	l.firsts.opened++
	if l.tooMany(&p.Flow) {
		l.count.Shed[ShedPrefix]++
		l.resetUnheld()
		return
	}
	i := l.slots.add(&p.Flow)
	switch {
	case i != 0:
		l.prepareRoom()
	case l.makeRoom():
		i = l.slots.add(&p.Flow)
	}
	if i == 0 {
		l.handOverUnheld(ReasonConnLimit)
		return
	}
	s := l.slots.at(i)
	s.conn = l.fresh
	s.peer = p.Src
	s.counted = s.conn.State()
	s.flags |= flagCounted
	l.enter(s)
	l.prefixes.add(&p.Flow)
	l.count.Connections[s.counted]++
	if l.draining {
		l.want(s, ReasonShutdown)
	}
	l.onSegment(i)
}

// onSegment gives l.pkt to the connection in slot i. It reports whether the segment begins a new connection in the
// place of the old one, whose slot is then free.
func (l *Loop) onSegment(i uint32) (anew bool) {
	p, s := &l.pkt, l.slots.at(i)
	if s.flags&flagHanding != 0 {
		l.onHanding(i)
		return false
	}
	if l.reclaim(i) && l.overtaken(s) {
		l.lend(i)
		l.schedule(i)
		return false
	}
	in := s.conn.OnSegment(l.st, &p.Segment, l.now)
	if in.Drop != tcpstate.DropNone {
		l.count.Drops[dropOf(in.Drop)]++
	}
	switch {
	case in.NewSYN, l.succeeds(s, in.Drop):
		l.release(i)
		return true
	case in.Fate == tcpstate.Closed || in.Fate == tcpstate.Reset:
		l.release(i)
		return false
	}
	l.work.acked(s, s.conn.AckedOff())
	if s = l.advance(i, &in); s != nil {
		l.afterInput(i, s)
	}
	return false
}

// afterInput does what follows when requests were looked at.
func (l *Loop) afterInput(i uint32, s *slot) {
	switch {
	case s.conn.WantsTransmit(l.st, l.now):
		l.markReady(i)
	case s.conn.State() == tcpstate.TimeWait:
		l.retire(i)
		return
	}
	l.work.settle(s)
	l.schedule(i)
}

// succeeds reports whether l.pkt, which does not fit s, opens a later connection of the same flow. A handshake leaves no
// trace here, so a late double of an earlier connection's first segment can take the flow between the client's new
// handshake and its new request. Nobody acknowledges what such a ghost sends.
func (l *Loop) succeeds(s *slot, why tcpstate.Drop) bool {
	p := &l.pkt
	return (why == tcpstate.DropBadACK || why == tcpstate.DropOutOfWindow) && s.conn.AckedOff() == 0 &&
		s.conn.Boundary().Less(p.Segment.Seq) && l.cfg.Listener.Accept(&p.Flow, &p.Segment, l.now, &l.fresh) == tcpstate.AcceptOpened
}

// release forgets the connection in slot i.
func (l *Loop) release(i uint32) {
	s := l.slots.at(i)
	l.reclaim(i)
	l.declassify(i, s)
	l.discount(s)
	l.wheel.drop(l.slots.all, i)
	l.ready.remove(l.slots.all, i)
	if s.flags&flagHanding != 0 {
		l.count.Handing--
	} else {
		l.count.Connections[s.counted]--
	}
	l.st.Release(&s.conn)
	l.work.dropWork(s)
	l.cfg.Ours.remove(&s.flow)
	l.slots.remove(i)
}

// enter lets the segments of s come without asking the kernel. Not if its flow was handed over a moment ago: then a late double
// of the first segment has made it, and the kernel owns the flow.
func (l *Loop) enter(s *slot) {
	if !l.given.has(&s.flow, l.now) {
		l.cfg.Ours.add(&s.flow)
	}
}

// toKernel gives the received frame to the kernel as if we had not been there.
func (l *Loop) toKernel() {
	l.pkt.Complete()
	l.injectFrame(l.pkt.Frame)
}

// injectFrame gives the kernel a received frame, with whole checksums, by the end of this batch.
func (l *Loop) injectFrame(frame []byte) {
	l.inject[l.nInj] = frame
	l.nInj++
	if l.nInj == len(l.inject) {
		l.flushInject()
	}
}

func (l *Loop) flushInject() {
	if l.nInj == 0 {
		return
	}
	if err := l.cfg.Handover.Inject(l.inject[:l.nInj]); err != nil {
		l.count.Drops[DropInject] += uint64(l.nInj)
	}
	l.count.Injected += uint64(l.nInj)
	l.nInj = 0
}
