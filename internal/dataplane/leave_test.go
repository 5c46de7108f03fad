package dataplane

import (
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Who is left, by nothing but what came of connections.
func TestLeavePolicy(t *testing.T) {
	for _, c := range []struct {
		name           string
		r              rates
		begins, goesOn bool
	}{
		{"nobody comes", rates{}, false, false},
		{"few come", rates{syns: 99, opened: 99, theirs: 99}, false, true},
		{"hardly anybody comes", rates{syns: 24, opened: 24, theirs: 24}, false, false},
		{"many come for the server", rates{syns: 100, opened: 100, theirs: 100}, true, true},
		{"one in 33 is ours", rates{syns: 6600, opened: 6600, theirs: 6400, ours: 200}, true, true},
		{"one in 32 is ours", rates{syns: 6400, opened: 6400, theirs: 6200, ours: 200}, false, true},
		{"one in 16 is ours", rates{syns: 3200, opened: 3200, theirs: 3000, ours: 200}, false, false},
		{"all are ours", rates{syns: 1e5, opened: 1e5, ours: 1e5}, false, false},
		{"half of them ask for nothing", rates{syns: 2000, opened: 1000, theirs: 1000}, true, true},
		{"most ask for nothing", rates{syns: 5001, opened: 1250, theirs: 1250}, false, false},
		{"a crowded ring: SYNs do not come here", rates{opened: 1000, theirs: 1000}, true, true},
	} {
		if got := c.r.begins(); got != c.begins {
			t.Errorf("%s: begins %t", c.name, got)
		}
		if got := c.r.goesOn(); got != c.goesOn {
			t.Errorf("%s: goes on %t", c.name, got)
		}
	}
}

func TestLeaveSample(t *testing.T) {
	for opened, want := range map[float64]uint64{0: 8, 100: 8, 511: 8, 512: 16, 1023: 16, 1024: 32, 10_000: 256, 16_383: 256, 16_384: 512, 1e6: 512} {
		if got := (&rates{opened: opened}).sample(); got != want {
			t.Errorf("one of %d is seen of %v in a second, want %d", got, opened, want)
		}
	}
}

// Stages follow each other, and only a sustained rate leads to the last one.
func TestLeaveStages(t *testing.T) {
	high, low, none := rates{syns: 500, opened: 500, theirs: 500}, rates{syns: 50, opened: 50, theirs: 50}, rates{}
	const now = 100 * tcpstate.Second
	for _, c := range []struct {
		name           string
		stage          leaveStage
		rates          rates
		age            tcpstate.Time
		late, draining bool
		want           leaveStage
	}{
		{"it begins", leaveNobody, high, 0, false, false, leaveNote},
		{"not at a low rate", leaveNobody, low, 0, false, false, leaveNobody},
		{"SYNs are noted for a while", leaveNote, high, leaveNoting - 1, false, false, leaveNote},
		{"then connections are left", leaveNote, high, leaveNoting, false, false, leaveMost},
		{"a burst ends meanwhile", leaveNote, low, leaveNoting, false, false, leaveNobody},
		{"it may sink meanwhile", leaveNote, low, leaveNoting - 1, false, false, leaveNote},
		{"but not to nothing", leaveNote, none, 1, false, false, leaveNobody},
		{"it goes on at a lower rate", leaveMost, low, 9 * leaveNoting, false, false, leaveMost},
		{"it ends", leaveMost, none, 1, false, false, leaveNobody},
		{"the loop was held up", leaveMost, high, 9 * leaveNoting, true, false, leaveNote},
		{"the loop was held up while noting", leaveNote, high, 9 * leaveNoting, true, false, leaveNote},
		{"the daemon ends", leaveMost, high, 1, false, true, leaveNobody},
		{"the daemon ends while noting", leaveNote, high, 1, false, true, leaveNobody},
	} {
		n := &leaver{stage: c.stage, since: now - c.age, rates: c.rates}
		if got := n.next(now, c.late, c.draining); got != c.want {
			t.Errorf("%s: stage %d, want %d", c.name, got, c.want)
		}
	}
}

// leaving is a stage whose loop may leave connections.
type leaving struct {
	*stage
	note, leave, mask uint64
}

func newLeaving(t *testing.T) *leaving {
	s := new(leaving)
	s.stage = newStage(t, func(cfg *Config) { cfg.Leaving = &Leaving{Note: &s.note, Leave: &s.leave, Mask: &s.mask} })
	s.loop.Step(s.now)
	return s
}

// ask has n clients connect, ask for a target and be gone, and then lets some time pass.
func (s *leaving) ask(n int, target string, d time.Duration) {
	s.t.Helper()
	for range n {
		s.run(0)
		s.device.sent = nil
		c := s.client()
		c.connect()
		c.say("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		c.run(0)
		c.give(layers.TCP{Seq: c.seq, RST: true}, "")
		c.run(0)
	}
	s.device.sent, s.kernel.calls, s.kernel.injected, s.kernel.owns = nil, nil, nil, false
	s.run(d)
}

// is reports whether SYNs are noted, and connections left, from now on; for how long is always the same.
func (s *leaving) is(note, leave bool) bool {
	s.t.Helper()
	for word, on := range map[uint64]bool{s.note: note, s.leave: leave} {
		if word != 0 && word != uint64(s.now+leaveFor) {
			s.t.Fatalf("at %d it is told until %d", s.now, word)
		}
		if (word != 0) != on {
			return false
		}
	}
	return (s.counters().Leaving == 1) == leave
}

func (s *leaving) want(what string, note, leave bool) {
	s.t.Helper()
	if !s.is(note, leave) {
		s.t.Fatalf("%s: noted until %d, left until %d, at %d; rates %+v", what, s.note, s.leave, s.now, s.loop.leaver.rates)
	}
}

const (
	lookEach = time.Duration(leaveLook)
	perSec   = int(tcpstate.Second / leaveLook)
	theirs   = "/small.txt?x"
	ours     = "/small.txt"
)

// begin brings it about that connections are left.
func (s *leaving) begin() {
	s.t.Helper()
	var noted time.Duration
	for k := 0; !s.is(true, true); k++ {
		if s.is(true, false) {
			noted += lookEach
		}
		if k == 10*perSec {
			s.t.Fatalf("nobody is left; rates %+v", s.loop.leaver.rates)
		}
		s.ask(2*leaveFloor/perSec, theirs, lookEach)
	}
	if noted < time.Duration(leaveNoting) {
		s.t.Fatalf("SYNs were noted for %v only", noted)
	}
}

func TestLeaving(t *testing.T) {
	s := newLeaving(t)
	s.want("in the beginning", false, false)
	for range 10 * perSec {
		s.ask(leaveFloor/2/perSec, theirs, lookEach)
		s.want("at a low rate", false, false)
	}
	s.begin()
	for k := range 20 * perSec { // the sample stands for as many others
		s.ask(1600/perSec/int(s.mask+1), theirs, lookEach)
		if s.want("while the sample says that it is right", true, true); k > 10*perSec && s.mask != 31 {
			t.Errorf("one in %d is seen of 1,600 in a second", s.mask+1)
		}
	}
	for k := 0; !s.is(false, false); k++ {
		if k == perSec {
			t.Fatal("others ask for what is ours, and are left")
		}
		s.ask(4, ours, lookEach)
	}
	for range 10 * perSec {
		s.ask(2*leaveFloor/perSec, theirs, 0)
		s.ask(leaveFloor/8/perSec, ours, lookEach)
		s.want("while some are ours", false, false)
	}
	s.begin()
	for range 10 * perSec {
		s.run(lookEach)
	}
	s.want("when nobody asks", false, false)
}

// A burst is not a rate; it ends before anybody is left.
func TestBurstIsNotLeft(t *testing.T) {
	s := newLeaving(t)
	s.ask(4*leaveFloor, theirs, lookEach)
	s.want("at its end", true, false)
	for range 10 * perSec {
		s.run(lookEach)
		if s.leave != 0 {
			t.Fatalf("left until %d, at %d", s.leave, s.now)
		}
	}
}

// Connections are left only as long as the loop goes on: what it last said ends, and it begins with noting SYNs again.
func TestLeavingEndsWithTheLoop(t *testing.T) {
	s := newLeaving(t)
	s.begin()
	before := s.now
	s.run(5 * time.Second)
	if s.want("when it was held up", true, false); before+leaveFor >= s.now {
		t.Error("that was too short to tell anything")
	}
	s.begin()
	s.loop.Drain()
	s.run(lookEach)
	s.want("while the daemon ends", false, false)
}

// SYNs that nobody follows up are not left to the kernel's queue, whoever else asks for what is the server's.
func TestFloodIsNotLeft(t *testing.T) {
	s := newLeaving(t)
	flood := func(n int) {
		for range n {
			s.client().give(layers.TCP{Seq: 1, SYN: true}, "")
		}
	}
	for range 5 * perSec {
		flood(10 * leaveFloor / perSec)
		s.ask(2*leaveFloor/perSec, theirs, lookEach)
		s.want("in a flood", false, false)
	}
	for range 5 * perSec {
		s.run(lookEach)
	}
	s.begin()
	for k := 0; !s.is(false, false); k++ {
		if k == 2*perSec {
			t.Fatal("connections are left in a flood")
		}
		flood(100)
		s.ask(10, theirs, lookEach)
	}
}

// What the cache takes now will be ours soon: misses are not left while it fills.
func TestLeavingWaitsForTheCache(t *testing.T) {
	n := &leaver{sample: 1}
	f := firsts{syns: 100, opened: 100, theirs: 100}
	filled := uint64(0)
	for range 10 * perSec {
		n.look(&f, filled, leaveLook)
		filled += 5
		if n.rates.begins() {
			t.Fatalf("begins: %+v", n.rates)
		}
	}
	for range 10 * perSec {
		n.look(&f, filled, leaveLook)
	}
	if !n.rates.begins() {
		t.Fatalf("does not begin when the cache takes nothing: %+v", n.rates)
	}
}

// Only the first request of a connection counts, and only reasons that will be so the next time.
func TestWhatIsCountedForLeaving(t *testing.T) {
	for _, c := range []struct {
		name string
		say  []string
		want firsts
	}{
		{"a query", []string{"GET /small.txt?x HTTP/1.1\r\nHost: x\r\n\r\n"}, firsts{1, 1, 0, 1}},
		{"a method", []string{postHead}, firsts{1, 1, 0, 1}},
		{"a miss", []string{"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"}, firsts{1, 1, 0, 1}},
		{"ours", []string{"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"}, firsts{1, 1, 1, 0}},
		{"ours, twice", []string{"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n", "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"}, firsts{1, 1, 1, 0}},
		{"theirs behind ours", []string{"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n", postHead}, firsts{1, 1, 1, 0}},
		{"half a request", []string{"GET /small.t"}, firsts{1, 1, 0, 0}},
		{"half a request, and the end", []string{"GET /small.t", ""}, firsts{1, 1, 0, 0}},
		{"nothing", nil, firsts{1, 0, 0, 0}},
	} {
		s := newStage(t, nil)
		cl := s.client()
		cl.connect()
		for _, text := range c.say {
			if cl.say(text); text == "" {
				cl.give(layers.TCP{Seq: cl.seq, Ack: cl.ack, ACK: true, FIN: true}, "")
			}
			cl.run(0)
			cl.receive()
			cl.acknowledge()
			cl.run(0)
		}
		if got := s.loop.firsts; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, r := range []Reason{ReasonVariant, ReasonSlowHead, ReasonHalfSent, ReasonConnLimit, ReasonBuffers, ReasonShutdown, ReasonPieces, ReasonDisk} {
		if r.lasts() {
			t.Errorf("%v is taken for a reason that lasts", r)
		}
	}
	for _, r := range []Reason{Reason(httpwire.Method), Reason(httpwire.Repeated), ReasonMiss, ReasonLarge} {
		if !r.lasts() {
			t.Errorf("%v is not taken for a reason that lasts", r)
		}
	}
}

func TestLeavingAllocatesNothing(t *testing.T) {
	s := newLeaving(t)
	s.begin()
	s.ask(1, theirs, 0)
	if n := testing.AllocsPerRun(100, func() { s.run(lookEach) }); n != 0 {
		t.Errorf("%v allocations for a look", n)
	}
}
