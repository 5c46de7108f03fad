package xload

import (
	"container/heap"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// sim is a server and the network before it, in virtual time, as the generator's device. It answers one request after the
// other; nothing is lost.
type sim struct {
	t       *testing.T
	now     int64
	service time.Duration                           // of each request
	delay   time.Duration                           // of each way
	stallAt int64                                   // from then on...
	stall   time.Duration                           // ...it does nothing for so long
	handle  func(path string, n int) (string, bool) // the response to the n-th request, and whether the connection ends with it
	syn     func(n int) wire.Flags                  // what answers the n-th SYN; default SYN|ACK
	next    map[wire.Flow]wire.Seq                  // of what is to be sent on each connection
	free    int64                                   // when it can begin with the next request
	asked   int                                     // requests
	syns    int
	fins    int
	packets []byte // how many requests came in each segment that had any
	due     arriving
	order   int
	mem     [64][]byte
	pkt     wire.Packet
	// allocated are the allocations of the server, in Send and Receive, if they are counted.
	counting  bool
	allocated uint64
}

type arrival struct {
	at    int64
	order int
	frame []byte
}

type arriving []arrival

func (q arriving) Len() int { return len(q) }
func (q arriving) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q arriving) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *arriving) Push(x any)   { *q = append(*q, x.(arrival)) }
func (q *arriving) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

var (
	simServer = wire.Addr4([]byte{192, 0, 2, 1})
	simClient = wire.Addr4([]byte{192, 0, 2, 2})
)

func newSim(t *testing.T) *sim {
	return &sim{t: t, now: int64(time.Second), service: 10 * time.Microsecond, delay: 50 * time.Microsecond, next: map[wire.Flow]wire.Seq{},
		handle: func(string, int) (string, bool) { return ok("hello"), false }}
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// generator makes one that asks s.
func (s *sim) generator(load Load) *Generator {
	s.t.Helper()
	load.setDefaults()
	load.Host = "sim"
	if load.Targets == nil {
		load.Targets = []Target{{Path: "/", Weight: 1, Length: -1}}
	}
	stack, err := tcpclient.New(tcpclient.Config{
		Device: s, LocalMAC: wire.MAC{2, 0, 0, 0, 0, 1}, RemoteMAC: wire.MAC{2, 0, 0, 0, 0, 2}, Remote: simServer, RemotePort: 80,
		Sources: []wire.Addr{simClient}, FirstPort: 1024, LastPort: 65535, MTU: 1500, Window: 1 << 18, SACK: true,
		Conns: conns(load.Connections, load.brief()), Reassembly: 64,
	}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	g, err := New(load, stack, s, func() int64 { return s.now })
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *sim) Receive(frames [][]byte) (n int) {
	before := s.mallocs()
	n = s.receive(frames)
	s.allocated += s.mallocs() - before
	return n
}

func (s *sim) receive(frames [][]byte) (n int) {
	for n < len(frames) && len(s.due) > 0 && s.due[0].at <= s.now {
		frames[n] = heap.Pop(&s.due).(arrival).frame
		n++
	}
	return n
}

// Wait moves the time on: nothing else does.
func (s *sim) Wait(d time.Duration) {
	end := s.now + int64(max(d, time.Microsecond))
	if len(s.due) > 0 && s.due[0].at > s.now {
		end = min(end, s.due[0].at)
	}
	s.now = end
}

func (s *sim) Alloc(frames [][]byte) int {
	n := min(len(frames), len(s.mem))
	for i := range n {
		if s.mem[i] == nil {
			s.mem[i] = make([]byte, 2048)
		}
		frames[i] = s.mem[i][:2048]
	}
	return n
}

func (s *sim) Send(frames [][]byte) int {
	before := s.mallocs()
	s.send(frames)
	s.allocated += s.mallocs() - before
	return len(frames)
}

func (s *sim) send(frames [][]byte) {
	for _, f := range frames {
		if p := wire.Parse(f, &s.pkt); p != wire.OK {
			s.t.Fatalf("sent: %v", p)
		}
		s.take(&s.pkt.Segment)
	}
}

func (s *sim) take(seg *wire.Segment) {
	switch {
	case seg.Flags.Has(wire.RST):
	case seg.Flags.Has(wire.SYN):
		flags := wire.SYN | wire.ACK
		if s.syn != nil {
			flags = s.syn(s.syns)
		}
		s.syns++
		s.next[s.pkt.Flow] = 1
		if flags != 0 {
			s.say(s.now, flags, 0, seg.Seq.Add(1), nil)
		}
	case len(seg.Payload) > 0:
		s.requests(seg)
	case seg.Flags.Has(wire.FIN):
		s.fins++
		s.say(s.now, wire.ACK, seg.Ack, seg.Seq.Add(1), nil)
	}
}

// requests answers those of a segment, one after the other.
func (s *sim) requests(seg *wire.Segment) {
	texts := strings.SplitAfter(string(seg.Payload), "\r\n\r\n")
	texts = texts[:len(texts)-1]
	s.packets = append(s.packets, byte(len(texts)))
	seq, ack := s.next[s.pkt.Flow], seg.Seq.Add(seg.Len())
	defer func() { s.next[s.pkt.Flow] = seq }()
	for _, text := range texts {
		begin := max(s.free, s.now+int64(s.delay))
		if s.stall > 0 && begin >= s.stallAt {
			begin, s.stall = max(begin, s.stallAt+int64(s.stall)), 0
		}
		s.free = begin + int64(s.service)
		answer, end := s.handle(strings.Fields(text)[1], s.asked)
		s.asked++
		for len(answer) > 0 || end {
			n := min(len(answer), 1460)
			flags := wire.ACK
			if end && n == len(answer) {
				flags |= wire.FIN
				end = false
			}
			s.say(s.free, flags, seq, ack, []byte(answer[:n]))
			seq, answer = seq.Add(uint32(n)), answer[n:]
		}
	}
}

// say sends a segment at a time.
func (s *sim) say(at int64, flags wire.Flags, seq, ack wire.Seq, payload []byte) {
	h := wire.Header{Flow: &s.pkt.Flow, Seq: seq, Ack: ack, Flags: flags, Wnd: 60000}
	if flags.Has(wire.SYN) {
		h.Options = &wire.Options{HasMSS: true, MSS: 1460, HasWScale: true}
	}
	frame := make([]byte, h.HeaderLen()+len(payload))
	copy(frame[h.HeaderLen():], payload)
	h.Build(frame, len(payload))
	wire.Finish(frame)
	s.order++
	heap.Push(&s.due, arrival{at + int64(s.delay), s.order, frame})
}

// mallocs returns the allocations so far, or 0 if they are not counted.
func (s *sim) mallocs() uint64 {
	if !s.counting {
		return 0
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
