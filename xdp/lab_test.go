package xdp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

const port = 80

// The clients are addresses that the peer's kernel does not own, so that it never answers for them.
var (
	client4 = netip.MustParseAddr("192.0.2.9")
	client6 = netip.MustParseAddr("2001:db8::9")
)

// lab is a veth pair with the program attached to one end and a raw socket on the other.
type lab struct {
	t              testing.TB
	client, server *nstest.NS
	program        *Program
	wire           int // AF_PACKET socket on the client's end
}

func newLab(t testing.TB, opts nstest.Options, generic bool) *lab {
	t.Helper()
	l := &lab{t: t, wire: -1}
	l.client, l.server = nstest.Pair(t, opts)
	l.server.Do(func() {
		var err error
		l.program, err = Open(Config{
			Interface: l.server.Interface,
			Port:      port,
			Addresses: []netip.Addr{l.server.IPv4, l.server.IPv6},
			FlowKey:   testFlowKey,
			CookieKey: testCookieKey,
			Lendings:  testLendings,
			Answers:   Answers(testListener().Answers()),
			Generic:   generic,
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := l.program.Close(); err != nil {
			t.Error(err)
		}
	})
	l.client.Do(func() { l.wire = rawSocket(t, l.client.Index) })
	l.beat()
	return l
}

// rawSocket is closed when the test ends.
func rawSocket(t testing.TB, ifindex int) int {
	t.Helper()
	const allBE = unix.ETH_P_ALL>>8&0xff | unix.ETH_P_ALL&0xff<<8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, allBE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allBE, Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func (l *lab) beat() {
	l.t.Helper()
	if err := l.program.Beat(monotonic(l.t, 0)); err != nil {
		l.t.Fatal(err)
	}
}

// monotonic is the kernel's CLOCK_MONOTONIC, some time ago.
func monotonic(t testing.TB, ago time.Duration) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() - int64(ago)
}

// open opens a socket and registers it with the program.
func (l *lab) open(cfg SocketConfig) *Socket {
	l.t.Helper()
	s := l.openUnregistered(cfg)
	if err := l.program.Register(cfg.Queue, s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) openUnregistered(cfg SocketConfig) *Socket {
	l.t.Helper()
	cfg.Interface = l.server.Interface
	cfg.Copy = l.program.Mode() == Generic
	var s *Socket
	l.server.Do(func() {
		var err error
		if s, err = OpenSocket(cfg); err != nil {
			l.t.Fatal(err)
		}
	})
	l.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return s
}

// segment builds a frame from a client to the server. Fields that the test is about are changed by its edits.
type segment struct {
	eth     layers.Ethernet
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	payload []byte
	is4     bool
}

func (l *lab) segment(is4 bool, edits ...func(*segment)) []byte {
	l.t.Helper()
	s := &segment{
		is4: is4,
		eth: layers.Ethernet{SrcMAC: l.client.MAC, DstMAC: l.server.MAC, EthernetType: layers.EthernetTypeIPv6},
		ip4: layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: client4.AsSlice(), DstIP: l.server.IPv4.AsSlice()},
		ip6: layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: client6.AsSlice(), DstIP: l.server.IPv6.AsSlice()},
		tcp: layers.TCP{SrcPort: 1234, DstPort: port, Seq: 1000, Ack: 2000, ACK: true, Window: 64000},
	}
	if is4 {
		s.eth.EthernetType = layers.EthernetTypeIPv4
	}
	for _, edit := range edits {
		edit(s)
	}
	return s.serialize(l.t)
}

func (s *segment) serialize(t testing.TB) []byte {
	t.Helper()
	parts := []gopacket.SerializableLayer{&s.eth}
	var network gopacket.NetworkLayer = &s.ip6
	if s.is4 {
		network = &s.ip4
	}
	parts = append(parts, network.(gopacket.SerializableLayer), &s.tcp, gopacket.Payload(s.payload))
	if err := s.tcp.SetNetworkLayerForChecksum(network); err != nil {
		t.Fatal(err)
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	frame := buffer.Bytes()
	if s.is4 { // gopacket pads small frames
		frame = frame[:14+int(s.ip4.Length)]
	}
	return frame
}

func payload(b []byte) func(*segment) { return func(s *segment) { s.payload = b } }

func from(port int) func(*segment) {
	return func(s *segment) { s.tcp.SrcPort = layers.TCPPort(port) }
}

// send puts a frame on the wire at the client's end.
func (l *lab) send(frame []byte) {
	l.t.Helper()
	if _, err := unix.Write(l.wire, frame); err != nil {
		l.t.Fatalf("send %d octets: %v", len(frame), err)
	}
}

// next returns the next frame that the server has sent from its port.
func (l *lab) next(buffer []byte) []byte {
	l.t.Helper()
	for {
		n, from, err := unix.Recvfrom(l.wire, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			l.t.Fatalf("no frame from the server: %v", err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		p := gopacket.NewPacket(buffer[:n], layers.LayerTypeEthernet, gopacket.NoCopy)
		if tcp, ok := p.TransportLayer().(*layers.TCP); ok && tcp.SrcPort == port {
			return buffer[:n]
		}
	}
}

// turn makes a frame from the client into one from the server: ends are swapped, which leaves the checksums right.
func turn(frame []byte) {
	swap := func(a, b, n int) {
		for i := range n {
			frame[a+i], frame[b+i] = frame[b+i], frame[a+i]
		}
	}
	swap(0, 6, 6)
	if frame[12] == 0x08 {
		swap(14+12, 14+16, 4)
		swap(14+20, 14+22, 2)
		return
	}
	swap(14+8, 14+24, 16)
	swap(14+40, 14+42, 2)
}

// receive returns a number of received frames, copied.
func receive(t testing.TB, s *Socket, want int) (got [][]byte) {
	t.Helper()
	var frames [64][]byte
	for deadline := time.Now().Add(2 * time.Second); len(got) < want; {
		n := s.Receive(frames[:])
		for _, f := range frames[:n] {
			got = append(got, append([]byte(nil), f...))
		}
		if n == 0 {
			if time.Now().After(deadline) {
				t.Fatalf("received %d frames of %d", len(got), want)
			}
			s.Wait(10 * time.Millisecond)
		}
	}
	return got
}

// echo answers what has come with the same, turned, and returns how many frames that were.
func echo(s *Socket, rx, tx [][]byte) int {
	n := s.Receive(rx)
	if n == 0 {
		return 0
	}
	lent := 0
	for lent < n { // copy mode completes at once, so this ends
		lent += s.Alloc(tx[lent:n])
		if lent < n {
			s.Wait(time.Millisecond)
		}
	}
	for i, frame := range rx[:n] {
		tx[i] = tx[i][:copy(tx[i], frame)]
		turn(tx[i])
	}
	return s.Send(tx[:n])
}

// setState makes the daemon ending or not, and its last beat of an age.
func (l *lab) setState(t *testing.T, draining bool, age time.Duration) {
	t.Helper()
	if err := l.program.SetDraining(draining); err != nil {
		t.Fatal(err)
	}
	if err := l.program.Beat(monotonic(t, age)); err != nil {
		t.Fatal(err)
	}
}
