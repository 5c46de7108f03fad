package hits

import "encoding/binary"

// Begin is what is known of a response when it begins.
type Begin struct {
	ID                    uint32 // set by Ring.Begin, never 0; the response's end has the same
	At                    int64  // when the request was whole, CLOCK_MONOTONIC in ns
	Local, Remote         [16]byte
	LocalPort, RemotePort uint16
	Status                uint16
	Before                uint16 // responses on this connection before
	Left                  int32  // requests that the connection may carry after this one, negative for any number
	Body                  uint64 // octets of the response's body, without what frames chunks
	Len                   uint64 // octets of the response
	Closes                bool   // the connection ends with it

	// Request is the request's head, as sent; Section is the response's header section, if the ring has those. In what
	// Next returns they are parts of the ring, valid until Release.
	Request, Section []byte
}

// End is what is known of a response when it has ended.
type End struct {
	ID      uint32
	At      int64  // CLOCK_MONOTONIC in ns
	Sent    uint64 // its octets that were sent at least once
	Aborted bool   // the connection ended before all were sent
}

// Kind says which of a Record's parts is set.
type Kind uint8

const (
	kindPad Kind = iota // nothing follows up to the end of the memory
	KindBegin
	KindEnd
)

// Record is one of the two.
type Record struct {
	Kind  Kind
	Begin Begin
	End   End
}

// A record is a multiple of unit, so that an end finds room wherever the one before it stops.
const (
	unit      = 32
	beginSize = 3 * unit // without request and section
	endSize   = unit
)

func roundUp(n int) int { return (n + unit - 1) &^ (unit - 1) }

// Each record begins with its size and its kind.
func putPrefix(b []byte, size int, k Kind) {
	binary.LittleEndian.PutUint32(b, uint32(size))
	b[4] = byte(k)
}

func prefix(b []byte) (size int, k Kind) { return int(binary.LittleEndian.Uint32(b)), Kind(b[4]) }

func (r *Begin) put(b []byte, request, section int) {
	_ = b[beginSize-1]
	b[5] = octet(r.Closes)
	le := binary.LittleEndian
	le.PutUint32(b[8:], r.ID)
	le.PutUint32(b[12:], uint32(r.Left))
	le.PutUint64(b[16:], uint64(r.At))
	copy(b[24:40], r.Local[:])
	copy(b[40:56], r.Remote[:])
	le.PutUint16(b[56:], r.LocalPort)
	le.PutUint16(b[58:], r.RemotePort)
	le.PutUint16(b[60:], r.Status)
	le.PutUint16(b[62:], r.Before)
	le.PutUint64(b[64:], r.Body)
	le.PutUint64(b[72:], r.Len)
	le.PutUint32(b[80:], uint32(request))
	le.PutUint32(b[84:], uint32(section))
}

func (r *Begin) get(b []byte) {
	le := binary.LittleEndian
	request, section := int(le.Uint32(b[80:])), int(le.Uint32(b[84:]))
	*r = Begin{
		ID: le.Uint32(b[8:]), At: int64(le.Uint64(b[16:])), Local: [16]byte(b[24:40]), Remote: [16]byte(b[40:56]),
		LocalPort: le.Uint16(b[56:]), RemotePort: le.Uint16(b[58:]), Status: le.Uint16(b[60:]), Before: le.Uint16(b[62:]),
		Left: int32(le.Uint32(b[12:])), Body: le.Uint64(b[64:]), Len: le.Uint64(b[72:]), Closes: b[5] != 0,
		Request: b[beginSize : beginSize+request], Section: b[beginSize+request : beginSize+request+section],
	}
}

func (r *End) put(b []byte) {
	_ = b[endSize-1]
	b[5] = octet(r.Aborted)
	binary.LittleEndian.PutUint32(b[8:], r.ID)
	binary.LittleEndian.PutUint64(b[16:], uint64(r.At))
	binary.LittleEndian.PutUint64(b[24:], r.Sent)
}

func (r *End) get(b []byte) {
	*r = End{
		ID: binary.LittleEndian.Uint32(b[8:]), Sent: binary.LittleEndian.Uint64(b[24:]),
		At: int64(binary.LittleEndian.Uint64(b[16:])), Aborted: b[5] != 0,
	}
}

func octet(b bool) byte {
	if b {
		return 1
	}
	return 0
}
