package dataplane

import (
	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/pieces"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// A response whose octets are on disk is written to its connection piece by piece, each when it has been read:
//
//	response  ──── given back ────┬───────────── pieces held ─────────────┬─ being read ─┬───────────
//	stream    ── acknowledged ──┬─┴─ in flight ──┬─ written, not sent ────┤
//
// What may be sent, or sent again, is in memory, so that TCP knows of no disk; it just gets its octets late (tcpstate.Conn.Promise).
//
// Who has a piece can always go on, and who gives its last one back takes it again at once, for what comes next: a reader has one from
// its beginning to its end, and no reader can keep another from going on. Further pieces are for who has waited longest, as long as some
// are left for those that come new, and nobody has more than mostHeld.

const (
	readAhead = 2 * pieces.Size // octets that are read, or asked for, before they can be sent
	mostHeld  = 32              // pieces of one connection: 8 MiB, more than Linux's default for what a socket may hold
)

// reader is a response whose octets are on disk, from the question for its first piece on.
type reader struct {
	object   *filecache.Object
	response filecache.Response
	slot     uint32
	first    uint32 // the pieces held, oldest first
	last     uint32
	at       uint32 // that which was sent from last, or 0
	held     int
	asked    uint32 // the piece that is being read, or 0
	before   uint32 // neighbours in the queue of those that want a further piece; free list
	after    uint32
	askedAt  tcpstate.Time
	pos      uint64 // offset of what is not acknowledged: that of sending.start
	written  uint64 // up to here it is known to the connection
	next     uint64 // up to here it was asked for
	length   uint64
	begun    bool // it has its place in the stream; before, nothing of the request is consumed
	queued   bool
	starved  bool // the client has got all that there is
}

// piece is what of a response is in it. Its memory is in the pool.
type piece struct {
	reader uint32 // 0: nobody's any more
	next   uint32 // of the same reader
	off    uint64
	n      uint32
}

// disk is the readers of a loop, and their pieces.
type disk struct {
	pool    *pieces.Pool
	readers []reader // as many as pieces
	pieces  []piece
	free    uint32
	fresh   uint32
	running int
	head    uint32 // the queue
	tail    uint32
	most    int // pieces for one reader
	spare   int // pieces that are kept for who comes new
	answer  pieces.Answer
	job     pieces.Job
	since   tcpstate.Time // when the last answer came, or it began to be waited for
	starved int           // readers whose clients have got all that there is

	// Counted.
	read, waits, stalls uint64
}

func newDisk(p *pieces.Pool) *disk {
	if p == nil {
		return nil
	}
	n := p.Len()
	return &disk{pool: p, readers: make([]reader, n+1), pieces: make([]piece, n+1), fresh: 1, most: max(1, min(mostHeld, n/4)), spare: n / 8}
}

// start returns a reader for the connection in slot i, and asks for its first piece; 0 if there is no room.
func (d *disk) start(i uint32, o *filecache.Object, r *filecache.Response, now tcpstate.Time) uint32 {
	if d.pool.Free() == 0 {
		return 0
	}
	k := d.free
	if k != 0 {
		d.free = d.readers[k].after
	} else {
		k = d.fresh
		d.fresh++
	}
	d.readers[k] = reader{object: o, response: *r, slot: i, length: o.Len(*r)}
	d.running++
	d.ask(k, now)
	return k
}

// stop ends reader k, and gives its pieces back: that which is being read when its answer comes.
func (d *disk) stop(k uint32) {
	r := &d.readers[k]
	d.unqueue(k)
	d.sated(r)
	for p := r.first; p != 0; p = d.pieces[p].next {
		d.pool.Give(p)
	}
	if r.asked != 0 {
		d.pieces[r.asked].reader = 0
		d.pool.Forget(r.asked)
	}
	*r = reader{after: d.free}
	d.free = k
	d.running--
}

// want asks for the next piece of reader k, or has it wait for its turn. sent is the offset up to which it was sent.
func (d *disk) want(k uint32, sent uint64, now tcpstate.Time) {
	r := &d.readers[k]
	switch {
	case r.asked != 0 || r.next == r.length || r.next >= sent+readAhead || r.held >= d.most:
	case r.held == 0 && d.pool.Free() > 0: // it has given its last one back
		d.unqueue(k)
		d.ask(k, now)
	case r.queued:
	case d.head == 0 && d.plenty():
		d.ask(k, now)
	default:
		d.queue(k)
	}
}

// plenty reports whether somebody may have more than one piece.
func (d *disk) plenty() bool { return d.pool.Free() > d.spare }

// grant gives pieces to those that wait for further ones.
func (d *disk) grant(now tcpstate.Time) {
	for k := d.head; k != 0 && d.plenty(); k = d.head {
		d.unqueue(k)
		d.ask(k, now)
	}
}

// ask has the next piece of reader k read.
func (d *disk) ask(k uint32, now tcpstate.Time) {
	r := &d.readers[k]
	p := d.pool.Take()
	n := min(pieces.Size, r.length-r.next)
	d.pieces[p] = piece{reader: k, off: r.next, n: uint32(n)}
	d.job = pieces.Job{Object: r.object, Response: r.response, Off: r.next, N: uint32(n), Piece: p}
	d.pool.Ask(&d.job)
	r.asked, r.askedAt = p, now
	r.next += n
}

// acked gives the pieces of reader k back that end at or before the offset pos: all of it was acknowledged.
func (d *disk) acked(k uint32, pos uint64) {
	r := &d.readers[k]
	r.pos = pos
	for p := r.first; p != 0 && d.pieces[p].off+uint64(d.pieces[p].n) <= pos; p = r.first {
		if r.first = d.pieces[p].next; r.first == 0 {
			r.last = 0
		}
		if r.at == p {
			r.at = 0
		}
		r.held--
		d.pool.Give(p)
	}
}

// readAt fills dst with the octets of reader k from offset off on, and returns how many were there.
func (d *disk) readAt(k uint32, dst []byte, off uint64) (n int) {
	r := &d.readers[k]
	p := r.at
	if p == 0 || off < d.pieces[p].off {
		p = r.first
	}
	for ; p != 0 && n < len(dst); p = d.pieces[p].next {
		at := off + uint64(n) - d.pieces[p].off
		if at < uint64(d.pieces[p].n) {
			n += copy(dst[n:], d.pool.Octets(p)[at:d.pieces[p].n])
			r.at = p
		}
	}
	return n
}

// append adds piece p, which has been read, to reader k.
func (d *disk) append(k, p uint32) {
	r := &d.readers[k]
	r.asked = 0
	r.held++
	if r.last == 0 {
		r.first = p
	} else {
		d.pieces[r.last].next = p
	}
	r.last = p
	d.read++
}

// lose gives piece p of reader k back, which could not be read.
func (d *disk) lose(k, p uint32) {
	r := &d.readers[k]
	r.asked = 0
	if r.next = r.length; r.starved { // there will be no other
		d.sated(r)
	}
	d.pool.Give(p)
}

func (d *disk) queue(k uint32) {
	r := &d.readers[k]
	r.queued, r.before, r.after = true, d.tail, 0
	if d.tail == 0 {
		d.head = k
	} else {
		d.readers[d.tail].after = k
	}
	d.tail = k
	d.waits++
}

func (d *disk) unqueue(k uint32) {
	r := &d.readers[k]
	if !r.queued {
		return
	}
	r.queued = false
	if r.before == 0 {
		d.head = r.after
	} else {
		d.readers[r.before].after = r.after
	}
	if r.after == 0 {
		d.tail = r.before
	} else {
		d.readers[r.after].before = r.before
	}
}

// hungry notes that the client of r has got all that there is.
func (d *disk) hungry(r *reader, now tcpstate.Time) {
	if r.starved {
		return
	}
	r.starved = true
	if d.starved++; d.starved == 1 {
		d.since = now
	}
	d.stalls++
}

func (d *disk) sated(r *reader) {
	if r.starved {
		r.starved = false
		d.starved--
	}
}

// wait is how long a loop may sleep while somebody has got all that there is. Nobody wakes it, so it looks: soon for a quick disk, later
// for one that takes its time, so that a quarter is lost at most.
func (d *disk) wait(now tcpstate.Time) tcpstate.Time {
	return max(leastDiskWait, min((now-d.since)/4, mostDiskWait))
}

const (
	leastDiskWait = 50 * tcpstate.Microsecond
	mostDiskWait  = 10 * tcpstate.Millisecond
)
