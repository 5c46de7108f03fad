package xload

import (
	"bytes"
	"hash/crc32"
)

// phase is where in a response a reader stands.
type phase uint8

const (
	inHead phase = iota
	inBody
	untilClose // the body ends with the connection
	chunkSize
	chunkData
	chunkEnd // the CRLF behind a chunk
	inTrailer
)

// reader reads the responses of one connection, one after the other (RFC 9112). It holds no pointer; a head that comes in
// pieces waits in a buffer that is lent from heads.
type reader struct {
	left   int64 // octets of the body or chunk to come; in chunkSize the size so far
	got    int64 // octets of the body that came
	crc    uint32
	buffer int32  // of heads, or none
	kept   uint16 // octets in it
	status uint16
	phase  phase
	shut   bool // the connection ends with this response
	line   bool // something of a line of a chunk's size or of the trailer has come
	ext    bool // a chunk's extension is being skipped
}

const (
	none    = -1
	headMax = 16384
)

// heads are buffers for heads that come in pieces.
type heads struct {
	mem  []byte
	free []int32
}

func newHeads(n int) *heads {
	h := &heads{mem: make([]byte, n*headMax), free: make([]int32, n)}
	for i := range h.free {
		h.free[i] = int32(i)
	}
	return h
}

func (h *heads) at(i int32) []byte { return h.mem[int(i)*headMax : (int(i)+1)*headMax] }

// begin makes r ready for the next response.
func (r *reader) begin() { *r = reader{buffer: none} }

// drop makes r ready for another connection.
func (r *reader) drop(h *heads) {
	if r.buffer != none {
		h.free = append(h.free, r.buffer)
	}
	r.begin()
}

// begun reports whether something of a response has come.
func (r *reader) begun() bool { return r.phase != inHead || r.kept > 0 }

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// known is the last head of responses that are likely to be the same but once in a second, when Date changes. Then comparing
// does instead of parsing, at a tenth of the time.
type known struct {
	text   []byte // whole, or empty; of fixed capacity
	parsed reader
}

const knownMax = 512

// recall takes the head from k, if b begins with the very same one.
func (r *reader) recall(b []byte, k *known) (n int, ok bool) {
	n = len(k.text)
	if n == 0 || r.begun() || len(b) < n || !bytes.Equal(b[:n], k.text) {
		return 0, false
	}
	*r = k.parsed
	return n, true
}

// learn remembers the head that r has read from the beginning of b.
func (k *known) learn(r *reader, head []byte) {
	if len(head) <= cap(k.text) && r.phase == inBody {
		k.text = append(k.text[:0], head...)
		k.parsed = *r
	}
}

// feed reads from b what belongs to the response, and returns how much that was. done: it is complete. why is ok, or why it
// cannot be read on. k is of the target.
func (r *reader) feed(b []byte, h *heads, k *known, sum bool) (n int, done bool, why Reason) {
	if n, ok := r.recall(b, k); ok {
		if r.left == 0 {
			return n, true, OK
		}
		more, done, why := r.rest(b[n:], h, k, sum)
		return n + more, done, why
	}
	return r.rest(b, h, k, sum)
}

func (r *reader) rest(b []byte, h *heads, k *known, sum bool) (n int, done bool, why Reason) {
	for n < len(b) {
		switch r.phase {
		case inHead:
			fresh := !r.begun()
			used, whole, why := r.head(b[n:], h)
			if fresh && whole && why == OK {
				k.learn(r, b[n:n+used])
			}
			n += used
			if why != OK || !whole {
				return n, false, why
			}
			if r.phase == inBody && r.left == 0 {
				return n, true, OK
			}
		case inBody, untilClose, chunkData:
			piece := b[n:]
			if r.phase != untilClose && int64(len(piece)) > r.left {
				piece = piece[:r.left]
			}
			if sum {
				r.crc = crc32.Update(r.crc, crcTable, piece)
			}
			n += len(piece)
			r.got += int64(len(piece))
			r.left -= int64(len(piece))
			if r.left != 0 || r.phase == untilClose {
				continue
			}
			if r.phase == inBody {
				return n, true, OK
			}
			r.phase = chunkEnd
		default:
			done, ok := r.framing(b[n])
			n++
			if !ok {
				return n, false, Malformed
			}
			if done {
				return n, true, OK
			}
		}
	}
	return n, false, OK
}

