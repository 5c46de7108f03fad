package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// RecvBufSize is how many octets a RecvBuf holds.
const RecvBufSize = 16384

// maxSpans is how many separate pieces beyond the first gap a RecvBuf holds.
const maxSpans = 4

// RecvBuf holds received octets from the request boundary on, in whatever order they came. It is flat, and
// its zero value is empty.
//
//	0 ──── Contiguous ──── n      spans[i].lo ── spans[i].hi            RecvBufSize
type RecvBuf struct {
	n      uint16 // octets from the boundary to the first gap
	nSpans uint8
	spans  [maxSpans]piece // beyond it, apart from it and from each other; most recent first
	data   [RecvBufSize]byte
}

// piece is the octets [lo, hi), counted from the boundary.
type piece struct{ lo, hi uint16 }

// Reset makes the buffer empty.
func (b *RecvBuf) Reset() { b.n, b.nSpans = 0, 0 }

// Contiguous returns the octets from the boundary to the first gap. They are valid until the next Insert,
// Consume or Reset.
func (b *RecvBuf) Contiguous() []byte { return b.data[:b.n] }

// Insert puts data at distance off from the boundary. Octets that are held already stay as they came first.
// It returns how many octets at the beginning of data are held now: fewer than all if the buffer ends before
// them, none if they would make one piece too many.
func (b *RecvBuf) Insert(off uint32, data []byte) (taken int) {
	if off >= RecvBufSize || len(data) == 0 {
		return 0
	}
	taken = min(len(data), RecvBufSize-int(off))
	in := piece{uint16(off), uint16(off) + uint16(taken)}
	merged := in
	var rest [maxSpans + 1]piece // rest[0] is left for merged
	kept := 1
	for _, s := range b.spans[:b.nSpans] {
		if s.hi < in.lo || in.hi < s.lo {
			rest[kept] = s
			kept++
			continue
		}
		merged.lo, merged.hi = min(merged.lo, s.lo), max(merged.hi, s.hi)
	}
	if merged.lo > b.n && kept > maxSpans {
		return 0
	}
	b.fill(in, data)
	if merged.lo <= b.n {
		b.n = max(b.n, merged.hi)
		b.nSpans = uint8(copy(b.spans[:], rest[1:kept]))
		return taken
	}
	rest[0] = merged
	b.nSpans = uint8(copy(b.spans[:], rest[:kept]))
	return taken
}

// fill copies those octets of data, which belong at in, that are not held yet.
func (b *RecvBuf) fill(in piece, data []byte) {
	for at := in.lo; at < in.hi; {
		held, end := b.around(at, in.hi)
		if !held {
			copy(b.data[at:end], data[at-in.lo:])
		}
		at = end
	}
}

// around reports whether the octet at is held, and up to where, at most limit, that stays so.
func (b *RecvBuf) around(at, limit uint16) (held bool, end uint16) {
	if at < b.n {
		return true, min(b.n, limit)
	}
	end = limit
	for _, s := range b.spans[:b.nSpans] {
		if s.lo <= at && at < s.hi {
			return true, min(s.hi, limit)
		}
		if at < s.lo {
			end = min(end, s.lo)
		}
	}
	return false, end
}

// Consume moves the boundary behind the first n octets, which must be contiguous.
func (b *RecvBuf) Consume(n int) {
	if n <= 0 {
		return
	}
	n = min(n, int(b.n))
	end := b.n
	for i := range b.spans[:b.nSpans] {
		s := &b.spans[i]
		end = max(end, s.hi)
		s.lo, s.hi = s.lo-uint16(n), s.hi-uint16(n)
	}
	copy(b.data[:], b.data[n:end])
	b.n -= uint16(n)
}

// Spans appends to dst the sequence spaces of what is held beyond the contiguous octets, the most recently
// received first, as SACK blocks want it (RFC 2018, 4). boundary is the sequence number of the boundary.
func (b *RecvBuf) Spans(dst []wire.Span, boundary wire.Seq) []wire.Span {
	for _, s := range b.spans[:b.nSpans] {
		dst = append(dst, wire.Span{Lo: boundary.Add(uint32(s.lo)), Hi: boundary.Add(uint32(s.hi))})
	}
	return dst
}

// At returns the octets [off, off+n), counted from the boundary, which must be held: what Spans told of. They are
// valid until the next Insert, Consume or Reset.
func (b *RecvBuf) At(off uint32, n int) []byte { return b.data[off : int(off)+n] }
