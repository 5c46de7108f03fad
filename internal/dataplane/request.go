package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// advance takes the octets of in, answers what requests are complete now, and hands over if one of them is
// not ours. It returns the slot, or nil if the connection is no longer in it.
func (l *Loop) advance(i uint32, in *tcpstate.Input) *slot {
	s := l.slots.at(i)
	buf := l.work.held(s)
	switch {
	case s.flags&flagClosing != 0:
		return s
	case buf != nil:
		if len(in.Data) > 0 {
			buf.Insert(in.Off, in.Data)
		}
	case len(in.Data) == 0:
		return l.afterRequests(i, nil)
	case in.Off == 0:
		return l.direct(i, in.Data)
	default:
		if buf = l.buffer(i); buf == nil {
			l.count.Drops[DropBuffer]++
			return s
		}
		buf.Insert(in.Off, in.Data)
	}
	used := l.serve(i, buf.Contiguous())
	buf.Consume(used)
	l.tellHeld(s, buf)
	return l.afterRequests(i, buf.Contiguous())
}

// direct is the usual case: nothing was held, and the segment continues what we have. Whole requests are
// answered out of the frame; only a rest is copied.
func (l *Loop) direct(i uint32, data []byte) *slot {
	s := l.slots.at(i)
	rest := data[l.serve(i, data):]
	if len(rest) == 0 || s.flags&flagClosing != 0 {
		return l.afterRequests(i, nil)
	}
	if s.flags&flagWant != 0 && s.conn.Quiescent() {
		s.conn.Received(uint32(len(rest)), nil) // for a FIN behind it
		return l.afterRequests(i, rest)
	}
	buf := l.buffer(i)
	if buf == nil {
		// An incomplete request that we can't keep is the kernel's; behind a response, or if the server has
		// enough of such, it has to wait: it was not acknowledged, so the client sends it again.
		if s.conn.Quiescent() && l.slowHeads.take(l.now) {
			l.want(s, ReasonBuffers)
			return l.afterRequests(i, rest)
		}
		l.count.Drops[DropBuffer]++
		return s
	}
	buf.Insert(0, rest)
	l.tellHeld(s, buf)
	return l.afterRequests(i, buf.Contiguous())
}

// tellHeld tells the connection what its receive buffer holds, or gives an empty one back.
func (l *Loop) tellHeld(s *slot, buf *tcpstate.RecvBuf) {
	if s.flags&flagClosing != 0 {
		l.work.dropBuffer(s)
		return
	}
	var spans [3]wire.Span
	n := len(buf.Contiguous())
	held := buf.Spans(spans[:0], s.conn.Boundary())
	s.conn.Received(uint32(n), held)
	if n == 0 && len(held) == 0 {
		l.work.dropBuffer(s)
	}
}

// serve answers the complete requests at the beginning of data, in order, and returns how many octets they
// were. It stops at the first that is not ours, and sets flagWant.
func (l *Loop) serve(i uint32, data []byte) (used int) {
	s := l.slots.at(i)
	r := &l.request
	for used < len(data) && s.flags&(flagWant|flagClosing) == 0 && !l.work.full(s) {
		n, verdict, why := httpwire.Parse(data[used:], r)
		switch verdict {
		case httpwire.Partial:
			return used
		case httpwire.NotOurs:
			l.want(s, Reason(why))
			return used
		}
		if !l.respond(i, r, data[used:used+n]) {
			return used
		}
		used += n
		used += s.skip(data[used:])
	}
	return used
}

// skip takes the empty lines behind a request that was just answered, and returns how many octets they were: those that have
// come with the request, as Apache does that has written its response and looks for another request. What comes later it reads
// in front of the next request, by rules of its own, so that is handed over. Octets that come between our look and
// Apache's are treated as later ones: by its clock, too, they may be.
func (s *slot) skip(behind []byte) (n int) {
	if s.flags&flagClosing != 0 {
		return 0
	}
	n, tooMany := httpwire.EmptyLines(behind)
	if n == 0 {
		return 0
	}
	if tooMany {
		n = len(behind) // nobody will listen to it
	}
	s.conn.Take(uint32(n))
	if tooMany {
		s.close()
	}
	return n
}

