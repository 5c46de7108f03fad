package xload

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

var responses = []struct {
	name, text, body string
	status           uint16
	shut             bool
}{
	{"length", "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
	{"case and spaces", "HTTP/1.1 200 OK\r\nCONTENT-length:\t 5 \r\n\r\nhello", "hello", 200, false},
	{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, false},
	{"no reason", "HTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx", "x", 404, false},
	{"close", "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 1\r\n\r\nx", "x", 200, true},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 200, true},
	{"HTTP/1.0 kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "x", 200, false},
	{"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "", 304, false},
	{"interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, false},
	{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", 200, false},
	{"trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 7\r\n\r\n1\r\na\r\n00\r\nX: y\r\nZ: 1\r\n\r\n", "a", 200, false},
	{"similar names", "HTTP/1.1 200 OK\r\nContent-Lengthy: 9\r\nTE: chunked\r\nContent-Length: 1\r\n\r\nx", "x", 200, false},
}

// Every response is read alike however it is cut into pieces, and what follows is left alone.
func TestReader(t *testing.T) {
	for _, c := range responses {
		h := newHeads(1)
		k := known{text: make([]byte, 0, knownMax)}
		for first := 0; first <= len(c.text); first++ {
			for second := first; second <= len(c.text); second += 7 {
				var r reader
				r.begin()
				pieces := []string{c.text[:first], c.text[first:second], c.text[second:] + "HTTP/1.1 500 next"}
				used, done := 0, false
				for _, p := range pieces {
					if done {
						break
					}
					n, d, why := r.feed([]byte(p), h, &k, true)
					if why != OK {
						t.Fatalf("%s, cut at %d and %d: %v", c.name, first, second, why)
					}
					used, done = used+n, d
				}
				if !done || used != len(c.text) || r.got != int64(len(c.body)) || r.status != c.status || r.shut != c.shut ||
					r.crc != crc32.Checksum([]byte(c.body), crcTable) {
					t.Fatalf("%s, cut at %d and %d: done %v, used %d of %d, %+v", c.name, first, second, done, used, len(c.text), r)
				}
				if len(h.free) != 1 {
					t.Fatalf("%s: a buffer was not given back", c.name)
				}
			}
		}
	}
}

func TestReaderUntilClose(t *testing.T) {
	r, h, k := reader{buffer: none}, newHeads(1), known{}
	n, done, why := r.feed([]byte("HTTP/1.1 200 OK\r\n\r\nabc"), h, &k, false)
	if n != 22 || done || why != OK || r.phase != untilClose || r.got != 3 || !r.shut {
		t.Errorf("%d %v %v %+v", n, done, why, r)
	}
}

func TestReaderRefuses(t *testing.T) {
	for _, text := range []string{
		"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1234567890123456789\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", headMax),
	} {
		r, h, k := reader{buffer: none}, newHeads(1), known{}
		if _, _, why := r.feed([]byte(text), h, &k, false); why != Malformed {
			t.Errorf("%.50q: %v", text, why)
		}
		r.drop(h)
		if len(h.free) != 1 {
			t.Errorf("%.50q: a buffer was not given back", text)
		}
	}
	r, h, k := reader{buffer: none}, newHeads(0), known{}
	if _, _, why := r.feed([]byte("HTTP/1.1"), h, &k, false); why != NoBuffer {
		t.Errorf("without buffers: %v", why)
	}
}

// A head that is known is the same as one that is read; one that differs is not taken for it.
func TestKnownHead(t *testing.T) {
	k, h := known{text: make([]byte, 0, knownMax)}, newHeads(1)
	for _, length := range []int{3, 3, 4, 0, 0, 3} {
		r := reader{buffer: none}
		body := strings.Repeat("x", length)
		text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body)
		n, done, why := r.feed([]byte(text), h, &k, true)
		if n != len(text) || !done || why != OK || r.got != int64(length) || r.crc != crc32.Checksum([]byte(body), crcTable) {
			t.Errorf("length %d: %d %v %v %+v", length, n, done, why, r)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, c := range responses {
		f.Add([]byte(c.text), uint16(20))
	}
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		whole, used, done, why := read(t, text)
		at := min(int(cut), len(text))
		pieces, used2, done2, why2 := read(t, text[:at], text[at:])
		if used != used2 || done != done2 || why != why2 || why == OK && whole.got != pieces.got {
			t.Errorf("whole: %d %v %v %+v; cut at %d: %d %v %v %+v", used, done, why, whole, at, used2, done2, why2, pieces)
		}
	})
}

func read(t *testing.T, pieces ...[]byte) (r reader, used int, done bool, why Reason) {
	h, k := newHeads(1), known{text: make([]byte, 0, knownMax)}
	r.begin()
	for _, p := range pieces {
		n, d, w := r.feed(p, h, &k, true)
		if n < 0 || n > len(p) || !d && w == OK && n != len(p) {
			t.Fatalf("of %d octets %d were used, done %v", len(p), n, d)
		}
		used, done, why = used+n, d, w
		if done || why != OK {
			break
		}
	}
	end := r
	r.drop(h)
	if len(h.free) != 1 {
		t.Fatal("a buffer was not given back")
	}
	return end, used, done, why
}
