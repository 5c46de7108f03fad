package dataplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// With a full transmit ring nobody polls, and no state moves: when there is room again, everything comes.
func TestFullTransmitRing(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	s.device.room = 0
	for s.loop.txHave > s.loop.txUsed {
		s.loop.txHave-- // what the loop had been lent before
	}
	c.say(getSmall)
	for range 100 {
		s.run(10 * time.Millisecond)
	}
	if got := s.take(); len(got) != 0 {
		t.Fatalf("sent %d segments without frames", len(got))
	}
	s.device.room = 1 << 30
	s.run(time.Millisecond)
	if got, _ := c.receive(); !strings.HasSuffix(got, small) {
		t.Errorf("response %q", got)
	}
}

// Connections beyond MaxConns are the kernel's, with the segment that began them.
func TestConnectionLimit(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 2 })
	for k := range 3 {
		c := s.client()
		c.connect()
		c.say(getSmall)
		s.run(0)
		got, _ := c.receive()
		if answered := got != ""; answered != (k < 2) {
			t.Errorf("connection %d: answered %v", k, answered)
		}
	}
	if n := s.counters().Handovers[ReasonConnLimit]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	if got := strings.Join(s.kernel.calls, " "); got != "begin inject" {
		t.Errorf("calls %q", got)
	}
	if p := string(decode(t, s.kernel.injected[0]).Payload); p != getSmall {
		t.Errorf("injected %q", p)
	}
}

// Incomplete requests beyond MaxBuffers are the kernel's.
func TestBufferLimit(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxBuffers = 2 })
	for range 3 {
		c := s.client()
		c.connect()
		c.say("GET /sm")
		s.run(0)
	}
	if n := s.counters().Handovers[ReasonBuffers]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	if n := s.counters().Buffers; n != 2 {
		t.Errorf("%d buffers in use, want 2", n)
	}
}

// A head that does not come to its end goes to the server, which has its own idea of patience.
func TestSlowHead(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say("GET /small.txt HT")
	for range 100 {
		s.run(500 * time.Millisecond)
	}
	if n := s.counters().Handovers[ReasonSlowHead]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	checkInjected(t, s, c, "GET /small.txt HT")
	s.idle()
}

func TestHalfSentHead(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say("GET /small.txt HT")
	s.run(0)
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
	s.run(0)
	if n := s.counters().Handovers[ReasonHalfSent]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	last := decode(t, s.kernel.injected[len(s.kernel.injected)-1])
	if !last.FIN || last.Seq != c.seq {
		t.Errorf("last injected segment: FIN %v at %d, want a FIN at %d", last.FIN, last.Seq, c.seq)
	}
	s.idle()
}

// A client that closes its side with the request still gets the answer, then our FIN.
func TestHalfClose(t *testing.T) {
	for _, separate := range []bool{false, true} {
		s := newStage(t, nil)
		c := s.client()
		c.connect()
		if separate {
			c.say(getSmall)
			c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
		} else {
			c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, PSH: true, FIN: true}, getSmall)
			c.seq += uint32(len(getSmall))
		}
		c.seq++
		var got string
		for range 10 {
			s.run(time.Millisecond)
			octets, _ := c.receive()
			got += octets
			c.acknowledge()
		}
		if !strings.HasSuffix(got, small) {
			t.Errorf("separate %v: response %q", separate, got)
		}
		s.idle()
	}
}

// How long a connection may be idle is what its last response has said.
func TestIdleConnectionCloses(t *testing.T) {
	s := newStage(t, nil)
	if listener := time.Duration(tcpstate.DefaultConfig().KeepAliveTimeout); stageIdle <= listener {
		t.Fatalf("the listener's own is %v", listener)
	}
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	c.receive()
	c.acknowledge()
	s.run(0)
	s.run(stageIdle - 500*time.Millisecond)
	if _, seg := c.receive(); seg != nil {
		t.Errorf("before its time: %+v", seg)
	}
	s.run(time.Second)
	if _, seg := c.receive(); seg == nil || !seg.FIN {
		t.Errorf("after %v: %+v, want a FIN", stageIdle, seg)
	}
}

