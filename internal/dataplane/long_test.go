package dataplane

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// fakeSegmenter keeps what it is given, as the device's frames are kept, cut as the kernel does it.
type fakeSegmenter struct {
	stage  *stage
	head   []byte
	frames []longFrame
	busy   int // times
	broken bool
}

type longFrame struct {
	size    int
	payload int
	rest    []byte // the caller's memory
}

func (g *fakeSegmenter) Head() []byte { return g.head }

func (g *fakeSegmenter) Send(n int, rest []byte, headers, size int) (sent, again bool) {
	if g.broken {
		return false, false
	}
	if g.busy > 0 {
		g.busy--
		return false, true
	}
	g.frames = append(g.frames, longFrame{size, n - headers + len(rest), rest})
	frame := bytes.Clone(append(g.head[:n:n], rest...))
	wire.Finish(frame)
	g.stage.device.sent = append(g.stage.device.sent, frame)
	return true, false
}

func newLongStage(t testing.TB, from int) (*stage, *fakeSegmenter) {
	g := &fakeSegmenter{head: make([]byte, longest)}
	s := newStage(t, func(cfg *Config) { cfg.Segmenter, cfg.LongFrom = g, from })
	g.stage = s
	return s, g
}

// A response of many segments goes as a few, and the body in them is the object's own memory. What is short goes in a frame of the device.
func TestLongSegments(t *testing.T) {
	s, g := newLongStage(t, 16)
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	if got, _ := c.receive(); !strings.HasSuffix(got, small) || len(g.frames) != 0 {
		t.Fatalf("%q, %d long segments", got, len(g.frames))
	}
	c.acknowledge()
	s.run(0)
	c.say(getLarge)
	s.run(0)
	got, _ := c.receive()
	for range 100 {
		c.acknowledge()
		s.run(10 * time.Millisecond)
		more, _ := c.receive()
		got += more
	}
	if !strings.HasSuffix(got, "\r\n\r\n"+large) {
		t.Errorf("%d octets came, or others", len(got))
	}
	object := s.store.cache.Lookup([16]byte{}, requestOf("/large.txt"))
	response, _ := object.Respond(requestOf("/large.txt"), 0, 1.7e9)
	body := object.Direct(response, 0, uint32(object.Len(response)))
	payload := 0
	for k, f := range g.frames {
		payload += f.payload
		if f.size != 1460 || k == 0 && f.payload != 10*1460 || f.payload > 0xffff-40 {
			t.Errorf("frame %d: %d octets, cut after %d", k, f.payload, f.size)
		}
		if f.payload-len(f.rest) > 400 || !within(body, f.rest) {
			t.Errorf("frame %d: %d octets of %d are in the object's memory: %v", k, len(f.rest), f.payload, within(body, f.rest))
		}
	}
	if payload < len(large) || len(g.frames) > 15 || s.counters().TxLong != uint64(len(g.frames)) {
		t.Errorf("%d octets in %d frames, counted %d", payload, len(g.frames), s.counters().TxLong)
	}
}

func within(all, part []byte) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(all)))
	return at+uintptr(len(part)) <= uintptr(len(all))
}

// While the Segmenter is busy, nothing that comes behind in the stream goes first, whatever becomes of the connection.
func TestLongSegmentsWait(t *testing.T) {
	for _, reset := range []bool{false, true} {
		s, g := newLongStage(t, 3)
		c := s.client()
		c.connect()
		g.busy = 5
		c.say(getLarge)
		s.run(0)
		if next := s.loop.Step(s.now); next == 0 || next > s.now+tcpstate.Time(txWait) {
			t.Errorf("it wants to be called at %d, now is %d", next, s.now)
		}
		if got := s.take(); len(got) != 0 {
			t.Fatalf("%d segments while it was busy", len(got))
		}
		if reset {
			c.give(layers.TCP{Seq: c.seq, RST: true}, "")
		}
		for range 5 {
			s.run(time.Millisecond)
		}
		got, _ := c.receive()
		if n := strings.Index(got, "\r\n\r\n"); n < 0 || !strings.HasPrefix(large, got[n+4:]) || len(got) != 10*1460 {
			t.Errorf("%d octets came: %.200q", len(got), got)
		}
		if reset {
			s.idle()
		}
	}
}

// If the kernel refuses, all goes in frames of the device from then on.
func TestLongSegmentsRefused(t *testing.T) {
	s, g := newLongStage(t, 3)
	g.broken = true
	c := s.client()
	c.connect()
	c.say(getLarge)
	s.run(0)
	var got string
	for range 200 {
		s.run(100 * time.Millisecond) // what was lost is sent again
		more, _ := c.receive()
		got += more
		c.acknowledge()
	}
	if n := s.counters().Drops[DropSegmenter]; n != 1 || !strings.HasSuffix(got, large) {
		t.Errorf("%d refused; %d octets came", n, len(got))
	}
}
