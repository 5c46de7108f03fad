package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// RecvBufSize is how many octets a RecvBuf holds.
const RecvBufSize = 16384

// RecvBuf holds received octets from the request boundary on, in whatever order they came. It is flat; the
// zero value is empty.
type RecvBuf struct {
	n    uint16
	data [RecvBufSize]byte
}

// Reset makes the buffer empty.
func (b *RecvBuf) Reset() { b.n = 0 }

// Insert puts data at distance off from the boundary.
func (b *RecvBuf) Insert(off uint32, data []byte) (taken int) { return 0 }

// Contiguous returns the octets from the boundary to the first gap.
func (b *RecvBuf) Contiguous() []byte { return b.data[:b.n] }

// Consume moves the boundary by n octets.
func (b *RecvBuf) Consume(n int) {}

// Spans appends to dst what is held beyond the contiguous octets.
func (b *RecvBuf) Spans(dst []wire.Span, boundary wire.Seq) []wire.Span { return dst }
