package precondition

import (
	"math/rand/v2"
	"strconv"
)

// Boundary is this process's own: Apache draws 64 bits when it starts, and writes them in hexadecimal without leading zeros.
var Boundary = strconv.FormatUint(rand.Uint64(), 16)

// Multipart is the body of a response with several ranges (RFC 9110, 14.6), octet for octet as Apache writes it:
//
//	CRLF --boundary CRLF Content-type: … CRLF Content-range: bytes from-to/length CRLF CRLF octets   for each part
//	CRLF --boundary-- CRLF
//
// It refers to what it is made of, and holds nothing.
type Multipart struct {
	Boundary string
	Type     string // the value of the whole's Content-Type field; "" if it has none
	Body     []byte // the whole
}

// Len returns the octets of the body with these parts.
func (m *Multipart) Len(parts *Parts) uint32 {
	w := window{}
	m.write(&w, parts)
	return w.at
}

// ReadAt copies the octets from offset off on into dst and returns how many there were: all that dst holds, unless the body ends.
func (m *Multipart) ReadAt(parts *Parts, dst []byte, off uint32) int {
	w := window{dst: dst, off: off}
	m.write(&w, parts)
	return w.n
}

func (m *Multipart) write(w *window, parts *Parts) {
	var scratch [len("4294967295-4294967295/4294967295\r\n\r\n")]byte
	for _, p := range parts.All() {
		put(w, "\r\n--")
		put(w, m.Boundary)
		if m.Type != "" {
			put(w, "\r\nContent-type: ")
			put(w, m.Type)
		}
		put(w, "\r\nContent-range: bytes ")
		put(w, append(AppendContentRange(scratch[:0], p, uint32(len(m.Body))), "\r\n\r\n"...))
		put(w, m.Body[p.From:p.To])
	}
	put(w, "\r\n--")
	put(w, m.Boundary)
	put(w, "--\r\n")
}

// AppendContentRange appends a range as a Content-Range field has it behind "bytes ": "0-499/1234".
func AppendContentRange(b []byte, p Part, length uint32) []byte {
	b = append(strconv.AppendUint(b, uint64(p.From), 10), '-')
	b = append(strconv.AppendUint(b, uint64(p.To)-1, 10), '/')
	return strconv.AppendUint(b, uint64(length), 10)
}

// window copies those octets of a stream that begin at off, as the stream goes by.
type window struct {
	dst []byte
	off uint32
	at  uint32 // octets that have gone by
	n   int    // of them in dst
}

func put[T string | []byte](w *window, piece T) {
	end := w.at + uint32(len(piece))
	if next := w.off + uint32(w.n); w.n < len(w.dst) && next < end {
		w.n += copy(w.dst[w.n:], piece[next-w.at:])
	}
	w.at = end
}
