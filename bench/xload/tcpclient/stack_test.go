package tcpclient

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
)

const ackFlag = wire.ACK

func TestHandshakeAndExchange(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.ask(k, "GET /")
	s := p.next()
	if string(s.Payload) != "GET /" || !s.PSH || wire.Seq(s.Seq) != una || wire.Seq(s.Ack) != iss+1 {
		t.Fatalf("request: %+v", s)
	}
	e := p.says(ackFlag, iss+1, una+5, "HTTP/1.1", nil)
	if e.Conn != k || e.What != Data || string(e.Data) != "HTTP/1.1" {
		t.Fatalf("event %+v", e)
	}
	p.silent() // the acknowledgment waits for the next request
	p.ask(k, "GET /2")
	if s = p.next(); wire.Seq(s.Ack) != iss+9 || string(s.Payload) != "GET /2" {
		t.Fatalf("second request: %+v", s)
	}
	p.silent()
}

func TestSYNCarriesOptions(t *testing.T) {
	p := newPeer(t, func(c *Config) { c.Timestamps = true })
	p.stack.Open(p.now)
	kinds := map[layers.TCPOptionKind]bool{}
	for _, o := range p.next().Options {
		kinds[o.OptionType] = true
	}
	for _, want := range []layers.TCPOptionKind{
		layers.TCPOptionKindMSS, layers.TCPOptionKindWindowScale, layers.TCPOptionKindSACKPermitted, layers.TCPOptionKindTimestamps,
	} {
		if !kinds[want] {
			t.Errorf("SYN without %v", want)
		}
	}
}

func TestTimestampsAreEchoed(t *testing.T) {
	p := newPeer(t, func(c *Config) { c.Timestamps = true })
	p.ts = true
	k, una := p.open()
	p.says(ackFlag, iss+1, una, "x", &wire.Options{HasTS: true, TSVal: 99})
	p.ask(k, "GET")
	for _, o := range p.next().Options {
		if o.OptionType == layers.TCPOptionKindTimestamps {
			if o.OptionData[7] != 99 {
				t.Errorf("echoes %v", o.OptionData)
			}
			return
		}
	}
	t.Error("no timestamps")
}

// RFC 6298: a second for the first one, then twice as long each time.
func TestSYNIsSentAgain(t *testing.T) {
	p := newPeer(t, nil)
	p.stack.Open(p.now)
	first := p.next()
	var at []int64
	start := p.now
	for len(at) < 3 {
		p.later(ms)
		if len(p.sent) > 0 {
			s := p.next()
			if !s.SYN || s.Seq != first.Seq {
				t.Fatalf("sent %+v", s)
			}
			at = append(at, (p.now-start)/ms)
		}
	}
	for i, want := range []int64{1000, 3000, 7000} {
		if at[i] < want || at[i] > want+3 {
			t.Errorf("SYN %d came again after %d ms, want %d", i, at[i], want)
		}
	}
}

func TestRequestIsSentAgain(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.ask(k, "GET /")
	p.next()
	events := p.later(250 * ms)
	if len(events) != 1 || events[0].Conn != k || events[0].What != Resend || events[0].Seq != una {
		t.Fatalf("events %+v", events)
	}
	p.stack.Resend(k, una, copy(p.stack.Room(k), "GET /"))
	if s := p.next(); string(s.Payload) != "GET /" || wire.Seq(s.Seq) != una {
		t.Fatalf("sent %+v", s)
	}
	p.says(ackFlag, iss+1, una+5, "", nil)
	if events := p.later(3000 * ms); len(events) != 0 {
		t.Fatalf("what is acknowledged is asked for again: %+v", events)
	}
}

func TestOutOfOrder(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	if e := p.says(ackFlag, iss+4, una, "def", nil); e.What != 0 {
		t.Fatalf("event %+v", e)
	}
	s := p.next()
	if wire.Seq(s.Ack) != iss+1 {
		t.Fatalf("acknowledges %d", s.Ack)
	}
	sack := ""
	for _, o := range s.Options {
		if o.OptionType == layers.TCPOptionKindSACK {
			sack = string(o.OptionData)
		}
	}
	if want := "\x00\x0fBD\x00\x0fBG"; sack != want { // 1,000,004 to 1,000,007
		t.Errorf("SACK %q, want %q", sack, want)
	}
	p.says(ackFlag|wire.FIN, iss+7, una, "ghi", nil)
	p.says(ackFlag, iss+4, una, "def", nil) // twice
	p.next()
	if n := p.stack.waiting.room(); n != 6 {
		t.Errorf("%d of 8 places are free, two segments wait", n)
	}
	got, end := "", false
	e := p.says(ackFlag, iss+1, una, "abc", nil)
	for ok := true; ok; e, ok = p.stack.More(k, p.now) {
		got += string(e.Data)
		end = end || e.What&EOF != 0
	}
	if got != "abcdefghi" || !end {
		t.Errorf("got %q, end %v", got, end)
	}
	if s := p.next(); wire.Seq(s.Ack) != iss+11 {
		t.Errorf("acknowledges %d, want %d", s.Ack, iss+11)
	}
	if n := p.stack.waiting.room(); n != 8 {
		t.Errorf("%d of 8 places are free", n)
	}
}

