package dataplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// opened returns n clients that have connected and said something.
func (s *stage) opened(n int, say string) (all []*client) {
	sent := s.device.sent // to others
	for range n {
		c := s.client()
		s.device.sent = nil
		c.connect()
		c.say(say)
		s.run(0)
		all = append(all, c)
		sent = append(sent, s.device.sent...)
	}
	s.device.sent = sent
	return all
}

// idle lets clients take their answers.
func idle(clients []*client) {
	s := clients[0].stage
	sent := s.device.sent
	for _, c := range clients {
		s.device.sent = sent
		c.receive()
		c.acknowledge()
	}
	s.run(0)
}

// answered connects a new client and reports whether it gets an answer of ours. What was sent before is forgotten.
func (s *stage) answered() bool {
	s.device.sent = nil
	c := s.opened(1, getSmall)[0]
	sent := s.device.sent
	got, _ := c.receive()
	s.device.sent = sent // for the test
	return strings.HasSuffix(got, small)
}

// last returns the last segment to c among those that were sent.
func (c *client) last() (last *layers.TCP) {
	for _, frame := range c.device.sent {
		if seg := decode(c.t, frame); seg.DstPort == c.port {
			last = seg
		}
	}
	return last
}

func (s *stage) wantShed(want map[Shed]uint64) {
	s.t.Helper()
	c := s.counters()
	for why := range NumSheds {
		if c.Shed[why] != want[why] {
			s.t.Errorf("shed for %v: %d, want %d", why, c.Shed[why], want[why])
		}
	}
}

// With all slots taken by idle connections, the oldest are closed: the new one is the kernel's, the next one ours.
func TestIdleMakeRoom(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 8 })
	all := s.opened(8, getSmall)
	idle(all)
	s.run(2 * time.Second)
	s.device.sent = nil
	first := s.opened(1, getSmall)[0]
	if got, _ := first.receive(); got != "" || s.counters().Handovers[ReasonConnLimit] != 1 {
		t.Errorf("the first beyond: %q, %d handed over", got, s.counters().Handovers[ReasonConnLimit])
	}
	s.device.sent = nil
	s.run(0)
	for range 4 { // the FIN is not acknowledged
		s.run(300 * time.Millisecond)
	}
	if seg := all[0].last(); seg == nil || !seg.FIN || seg.RST {
		t.Errorf("to the oldest: %+v, want a FIN", seg)
	}
	if seg := all[1].last(); seg != nil {
		t.Errorf("to the next: %+v, want nothing", seg)
	}
	if !s.answered() {
		t.Error("the second beyond was not answered")
	}
	s.wantShed(map[Shed]uint64{ShedIdle: 2, ShedOver: 1})
}

// Before all slots are taken, idle connections end in peace.
func TestIdleEndBeforeSlotsRunOut(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 16 })
	all := s.opened(14, getSmall)
	idle(all)
	s.run(2 * time.Second)
	for range 2 {
		if !s.answered() {
			t.Error("not answered")
		}
	}
	s.wantShed(map[Shed]uint64{ShedIdle: 2})
}

// Young connections are not disturbed: the new one is the kernel's.
func TestYoungConnectionsStay(t *testing.T) {
	for name, say := range map[string]string{"idle": getSmall, "head": "GET /small.txt HT", "busy": getLarge} {
		s := newStage(t, func(cfg *Config) { cfg.MaxConns = 8 })
		all := s.opened(8, say)
		if name == "idle" {
			idle(all)
		}
		s.run(900 * time.Millisecond)
		if s.answered() || s.counters().Handovers[ReasonConnLimit] != 1 {
			t.Errorf("%s: answered, or not handed over", name)
		}
		s.wantShed(nil)
	}
}

// Who is in TIME-WAIT has no slot to give, and is left alone.
func TestTimeWaitIsLeftAlone(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 8 })
	over := s.opened(1, "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0]
	over.receive()
	over.give(layers.TCP{Seq: over.seq, Ack: over.ack, ACK: true, FIN: true}, "")
	s.run(0)
	if n := s.counters().Connections[tcpstate.TimeWait]; n != 1 {
		t.Fatalf("%d connections in TIME-WAIT", n)
	}
	idle(s.opened(4, getSmall))
	s.opened(3, "GET /small.txt HT")
	s.run(2 * time.Second)
	if !s.answered() {
		t.Error("not answered")
	}
	if seg := over.last(); seg != nil {
		t.Errorf("to the one in TIME-WAIT: %+v", seg)
	}
	s.wantShed(map[Shed]uint64{ShedIdle: 1})
}

// Who has our FIN and may still be reading gets no RST.
func TestFinWait2IsForgotten(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 1 })
	c := s.opened(1, "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0]
	c.receive()
	c.acknowledge()
	s.run(0)
	s.run(2 * time.Second)
	if n := s.counters().Connections[tcpstate.FinWait2]; n != 1 {
		t.Fatalf("%d connections in FIN-WAIT-2", n)
	}
	if !s.answered() {
		t.Error("not answered")
	}
	if seg := c.last(); seg != nil {
		t.Errorf("to the one in FIN-WAIT-2: %+v", seg)
	}
	s.wantShed(map[Shed]uint64{ShedOver: 1})
}

