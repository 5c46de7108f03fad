package redirect

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// shape is how a connection was negotiated, and where it has got to.
type shape struct {
	v6, noTimestamps, noWScale, noSACK bool
	seq, ack                           wire.Seq // 0: random
	mss                                uint16   // 0: what the MTU allows
	port                               uint16   // the server's; 0: 80
}

// peer is a client with a connection that user space has served so far: it plays both ends. What it sends by
// inject is what the dataplane would inject; what it sends by wire comes over the veth pair.
type peer struct {
	lab      *lab
	t        testing.TB
	fd       int
	injector *Injector
	shape    shape
	flow     wire.Flow
	sndNxt   wire.Seq // next to send
	rcvNxt   wire.Seq // next expected of the server
	state    tcpstate.Handover
	lastTS   uint32   // the newest TSval that the server has sent
	lastSeq  wire.Seq // and the segment's sequence number
	clock    uint32   // our TSval
	received []byte   // the server's stream
	acked    wire.Seq
	fin, rst bool
	wnd      uint32 // the server's, in octets
	largest  int    // octets of payload
	deaf     bool   // acknowledges nothing
}

// ports gives each client another.
var ports atomic.Uint32

const rcvTimeout = 50 * time.Millisecond

func (l *lab) peer(i *Injector, s shape) *peer {
	l.t.Helper()
	if s.seq == 0 {
		s.seq = wire.Seq(rand.Uint32())
	}
	if s.ack == 0 {
		s.ack = wire.Seq(rand.Uint32())
	}
	if s.port == 0 {
		s.port = 80
	}
	p := &peer{
		lab: l, t: l.t, injector: i, shape: s, sndNxt: s.seq, rcvNxt: s.ack, acked: s.seq, clock: rand.Uint32(), wnd: 64000,
		flow: wire.Flow{LocalPort: s.port, RemotePort: uint16(20000 + ports.Add(1)%40000)},
	}
	mss := uint16(1460)
	p.flow.Local, p.flow.Remote = wire.AddrFrom(l.server.IPv4), wire.AddrFrom(l.remote4)
	if s.v6 {
		mss = 1440
		p.flow.Local, p.flow.Remote = wire.AddrFrom(l.server.IPv6), wire.AddrFrom(l.remote6)
	}
	if s.mss != 0 {
		mss = s.mss
	}
	offset := rand.Uint32()
	p.lastTS = uint32(monotonic()/1e6) + offset // user space has just sent something
	p.state = tcpstate.Handover{
		Seq: p.sndNxt, Ack: p.rcvNxt, MSS: mss,
		RcvWScale: 7, SndWScale: 7, WScaleOK: !s.noWScale, SACKOK: !s.noSACK, TimestampsOK: !s.noTimestamps,
		TSOffset: offset, TSRecent: p.clock, Wnd: 500,
	}
	if s.noWScale {
		p.state.RcvWScale, p.state.SndWScale, p.state.Wnd = 0, 0, 64000
	}
	p.openSocket()
	return p
}

