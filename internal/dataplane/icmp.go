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

// onTooBig is told that a router could not forward a segment of the connection in slot i. Segments keep their size: the
// message is the kernel's, which ignores it unless it has the connection by now.
func (l *Loop) onTooBig(_ uint32, _ *wire.TooBig, frame []byte) { l.injectFrame(frame) }
