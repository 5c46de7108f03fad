package tcpclient

import "github.com/xhttpd/xhttpd/internal/wire"

// segments is memory for segments that came too early, in lists by connection, ordered by sequence number.
type segments struct {
	all  []waiting
	free int32
}

type waiting struct {
	data []byte // capacity for a whole segment
	next int32
	seq  wire.Seq
	n    uint16
	fin  bool
}

func newSegments(n, size int) segments {
	s := segments{all: make([]waiting, n), free: none}
	mem := make([]byte, n*size)
	for i := range s.all {
		s.all[i] = waiting{data: mem[i*size : (i+1)*size : (i+1)*size], next: s.free}
		s.free = int32(i)
	}
	return s
}

func (s *segments) pop(head *int32) {
	i := *head
	*head = s.all[i].next
	s.all[i].next = s.free
	s.free = i
}

// keep stores a segment for later. It returns false if there is no room for it.
func (s *Stack) keep(c *Conn, seq wire.Seq, data []byte, fin bool) bool {
	w := &s.waiting
	at := &c.ooo
	for *at != none && w.all[*at].seq.LessEq(seq) {
		if x := &w.all[*at]; x.seq == seq && int(x.n) >= len(data) {
			return true // it has come before
		}
		at = &w.all[*at].next
	}
	i := w.free
	if i == none || len(data) > cap(w.all[i].data) {
		return false
	}
	x := &w.all[i]
	w.free = x.next
	x.next, x.seq, x.n, x.fin = *at, seq, uint16(copy(x.data, data)), fin
	*at = i
	return true
}

func (s *Stack) dropWaiting(c *Conn) {
	for c.ooo != none {
		s.waiting.pop(&c.ooo)
	}
}

// blocks puts what waits for c into the options as SACK blocks and returns how many. The first are the lowest, not the most
// recent as RFC 2018 would have it: whoever sends needs the holes.
func (s *Stack) blocks(c *Conn) (n uint8) {
	if c.flags&sackOK == 0 {
		return 0
	}
	for i := c.ooo; i != none; i = s.waiting.all[i].next {
		w := &s.waiting.all[i]
		end := w.seq.Add(uint32(w.n))
		if w.fin {
			end = end.Add(1)
		}
		if n > 0 && w.seq.LessEq(s.options.SACK[n-1].Hi) {
			s.options.SACK[n-1].Hi = wire.MaxSeq(s.options.SACK[n-1].Hi, end)
			continue
		}
		if int(n) == len(s.options.SACK) {
			break
		}
		s.options.SACK[n] = wire.Span{Lo: w.seq, Hi: end}
		n++
	}
	return n
}
