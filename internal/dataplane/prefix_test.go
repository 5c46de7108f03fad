package dataplane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

func flowFrom(address string, port uint16) *wire.Flow {
	return &wire.Flow{Remote: wire.AddrFrom(netip.MustParseAddr(address)), RemotePort: port, LocalPort: 80}
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		m    Limits
		a, b string
		same bool
	}{
		{Limits{Prefix4: 32, Prefix6: 64}, "192.0.2.1", "192.0.2.1", true},
		{Limits{Prefix4: 32, Prefix6: 64}, "192.0.2.1", "192.0.2.0", false},
		{Limits{Prefix4: 24, Prefix6: 64}, "192.0.2.1", "192.0.2.255", true},
		{Limits{Prefix4: 24, Prefix6: 64}, "192.0.2.1", "192.0.3.1", false},
		{Limits{Prefix4: 23, Prefix6: 64}, "192.0.2.1", "192.0.3.1", true},
		{Limits{Prefix4: 32, Prefix6: 64}, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{Limits{Prefix4: 32, Prefix6: 64}, "2001:db8::1", "2001:db8:0:1::1", false},
		{Limits{Prefix4: 32, Prefix6: 56}, "2001:db8::1", "2001:db8:0:ff::1", true},
		{Limits{Prefix4: 32, Prefix6: 56}, "2001:db8::1", "2001:db8:0:100::1", false},
		{Limits{Prefix4: 8, Prefix6: 8}, "0.0.0.1", "::1", false},
	} {
		var p prefixes
		p.init(65536, &c.m)
		p.add(flowFrom(c.a, 1))
		if got := p.count(flowFrom(c.b, 2)) == 1; got != c.same {
			t.Errorf("%+v: %s and %s are one: %v, want %v", c.m, c.a, c.b, got, c.same)
		}
		if p.remove(flowFrom(c.a, 3)); p.count(flowFrom(c.a, 1)) != 0 {
			t.Errorf("%s is counted after its removal", c.a)
		}
	}
}

// With as many prefixes as there may be connections, a count is too high by little.
func TestPrefixesBarelyCollide(t *testing.T) {
	const n = 65536
	var p prefixes
	p.init(n, &Limits{Prefix4: 32, Prefix6: 64})
	flow := func(k int) *wire.Flow {
		return flowFrom(netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)}).String(), 1)
	}
	for k := range n {
		p.add(flow(k))
	}
	worst := 0
	for k := range n {
		worst = max(worst, p.count(flow(k)))
	}
	if worst > 8 {
		t.Errorf("one connection is counted as %d", worst)
	}
}

// When more than half of the slots are in use, one address can't have all the rest.
func TestPrefixLimit(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns, cfg.Limits.MaxPerPrefix = 20, 3 })
	hungry := s.opened(11, getSmall) // nobody is short of anything yet
	s.device.sent = nil
	refused := s.client()
	refused.connect()
	refused.say(getSmall)
	s.run(0)
	if got, seg := refused.receive(); got != "" || seg == nil || !seg.RST || seg.Seq != refused.ack {
		t.Errorf("one too many got %q, %+v", got, seg)
	}
	s.wantShed(map[Shed]uint64{ShedPrefix: 1})
	other := s.clientFrom(1)
	other.connect()
	other.say(getSmall)
	s.run(0)
	if got, _ := other.receive(); got == "" {
		t.Error("another address got no answer")
	}
	for _, c := range hungry[:9] {
		c.give(layers.TCP{Seq: c.seq, Ack: c.ack, RST: true, ACK: true}, "")
	}
	s.run(0)
	if !s.answered() {
		t.Error("not answered after others have gone")
	}
	s.wantShed(map[Shed]uint64{ShedPrefix: 1})
}

func TestNoPrefixLimit(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns, cfg.Limits.MaxPerPrefix = 20, -1 })
	s.opened(19, getSmall)
	if !s.answered() {
		t.Error("not answered")
	}
	s.wantShed(nil)
}

// A client that reads more slowly than MinRate is reset, one that is a little faster goes on.
func TestMinRate(t *testing.T) {
	for _, c := range []struct {
		name string
		set  Limits
		rate uint32
		shed uint64
	}{
		{"slow", Limits{}, 120, 1},
		{"fast enough", Limits{}, 140, 0},
		{"slow, no limit", Limits{MinRate: -1}, 120, 0},
		{"slow for another rate", Limits{MinRate: 300}, 200, 1},
		{"not for so long", Limits{MinRatePeriod: 10 * time.Minute}, 120, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, func(cfg *Config) { cfg.Limits = c.set })
			all := s.opened(1, getLarge)
			reading(all, []uint32{c.rate}, 298)
			s.wantShed(nil)
			for range 50 { // a last look before what was sent is thrown away
				s.run(100 * time.Millisecond)
			}
			s.wantShed(map[Shed]uint64{ShedSlowReader: c.shed})
			if seg := all[0].last(); c.shed > 0 && (seg == nil || !seg.RST) {
				t.Errorf("to the client: %+v, want a RST", seg)
			}
		})
	}
}

