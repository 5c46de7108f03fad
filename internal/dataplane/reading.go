package dataplane

import (
	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// reads returns the reader of s, or nil. It may not have begun.
func (a *workArena) reads(s *slot) *reader {
	if s.work == 0 || a.all[s.work].reader == 0 {
		return nil
	}
	return &a.disk.readers[a.all[s.work].reader]
}

// stopReading ends the reader of s, if it has one.
func (a *workArena) stopReading(s *slot) {
	if a.reads(s) != nil {
		a.disk.stop(a.all[s.work].reader)
		a.all[s.work].reader = 0
	}
}

// place returns where the response of the reader of s is, which has begun.
func (a *workArena) place(s *slot) *sending {
	w := &a.all[s.work]
	for k := range w.sent[:w.n] {
		if w.sent[k].response.OnDisk() {
			return &w.sent[k]
		}
	}
	return nil
}

// fromDisk returns the response to the request with which the client of s waits, as soon as its first piece is there: until then nothing of it
// is consumed, so that the server behind can still have it. It reports false if it has to wait, or be handed over.
func (l *Loop) fromDisk(i uint32, s *slot, o *filecache.Object, response *filecache.Response) bool {
	d := l.work.disk
	if d == nil {
		l.want(s, ReasonPieces)
		return false
	}
	r := l.work.reads(s)
	switch {
	case r == nil:
	case r.begun:
		return false // another one's last octets are on their way: one at a time
	case r.object == o && r.held > 0:
		*response = r.response // which begins with another Date, perhaps
		r.begun = true
		return true
	case r.object == o:
		return false
	default:
		l.work.stopReading(s) // it is another one meanwhile
	}
	k := d.start(i, o, response, l.now)
	if k == 0 {
		l.want(s, ReasonPieces)
		return false
	}
	l.work.of(s).reader = k
	d.hungry(&d.readers[k], l.now)
	return false
}

// takePieces gives what has been read to those who wait for it.
func (l *Loop) takePieces() {
	d := l.work.disk
	for d.pool.Answered(&d.answer) {
		d.since = l.now
		p := d.answer.Piece
		k := d.pieces[p].reader
		if k == 0 {
			d.pool.Give(p)
			continue
		}
		if d.answer.Fate != filecache.ReadWhole {
			l.cannotRead(d.readers[k].slot, k, p, d.answer.Fate)
			continue
		}
		d.append(k, p)
		l.onPiece(k, p)
	}
}

// onPiece lets the response of reader k go on with piece p.
func (l *Loop) onPiece(k, p uint32) {
	d := l.work.disk
	r := &d.readers[k]
	i, s := r.slot, l.slots.at(r.slot)
	d.sated(r)
	if !r.begun {
		if s = l.advance(i, &tcpstate.Input{}); s == nil {
			return
		}
		l.afterInput(i, s)
		return
	}
	l.extend(s, r, d.pieces[p].n)
	l.markReady(i)
	l.schedule(i)
}

// extend tells the connection s of n further octets.
func (l *Loop) extend(s *slot, r *reader, n uint32) {
	if s.conn.AckedOff() == s.conn.WrittenOff() {
		l.measure(s) // its client could not read faster than we
	}
	r.written += uint64(n)
	l.work.place(s).end += n
	s.conn.WritePromised(n, r.written == r.length, l.now)
}

// cannotRead ends reader k, whose piece p can't be had. Before anything was sent the server behind gets the request; afterwards the
// client gets a RST.
func (l *Loop) cannotRead(i, k, p uint32, why filecache.Fate) {
	d, s := l.work.disk, l.slots.at(i)
	d.lose(k, p)
	switch begun := d.readers[k].begun; {
	case !begun:
		l.giveUpReading(i)
	case s.conn.State() == tcpstate.StateClosed: // it has ended already
	case why == filecache.ReadChanged:
		l.abort(i, ShedFileChanged)
	default:
		l.abort(i, ShedFileFailed)
	}
}

// giveUpReading gives the server behind a request that waits for its first piece.
func (l *Loop) giveUpReading(i uint32) {
	l.work.stopReading(l.slots.at(i))
	l.wantHandover(i, ReasonDisk)
	if l.live(i) != nil {
		l.schedule(i)
	}
}

// feed sees to it that the reader of s has what it will send next.
func (l *Loop) feed(s *slot) {
	r := l.work.reads(s)
	if r == nil || !r.begun || s.conn.State() == tcpstate.StateClosed {
		return
	}
	d, place := l.work.disk, l.work.place(s)
	sent := r.pos + uint64(s.conn.SentOff()-place.start)
	d.want(l.work.at(s.work).reader, sent, l.now)
	if r.written < r.length && s.conn.AckedOff() == s.conn.WrittenOff() {
		d.hungry(r, l.now)
	}
}

// diskDeadline returns when the disk is given up for s, or 0.
func (l *Loop) diskDeadline(s *slot) tcpstate.Time {
	if r := l.work.reads(s); r != nil && r.asked != 0 && s.conn.State() != tcpstate.StateClosed {
		return r.askedAt + tcpstate.Time(l.cfg.ReadTimeout)
	}
	return 0
}

// diskHangs ends the waiting for the disk if that was too long, and reports whether it was.
func (l *Loop) diskHangs(i uint32, s *slot) bool {
	if at := l.diskDeadline(s); at == 0 || l.now < at {
		return false
	}
	if l.work.reads(s).begun {
		l.abort(i, ShedFileSlow)
	} else {
		l.giveUpReading(i)
	}
	return true
}