// Its FIN is acknowledged all the same, also when it comes twice; its text is for nobody, and the kernel's to refuse.
func TestForgottenPeerMayClose(t *testing.T) {
	for _, text := range []string{"", "GET /small.txt HTTP/1.1\r\n\r\n"} {
		s := newStage(t, func(cfg *Config) { cfg.MaxConns = 1 })
		c := s.opened(1, "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0]
		c.receive()
		c.acknowledge()
		s.run(0)
		s.run(2 * time.Second)
		if !s.answered() {
			t.Fatal("not answered")
		}
		for range 2 {
			s.device.sent = nil
			c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: text == ""}, text)
			s.run(0)
			switch seg := c.last(); {
			case text != "" && seg != nil:
				t.Errorf("to text: %+v", seg)
			case text == "" && (seg == nil || seg.Ack != c.seq+1 || seg.RST || seg.FIN):
				t.Errorf("to the FIN: %+v, want an acknowledgment", seg)
			}
		}
		s.wantShed(map[Shed]uint64{ShedOver: 1})
	}
}

// Heads go after idle connections.
func TestIdleBeforeHeads(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 8 })
	s.opened(4, "GET /small.txt HT")
	idle(s.opened(4, getSmall))
	s.run(2 * time.Second)
	if s.answered() {
		t.Error("answered before the idle one has ended")
	}
	s.wantShed(map[Shed]uint64{ShedIdle: 1})
}

// TIME-WAIT does not make idle connections end: it takes no slot.
func TestTimeWaitDoesNotCrowd(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 10 })
	for range 7 {
		s.device.sent = nil
		c := s.opened(1, "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0]
		c.receive()
		c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
		s.run(0)
	}
	idle(s.opened(2, getSmall))
	s.run(2 * time.Second)
	for range 2 {
		if !s.answered() {
			t.Error("not answered")
		}
	}
	s.wantShed(nil)
}

// The oldest head goes when there is nobody idle, with a RST.
func TestHeadsMakeRoom(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 8 })
	busy, heads := s.opened(2, getLarge), s.opened(6, "GET /small.txt HT")
	s.run(2 * time.Second)
	if !s.answered() {
		t.Error("not answered")
	}
	if seg := heads[0].last(); seg == nil || !seg.RST || seg.Seq != heads[0].ack {
		t.Errorf("to the oldest head: %+v, want a RST", seg)
	}
	for _, c := range append(heads[1:], busy...) {
		if seg := c.last(); seg != nil && seg.RST {
			t.Errorf("to port %d: %+v", c.port, seg)
		}
	}
	s.wantShed(map[Shed]uint64{ShedHead: 1})
}

// reading lets each client take so many octets in each of n seconds.
func reading(clients []*client, octets []uint32, n int) {
	s := clients[0].stage
	for range n {
		for range 10 { // so that no window is too small for the loop's timers
			s.run(100 * time.Millisecond)
		}
		s.device.sent = nil
		for k, c := range clients {
			if c.ack += octets[k]; octets[k] > 0 {
				c.acknowledge()
			}
		}
		s.run(0)
	}
}

// Then it is the slowest of the slow readers. Those who read well are not disturbed.
func TestSlowestReaderMakesRoom(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 3 })
	all := s.opened(3, getLarge)
	reading(all, []uint32{1460, 100, 9000}, 6)
	if !s.answered() {
		t.Error("not answered")
	}
	if seg := all[1].last(); seg == nil || !seg.RST {
		t.Errorf("to the slowest: %+v, want a RST", seg)
	}
	s.wantShed(map[Shed]uint64{ShedReader: 1})

	s = newStage(t, func(cfg *Config) { cfg.MaxConns = 3 })
	reading(s.opened(3, getLarge), []uint32{9000, 9000, 9000}, 6)
	if s.answered() {
		t.Error("somebody was disturbed who reads well")
	}
	s.wantShed(nil)
}

// A head that needs a buffer gets that of the oldest, if that is old.
func TestBufferOfTheOldest(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxBuffers = 3 })
	heads := s.opened(3, "GET /sm")
	s.run(2 * time.Second)
	c := s.opened(1, "GET /sm")[0]
	if seg := heads[0].last(); seg == nil || !seg.RST {
		t.Errorf("to the oldest: %+v, want a RST", seg)
	}
	c.say("all.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	s.run(0)
	if got, _ := c.receive(); !strings.HasSuffix(got, small) {
		t.Errorf("the new one got %q", got)
	}
	s.wantShed(map[Shed]uint64{ShedHead: 1})
	if n := s.counters().Handovers[ReasonBuffers]; n != 0 {
		t.Errorf("%d were handed over", n)
	}
}

// Shedding allocates nothing.
func TestSheddingDoesNotAllocate(t *testing.T) {
	const runs = 50
	s := newStage(t, func(cfg *Config) { cfg.MaxConns = 4 })
	var first [][]byte // segments that open connections
	for range runs + 6 {
		c := s.client()
		c.connect()
		c.say("GET /sm")
		first = append(first, s.device.in...)
		s.device.in = nil
	}
	buffer := make([][]byte, batch)
	for k := range buffer {
		buffer[k] = make([]byte, 2048)
	}
	s.loop.cfg.Device = &ring{fakeDevice: s.device, frames: buffer}
	s.loop.txUsed, s.loop.txHave = 0, 0
	open := func() {
		s.device.in, first = first[:1], first[1:]
		s.now += tcpstate.Time(1100 * time.Millisecond)
		s.loop.Step(s.now)
	}
	for range 5 {
		open()
	}
	if allocs := testing.AllocsPerRun(runs, open); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if n := s.counters().Shed[ShedHead]; n < runs {
		t.Errorf("%d were shed: this measures something else", n)
	}
}
