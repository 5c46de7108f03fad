package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

func (l *Loop) markReady(i uint32) { l.ready.push(l.slots.all, i) }

// transmit lets the ready connections send, in turns, while there are frames to send in.
func (l *Loop) transmit() {
	if l.row.built && !l.depart(nil) {
		return
	}
	for l.ready.head != 0 {
		i := l.ready.head
		s := l.slots.at(i)
		sent := 0
		for sent < turn || l.row.payload > 0 && sent < longTurn {
			if l.row.built || l.frame() == nil {
				l.send()
				return // nobody polls, and no state moves
			}
			if !s.conn.PollTransmit(l.st, l.now, &l.out) {
				break
			}
			l.emit(s)
			sent++
		}
		if l.row.payload > 0 && !l.depart(s) {
			return
		}
		l.ready.remove(l.slots.all, i)
		switch {
		case sent >= turn:
			l.markReady(i) // behind the others
		case s.conn.Finished():
			l.release(i)
			continue
		case s.conn.State() == tcpstate.TimeWait:
			l.retire(i)
			continue
		case s.flags&flagHot != 0:
			l.lend(i)
		}
		l.schedule(i)
	}
	l.send()
}

// put builds the segment l.out of s in the current frame.
func (l *Loop) put(s *slot) {
	frame := l.frame()
	t := &l.out
	h := wire.Header{
		Src: l.cfg.LocalMAC, Dst: s.peer, Flow: &s.flow, Seq: t.Seq, Ack: t.Ack, Flags: t.Flags, Wnd: t.Wnd, ECT: t.ECT, Options: &t.Options,
		Partial: l.cfg.PartialChecksums,
	}
	if t.Len > 0 {
		at := h.HeaderLen()
		l.work.read(s, frame[at:at+int(t.Len)], t.Off)
	}
	l.queue(h.Build(frame, int(t.Len)))
}

// frame returns the next empty frame, or nil if there is none now.
func (l *Loop) frame() []byte {
	if l.txUsed == l.txHave {
		l.send()
		if l.txHave = l.cfg.Device.Alloc(l.tx[:]); l.txHave == 0 {
			return nil
		}
	}
	return l.tx[l.txUsed]
}

// queue says that the current frame holds n octets, to be sent when their checksum is in place.
func (l *Loop) queue(n int) {
	frame := l.tx[l.txUsed][:n]
	if !l.cfg.PartialChecksums {
		wire.Finish(frame)
	}
	l.tx[l.txUsed] = frame
	l.txUsed++
	l.count.TxPackets++
}

// send gives the filled frames to the device.
func (l *Loop) send() {
	if l.txUsed == 0 {
		return
	}
	l.cfg.Device.Send(l.tx[:l.txUsed])
	n := copy(l.tx[:], l.tx[l.txUsed:l.txHave])
	l.txUsed, l.txHave = 0, n
}