// Drain hands idle connections over by a bare ACK, and others when their response is acknowledged.
func TestDrain(t *testing.T) {
	s := newStage(t, nil)
	idle, busy := s.client(), s.client()
	for _, c := range []*client{idle, busy} {
		c.connect()
		c.say(getSmall)
		s.run(0)
		c.receive()
		c.acknowledge()
		s.run(0)
	}
	busy.say(getLarge)
	s.run(0)
	s.loop.Drain()
	s.run(0)
	checkInjected(t, s, idle, "")
	if n := s.counters().Handovers[ReasonShutdown]; n != 1 {
		t.Fatalf("counted %d after the first step, want 1", n)
	}
	s.kernel.injected, s.kernel.owns = nil, false
	var got int
	for range 100 {
		octets, _ := busy.receive()
		got += len(octets)
		busy.acknowledge()
		s.run(time.Millisecond)
	}
	if got < 100000 {
		t.Errorf("received %d octets of the response under way", got)
	}
	if n := s.counters().Handovers[ReasonShutdown]; n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
	late := s.client()
	late.give(layers.TCP{Seq: 1, SYN: true}, "")
	s.run(0)
	if got := s.take(); len(got) != 0 {
		t.Errorf("answered a SYN while draining")
	}
	s.idle()
}

func TestStopResets(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	c.receive()
	s.loop.Stop()
	s.loop.abortAll(s.now)
	if _, seg := c.receive(); seg == nil || !seg.RST {
		t.Errorf("after Stop: %+v, want a RST", seg)
	}
	s.idle()
}

func TestOtherStationsFrames(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.LocalMAC[5] = 99 })
	c := s.client()
	c.give(layers.TCP{Seq: 1, SYN: true}, "")
	s.run(0)
	if got := s.take(); len(got) != 0 {
		t.Errorf("answered a frame for another station")
	}
	if n := s.counters().Drops[DropOtherMAC]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

// What the kernel alone can answer, it gets: segments of connections that nobody here knows.
func TestUnknownToKernel(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.give(layers.TCP{Seq: 5, Ack: 77, ACK: true}, getSmall)
	s.run(0)
	if got := strings.Join(s.kernel.calls, " "); got != "inject" {
		t.Errorf("calls %q", got)
	}
	if tcp := decode(t, s.kernel.injected[0]); tcp.Seq != 5 || string(tcp.Payload) != getSmall {
		t.Errorf("injected %+v", tcp)
	}
	s.idle()
}

// From descriptor to descriptor nothing is allocated.
func TestNoAllocation(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	response, _ := c.receive()

	buffer := make([][]byte, batch)
	for k := range buffer {
		buffer[k] = make([]byte, 2048)
	}
	s.loop.cfg.Device = &ring{fakeDevice: s.device, frames: buffer}
	s.loop.txUsed, s.loop.txHave = 0, 0
	const runs = 200
	for range runs + 1 { // AllocsPerRun runs once more, to warm up
		c.say(getSmall)
		c.ack += uint32(len(response))
	}
	requests := s.device.in
	before := s.counters().Responses[0]
	allocs := testing.AllocsPerRun(runs, func() {
		s.device.in, requests = requests[:1], requests[1:]
		s.loop.Step(s.now)
	})
	if n := s.counters().Responses[0] - before; n != runs+1 {
		t.Fatalf("%d responses to %d requests: this measures something else", n, runs+1)
	}
	if allocs != 0 {
		t.Errorf("%v allocations for a request", allocs)
	}
}

// ring is a device that lends the same frames again and again.
type ring struct {
	*fakeDevice
	frames [][]byte
}

func (r *ring) Alloc(frames [][]byte) int {
	n := copy(frames, r.frames)
	for k := range frames[:n] {
		frames[k] = frames[k][:cap(frames[k])]
	}
	return n
}

func (r *ring) Send(frames [][]byte) int { return len(frames) }
