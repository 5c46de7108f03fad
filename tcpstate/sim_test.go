package tcpstate

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// A sim is a server's connection, a client, and a network between them that loses, delays and duplicates, in
// virtual time. After each step the invariants of the connection are checked.
type sim struct {
	testing.TB
	r     *rand.Rand
	p     path
	now   Time
	queue arrivals
	order int

	l      *Listener
	st     *Stack
	flow   wire.Flow
	c      Conn
	open   bool
	over   Fate // how the connection ended; Alive: it has not
	buf    RecvBuf
	pollAt Time // when the transmit ring has room again

	client client
	sent   int  // segments by the server, for the report
	idleAt Time // when the bottleneck has sent all that it holds
	full   int  // segments that found no room in its queue
}

// path is what a sim is made with.
type path struct {
	cfg                    Config
	syn                    wire.Options
	irs                    wire.Seq
	loss, dup, reorder     float64
	delay                  Time // one way
	window                 uint32
	stalls                 bool // the client closes its window now and then
	request, response, num int
	pipelined              bool
	closes                 closer
	flow                   wire.Flow
	control                Control
	rate                   float64 // of the bottleneck towards the client, octets a second; 0: none
	queue                  float64 // of the bottleneck, octets
}

type closer uint8

const (
	serverCloses closer = iota
	clientCloses        // after the last response
	clientHalf          // with its last request
	numClosers
)

type arrival struct {
	at       Time
	order    int
	toServer bool
	seg      wire.Segment
}

type arrivals []arrival

func (q arrivals) Len() int { return len(q) }
func (q arrivals) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q arrivals) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *arrivals) Push(x any)   { *q = append(*q, x.(arrival)) }
func (q *arrivals) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// requestOctet and responseOctet are what the streams consist of.
func requestOctet(i uint32) byte  { return byte(i*7 + i>>9) }
func responseOctet(i uint32) byte { return byte(i*13 + i>>11) }

func newSim(t testing.TB, r *rand.Rand, p path) *sim {
	s := &sim{TB: t, st: NewStack(StackConfig{Control: p.control, Flights: 1, Runs: 20000}), r: r, p: p, now: start, l: NewListener(p.cfg, key), flow: p.flow}
	s.client.init(s)
	return s
}

// carry puts a segment on its way.
func (s *sim) carry(toServer bool, seg wire.Segment) {
	copies := 1
	if s.r.Float64() < s.p.dup {
		copies = 2
	}
	for range copies {
		d, ok := s.bottleneck(toServer, len(seg.Payload))
		if !ok || s.r.Float64() < s.p.loss {
			continue
		}
		d += s.p.delay
		if s.r.Float64() < s.p.reorder {
			d += Time(s.r.Int64N(int64(s.p.delay)))
		}
		s.order++
		heap.Push(&s.queue, arrival{s.now + d, s.order, toServer, seg})
	}
}

// bottleneck returns how long a segment waits until the link has sent it, or false if there is no room for it.
func (s *sim) bottleneck(toServer bool, payload int) (Time, bool) {
	if toServer || s.p.rate == 0 {
		return 0, true
	}
	s.idleAt = max(s.idleAt, s.now)
	if float64(s.idleAt-s.now)/float64(Second)*s.p.rate > s.p.queue {
		s.full++
		return 0, false
	}
	s.idleAt += Time(float64(payload+66) / s.p.rate * float64(Second))
	return s.idleAt - s.now, true
}

// run goes on until both sides are done, and reports whether they are before limit.
func (s *sim) run(limit Time) bool {
	s.client.begin()
	for s.now < start+limit {
		if s.client.done() && (s.over != Alive || s.c.State() == TimeWait) {
			return true
		}
		if !s.step() {
			return false
		}
	}
	return false
}

// step lets the next thing happen, and reports whether there was one.
func (s *sim) step() bool {
	next := Time(-1)
	soonest := func(at Time) {
		if at != 0 && (next < 0 || at < next) {
			next = at
		}
	}
	if len(s.queue) > 0 {
		soonest(s.queue[0].at)
	}
	if s.open {
		soonest(s.c.Deadline(s.st))
	}
	soonest(s.client.deadline())
	soonest(s.pollAt)
	if next < 0 {
		return false
	}
	s.now = max(s.now, next)
	if len(s.queue) > 0 && s.queue[0].at <= s.now {
		a := heap.Pop(&s.queue).(arrival)
		if a.toServer {
			s.toServer(&a.seg)
		} else {
			s.client.receive(&a.seg)
		}
	}
	if at := s.client.deadline(); at != 0 && at <= s.now {
		s.client.timeout()
	}
	s.serverTimers()
	s.transmit()
	return true
}