// room counts the free places.
func (s *segments) room() (n int) {
	for i := s.free; i != none; i = s.all[i].next {
		n++
	}
	return n
}

// Old segments are answered, and change nothing.
func TestDuplicatesAndProbes(t *testing.T) {
	p := newPeer(t, nil)
	_, una := p.open()
	p.says(ackFlag, iss+1, una, "abc", nil)
	for _, s := range []struct {
		seq  wire.Seq
		data string
	}{{iss + 1, "abc"}, {iss + 3, ""}, {iss + 2, "b"}} {
		if e := p.says(ackFlag, s.seq, una, s.data, nil); e.What != 0 {
			t.Errorf("%+v is event %+v", s, e)
		}
		if a := p.next(); wire.Seq(a.Ack) != iss+4 {
			t.Errorf("%+v: acknowledges %d", s, a.Ack)
		}
	}
	if e := p.says(ackFlag, iss+2, una, "bcde", nil); string(e.Data) != "de" {
		t.Errorf("of an overlap came %q", e.Data)
	}
}

func TestDelayedAcknowledgment(t *testing.T) {
	p := newPeer(t, nil)
	_, una := p.open()
	p.says(ackFlag, iss+1, una, "abc", nil)
	p.silent()
	p.later(35 * ms)
	p.silent()
	p.later(10 * ms)
	if s := p.next(); wire.Seq(s.Ack) != iss+4 {
		t.Errorf("acknowledges %d", s.Ack)
	}
	// Two segments are acknowledged at once.
	full := strings.Repeat("x", 1460)
	p.says(ackFlag, iss+4, una, full, nil)
	p.silent()
	p.says(ackFlag, iss+1464, una, full, nil)
	if s := p.next(); wire.Seq(s.Ack) != iss+2924 {
		t.Errorf("acknowledges %d", s.Ack)
	}
}

// The server closes first: our FIN follows, and the port is free when it is acknowledged.
func TestLeave(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.stack.Leave(k, p.now)
	p.silent()
	if e := p.says(ackFlag|wire.FIN, iss+1, una, "", nil); e.Conn >= 0 {
		t.Errorf("event of a connection that was left: %+v", e)
	}
	s := p.next()
	if !s.FIN || wire.Seq(s.Ack) != iss+2 {
		t.Fatalf("sent %+v", s)
	}
	p.silent()
	if p.stack.Free() != 7 || p.stack.Counters.Orphans != 1 {
		t.Errorf("%d free, %d orphans", p.stack.Free(), p.stack.Counters.Orphans)
	}
	p.says(ackFlag, iss+2, una+1, "", nil)
	if p.stack.Free() != 8 || p.stack.State(k) != Closed || p.stack.Counters.Orphans != 0 {
		t.Errorf("%d free, %d orphans", p.stack.Free(), p.stack.Counters.Orphans)
	}
}

// The server does not close, or vanishes: the connection is reset in the end.
func TestLeftBehind(t *testing.T) {
	for _, fin := range []bool{false, true} {
		p := newPeer(t, nil)
		k, una := p.open()
		p.stack.Leave(k, p.now)
		if fin {
			p.says(ackFlag|wire.FIN, iss+1, una, "", nil)
		}
		p.later(60_000 * ms)
		last := p.sent[len(p.sent)-1]
		if !last.RST || p.stack.Free() != 8 {
			t.Errorf("fin %v: last sent %+v, %d free", fin, last, p.stack.Free())
		}
	}
}

// A request that the server has not acknowledged is not asked for once its connection was left, nor for ever.
func TestLeftWithARequest(t *testing.T) {
	p := newPeer(t, nil)
	k, _ := p.open()
	p.ask(k, "GET /")
	p.stack.Leave(k, p.now)
	if events := p.later(60_000 * ms); len(events) > 0 {
		t.Errorf("events %+v", events)
	}
	if !p.sent[len(p.sent)-1].RST || p.stack.Free() != 8 {
		t.Error("the connection is still there")
	}
}

