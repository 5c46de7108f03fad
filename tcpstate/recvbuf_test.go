package tcpstate

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// slowBuf is what RecvBuf should be, an octet at a time.
type slowBuf struct {
	octets [RecvBufSize]byte
	held   [RecvBufSize]bool
}

func (b *slowBuf) contiguous() []byte {
	n := 0
	for n < RecvBufSize && b.held[n] {
		n++
	}
	return b.octets[:n]
}

// spans returns the pieces beyond the contiguous octets, ascending.
func (b *slowBuf) spans() (all []piece) {
	for i := len(b.contiguous()); i < RecvBufSize; i++ {
		if b.held[i] && (i == 0 || !b.held[i-1]) {
			all = append(all, piece{lo: uint16(i)})
		}
		if b.held[i] {
			all[len(all)-1].hi = uint16(i + 1)
		}
	}
	return all
}

func (b *slowBuf) insert(off int, data []byte) int {
	if off >= RecvBufSize {
		return 0
	}
	try := *b
	n := min(len(data), RecvBufSize-off)
	for i := range n {
		if !try.held[off+i] {
			try.held[off+i], try.octets[off+i] = true, data[i]
		}
	}
	if len(try.spans()) > maxSpans {
		return 0
	}
	*b = try
	return n
}

func (b *slowBuf) consume(n int) {
	copy(b.octets[:], b.octets[n:])
	copy(b.held[:], b.held[n:])
	for i := RecvBufSize - n; i < RecvBufSize; i++ {
		b.held[i] = false
	}
}

// drive takes steps from script and compares RecvBuf with slowBuf after each.
func drive(t testing.TB, script []byte) {
	var fast RecvBuf
	var slow slowBuf
	r := rand.New(rand.NewPCG(1, 1))
	next := func() int {
		if len(script) < 2 {
			script = nil
			return 0
		}
		v := int(script[0])<<8 | int(script[1])
		script = script[2:]
		return v
	}
	for len(script) > 0 {
		what := next()
		switch what % 8 {
		case 0:
			n := 0
			if c := len(fast.Contiguous()); c > 0 {
				n = next() % (c + 1)
			}
			fast.Consume(n)
			slow.consume(n)
		default:
			off, n := next()%(RecvBufSize+100), next()
			n >>= 4 + what%9
			switch at := fast.spans[what/16%maxSpans]; what / 128 % 4 { // next to what is held, or over it
			case 1:
				off = int(at.hi)
			case 2:
				off = max(int(at.lo)-n, 0)
			case 3:
				off = len(fast.Contiguous())
				n /= 4
			}
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			got, want := fast.Insert(uint32(off), data), slow.insert(off, data)
			if got != want {
				t.Fatalf("Insert(%d, %d octets): %d taken, want %d", off, n, got, want)
			}
			if lead := fast.spans[0]; got > 0 && fast.nSpans > 0 && off+got > len(fast.Contiguous()) && (int(lead.lo) > off || off+got > int(lead.hi)) {
				t.Fatalf("[%d, %d) came last, but %v is first", off, off+got, lead)
			}
		}
		compare(t, &fast, &slow)
	}
}

func compare(t testing.TB, fast *RecvBuf, slow *slowBuf) {
	if !bytes.Equal(fast.Contiguous(), slow.contiguous()) {
		t.Fatalf("%d octets are contiguous, want %d, or they differ", len(fast.Contiguous()), len(slow.contiguous()))
	}
	const boundary = wire.Seq(0xffffff00)
	var got []piece
	for _, s := range fast.Spans(nil, boundary) {
		got = append(got, piece{uint16(s.Lo - boundary), uint16(s.Hi - boundary)})
	}
	for _, s := range got {
		if !bytes.Equal(fast.data[s.lo:s.hi], slow.octets[s.lo:s.hi]) {
			t.Fatalf("the octets of %v differ", s)
		}
	}
	slices.SortFunc(got, func(a, b piece) int { return int(a.lo) - int(b.lo) })
	if !slices.Equal(got, slow.spans()) {
		t.Fatalf("spans %v, want %v", got, slow.spans())
	}
}

func TestRecvBufAgainstReference(t *testing.T) {
	r := random(t, 7)
	for range 40 {
		script := make([]byte, 600)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		drive(t, script)
	}
}

func FuzzRecvBuf(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 16, 0, 0, 2, 32, 0, 16, 0})
	f.Add([]byte{0, 1, 0x20, 0, 1, 0, 0, 1, 0x30, 0, 1, 0, 0, 1, 0x10, 0, 1, 0, 0, 1, 0x38, 0, 1, 0, 0, 1, 0x28, 0, 1, 0, 0, 1, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		drive(t, script)
	})
}

// Overlapping octets stay as they came first: nobody can change what was already looked at.
func TestRecvBufFirstComeStays(t *testing.T) {
	var b RecvBuf
	b.Insert(3, []byte("def"))
	b.Insert(0, []byte("ABCDEFGHI"))
	if got := string(b.Contiguous()); got != "ABCdefGHI" {
		t.Errorf("%q", got)
	}
	b.Reset()
	if len(b.Contiguous()) != 0 || len(b.Spans(nil, 0)) != 0 {
		t.Error("not empty after Reset")
	}
}

// A buffer that is full of contiguous octets takes nothing, and everything again when they are consumed.
func TestRecvBufFull(t *testing.T) {
	var b RecvBuf
	if n := b.Insert(0, make([]byte, RecvBufSize+5)); n != RecvBufSize {
		t.Errorf("%d taken", n)
	}
	if n := b.Insert(RecvBufSize, []byte("x")); n != 0 {
		t.Errorf("%d taken", n)
	}
	if n := b.Insert(1<<32-1, []byte("x")); n != 0 {
		t.Errorf("%d taken", n)
	}
	b.Consume(RecvBufSize)
	if n := b.Insert(RecvBufSize-1, []byte("xy")); n != 1 {
		t.Errorf("%d taken", n)
	}
}