func (s *sim) serverTimers() {
	if !s.open || s.c.Deadline(s.st) == 0 || s.c.Deadline(s.st) > s.now {
		return
	}
	before := s.c.State()
	switch f := s.c.OnTimeout(s.st, s.now); f {
	case Closed, TimedOut:
		s.over, s.open = f, false
	case IdleExpired, HeadExpired:
		s.c.Close()
	}
	s.checkServer(before)
}

func (s *sim) toServer(seg *wire.Segment) {
	if !s.open {
		s.unknown(seg)
		if !s.open {
			return
		}
	}
	before := s.c.State()
	in := s.c.OnSegment(s.st, seg, s.now)
	if in.Fate != Alive {
		s.over, s.open = in.Fate, false
		s.checkServer(before)
		return
	}
	if in.NewSYN {
		s.Fatal("a new SYN in this test")
	}
	s.checkServer(before)
	before = s.c.State()
	s.serve(&in)
	s.checkServer(before)
}

func (s *sim) unknown(seg *wire.Segment) {
	if seg.Flags.Has(wire.SYN) {
		var out Transmit
		if v := s.l.OnSYN(&s.flow, seg, s.now, &out); v != SYNReply {
			s.Fatalf("OnSYN: %v", v)
		}
		s.carry(false, wire.Segment{Seq: out.Seq, Ack: out.Ack, Flags: out.Flags, Wnd: out.Wnd, Options: out.Options})
		return
	}
	if s.over != Alive {
		return
	}
	switch a := s.l.Accept(&s.flow, seg, s.now, &s.c); a {
	case AcceptOpened:
		s.open = true
	case AcceptUnknown:
		s.Fatalf("unknown: %+v", seg)
	}
}

// serve does what the data plane does: buffer, decide, write.
func (s *sim) serve(in *Input) {
	if len(in.Data) > 0 {
		for i, b := range in.Data {
			at := uint32(s.c.Boundary()-s.p.irs-1) + in.Off + uint32(i)
			if b != requestOctet(at) {
				s.Fatalf("request octet %d is wrong", at)
			}
		}
		s.buf.Insert(in.Off, in.Data)
	}
	if s.c.State().ourFIN() {
		return
	}
	for len(s.buf.Contiguous()) >= s.p.request {
		s.c.Received(uint32(s.p.request), nil)
		s.c.Consume(uint32(s.p.request))
		s.buf.Consume(s.p.request)
		s.c.Write(uint32(s.p.response))
		if s.p.closes == serverCloses && s.c.WrittenOff() == uint32(s.p.num*s.p.response) {
			s.c.Close()
			return
		}
	}
	var spans [3]wire.Span
	s.c.Received(uint32(len(s.buf.Contiguous())), s.buf.Spans(spans[:0], s.c.Boundary()))
	if s.c.PeerClosed() && s.c.Pending() == 0 {
		s.c.Close()
	}
}

// transmit polls, but not always to the end: rings are full at times.
func (s *sim) transmit() {
	var out Transmit
	s.pollAt = 0
	for s.c.State() != StateClosed || s.c.has(flagRST) {
		if s.r.IntN(50) == 0 {
			s.pollAt = s.now + Millisecond
			break
		}
		before := s.c.State()
		if !s.c.PollTransmit(s.st, s.now, &out) {
			break
		}
		s.checkServer(before)
		s.sent++
		seg := wire.Segment{Seq: out.Seq, Ack: out.Ack, Flags: out.Flags, Wnd: out.Wnd, Options: out.Options}
		if out.Len > 0 {
			seg.Payload = make([]byte, out.Len)
			for i := range seg.Payload {
				seg.Payload[i] = responseOctet(out.Off + uint32(i))
			}
		}
		if max := int(s.client.mss()); out.Options.Len()+len(seg.Payload) > max {
			s.Fatalf("segment of %d octets with options, MSS %d", out.Options.Len()+len(seg.Payload), max)
		}
		s.carry(false, seg)
	}
}

// next lists the states that may follow on each (RFC 9293, figure 5); CLOSED may follow on all.
var nextStates = map[State][]State{
	Established: {FinWait1, CloseWait, LastAck}, CloseWait: {LastAck}, FinWait1: {FinWait2, Closing, TimeWait},
	FinWait2: {TimeWait}, Closing: {TimeWait}, LastAck: {}, TimeWait: {}, StateClosed: {},
}