// The server acknowledges our FIN and never sends its own.
func TestHalfClosed(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.stack.Close(k, p.now)
	p.next()
	p.says(ackFlag, iss+1, una+1, "", nil)
	if p.stack.State(k) != FinWait2 {
		t.Fatalf("state %d", p.stack.State(k))
	}
	p.later(2000 * ms)
	if s := p.next(); !s.RST || p.stack.Free() != 8 {
		t.Error("the connection is still there")
	}
}

// What the server has no room for waits for the timer.
func TestWindowOfTheServer(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open() // 1,000 octets: a SYN/ACK's window is not scaled
	text := strings.Repeat("x", 600)
	p.ask(k, text)
	p.ask(k, text)
	p.next()
	p.silent()
	p.says(ackFlag, iss+1, una+600, "", nil)
	if events := p.later(1500 * ms); len(events) == 0 || events[0].Seq != una+600 {
		t.Errorf("events %+v", events)
	}
}

func TestCloseFirst(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.stack.Close(k, p.now)
	if s := p.next(); !s.FIN || wire.Seq(s.Seq) != una {
		t.Fatalf("sent %+v", s)
	}
	p.says(ackFlag, iss+1, una+1, "", nil)
	p.says(ackFlag|wire.FIN, iss+1, una+1, "", nil)
	if s := p.next(); wire.Seq(s.Ack) != iss+2 || s.FIN {
		t.Fatalf("sent %+v", s)
	}
	if p.stack.Free() != 8 {
		t.Error("the connection is still there")
	}
}

func TestResets(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	for _, seq := range []wire.Seq{iss, iss + 1 + window + 1} { // outside of the window (RFC 5961)
		if e := p.says(wire.RST, seq, 0, "", nil); e.What != 0 {
			t.Errorf("RST at %d is event %+v", seq-iss, e)
		}
	}
	if e := p.says(wire.RST|wire.ACK, iss+1, una, "", nil); e.Conn != k || e.What != Reset {
		t.Errorf("event %+v", e)
	}
	if p.stack.Free() != 8 {
		t.Error("the connection is still there")
	}
	// Refused.
	k, _ = p.stack.Open(p.now)
	syn := p.next()
	p.flow.LocalPort = uint16(syn.SrcPort)
	if e := p.says(wire.RST|wire.ACK, 0, wire.Seq(syn.Seq)+1, "", nil); e.Conn != k || e.What != Reset {
		t.Errorf("event %+v", e)
	}
	p.silent()
}

// What belongs to no connection is reset, so that the server forgets it.
func TestStray(t *testing.T) {
	p := newPeer(t, nil)
	p.open()
	p.flow.LocalPort++
	p.says(ackFlag, 5, 77, "abc", nil)
	if s := p.next(); !s.RST || s.Seq != 77 {
		t.Errorf("sent %+v", s)
	}
	for _, flags := range []wire.Flags{wire.RST, wire.RST | wire.ACK} { // never a reset for a reset
		p.says(flags, 5, 77, "", nil)
		p.silent()
	}
}

// An acknowledgment of what was never sent in the handshake is from an older life of the port (RFC 9293, 3.10.7.3).
func TestOldLifeInHandshake(t *testing.T) {
	p := newPeer(t, nil)
	k, _ := p.stack.Open(p.now)
	syn := p.next()
	p.flow = wire.Flow{Local: p.stack.cfg.Sources[0], LocalPort: uint16(syn.SrcPort), Remote: p.stack.cfg.Remote, RemotePort: 80}
	if e := p.says(ackFlag, 9, wire.Seq(syn.Seq)-5, "", nil); e.What != 0 {
		t.Errorf("event %+v", e)
	}
	if s := p.next(); !s.RST || wire.Seq(s.Seq) != wire.Seq(syn.Seq)-5 {
		t.Errorf("sent %+v", s)
	}
	if p.stack.State(k) != SynSent {
		t.Error("the attempt has ended")
	}
	// Once, the SYN comes again as soon as the reset has had its effect.
	p.later(10 * ms)
	if s := p.next(); !s.SYN || s.Seq != syn.Seq {
		t.Errorf("sent %+v", s)
	}
	p.says(ackFlag, 9, wire.Seq(syn.Seq)-5, "", nil)
	p.next()
	p.later(100 * ms)
	p.silent()
}

