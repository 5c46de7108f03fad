package accesslog

import (
	"github.com/xhttpd/xhttpd/internal/hits"
)

// joiner brings the beginnings of one loop's responses and their ends together.
type joiner struct {
	ring    *hits.Ring
	pending map[uint32]*hits.Begin // begun, not ended
	spare   []*hits.Begin          // to be used again, with their memory
	held    int                    // octets of pending
}

const (
	// maxHeld bounds what hostile clients, with long heads and slow reading, can make us hold for a loop. A response beyond is
	// written when it begins, as if it would end well.
	maxHeld  = 64 << 20
	maxSpare = 1024
)

// join calls done for each response of which beginning and end are known now. What done gets is its own until it returns.
func (j *joiner) join(done func(b *hits.Begin, e *hits.End)) {
	var r hits.Record
	for n := 0; j.ring.Next(&r); n++ {
		switch r.Kind {
		case hits.KindBegin:
			if size := len(r.Begin.Request) + len(r.Begin.Section); j.held+size <= maxHeld {
				j.held += size
				j.pending[r.Begin.ID] = j.keep(&r.Begin)
			} else {
				done(&r.Begin, &hits.End{ID: r.Begin.ID, At: r.Begin.At, Sent: r.Begin.Len})
			}
		case hits.KindEnd:
			b := j.pending[r.End.ID]
			if b == nil {
				continue
			}
			done(b, &r.End)
			delete(j.pending, r.End.ID)
			j.held -= len(b.Request) + len(b.Section)
			if len(j.spare) < maxSpare {
				j.spare = append(j.spare, b)
			}
		}
		if n%64 == 63 {
			j.ring.Release()
		}
	}
	j.ring.Release()
}

// keep copies b.
func (j *joiner) keep(b *hits.Begin) *hits.Begin {
	c := new(hits.Begin)
	if n := len(j.spare); n > 0 {
		c, j.spare = j.spare[n-1], j.spare[:n-1]
	}
	request, section := c.Request[:0], c.Section[:0]
	*c = *b
	c.Request, c.Section = append(request, b.Request...), append(section, b.Section...)
	return c
}
