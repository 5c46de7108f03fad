package hits

import "sync/atomic"

// Ring is where the records are. One goroutine is its producer, one its consumer.
type Ring struct {
	buf      []byte
	mask     uint64
	sections bool

	// The producer's. Positions grow for ever; a position's place is its remainder by the size.
	head    uint64 // up to here it has written
	least   uint64 // of tail, as last seen
	open    uint64 // responses that have begun and not ended
	lost    uint64
	lastID  uint32
	_       [64]byte // what one side writes shall not be in the other's cache line
	written atomic.Uint64
	dropped atomic.Uint64

	_    [64]byte
	tail atomic.Uint64 // the consumer has released what is before

	_    [64]byte
	next uint64 // the consumer's: up to here it has read
}

// minSize is room for the largest head and what else there is, twice.
const minSize = 1 << 16

// NewRing returns a ring of at least size octets. With sections, the responses' header sections are wanted.
func NewRing(size int, sections bool) *Ring {
	n := minSize
	for n < size {
		n *= 2
	}
	return &Ring{buf: make([]byte, n), mask: uint64(n - 1), sections: sections}
}

// Sections reports whether the responses' header sections are wanted. Any goroutine may call it.
func (r *Ring) Sections() bool { return r.sections }

// Begin tells of the beginning of a response, all of b but ID, Request and Section, to a request with this head. The caller
// fills the slice, of the length section, with the response's header section at once. ID is 0 if there is no room: the response
// is not told of, and has no end. Only the producer may call it.
func (r *Ring) Begin(b *Begin, request []byte, section int) (id uint32, fill []byte) {
	size := roundUp(beginSize + len(request) + section)
	at := r.head & r.mask
	pad := 0
	if rest := len(r.buf) - int(at); rest < size {
		pad = rest
	}
	if !r.fits(uint64(size+pad) + (r.open+1)*endSize) {
		r.lost++
		return 0, nil
	}
	if pad > 0 {
		putPrefix(r.buf[at:], pad, kindPad)
		r.head += uint64(pad)
		at = 0
	}
	if r.lastID++; r.lastID == 0 {
		r.lastID = 1
	}
	b.ID = r.lastID
	to := r.buf[at : at+uint64(size)]
	putPrefix(to, size, KindBegin)
	b.put(to, len(request), section)
	copy(to[beginSize:], request)
	r.head += uint64(size)
	r.open++
	fill = to[beginSize+len(request):]
	return b.ID, fill[:section]
}

func (r *Ring) fits(n uint64) bool {
	if r.head+n-r.least <= uint64(len(r.buf)) {
		return true
	}
	r.least = r.tail.Load()
	return r.head+n-r.least <= uint64(len(r.buf))
}

// End tells of the end of a response that has begun. Only the producer may call it.
func (r *Ring) End(e *End) {
	to := r.buf[r.head&r.mask:]
	putPrefix(to, endSize, KindEnd)
	e.put(to)
	r.head += endSize
	r.open--
}

// Publish lets the consumer see what was told. Only the producer may call it.
func (r *Ring) Publish() {
	if r.head != r.written.Load() {
		r.written.Store(r.head)
	}
	if r.lost != r.dropped.Load() {
		r.dropped.Store(r.lost)
	}
}

// Dropped is how many responses found no room. Any goroutine may call it.
func (r *Ring) Dropped() uint64 { return r.dropped.Load() }

// Next reads the next record, and reports whether there was one. Only the consumer may call it.
func (r *Ring) Next(rec *Record) bool {
	written := r.written.Load()
	for r.next != written {
		b := r.buf[r.next&r.mask:]
		size, kind := prefix(b)
		r.next += uint64(size)
		switch rec.Kind = kind; kind {
		case KindBegin:
			rec.Begin.get(b)
			return true
		case KindEnd:
			rec.End.get(b)
			return true
		}
	}
	return false
}

// Release gives the room of all records read so far back. Only the consumer may call it.
func (r *Ring) Release() { r.tail.Store(r.next) }