func (s *sim) checkServer(before State) {
	if err := invariants(s.st, &s.c); err != nil {
		s.Fatalf("at %d ms: %v", (s.now-start)/Millisecond, err)
	}
	after := s.c.State()
	if after == before || after == StateClosed {
		return
	}
	for _, next := range nextStates[before] {
		if next == after {
			return
		}
	}
	s.Fatalf("from %v to %v", before, after)
}

func (p path) String() string {
	return fmt.Sprintf("%v loss %.2f dup %.2f reorder %.2f delay %d ms window %d << %v, %d × (%d → %d), options %+v, pipelined %v, closes %d",
		p.control, p.loss, p.dup, p.reorder, p.delay/Millisecond, p.window, p.syn.HasWScale, p.num, p.request, p.response, p.syn, p.pipelined, p.closes)
}

// Octets arrive whole and in order, whatever the network does, and both ends close.
func TestRandomWalk(t *testing.T) {
	seed := random(t, 5).Uint64()
	n := 1500
	if testing.Short() {
		n = 100
	}
	for i := range n {
		walk(t, seed+uint64(i))
	}
}

// walk is one run with everything chosen by seed.
func walk(t testing.TB, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	p := path{
		cfg: DefaultConfig(), irs: wire.Seq(r.Uint32()), delay: Time(1+r.Int64N(80)) * Millisecond, flow: flow4,
		loss: float64(r.IntN(4)) * 0.04, dup: float64(r.IntN(3)) * 0.05, reorder: float64(r.IntN(4)) * 0.07,
		window: uint32(1000 + r.IntN(60000)), stalls: r.IntN(4) == 0,
		request: 1 + r.IntN(3000), response: 1 + r.IntN(40000), num: 1 + r.IntN(6),
		pipelined: r.IntN(2) == 0, closes: closer(r.IntN(int(numClosers))), control: Control(r.IntN(int(NumControls))),
	}
	if r.IntN(3) == 0 {
		p.irs = -wire.Seq(r.IntN(3000))
	}
	if r.IntN(2) == 0 {
		p.flow = flow6
	}
	p.flow.RemotePort = uint16(r.Uint32()) // another initial sequence number
	p.syn = wire.Options{HasMSS: true, MSS: uint16(1220 + r.IntN(300)), HasTS: r.IntN(2) == 0, SACKPermitted: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		p.syn.HasWScale, p.syn.WScale = true, uint8(r.IntN(5))
	}
	p.cfg.StallTimeout, p.cfg.HeadTimeout, p.cfg.KeepAliveTimeout = 0, 0, 0
	p.cfg.LingerTimeout = Hour
	s := newSim(t, r, p)
	if !s.run(2 * Hour) {
		t.Fatalf("seed %d: %v: not done after %d ms: server %v %v, client %+v", seed, p, (s.now-start)/Millisecond, s.c.State(), s.over, s.client)
	}
	if s.over != Closed && s.over != Alive {
		t.Fatalf("seed %d: %v: ended with %v", seed, p, s.over)
	}
}

// A 20 MB object over a link that drops 5 % and reorders 5 % in both directions.
func TestLargeObjectOverABadLink(t *testing.T) {
	for _, c := range []struct {
		name string
		syn  wire.Options
		most Time
	}{
		{"SACK, timestamps, scaling", wire.Options{SACKPermitted: true, HasTS: true, HasWScale: true, WScale: 7}, 120 * Second},
		{"SACK, scaling", wire.Options{SACKPermitted: true, HasWScale: true, WScale: 7}, 120 * Second},
		{"timestamps", wire.Options{HasTS: true}, 600 * Second},
		{"no options", wire.Options{}, 600 * Second},
	} {
		for control := range NumControls {
			t.Run(c.name+" "+control.String(), func(t *testing.T) {
				r := random(t, 6)
				c.syn.HasMSS, c.syn.MSS = true, 1460
				p := path{
					cfg: DefaultConfig(), syn: c.syn, irs: wire.Seq(r.Uint32()), delay: 10 * Millisecond, flow: flow4,
					loss: 0.05, reorder: 0.05, window: 60000, request: 200, response: 20_000_000, num: 1,
					control: control,
				}
				if c.syn.HasWScale {
					p.window = 1 << 20
				}
				s := newSim(t, r, p)
				if !s.run(Hour) || s.over == TimedOut || s.over == Reset {
					t.Fatalf("not done: server %v %v, client at %d", s.c.State(), s.over, s.client.rcvNxt)
				}
				t.Logf("%d ms, %d segments", (s.now-start)/Millisecond, s.sent)
				if s.now-start > c.most {
					t.Errorf("took %d s", (s.now-start)/Second)
				}
			})
		}
	}
}
