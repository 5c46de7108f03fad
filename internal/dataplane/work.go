package dataplane

import (
	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// window is how many responses of one connection may be on their way at once. A client that pipelines more
// has its further requests wait in the receive buffer.
const window = 4

// work is what a connection has in flight: responses that the peer has not acknowledged, request octets that
// wait. It is lent to a slot only while there is something of this. Its objects are in workArena.objects.
type work struct {
	sent    [window]sending
	n       uint8 // valid entries of sent, oldest first
	tries   uint8
	most    uint16 // requests on the connection, as the steering program has it, where it may be lent
	buf     uint32 // index of a RecvBuf, or 0
	chain   uint32
	retryAt tcpstate.Time // of a hand-over
	giveUp  tcpstate.Time
	since   tcpstate.Time // when the client's reading began to be measured
	place   uint32        // where the connection is lent
	from    uint32        // stream offset that it had acknowledged then
	reader  uint32        // index of one of disk's, or 0
}

// sending is one response and its place [start, end) in the stream of octets sent, modulo 2³². Of one that is OnDisk it is what was
// written and not acknowledged; there is one at most.
type sending struct {
	response   filecache.Response
	start, end uint32
	hit        uint32 // what the access log calls it, or 0
}

// workArena holds the works, the receive buffers, and, in the one place where pointers are, the objects that
// responses on their way refer to: an object that was replaced in the cache lives until its last response
// is acknowledged.
type workArena struct {
	all       []work
	objects   []*filecache.Object // window of them for each work
	free      uint32
	fresh     uint32
	bufs      []tcpstate.RecvBuf
	freeBufs  []uint32
	freshBuf  uint32
	usedWorks int
	disk      *disk         // nil if nothing is read from there
	hits      *hits.Ring    // that is told of what has ended, or nil
	now       tcpstate.Time // of the step, for that
}

func (a *workArena) init(works, bufs int) {
	a.all = make([]work, works+1)
	a.objects = make([]*filecache.Object, (works+1)*window)
	a.bufs = make([]tcpstate.RecvBuf, bufs+1)
	a.freeBufs = make([]uint32, 0, bufs)
	a.fresh, a.freshBuf = 1, 1
}

func (a *workArena) at(i uint32) *work { return &a.all[i] }

// of returns the work of s, taking one if s has none. There are as many as slots.
func (a *workArena) of(s *slot) *work {
	if s.work == 0 {
		if s.work = a.free; s.work != 0 {
			a.free = a.all[s.work].chain
		} else {
			s.work = a.fresh
			a.fresh++
		}
		a.all[s.work] = work{}
		a.usedWorks++
	}
	return &a.all[s.work]
}

// buffer returns the receive buffer of s, taking one if s has none; nil if all are taken.
func (a *workArena) buffer(s *slot) *tcpstate.RecvBuf {
	if b := a.held(s); b != nil {
		return b
	}
	var i uint32
	switch n := len(a.freeBufs); {
	case n > 0:
		i = a.freeBufs[n-1]
		a.freeBufs = a.freeBufs[:n-1]
	case int(a.freshBuf) < len(a.bufs):
		i = a.freshBuf
		a.freshBuf++
	default:
		return nil
	}
	a.of(s).buf = i
	a.bufs[i].Reset()
	return &a.bufs[i]
}

// held returns the receive buffer of s, or nil.
func (a *workArena) held(s *slot) *tcpstate.RecvBuf {
	if s.work == 0 || a.all[s.work].buf == 0 {
		return nil
	}
	return &a.bufs[a.all[s.work].buf]
}

// buffersInUse returns how many receive buffers are taken.
func (a *workArena) buffersInUse() uint64 { return uint64(int(a.freshBuf) - 1 - len(a.freeBufs)) }

// dropBuffer gives the receive buffer of s back.
func (a *workArena) dropBuffer(s *slot) {
	if a.held(s) == nil {
		return
	}
	w := &a.all[s.work]
	a.freeBufs = append(a.freeBufs, w.buf)
	w.buf = 0
}

// push notes a response of o for s. The caller has checked that there is room.
func (a *workArena) push(s *slot, o *filecache.Object, r sending) {
	w := a.of(s)
	w.sent[w.n] = r
	a.objects[int(s.work)*window+int(w.n)] = o
	w.n++
}

// full reports whether s may not begin another response.
func (a *workArena) full(s *slot) bool {
	if s.work == 0 {
		return false
	}
	if r := a.reads(s); r != nil && (!r.begun && r.held == 0 || r.begun && r.written < r.length) {
		return true // what comes behind it has no place yet
	}
	return a.all[s.work].n == window
}

// acked forgets the responses of s that end at or before the stream offset off.
func (a *workArena) acked(s *slot, off uint32) {
	if s.work == 0 {
		return
	}
	w := &a.all[s.work]
	objs := a.objects[int(s.work)*window : int(s.work+1)*window]
	done := 0
	for done < int(w.n) {
		r := &w.sent[done]
		if r.response.OnDisk() && a.ackedFromDisk(w, r, off) {
			break
		}
		if int32(off-r.end) < 0 {
			break
		}
		if r.hit != 0 {
			a.tellEnd(w, r, off)
		}
		if r.response.OnDisk() {
			a.stopReading(s)
		}
		done++
	}
	if done == 0 {
		return
	}
	copy(w.sent[:], w.sent[done:])
	copy(objs, objs[done:])
	clear(objs[int(w.n)-done:])
	w.n -= uint8(done)
}

// ackedFromDisk moves what of r was not acknowledged, and reports whether there is more to come.
func (a *workArena) ackedFromDisk(w *work, r *sending, off uint32) (more bool) {
	reader := &a.disk.readers[w.reader]
	if n := int32(min(off-r.start, r.end-r.start)); int32(off-r.start) > 0 {
		r.start += uint32(n)
		a.disk.acked(w.reader, reader.pos+uint64(n))
	}
	return reader.written < reader.length
}

// read fills dst with the octets of the stream of s from offset off on, and returns how many there were.
func (a *workArena) read(s *slot, dst []byte, off uint32) int {
	w := &a.all[s.work]
	n := 0
	for k := 0; k < int(w.n) && n < len(dst); k++ {
		r := &w.sent[k]
		at := off + uint32(n)
		switch {
		case at-r.start >= r.end-r.start:
		case r.response.OnDisk():
			n += a.disk.readAt(w.reader, dst[n:], a.disk.readers[w.reader].pos+uint64(at-r.start))
		default:
			n += a.objects[int(s.work)*window+k].ReadAt(r.response, dst[n:], at-r.start)
		}
	}
	return n
}

// settle gives the work of s back if nothing is left in it.
func (a *workArena) settle(s *slot) {
	if s.work == 0 {
		return
	}
	if w := &a.all[s.work]; w.n == 0 && w.buf == 0 && w.reader == 0 && s.flags&(flagHanding|flagLent) == 0 {
		a.dropWork(s)
	}
}

func (a *workArena) dropWork(s *slot) {
	if s.work == 0 {
		return
	}
	w := &a.all[s.work]
	for k := range w.sent[:w.n] {
		if r := &w.sent[k]; r.hit != 0 {
			a.tellEnd(w, r, s.conn.SentOff())
		}
	}
	a.stopReading(s)
	a.dropBuffer(s)
	clear(a.objects[int(s.work)*window : int(s.work+1)*window])
	w.chain = a.free
	a.free = s.work
	s.work = 0
	a.usedWorks--
}

// direct returns what lies in an object's memory of the n octets of the stream of s from offset off on: those at the end, or nil.
func (a *workArena) direct(s *slot, off, n uint32) []byte {
	w := &a.all[s.work]
	for k := range w.sent[:w.n] {
		if r := &w.sent[k]; off+n-1-r.start < r.end-r.start {
			if r.response.OnDisk() {
				return nil
			}
			from := uint32(0)
			if off-r.start < r.end-r.start {
				from = off - r.start
			}
			return a.objects[int(s.work)*window+k].Direct(r.response, from, off+n-r.start)
		}
	}
	return nil
}
