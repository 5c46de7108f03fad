package dataplane

import (
	"encoding/binary"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// browserGet is a request as wrk and its kind send it.
const browserGet = "GET /kilo.txt HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"

// peers is a device at whose other end each of many connections sends a request, takes the response, and sends the next one. It
// allocates nothing, and does as little as that takes.
type peers struct {
	requests [][]byte // what each sends next
	in       [][]byte
	pool     [][]byte
	free     int
	sent     uint64
	octets   uint64
}

const peerPort = 1024 // of the first one

func newPeers(n int) *peers {
	p := &peers{requests: make([][]byte, n)}
	for range 4 * batch {
		p.pool = append(p.pool, make([]byte, 2048))
	}
	p.free = len(p.pool)
	return p
}

func (p *peers) Receive(frames [][]byte) int {
	n := copy(frames, p.in)
	p.in = p.in[n:]
	return n
}

func (p *peers) Alloc(frames [][]byte) int {
	n := copy(frames, p.pool[:p.free])
	copy(p.pool, p.pool[n:p.free])
	p.free -= n
	return n
}

func (p *peers) Send(frames [][]byte) int {
	for _, f := range frames {
		p.sent++
		p.octets += uint64(len(f))
		p.take(f)
		p.pool[p.free] = f[:cap(f)]
		p.free++
	}
	return len(frames)
}

func (p *peers) Wait(time.Duration) {}

// take moves the connection on that a frame of the loop is for, IPv4.
func (p *peers) take(f []byte) {
	tcp := f[wire.EthLen+wire.IPv4Len:]
	head := int(tcp[12]>>4) * 4
	request := p.requests[binary.BigEndian.Uint16(tcp[2:])-peerPort][wire.EthLen+wire.IPv4Len:]
	next := binary.BigEndian.Uint32(tcp[4:]) + uint32(len(tcp)-head)
	if tcp[13]&byte(wire.SYN) != 0 {
		next++
	}
	copy(request[4:8], tcp[8:12])
	binary.BigEndian.PutUint32(request[8:], next)
	copy(request[wire.TCPLen+8:], tcp[head-8:head-4]) // TSecr, of TSval; the options of a SYN/ACK end with the window scale
}

// offer gives the loop a request of each, as if its response had come.
func (p *peers) offer() {
	p.in = p.requests
	for _, f := range p.in {
		wire.Finish(f)
	}
}

// benchLoop is a loop with n connections, which have answered a request each.
func benchLoop(tb testing.TB, n int) (*Loop, *peers, *tcpstate.Time) {
	s := newStage(tb, nil)
	p := newPeers(n)
	cfg := s.loop.cfg
	cfg.Device, cfg.MaxConns, cfg.Control, cfg.PartialChecksums = p, 2*n, tcpstate.BBR, true
	l, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	now := s.now
	for k := range p.requests {
		flow := wire.Flow{Local: wire.Addr4(local.To4()), Remote: wire.Addr4(remote.To4()), LocalPort: 80, RemotePort: uint16(peerPort + k)}
		segment := func(flags wire.Flags, o wire.Options, payload string) []byte {
			h := wire.Header{Src: wire.MAC(remoteMAC), Dst: wire.MAC(localMAC), Flow: &flow, Inbound: true, Seq: 1000, Flags: flags, Wnd: 60000, Options: &o}
			f := make([]byte, wire.MaxHeaders+len(payload))
			copy(f[h.HeaderLen():], payload)
			return f[:h.Build(f, len(payload))]
		}
		p.requests[k] = segment(wire.ACK|wire.PSH, wire.Options{HasTS: true, TSVal: 1}, browserGet)
		syn := segment(wire.SYN, wire.Options{HasMSS: true, MSS: 1460, HasTS: true, TSVal: 1, SACKPermitted: true}, "")
		wire.Finish(syn)
		p.in = [][]byte{syn}
		l.Step(now)
	}
	if p.sent != uint64(n) {
		tb.Fatalf("%d answers to %d SYNs", p.sent, n)
	}
	return l, p, &now
}

// exchange has each peer ask once and take its answer.
func exchange(l *Loop, p *peers, now *tcpstate.Time) {
	*now += 100 * tcpstate.Microsecond
	p.offer()
	for len(p.in) > 0 {
		l.Step(*now)
	}
}

// From received batch to sent batch nothing is allocated, and each request costs one frame: its acknowledgment rides on the response.
func TestStepAllocatesNothing(t *testing.T) {
	l, p, now := benchLoop(t, 200)
	exchange(l, p, now)
	p.sent = 0
	const rounds = 100
	n := testing.AllocsPerRun(rounds-1, func() { exchange(l, p, now) })
	if n != 0 {
		t.Errorf("%v allocations in a Step", n)
	}
	if want := uint64(rounds * len(p.requests)); p.sent != want {
		t.Errorf("%d frames for %d requests", p.sent, want)
	}
	var c Counters
	l.Snapshot(&c)
	if want := uint64((rounds + 1) * len(p.requests)); c.Responses[0] != want {
		t.Errorf("%d responses to %d requests", c.Responses[0], want)
	}
}

// BenchmarkStep is the whole of the loop, from received batch to sent batch, for one request of 1 KiB; the peers' part included,
// which BenchmarkStages/peers tells.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1, 64, 1000, 50000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			l, p, now := benchLoop(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			for k := 0; k < b.N; k += n {
				exchange(l, p, now)
			}
		})
	}
}

