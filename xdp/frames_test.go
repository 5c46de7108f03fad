package xdp

import (
	"flag"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0: a new one")

// newMemorySocket makes a socket whose rings are ordinary memory; the other side is played by a test. No kernel, no root.
func newMemorySocket(fill, rx, tx int) *Socket {
	const shift = 11
	s := &Socket{
		fd:         -1,
		fill:       newMemoryRing[uint64](fill),
		completion: newMemoryRing[uint64](tx),
		rx:         newMemoryRing[unix.XDPDesc](rx),
		tx:         newMemoryRing[unix.XDPDesc](tx),
		frames:     newFrames(make([]byte, (fill+tx)<<shift), shift, uint32(fill), uint32(tx)),
	}
	s.recycle()
	return s
}

func newMemoryRing[T unix.XDPDesc | uint64](size int) *ring[T] {
	return &ring[T]{
		producer: new(uint32), consumer: new(uint32), flags: new(uint32),
		entries: make([]T, size), mask: uint32(size) - 1,
	}
}

// device is the kernel's side of a socket's rings.
type device struct {
	s       *Socket
	sending []uint64 // taken from the TX ring, not yet completed
	bodies  map[uint64]byte
}

// deliver puts a received packet of one octet into the RX ring, if there is a frame and room.
func (d *device) deliver(body byte, options uint32) bool {
	s := d.s
	if s.fill.length() == 0 || s.rx.length() == uint32(len(s.rx.entries)) {
		return false
	}
	consumer := atomic.LoadUint32(s.fill.consumer)
	addr := *s.fill.at(consumer) + unix.XDP_PACKET_HEADROOM
	atomic.StoreUint32(s.fill.consumer, consumer+1)
	s.frames.mem[addr] = body
	d.put(unix.XDPDesc{Addr: addr, Len: 1, Options: options})
	return true
}

func (d *device) put(desc unix.XDPDesc) {
	producer := atomic.LoadUint32(d.s.rx.producer)
	*d.s.rx.at(producer) = desc
	atomic.StoreUint32(d.s.rx.producer, producer+1)
}

// take begins to send one frame.
func (d *device) take() {
	s := d.s
	if s.tx.length() == 0 {
		return
	}
	consumer := atomic.LoadUint32(s.tx.consumer)
	desc := *s.tx.at(consumer)
	atomic.StoreUint32(s.tx.consumer, consumer+1)
	d.sending = append(d.sending, desc.Addr)
	d.bodies[desc.Addr] = s.frames.mem[desc.Addr]
}

// complete ends the sending of the i-th frame, in any order, and reports whether it was left alone meanwhile.
func (d *device) complete(i int) bool {
	s := d.s
	addr := d.sending[i]
	d.sending = append(d.sending[:i], d.sending[i+1:]...)
	intact := s.frames.mem[addr] == d.bodies[addr]
	producer := atomic.LoadUint32(s.completion.producer)
	*s.completion.at(producer) = addr
	atomic.StoreUint32(s.completion.producer, producer+1)
	return intact
}

// TestFramesAreNeverShared has random callers and devices at work, who write into every frame as soon as it is theirs. A frame that
// were handed out while the other side has it would be seen.
func TestFramesAreNeverShared(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	s := newMemorySocket(8, 16, 16) // the RX ring has room for all frames, so that each is used again as soon as can be
	d := &device{s: s, bodies: map[uint64]byte{}}
	var received, lent [][]byte
	var want, expected []byte // bodies: as received, as delivered
	body := byte(0)
	for range 200_000 {
		switch random.IntN(7) {
		case 0:
			if d.deliver(body, 0) {
				expected = append(expected, body)
				body++
			}
		case 1:
			d.take()
		case 2:
			if n := len(d.sending); n > 0 && !d.complete(random.IntN(n)) {
				t.Fatal("a frame was written to while it was being sent")
			}
		case 3, 4:
			for i, frame := range received {
				if frame[0] != want[i] {
					t.Fatal("a received frame was changed while it was the caller's")
				}
			}
			received = received[:cap(received)]
			if received == nil {
				received = make([][]byte, 8)
			}
			received = received[:s.Receive(received[:1+random.IntN(8)])]
			want = expected[:len(received)]
			expected = expected[len(received):]
			for i, frame := range received {
				if frame[0] != want[i] {
					t.Fatalf("received %d, not %d", frame[0], want[i])
				}
			}
		case 5:
			frames := make([][]byte, random.IntN(8))
			for _, frame := range frames[:s.Alloc(frames)] {
				fill(frame, 0xee)
				lent = append(lent, frame)
			}
		case 6:
			n := random.IntN(len(lent) + 1)
			queued := 0
			for i := range lent[:n] {
				length := random.IntN(3)
				lent[i] = lent[i][:length]
				fill(lent[i], byte(i))
				queued += min(length, 1)
			}
			if got := s.Send(lent[:n]); got != queued {
				t.Fatalf("Send queued %d frames, not %d", got, queued)
			}
			lent = lent[n:]
		}
	}
	for s.tx.length() > 0 {
		d.take()
	}
	for len(d.sending) > 0 {
		d.complete(0)
	}
	mustBeAccounted(t, s)
	if pool := len(s.frames.pool) + len(lent); pool != 16 {
		t.Errorf("%d frames for sending came back, of 16", pool)
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

func TestReceiveDropsWhatItNeverAskedFor(t *testing.T) {
	s := newMemorySocket(8, 8, 8)
	d := &device{s: s}
	d.deliver('a', 0)
	d.deliver('b', unix.XDP_PKT_CONTD)
	d.deliver('c', unix.XDP_PKT_CONTD)
	d.deliver('d', 0) // the last piece of b
	d.deliver('e', 0)
	d.deliver('f', 0)
	last := s.rx.at(*s.rx.producer - 1)
	last.Len = 2048 - unix.XDP_PACKET_HEADROOM + 1 // one octet into the next frame
	d.put(unix.XDPDesc{Addr: uint64(len(s.frames.mem)), Len: 1})
	d.put(unix.XDPDesc{Addr: 15 << 11, Len: 1}) // a frame for sending

	var frames [8][]byte
	n := s.Receive(frames[:])
	if n != 2 || frames[0][0] != 'a' || frames[1][0] != 'e' {
		t.Errorf("received %q", frames[:n])
	}
	if got := s.badDescriptors.Load(); got != 6 {
		t.Errorf("%d bad descriptors, want 6", got)
	}
	if n := s.Receive(frames[:]); n != 0 || s.fill.length() != 8 {
		t.Errorf("%d frames, fill ring has %d of 8", n, s.fill.length())
	}
	mustBeAccounted(t, s)
}

func TestReceivedFrameHasRoomToItsEnd(t *testing.T) {
	s := newMemorySocket(8, 8, 8)
	d := &device{s: s}
	d.deliver('a', 0)
	var frames [1][]byte
	s.Receive(frames[:])
	if got, want := cap(frames[0]), 2048-unix.XDP_PACKET_HEADROOM; got != want {
		t.Errorf("capacity %d, want %d: no more than the frame", got, want)
	}
}

func TestAllocEndsWithThePool(t *testing.T) {
	s := newMemorySocket(8, 8, 8)
	d := &device{s: s, bodies: map[uint64]byte{}}
	var frames [10][]byte
	if n := s.Alloc(frames[:]); n != 8 {
		t.Fatalf("%d frames of 8", n)
	}
	if n := s.Alloc(frames[8:]); n != 0 {
		t.Fatalf("%d frames of none", n)
	}
	for i := range frames[:8] {
		if len(frames[i]) != 2048 || cap(frames[i]) != 2048 {
			t.Fatalf("length %d, capacity %d", len(frames[i]), cap(frames[i]))
		}
		frames[i] = frames[i][:60]
	}
	if n := s.Send(frames[:8]); n != 8 {
		t.Fatalf("queued %d of 8", n)
	}
	if n := s.Alloc(frames[:1]); n != 0 {
		t.Fatal("a frame in the TX ring was lent")
	}
	d.take()
	if n := s.Alloc(frames[:1]); n != 0 {
		t.Fatal("a frame was lent while it was being sent")
	}
	d.complete(0)
	if n := s.Alloc(frames[:2]); n != 1 {
		t.Fatalf("%d frames of 1 were lent after its completion", n)
	}
}

func TestSendPanicsForAFrameOfSomebodyElse(t *testing.T) {
	s := newMemorySocket(8, 8, 8)
	d := &device{s: s}
	d.deliver('a', 0)
	var received, lent [1][]byte
	s.Receive(received[:])
	s.Alloc(lent[:])
	frame := lent[0]
	sent := frame[:10]
	s.Send([][]byte{sent})
	for name, frame := range map[string][]byte{
		"not of the UMEM":  make([]byte, 60),
		"sent already":     sent,
		"not lent":         s.frames.whole(15)[:60],
		"two in one":       s.frames.mem[14<<11 : 14<<11+2049],
		"in the fill ring": s.frames.whole(5)[:60],
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "xdp: ") {
					t.Errorf("no panic, or one of somebody else: %q", text)
				}
			}()
			s.Send([][]byte{frame})
		})
	}
}