// Ports rest as long as possible, and initial sequence numbers grow.
func TestPortsRotate(t *testing.T) {
	p := newPeer(t, func(c *Config) {
		c.Sources = append(c.Sources, wire.Addr4([]byte{192, 0, 2, 3}))
	})
	seen := map[[2]uint32]int{}
	last := wire.Seq(0)
	for i := range 60 {
		k, ok := p.stack.Open(p.now)
		if !ok {
			t.Fatal("no port")
		}
		s := p.next()
		c := &p.stack.conns[k]
		key := [2]uint32{uint32(c.source), uint32(s.SrcPort)}
		if at, ok := seen[key]; ok && i-at != 20 {
			t.Errorf("a port comes again after %d connections", i-at)
		}
		seen[key] = i
		if i > 0 && !last.Less(wire.Seq(s.Seq)) {
			t.Error("the initial sequence number has not grown")
		}
		last = wire.Seq(s.Seq)
		p.stack.Abort(k)
		p.now += ms
	}
	if len(seen) != 20 {
		t.Errorf("%d ports were used, there are 20", len(seen))
	}
	for range 8 {
		p.stack.Open(p.now)
	}
	if _, ok := p.stack.Open(p.now); ok || p.stack.Counters.PortsInUse != 1 {
		t.Error("more connections than places")
	}
}

// CHECKSUM_PARTIAL, as on a veth pair with offloads.
func TestPartialChecksum(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	h := wire.Header{Flow: &p.flow, Inbound: true, Seq: iss + 1, Ack: una, Flags: wire.ACK, Wnd: 1000}
	frame := make([]byte, 200)
	n := h.Build(frame, copy(frame[h.HeaderLen():], "abc"))
	// The pseudo-header's sum: protocol, length, addresses.
	sum := uint32(6+20+3) + 2*(192<<8) + 2*(2<<8) + 1 + 2
	frame[50], frame[51] = byte(sum>>8), byte(sum)
	if sum>>16 != 0 {
		frame[50], frame[51] = byte((sum>>16+sum)>>8), byte(sum>>16+sum)
	}
	if e := p.stack.Input(frame[:n], p.now); e.Conn != k || string(e.Data) != "abc" {
		t.Errorf("event %+v, bad %d", e, p.stack.Counters.Bad)
	}
	frame[50]++
	if p.stack.Input(frame[:n], p.now); p.stack.Counters.Bad != 1 {
		t.Error("a wrong checksum was taken")
	}
}

// Without a frame a segment is lost, and comes later.
func TestNoFrames(t *testing.T) {
	p := newPeer(t, nil)
	p.dry = true
	p.stack.Open(p.now)
	p.silent()
	if p.stack.Counters.NoFrame != 1 {
		t.Errorf("NoFrame %d", p.stack.Counters.NoFrame)
	}
	p.dry = false
	p.later(1005 * ms)
	if !p.next().SYN {
		t.Error("no SYN")
	}
}

// A connection holds no pointer, and a million idle ones fit into the memory that Memory says.
func TestFlat(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[Conn](), reflect.TypeFor[node]()} {
		for f := range typ.NumField() {
			if k := typ.Field(f).Type.Kind(); k == reflect.Pointer || k == reflect.Slice || k == reflect.Map || k == reflect.String {
				t.Errorf("%v.%s is a %v", typ, typ.Field(f).Name, k)
			}
		}
	}
	if size := reflect.TypeFor[Conn]().Size(); size > 80 {
		t.Errorf("a connection takes %d octets", size)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	p := newPeer(t, nil)
	k, una := p.open()
	p.stack.cfg.Device, p.stack.out.device = nil, nullDevice{p}
	seq := iss + 1
	h := wire.Header{Flow: &p.flow, Inbound: true, Flags: wire.ACK, Wnd: 1000}
	frame := make([]byte, 2048)
	allocs := testing.AllocsPerRun(1000, func() {
		p.now += ms
		p.stack.Request(k, len("GET /"), p.now)
		una += 5
		h.Seq, h.Ack = seq, una
		n := h.Build(frame, 1000)
		wire.Finish(frame[:n])
		if e := p.stack.Input(frame[:n], p.now); len(e.Data) != 1000 {
			t.Fatal("no data")
		}
		seq = seq.Add(1000)
		p.stack.Expire(p.now)
		p.stack.Flush(p.now)
	})
	if allocs != 0 {
		t.Errorf("%g allocations for an exchange", allocs)
	}
}

// nullDevice swallows frames.
type nullDevice struct{ *peer }

func (nullDevice) Send(frames [][]byte) int { return len(frames) }
