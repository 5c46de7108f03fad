package dataplane

import "github.com/xhttpd/xhttpd/internal/wire"

// onNotTCP takes a frame that is no TCP segment: a router's word that a segment of ours was too big, or nothing of ours.
//
// It comes by the queue that the card has chosen for the router's address, which need not be the connection's queue. So
// what is unknown here may be known to another loop; the kernel gets it, as without us.
func (l *Loop) onNotTCP(frame []byte) {
	var m wire.TooBig
	if problem := wire.ParseTooBig(frame, &m); problem != wire.OK {
		l.count.Drops[problem]++
		return
	}
	if l.isOtherMAC(m.Dst) {
		l.count.Drops[DropOtherMAC]++
		return
	}
	i := l.slots.find(&m.Flow)
	if i == 0 {
		l.count.TooBigUnknown++
		l.injectFrame(frame)
		return
	}
	l.count.TooBig++
	l.onTooBig(i, &m, frame)
}

// onTooBig is told that a router could not forward a segment of the connection in slot i.
func (l *Loop) onTooBig(i uint32, m *wire.TooBig, frame []byte) {
	s := l.slots.at(i)
	if s.flags&flagHanding != 0 {
		l.injectFrame(frame) // the kernel may have the connection by now
		return
	}
	l.reclaim(i)
	if s.conn.OnTooBig(l.st, m.Seq, m.MTU, l.now) {
		l.markReady(i)
		l.schedule(i)
	}
}