func TestNoAllocationInMemory(t *testing.T) {
	s := newMemorySocket(64, 64, 64)
	d := &device{s: s, bodies: map[uint64]byte{}}
	rx, tx := make([][]byte, 32), make([][]byte, 32)
	for addr := range uint64(128) {
		d.bodies[addr<<11] = 0
	}
	d.sending = make([]uint64, 0, 64)
	allocs := testing.AllocsPerRun(100, func() {
		for i := range 32 {
			d.deliver(byte(i), 0)
		}
		n := s.Receive(rx)
		n = s.Alloc(tx[:n])
		for i := range tx[:n] {
			tx[i] = tx[i][:60]
		}
		s.Send(tx[:n])
		for range n {
			d.take()
			d.complete(0)
		}
		s.Wait(0)
	})
	if allocs != 0 {
		t.Errorf("%v allocations in a round, want none", allocs)
	}
}

func TestWaitEndsWithTheTime(t *testing.T) {
	s := newMemorySocket(8, 8, 8)
	s.gone.Store(true) // there is no descriptor to poll
	begin := time.Now()
	s.Wait(20 * time.Millisecond)
	if took := time.Since(begin); took < 20*time.Millisecond || took > time.Second {
		t.Errorf("waited %v", took)
	}
}

func TestReasonsAreLabels(t *testing.T) {
	seen := map[string]bool{}
	for r := range Reason(NumReasons) {
		name := r.String()
		if name == "" || name == "unknown" || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[name] = true
	}
	if name := Reason(NumReasons).String(); name != "unknown" {
		t.Errorf("a reason that does not exist is called %q", name)
	}
}