// respond begins the response to r, which was read from head, or wants a hand-over, or has it wait for the disk, and reports false.
func (l *Loop) respond(i uint32, r *httpwire.Request, head []byte) bool {
	s := l.slots.at(i)
	object := l.cfg.Store.Lookup(s.flow.Local, r)
	if object == nil {
		l.cfg.Store.Want(s.flow.Local, r)
		why := ReasonMiss
		if len(r.Path) < len(r.Target) {
			why = Reason(httpwire.Query)
		}
		l.want(s, why)
		return false
	}
	response, ok := object.Respond(r, int(s.served), int64(l.unix))
	if !ok {
		if object.Stale(int64(l.unix)) {
			l.cfg.Store.Want(s.flow.Local, r)
		}
		l.want(s, ReasonVariant)
		return false
	}
	whole := object.Len(response)
	if whole > l.cfg.KernelAbove {
		l.want(s, ReasonLarge)
		return false
	}
	if response.OnDisk() && !l.fromDisk(i, s, object, &response) {
		return false
	}
	s.conn.Take(uint32(len(head)))
	length, start := uint32(0), s.conn.WrittenOff()
	if !response.OnDisk() {
		length = uint32(whole)
	}
	sent := sending{response: response, start: start, end: start + length}
	if l.cfg.Hits != nil {
		sent.hit = l.tellBegin(s, object, &sent, head)
	}
	l.work.push(s, object, sent)
	if response.OnDisk() {
		s.conn.Promise()
		reader := l.work.reads(s)
		l.extend(s, reader, l.work.disk.pieces[reader.first].n)
	} else {
		s.conn.Write(length)
	}
	s.conn.SetKeepAlive(tcpstate.Time(object.Idle()) * tcpstate.Second)
	if s.served < 1<<16-1 {
		s.served++
	}
	for k, status := range Statuses {
		if status == response.Status() {
			l.count.Responses[k]++
		}
	}
	if s.served == 1 {
		l.firsts.ours++
	}
	if l.lender != nil {
		l.lender.asked(l, s, object, response, head)
	}
	if response.Closes() {
		s.close()
	}
	return true
}

// afterRequests does what follows from what serve left: held are the undecided octets from the request
// boundary on.
func (l *Loop) afterRequests(i uint32, held []byte) *slot {
	s := l.slots.at(i)
	switch {
	case s.flags&flagClosing != 0:
	case s.flags&flagWant != 0:
		if s.conn.Quiescent() {
			l.handOver(i, held)
			return l.live(i)
		}
	case s.conn.PeerClosed() && len(held) > 0 && !l.work.full(s) && l.work.reads(s) == nil:
		l.wantHandover(i, ReasonHalfSent)
		return l.live(i)
	case s.conn.PeerClosed() && len(held) == 0:
		s.flags |= flagClosing
		s.conn.Close()
	}
	return s
}

// close ends the connection behind the responses that are under way. What the client says from here on is not heard.
func (s *slot) close() {
	s.flags |= flagClosing
	s.conn.Close()
	s.conn.Discard()
}

func (l *Loop) want(s *slot, why Reason) {
	if s.flags&(flagWant|flagClosing) == 0 {
		s.flags |= flagWant
		s.why = why
		if s.served == 0 && why.lasts() {
			l.firsts.theirs++
		}
	}
}

// wantHandover hands slot i over, now or as soon as its last response is acknowledged.
func (l *Loop) wantHandover(i uint32, why Reason) {
	s := l.slots.at(i)
	l.reclaim(i)
	l.want(s, why)
	if s.flags&flagWant == 0 || s.flags&flagHanding != 0 || !s.conn.Quiescent() {
		return
	}
	var held []byte
	if buf := l.work.held(s); buf != nil {
		held = buf.Contiguous()
	}
	l.handOver(i, held)
}