// framing reads an octet of what is between chunks (RFC 9112, 7.1).
func (r *reader) framing(c byte) (done, ok bool) {
	switch r.phase {
	case chunkSize:
		return false, r.size(c)
	case chunkEnd:
		if c == '\n' {
			r.phase = chunkSize
		}
		return false, c == '\n' || c == '\r'
	}
	// The trailer ends with an empty line.
	switch c {
	case '\r':
	case '\n':
		if !r.line {
			return true, true
		}
		r.line = false
	default:
		r.line = true
	}
	return false, true
}

func (r *reader) size(c byte) (ok bool) {
	switch {
	case c == '\n':
		if !r.line {
			return false
		}
		r.phase = chunkData
		if r.left == 0 {
			r.phase = inTrailer
		}
		r.line, r.ext = false, false
		return true
	case c == '\r', r.ext:
		return true
	case c == ';', c == ' ', c == '\t':
		r.ext = true
		return r.line
	}
	d, ok := hexDigit(c)
	if !ok || r.left >= 1<<55 {
		return false
	}
	r.left, r.line = r.left<<4|int64(d), true
	return true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

var headEnd = []byte("\r\n\r\n")

// head reads the head, or a piece of it. whole: it has come to its end.
func (r *reader) head(b []byte, h *heads) (n int, whole bool, why Reason) {
	end := bytes.Index(b, headEnd)
	if r.kept == 0 && end >= 0 {
		n = end + len(headEnd)
		return n, true, r.parse(b[:n])
	}
	if r.buffer == none {
		if len(h.free) == 0 {
			return 0, false, NoBuffer
		}
		r.buffer = h.free[len(h.free)-1]
		h.free = h.free[:len(h.free)-1]
	}
	buf := h.at(r.buffer)
	before := int(r.kept)
	n = copy(buf[before:], b)
	r.kept += uint16(n)
	end = bytes.Index(buf[max(0, before-3):r.kept], headEnd)
	if end < 0 {
		if int(r.kept) == len(buf) {
			return n, false, Malformed
		}
		return n, false, OK
	}
	length := max(0, before-3) + end + len(headEnd)
	why = r.parse(buf[:length])
	h.free = append(h.free, r.buffer)
	r.buffer, r.kept = none, 0
	return length - before, true, why
}

// parse reads a whole head: the status line, and of the fields those that say where the response ends.
func (r *reader) parse(b []byte) Reason {
	if len(b) < 16 || string(b[:7]) != "HTTP/1." || b[8] != ' ' {
		return Malformed
	}
	status := 0
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return Malformed
		}
		status = status*10 + int(c-'0')
	}
	r.status = uint16(status)
	r.shut = b[7] == '0'
	length, chunked := int64(-1), false
	for rest := b[bytes.IndexByte(b, '\n')+1:]; ; {
		end := bytes.IndexByte(rest, '\n')
		if end <= 1 {
			break
		}
		line := rest[:end]
		rest = rest[end+1:]
		switch line[0] | 0x20 {
		case 'c':
			if v, ok := field(line, "content-length"); ok {
				if length = number(v); length < 0 {
					return Malformed
				}
			} else if v, ok := field(line, "connection"); ok {
				if contains(v, "close") {
					r.shut = true
				} else if contains(v, "keep-alive") {
					r.shut = false
				}
			}
		case 't':
			if v, ok := field(line, "transfer-encoding"); ok {
				chunked = contains(v, "chunked")
			}
		}
	}
	return r.frame(status, length, chunked)
}

// frame says how the body is delimited (RFC 9112, 6.3).
func (r *reader) frame(status int, length int64, chunked bool) Reason {
	switch {
	case status < 200:
		if status == 101 {
			return Malformed
		}
		r.phase = inHead // an interim response: the true one follows
	case status == 204, status == 304:
		r.phase, r.left = inBody, 0
	case chunked:
		r.phase, r.left = chunkSize, 0
	case length >= 0:
		r.phase, r.left = inBody, length
	default:
		r.phase, r.left, r.shut = untilClose, -1, true
	}
	return OK
}

// field returns the value of a line with this name, in lower case.
func field(line []byte, name string) (value []byte, ok bool) {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return nil, false
	}
	for i := range len(name) {
		c := line[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return nil, false
		}
	}
	return bytes.TrimSpace(line[len(name)+1:]), true
}

func number(v []byte) int64 {
	if len(v) == 0 || len(v) > 18 {
		return -1
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// contains reports whether a list of tokens, as in Connection, has this one.
func contains(v []byte, token string) bool {
	for len(v) > 0 {
		item := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			item, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		if item = bytes.TrimSpace(item); len(item) == len(token) && equalFold(item, token) {
			return true
		}
	}
	return false
}

func equalFold(b []byte, lower string) bool {
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