// openSocket opens the client's end of the wire, from any thread's namespace.
func (p *peer) openSocket() {
	t := p.t
	p.lab.client.Do(func() {
		var err error
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(portBE(unix.ETH_P_ALL)))
		must(t, "open client socket", err)
	})
	t.Cleanup(p.close)
	must(t, "bind client socket", unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: portBE(unix.ETH_P_ALL), Ifindex: p.lab.client.Index}))
	tv := unix.NsecToTimeval(rcvTimeout.Nanoseconds())
	must(t, "set timeout", unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	must(t, "set buffer", unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
}

// close makes the client deaf. Each of them hears all that the server sends.
func (p *peer) close() {
	if p.fd >= 0 {
		must(p.t, "close client socket", unix.Close(p.fd))
	}
	p.fd = -1
}

// segment builds a frame of the client, without moving any state.
func (p *peer) segment(seq wire.Seq, flags wire.Flags, payload []byte) []byte {
	var o wire.Options
	if p.state.TimestampsOK {
		o = wire.Options{HasTS: true, TSVal: p.clock, TSEcr: p.lastTS}
	}
	h := wire.Header{
		Src: wire.MAC(p.lab.client.MAC), Dst: wire.MAC(p.lab.server.MAC), Flow: &p.flow, Inbound: true,
		Seq: seq, Ack: p.rcvNxt, Flags: flags, Wnd: p.state.Wnd, Options: &o,
	}
	frame := make([]byte, h.HeaderLen()+len(payload))
	copy(frame[h.HeaderLen():], payload)
	n := h.Build(frame, len(payload))
	wire.Finish(frame[:n])
	return frame[:n]
}

// next builds the frame that follows in the stream.
func (p *peer) next(flags wire.Flags, payload []byte) []byte {
	p.clock++
	frame := p.segment(p.sndNxt, flags, payload)
	p.sndNxt = p.sndNxt.Add(uint32(len(payload)))
	if flags.Has(wire.FIN) {
		p.sndNxt = p.sndNxt.Add(1)
	}
	return frame
}

func (p *peer) begin() {
	p.t.Helper()
	must(p.t, "begin", p.injector.Begin(&p.flow, &p.state))
}

func (p *peer) inject(frames ...[]byte) {
	p.t.Helper()
	must(p.t, "inject", p.injector.Inject(frames))
}

func (p *peer) wire(frames ...[]byte) {
	p.t.Helper()
	for _, f := range frames {
		must(p.t, "send", unix.Sendto(p.fd, f, 0, &unix.SockaddrLinklayer{Ifindex: p.lab.client.Index}))
	}
}

// handOver does all of it with one segment, and checks that the kernel has the connection and the record is gone.
func (p *peer) handOver(payload string) {
	p.t.Helper()
	p.begin()
	p.inject(p.next(wire.ACK|wire.PSH, []byte(payload)))
	p.established(true)
}

// established waits for the kernel to have the connection, or checks at once that it has not.
func (p *peer) established(want bool) {
	p.t.Helper()
	got := p.injector.Established(&p.flow)
	for i := 0; want && !got && i < 100; i++ { // the softirq may have been put off to ksoftirqd
		time.Sleep(time.Millisecond)
		got = p.injector.Established(&p.flow)
	}
	if got != want {
		p.t.Fatalf("Established is %v", got)
	}
	if want && p.hasRecord() {
		p.t.Fatal("the record has outlived the hand-over")
	}
}

func (p *peer) hasRecord() bool {
	var key bpfFlow
	var rec bpfRecord
	key.set(&p.flow)
	return p.injector.r.objects.Records.Lookup(&key, &rec) == nil
}

// receive handles one frame of the server's, checked by gopacket. It returns false if none came in time.
func (p *peer) receive() bool {
	p.t.Helper()
	buf := make([]byte, 65536)
	for {
		n, from, err := unix.Recvfrom(p.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		must(p.t, "receive", err)
		if sa, ok := from.(*unix.SockaddrLinklayer); ok && sa.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if p.handle(slices.Clone(buf[:n])) {
			return true
		}
	}
}

// handle takes a frame if it is of this connection.
func (p *peer) handle(frame []byte) bool {
	t := p.t
	pkt := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	tcp, ok := pkt.TransportLayer().(*layers.TCP)
	if !ok || uint16(tcp.DstPort) != p.flow.RemotePort || uint16(tcp.SrcPort) != p.flow.LocalPort {
		return false
	}
	src, dst := pkt.NetworkLayer().NetworkFlow().Endpoints()
	if src.String() != p.flow.Local.String() || dst.String() != p.flow.Remote.String() {
		return false
	}
	var w wire.Packet
	if problem := wire.Parse(frame, &w); problem != wire.OK {
		t.Fatalf("frame of the server's: %v", problem)
	}
	if tcp.RST {
		p.rst = true
		return true
	}
	p.checkTimestamp(tcp)
	if !tcp.ACK || wire.Seq(tcp.Ack).Sub(p.sndNxt) > 0 {
		t.Fatalf("ack %d is beyond what was sent, %d", tcp.Ack, p.sndNxt)
	}
	p.acked = wire.MaxSeq(p.acked, wire.Seq(tcp.Ack))
	shift := 0
	if p.state.WScaleOK {
		shift = int(p.state.RcvWScale)
	}
	p.wnd = uint32(tcp.Window) << shift
	if len(tcp.Payload) > int(p.state.MSS) {
		t.Fatalf("segment of %d octets, MSS is %d", len(tcp.Payload), p.state.MSS)
	}
	p.take(wire.Seq(tcp.Seq), tcp.Payload, tcp.FIN)
	return true
}

// take appends the payload if it is next in order, and acknowledges what is. What leaves a gap is not kept: frames that
// two CPUs have sent may overtake each other on a veth pair, and the acknowledgment asks for what is missing.
func (p *peer) take(seq wire.Seq, payload []byte, fin bool) {
	if d := p.rcvNxt.Sub(seq); d >= 0 && int(d) <= len(payload) {
		fresh := payload[d:]
		p.received = append(p.received, fresh...)
		p.rcvNxt = p.rcvNxt.Add(uint32(len(fresh)))
		if fin && !p.fin {
			p.fin = true
			p.rcvNxt = p.rcvNxt.Add(1)
		}
	}
	p.largest = max(p.largest, len(payload))
	if (len(payload) > 0 || fin) && !p.deaf {
		p.wire(p.next(wire.ACK, nil))
	}
}

// overtaken reports whether a segment may have been sent before the one with the newest TSval, by another CPU: it says nothing new.
func (p *peer) overtaken(tcp *layers.TCP) bool {
	seq := wire.Seq(tcp.Seq)
	return seq.Less(p.lastSeq) || seq == p.lastSeq && wire.Seq(tcp.Ack).LessEq(p.acked)
}

// checkTimestamp holds the server to what was negotiated, and its clock to going forward (PAWS would make a
// real client drop everything).
func (p *peer) checkTimestamp(tcp *layers.TCP) {
	var has bool
	for _, o := range tcp.Options {
		switch o.OptionType {
		case layers.TCPOptionKindTimestamps:
			has = true
			tsval := be32(o.OptionData)
			if int32(tsval-p.lastTS) < 0 {
				if p.overtaken(tcp) {
					continue
				}
				p.t.Fatalf("TSval stepped back by %d", int32(p.lastTS-tsval))
			}
			if tsval-p.lastTS > 60_000 {
				p.t.Fatalf("TSval leapt by %d", tsval-p.lastTS)
			}
			p.lastTS, p.lastSeq = tsval, wire.Seq(tcp.Seq)
			if ecr := be32(o.OptionData[4:]); int32(ecr-p.clock) > 0 || p.clock-ecr > 100_000 {
				p.t.Fatalf("TSecr %d was never sent: clock is %d", ecr, p.clock)
			}
		case layers.TCPOptionKindSACK:
			if !p.state.SACKOK {
				p.t.Fatal("SACK without having been negotiated")
			}
		}
	}
	if has != p.state.TimestampsOK {
		p.t.Fatalf("timestamps present: %v", has)
	}
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// response reads one response from the server.
func (p *peer) response() (*http.Response, string) {
	p.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		r := bufio.NewReader(bytes.NewReader(p.received))
		resp, err := http.ReadResponse(r, nil)
		if err == nil {
			body, err := io.ReadAll(resp.Body)
			if err == nil {
				rest, _ := io.ReadAll(r)
				p.received = rest
				return resp, string(body)
			}
		}
		if p.rst || time.Now().After(deadline) {
			p.t.Fatalf("no response: rst %v, received %q", p.rst, p.received)
		}
		p.receive()
	}
}

// wantPage reads a response that must be the page.
func (p *peer) wantPage() {
	p.t.Helper()
	resp, body := p.response()
	if resp.StatusCode != 200 || body != page || resp.Header.Get("Server") == "" {
		p.t.Fatalf("got %v %q", resp, body)
	}
}

// until receives until done, at most 5 seconds.
func (p *peer) until(what string, done func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); p.receive() {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// drain handles what has come until the wire is quiet.
func (p *peer) drain() {
	p.t.Helper()
	for p.receive() {
	}
}

// stream sends data over the wire with go-back-N, within the server's window.
func (p *peer) stream(data []byte) {
	p.t.Helper()
	start := p.sndNxt
	size := int(p.state.MSS) - 12
	end := start.Add(uint32(len(data)))
	deadline := time.Now().Add(20 * time.Second)
	for p.acked.Less(end) {
		for p.sndNxt.Less(end) && p.sndNxt.Sub(p.acked)+int32(size) <= int32(min(p.wnd, 32*1448)) {
			off := int(p.sndNxt.Sub(start))
			p.wire(p.next(wire.ACK, data[off:min(off+size, len(data))]))
		}
		before := p.acked
		if !p.receive() || p.acked == before {
			if time.Now().After(deadline) || p.rst {
				p.t.Fatalf("stuck %d octets before the end, rst %v", end.Sub(p.acked), p.rst)
			}
			if p.acked == before && p.sndNxt != p.acked && !p.receive() {
				p.sndNxt = p.acked
			}
		}
	}
}

func (p *peer) addr() netip.AddrPort {
	return netip.AddrPortFrom(p.flow.Remote.Netip(), p.flow.RemotePort)
}

// count returns one of the program's counters.
func count(t testing.TB, r *Redirector, v Verdict) uint64 {
	t.Helper()
	c, err := r.Counters()
	must(t, "counters", err)
	return c[v]
}