// BenchmarkStages are the parts of BenchmarkStep that are of this package, each for one request; see those of the packages
// wire, httpwire, tcpstate and filecache for the others.
func BenchmarkStages(b *testing.B) {
	const n = 64
	l, p, now := benchLoop(b, n)
	exchange(l, p, now)
	b.Run("peers", func(b *testing.B) {
		for k := 0; k < b.N; k += n {
			p.offer()
		}
	})
	p.in = nil
	b.Run("find", func(b *testing.B) {
		flow := l.slots.at(1).flow
		for b.Loop() {
			if l.slots.find(&flow) == 0 {
				b.Fatal("not found")
			}
		}
	})
	var r httpwire.Request
	httpwire.Parse([]byte(browserGet), &r)
	var o *filecache.Object
	var resp filecache.Response
	b.Run("respond", func(b *testing.B) {
		for b.Loop() {
			o = l.cfg.Store.Lookup(l.slots.at(1).flow.Local, &r)
			resp, _ = o.Respond(&r, 0, int64(l.unix))
		}
	})
	s := l.slots.at(1)
	length := uint32(o.Len(resp))
	b.Run("put", func(b *testing.B) {
		start := s.conn.WrittenOff()
		l.work.push(s, o, sending{response: resp, start: start, end: start + length})
		l.out = tcpstate.Transmit{Flags: wire.ACK | wire.PSH, Len: length, Off: start, Options: wire.Options{HasTS: true}}
		for b.Loop() {
			l.put(s)
			l.txUsed--
			l.tx[l.txUsed] = l.tx[l.txUsed][:cap(l.tx[l.txUsed])]
		}
	})
	b.Run("empty-step", func(b *testing.B) {
		for b.Loop() {
			l.Step(*now)
		}
	})
}

// A device that completes checksums gets frames with the pseudo-header's sum.
func TestPartialChecksums(t *testing.T) {
	for _, partial := range []bool{false, true} {
		s := newStage(t, func(c *Config) { c.PartialChecksums = partial })
		c := s.client()
		c.seq++
		c.give(layers.TCP{Seq: c.seq, SYN: true}, "")
		s.run(0)
		var p wire.Packet
		if problem := wire.Parse(s.device.sent[0], &p); problem != wire.OK || p.Partial != partial {
			t.Errorf("partial %t: answer to a SYN: %v, partial %t", partial, problem, p.Partial)
		}
	}
}