// Who takes nothing at all is stalled.
func TestStall(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.Limits.MinRate = -1 })
	s.opened(1, getLarge)
	for range 3200 {
		s.run(100 * time.Millisecond)
	}
	s.wantShed(map[Shed]uint64{ShedStalled: 1})
	s.idle()
}

// Of many slow heads the server gets a few.
func TestSlowHeadsAreRationed(t *testing.T) {
	s := newStage(t, nil)
	heads := s.opened(5, "GET /small.txt HT")
	s.kernel.refuse = 0
	for range 210 {
		s.kernel.owns = false
		s.run(100 * time.Millisecond)
	}
	if n := s.counters().Handovers[ReasonSlowHead]; n != 2 {
		t.Errorf("%d were handed over, want 2", n)
	}
	s.wantShed(map[Shed]uint64{ShedSlowHead: 3})
	resets := 0
	for _, c := range heads {
		if seg := c.last(); seg != nil && seg.RST {
			resets++
		}
	}
	if resets != 3 {
		t.Errorf("%d were reset, want 3", resets)
	}
	s.idle()
}

// The kernel is not asked to answer each stray segment of a flood.
func TestStraysAreRationed(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.Limits.Strays = 10 })
	for range 30 {
		c := s.client()
		c.give(layers.TCP{Seq: 5, Ack: 77, ACK: true}, "")
		s.run(0)
	}
	drops := s.counters().Drops
	dropped := drops[DropStrayLimit] + drops[DropEarly] // some happen to look as if they came too early
	if n := len(s.kernel.injected); n != 10 || dropped != 20 {
		t.Errorf("%d were injected and %d dropped, want 10 and 20", n, dropped)
	}
	s.client().give(layers.TCP{Seq: 5, Ack: 77, ACK: true}, "")
	s.run(100 * time.Millisecond)
	if n := len(s.kernel.injected); n != 11 {
		t.Errorf("a moment later: %d were injected, want 11", n)
	}
}

func TestAllowance(t *testing.T) {
	for _, rate := range []int{1, 2, 10, 10000} {
		a := allowance{rate: rate}
		now, taken := tcpstate.Time(1e15), 0
		for range 60_000 { // 3 s
			if a.take(now) {
				taken++
			}
			now += tcpstate.Time(5e4)
		}
		if want := 4 * rate; taken < want-1 || taken > want+1 {
			t.Errorf("%d in 3 s, and those of the second before; want %d", taken, want)
		}
	}
	a := allowance{rate: -1}
	for range 1000 {
		if !a.take(1) {
			t.Fatal("a limit where there is none")
		}
	}
}

// Without buffers, an incomplete request beyond the server's ration has to be repeated, and is answered then.
func TestHeadsWithoutBuffersAreRationed(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxBuffers = 1 })
	s.kernel.refuse = 0
	all := s.opened(4, "GET /sm")
	if n := s.counters().Handovers[ReasonBuffers]; n != 2 {
		t.Errorf("%d were handed over, want 2", n)
	}
	late := all[3]
	if c := s.counters(); c.Drops[DropBuffer] != 1 || c.Live() != 2 {
		t.Errorf("%d dropped and %d held, want 1 and 2", c.Drops[DropBuffer], c.Live())
	}
	s.run(1100 * time.Millisecond)
	s.device.sent = nil
	late.seq -= uint32(len("GET /sm"))
	late.say("GET /sm")
	late.say("all.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	s.run(0)
	if got, _ := late.receive(); !strings.HasSuffix(got, small) {
		t.Errorf("after the repetition: %q", got)
	}
}

// TIME-WAIT counts for nobody: an office behind one address leaves much of it.
func TestPrefixLimitLeavesTimeWaitOut(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.MaxConns, cfg.Limits.MaxPerPrefix = 20, 3 })
	for range 18 {
		s.device.sent = nil
		c := s.opened(1, "GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0]
		c.receive()
		c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
		s.run(0)
	}
	if n := s.counters().Connections[tcpstate.TimeWait]; n != 18 {
		t.Fatalf("%d connections in TIME-WAIT, want 18", n)
	}
	for range 2 {
		if !s.answered() {
			t.Error("not answered")
		}
	}
	s.wantShed(nil)
}

// What was read well before does not count for ever.
func TestMinRateOfWhoBecomesSlow(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.Limits.MinRatePeriod = time.Minute })
	all := s.opened(1, getLarge)
	reading(all, []uint32{9000}, 5)
	reading(all, []uint32{100}, 55)
	s.wantShed(nil)
	reading(all, []uint32{100}, 20)
	s.wantShed(map[Shed]uint64{ShedSlowReader: 1})
}
