package precondition

import (
	"io"
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
	Body     []byte // the whole; nil: it is in File
	File     io.ReaderAt
	Length   uint64 // of the whole
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

// ReadFileAt is ReadAt if the whole is in File. It returns an error of File's, or that it is shorter than Length.
func (m *Multipart) ReadFileAt(parts *Parts, dst []byte, off uint32) (int, error) {
	w := window{dst: dst, off: off, file: m.File}
	m.write(&w, parts)
	return w.n, w.err
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
		put(w, append(AppendContentRange(scratch[:0], uint64(p.From), uint64(p.To), m.Length), "\r\n\r\n"...))
		if m.Body == nil {
			w.putFile(p)
		} else {
			put(w, m.Body[p.From:p.To])
		}
	}
	put(w, "\r\n--")
	put(w, m.Boundary)
	put(w, "--\r\n")
}

// AppendContentRange appends the range [from, to) as a Content-Range field has it behind "bytes ": "0-499/1234".
func AppendContentRange(b []byte, from, to, length uint64) []byte {
	b = append(strconv.AppendUint(b, from, 10), '-')
	b = append(strconv.AppendUint(b, to-1, 10), '/')
	return strconv.AppendUint(b, length, 10)
}

// window copies those octets of a stream that begin at off, as the stream goes by.
type window struct {
	dst []byte
	off uint32
	at  uint32 // octets that have gone by
	n   int    // of them in dst

	file io.ReaderAt
	err  error // of file
}

// putFile lets the octets of p in the file go by. Without one, or after an error, they only count.
func (w *window) putFile(p Part) {
	length := p.To - p.From
	end := w.at + length
	if next := w.off + uint32(w.n); w.n < len(w.dst) && next < end && w.file != nil && w.err == nil {
		from := next - w.at
		to := w.dst[w.n:min(len(w.dst), w.n+int(length-from))]
		var n int
		if n, w.err = w.file.ReadAt(to, int64(p.From)+int64(from)); n == len(to) {
			w.err = nil // it may be io.EOF, with the last octets
		}
		w.n += n
	}
	w.at = end
}

func put[T string | []byte](w *window, piece T) {
	end := w.at + uint32(len(piece))
	if next := w.off + uint32(w.n); w.n < len(w.dst) && w.at <= next && next < end { // behind a file that was too short, nothing fits
		w.n += copy(w.dst[w.n:], piece[next-w.at:])
	}
	w.at = end
}
