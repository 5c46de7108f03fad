package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// timeWaits holds the connections in TIME-WAIT, of 64 octets each, in the order in which they came there. They all
// have the same time to wait, so the oldest is the first to go; when there is no room, it goes early, as in the kernel
// beyond net.ipv4.tcp_max_tw_buckets.
type timeWaits struct {
	all     []waiting // a ring
	buckets []uint32  // index + 1 of the first of each chain
	mask    uint64
	key     wire.Key
	first   uint32 // the oldest
	n       uint32 // from there on, dead ones included
	alive   uint64
	told    uint64 // alive when news was last called
	wait    tcpstate.Time
}

type waiting struct {
	flow    wire.Flow
	remains tcpstate.Remains
	until   uint32 // ms, modulo 2³²; valid if live
	chain   uint32 // index + 1 of the next of the same bucket
}

func (w *timeWaits) init(n int, wait tcpstate.Time) {
	size := 1
	for size < n {
		size *= 2
	}
	*w = timeWaits{all: make([]waiting, n), buckets: make([]uint32, size), mask: uint64(size - 1), key: wire.NewKey(), wait: wait}
}

func (w *timeWaits) bucket(f *wire.Flow) *uint32 { return &w.buckets[w.key.Short(f)&w.mask] }

// add enters a connection, which has none here.
func (w *timeWaits) add(f *wire.Flow, r tcpstate.Remains, now tcpstate.Time) {
	if int(w.n) == len(w.all) {
		w.dropFirst()
	}
	i := (w.first + w.n) % uint32(len(w.all))
	w.n++
	w.alive++
	b := w.bucket(f)
	w.all[i] = waiting{flow: *f, remains: r, until: tcpstate.Millis(now + w.wait), chain: *b}
	*b = i + 1
}

// find returns the connection of flow f, or nil.
func (w *timeWaits) find(f *wire.Flow, now tcpstate.Time) *waiting {
	if w.alive == 0 {
		return nil
	}
	for i := *w.bucket(f); i != 0; i = w.all[i-1].chain {
		if e := &w.all[i-1]; e.flow == *f {
			if e.over(now) {
				w.remove(e)
				return nil
			}
			return e
		}
	}
	return nil
}

func (e *waiting) over(now tcpstate.Time) bool { return int32(tcpstate.Millis(now)-e.until) >= 0 }

// remove forgets e; its place is free when the ring comes round.
func (w *timeWaits) remove(e *waiting) {
	p := w.bucket(&e.flow)
	for &w.all[*p-1] != e {
		p = &w.all[*p-1].chain
	}
	*p = e.chain
	*e = waiting{}
	w.alive--
}

// news returns by how much alive has grown since the last call, modulo 2⁶⁴.
func (w *timeWaits) news() uint64 {
	n := w.alive - w.told
	w.told = w.alive
	return n
}

func (w *timeWaits) dropFirst() {
	if e := &w.all[w.first]; e.flow != (wire.Flow{}) {
		w.remove(e)
	}
	w.first = (w.first + 1) % uint32(len(w.all))
	w.n--
}

// expire forgets those whose time is over. One whose time began anew holds up those behind it, which find knows.
func (w *timeWaits) expire(now tcpstate.Time) {
	for w.n > 0 {
		if e := &w.all[w.first]; e.flow != (wire.Flow{}) && !e.over(now) {
			return
		}
		w.dropFirst()
	}
}

// retire moves the connection in slot i, which is in TIME-WAIT or has only the peer's FIN to wait for, out of its slot.
func (l *Loop) retire(i uint32) {
	s := l.slots.at(i)
	l.waits.add(&s.flow, s.conn.Remains(), l.now)
	l.release(i)
}

// onWaiting takes in a segment of a connection in TIME-WAIT, and reports whether it was that; else the segment may
// begin a new one.
func (l *Loop) onWaiting() bool {
	p := &l.pkt
	e := l.waits.find(&p.Flow, l.now)
	if e == nil {
		return false
	}
	if p.Segment.Len() > 0 && e.remains.Precedes(&p.Segment) &&
		l.cfg.Listener.Accept(&p.Flow, &p.Segment, l.now, &l.fresh) == tcpstate.AcceptOpened {
		l.waits.remove(e)
		return false
	}
	switch e.remains.OnSegment(&p.Segment, l.now, &l.out) {
	case tcpstate.LeftoverNewSYN, tcpstate.LeftoverText:
		l.waits.remove(e)
		return false
	case tcpstate.LeftoverOver:
		l.waits.remove(e)
	case tcpstate.LeftoverAgain:
		e.until = tcpstate.Millis(l.now + l.waits.wait)
		l.reply()
	case tcpstate.LeftoverAnswered:
		l.reply()
	}
	return true
}
