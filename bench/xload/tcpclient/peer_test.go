package tcpclient

import (
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
)

const (
	ms     = int64(time.Millisecond)
	iss    = wire.Seq(1_000_000) // the server's
	window = 100_000
)

// peer is the server's end, played by the test, and the device between. Frames that the stack sends are decoded by gopacket.
type peer struct {
	t     *testing.T
	stack *Stack
	now   int64
	mem   [64][]byte
	sent  []*layers.TCP // what the stack has sent and the test has not looked at
	dry   bool          // the device has no frames
	flow  wire.Flow     // as the stack sees it
	ts    bool
}

func (p *peer) Receive([][]byte) int { return 0 }
func (p *peer) Wait(time.Duration)   {}

func (p *peer) Alloc(frames [][]byte) int {
	if p.dry {
		return 0
	}
	n := min(len(frames), len(p.mem))
	for i := range n {
		if p.mem[i] == nil {
			p.mem[i] = make([]byte, 2048)
		}
		frames[i] = p.mem[i][:2048]
	}
	return n
}

func (p *peer) Send(frames [][]byte) int {
	for _, f := range frames {
		pkt := gopacket.NewPacket(append([]byte(nil), f...), layers.LayerTypeEthernet, gopacket.Default)
		tcp, ok := pkt.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if !ok {
			p.t.Fatalf("sent %v", pkt)
		}
		if err := tcp.SetNetworkLayerForChecksum(pkt.NetworkLayer()); err != nil {
			p.t.Fatal(err)
		}
		if sum, err := tcp.ComputeChecksum(); err != nil || sum != 0 {
			p.t.Errorf("checksum: %#x left, %v", sum, err)
		}
		p.sent = append(p.sent, tcp)
	}
	return len(frames)
}

func newPeer(t *testing.T, change func(*Config)) *peer {
	p := &peer{t: t, now: int64(time.Second)}
	cfg := Config{
		Device: p, LocalMAC: wire.MAC{2, 0, 0, 0, 0, 1}, RemoteMAC: wire.MAC{2, 0, 0, 0, 0, 2},
		Remote: wire.Addr4([]byte{192, 0, 2, 1}), RemotePort: 80, Sources: []wire.Addr{wire.Addr4([]byte{192, 0, 2, 2})},
		FirstPort: 1000, LastPort: 1009, MTU: 1500, Window: window, SACK: true, Conns: 8, Reassembly: 8,
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if p.stack, err = New(cfg, p.now); err != nil {
		t.Fatal(err)
	}
	return p
}

// next returns the segment that the stack has sent next.
func (p *peer) next() *layers.TCP {
	p.t.Helper()
	p.stack.Flush(p.now)
	if len(p.sent) == 0 {
		p.t.Fatal("nothing was sent")
	}
	s := p.sent[0]
	p.sent = p.sent[1:]
	return s
}

// silent fails if the stack has sent something.
func (p *peer) silent() {
	p.t.Helper()
	p.stack.Flush(p.now)
	if len(p.sent) > 0 {
		p.t.Fatalf("sent: %+v", p.sent[0])
	}
}

// says gives the stack a segment of the server's, seq and ack from the beginning of each side's stream.
func (p *peer) says(flags wire.Flags, seq, ack wire.Seq, data string, o *wire.Options) Event {
	p.t.Helper()
	h := wire.Header{Flow: &p.flow, Inbound: true, Seq: seq, Ack: ack, Flags: flags, Wnd: 1000, Options: o}
	frame := make([]byte, 2048)
	copy(frame[h.HeaderLen():], data)
	n := h.Build(frame, len(data))
	wire.Finish(frame[:n])
	return p.stack.Input(frame[:n], p.now)
}

// open opens a connection and takes the bare ACK of its SYN/ACK.
func (p *peer) open() (k int32, una wire.Seq) {
	p.t.Helper()
	k, ok := p.stack.Open(p.now)
	if !ok {
		p.t.Fatal("no connection could be opened")
	}
	syn := p.next()
	if !syn.SYN || syn.ACK {
		p.t.Fatalf("not a SYN: %+v", syn)
	}
	p.flow = wire.Flow{
		Local: p.stack.cfg.Sources[p.stack.conns[k].source], LocalPort: uint16(syn.SrcPort), Remote: p.stack.cfg.Remote, RemotePort: 80,
	}
	una = wire.Seq(syn.Seq) + 1
	e := p.says(wire.SYN|wire.ACK, iss, una, "", &wire.Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 7, HasTS: p.ts, TSVal: 7})
	if e.Conn != k || e.What != Opened {
		p.t.Fatalf("event %+v", e)
	}
	ack := p.next()
	if !ack.ACK || ack.SYN || wire.Seq(ack.Seq) != una || wire.Seq(ack.Ack) != iss+1 {
		p.t.Fatalf("not the ACK of the SYN/ACK: %+v", ack)
	}
	return k, una
}

// ask sends a request.
func (p *peer) ask(k int32, text string) {
	p.t.Helper()
	p.stack.Request(k, copy(p.stack.Room(k), text), p.now)
}

// later lets time pass and returns what Expire asks for.
func (p *peer) later(d int64) (events []Event) {
	for end := p.now + d; p.now < end; {
		p.now = min(p.now+ms, end)
		p.stack.SetTime(p.now)
		for {
			e, ok := p.stack.Expire(p.now)
			if !ok {
				break
			}
			events = append(events, e)
		}
		p.stack.Flush(p.now)
	}
	return events
}
