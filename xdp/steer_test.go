package xdp

import (
	"bytes"
	"flag"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/tcpstate"
)

const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

// xdpMD is the context of a test run, struct xdp_md.
type xdpMD struct {
	Data, DataEnd, DataMeta, IngressIfindex, RXQueueIndex, EgressIfindex uint32
}

// newBench is a lab whose program is loaded but attached nowhere, so that nothing but test runs counts. Receive queue 0 has
// a socket, queue 1 has none.
func newBench(t *testing.T) *lab {
	t.Helper()
	return newBenchOf(t, testListener(), 1500)
}

func newBenchOf(t *testing.T, listener *tcpstate.Listener, mtu int) *lab {
	t.Helper()
	l := &lab{t: t}
	l.client, l.server = nstest.Pair(t, nstest.Options{Queues: 2})
	l.program = &Program{queues: 2, addresses: make(map[netip.Addr]bool)}
	if err := l.program.load(&Config{Port: port, FlowKey: testFlowKey, CookieKey: testCookieKey, Answers: Answers(listener.Answers()), Lendings: testLendings}, &net.Interface{HardwareAddr: l.server.MAC, MTU: mtu}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.program.objects.Close() })
	if err := l.program.SetAddresses([]netip.Addr{l.server.IPv4, l.server.IPv6}); err != nil {
		t.Fatal(err)
	}
	l.client.Do(func() { l.wire = rawSocket(t, l.client.Index) })
	l.open(SocketConfig{})
	l.beat()
	return l
}

// run runs the program on a frame and returns the verdict and the one reason whose counter went up.
func (l *lab) run(frame []byte, queue int) (verdict uint32, reason Reason) {
	l.t.Helper()
	verdict, reason, out := l.runOut(frame, queue)
	if !bytes.Equal(out, frame) {
		l.t.Errorf("the program changed the packet:\n was %x\n  is %x", frame, out)
	}
	return verdict, reason
}

// runOut is run for packets that the program changes.
func (l *lab) runOut(frame []byte, queue int) (verdict uint32, reason Reason, _ []byte) {
	l.t.Helper()
	before, given := l.counters(), l.program.loads[0].Given
	out := make([]byte, len(frame)+256)
	opts := &ebpf.RunOptions{
		Data:    frame,
		DataOut: out,
		Context: xdpMD{DataEnd: uint32(len(frame)), IngressIfindex: uint32(l.server.Index), RXQueueIndex: uint32(queue)},
	}
	l.server.Do(func() {
		var err error
		if verdict, err = l.program.objects.Steer.Run(opts); err != nil {
			l.t.Fatalf("run: %v", err)
		}
	})
	l.program.loads[0].Given = given // nothing has come into the ring
	found := 0
	for r, n := range l.counters() {
		if n != before[r] {
			reason = Reason(r)
			found += int(n - before[r])
		}
	}
	if found != 1 {
		l.t.Errorf("%d reasons were counted for one packet", found)
	}
	return verdict, reason, opts.DataOut
}

func (l *lab) counters() Counters {
	l.t.Helper()
	c, err := l.program.Counters()
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// expect runs a frame and checks verdict and reason, which decides the verdict.
func (l *lab) expect(t *testing.T, frame []byte, want Reason) {
	t.Helper()
	wantVerdict := uint32(xdpPass)
	switch want {
	case Redirected, TooBig, Ours, CrowdCookie:
		wantVerdict = xdpRedirect
	case CrowdHello, CrowdStray, Oversized, Acked:
		wantVerdict = xdpDrop
	}
	if verdict, reason := l.run(frame, 0); verdict != wantVerdict || reason != want {
		t.Errorf("verdict %d, %s; want %d, %s", verdict, reason, wantVerdict, want)
	}
	covered[want] = true
}

// covered collects the reasons that TestSteer has seen.
var covered = map[Reason]bool{}

// Edits of a segment, by family where they differ.
func syn(s *segment) { s.tcp.SYN, s.tcp.ACK, s.tcp.Ack = true, false, 0 }

func flags(letters string) func(*segment) {
	return func(s *segment) {
		set := map[rune]*bool{
			'S': &s.tcp.SYN, 'A': &s.tcp.ACK, 'F': &s.tcp.FIN, 'R': &s.tcp.RST,
			'P': &s.tcp.PSH, 'U': &s.tcp.URG, 'E': &s.tcp.ECE, 'C': &s.tcp.CWR,
		}
		s.tcp.ACK = false
		for _, letter := range letters {
			*set[letter] = true
		}
	}
}

func source(a string) func(*segment) {
	return func(s *segment) {
		ip := netip.MustParseAddr(a)
		if ip.Is4() {
			s.ip4.SrcIP = ip.AsSlice()
		} else {
			s.ip6.SrcIP = ip.AsSlice()
		}
	}
}

func destination(a string) func(*segment) {
	return func(s *segment) {
		ip := netip.MustParseAddr(a)
		if ip.Is4() {
			s.ip4.DstIP = ip.AsSlice()
		} else {
			s.ip6.DstIP = ip.AsSlice()
		}
	}
}

// patch changes octets of a finished frame, whose checksums the program does not look at.
func patch(frame []byte, offset int, octets ...byte) []byte {
	frame = bytes.Clone(frame)
	copy(frame[offset:], octets)
	return frame
}

// insert puts octets into a finished frame.
func insert(frame []byte, offset int, octets ...byte) []byte {
	return append(append(bytes.Clone(frame[:offset]), octets...), frame[offset:]...)
}

// TestSteer has a test run for every exit of the program: packet in; verdict, packet and counters out.
func TestSteer(t *testing.T) {
	nstest.Require(t)
	clear(covered)
	t.Run("packet", testSteerByPacket)
	t.Run("heartbeat", testSteerByHeartbeat)
	t.Run("queue", testSteerByQueue)
	t.Run("address", testSteerByAddress)
	t.Run("kernel socket", testSteerByKernelSocket)
	t.Run("request socket", testSteerByRequestSocket)
	t.Run("flow table", testSteerByFlowTable)
	t.Run("crowded", testSteerCrowded)
	t.Run("cookie", testSteerByCookie)
	t.Run("leaving", testSteerLeaving)
	t.Run("lending", testSteerLending)
	t.Run("acknowledgment", testSteerAcknowledged)
	t.Run("answer", testSteerAnswers)
	t.Run("length", testSteerByLength)
	t.Run("too big", testSteerTooBig)
	t.Run("too big, state", testSteerTooBigByState)
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // not all of them ran
	}
	for r := range Reason(NumReasons) {
		if !covered[r] {
			t.Errorf("no case ends in %s", r)
		}
	}
}

// testSteerByPacket has all the exits that depend on nothing but the packet.
func testSteerByPacket(t *testing.T) {
	l := newBench(t)
	v4, v6 := l.segment(true), l.segment(false)
	const ip, tcp4, tcp6 = 14, 14 + 20, 14 + 40
	tooShort, notUnicast := Reason(steerReasonREASON_TOO_SHORT), Reason(steerReasonREASON_NOT_UNICAST)
	vlan, notIP := Reason(steerReasonREASON_VLAN), Reason(steerReasonREASON_NOT_IP)
	ipHeader, ipOptions := Reason(steerReasonREASON_IP_HEADER), Reason(steerReasonREASON_IP_OPTIONS)
	fragment, notTCP := Reason(steerReasonREASON_FRAGMENT), Reason(steerReasonREASON_NOT_TCP)
	badAddress, tcpHeader := Reason(steerReasonREASON_BAD_ADDRESS), Reason(steerReasonREASON_TCP_HEADER)
	otherPort, otherAddress := Reason(steerReasonREASON_OTHER_PORT), Reason(steerReasonREASON_OTHER_ADDRESS)
	oddFlags, injected := Reason(steerReasonREASON_ODD_FLAGS), Reason(steerReasonREASON_INJECTED)

	for _, c := range []struct {
		name  string
		frame []byte
		want  Reason
	}{
		{"v4", v4, Redirected},
		{"v6", v6, Redirected},
		{"v4, payload", l.segment(true, payload([]byte("GET /"))), Redirected},
		{"v6, payload", l.segment(false, payload([]byte("GET /"))), Redirected},
		{"v4, padded to the least frame", append(bytes.Clone(v4), make([]byte, 6)...), Redirected},
		{"v4, DF", patch(v4, ip+6, 0x40, 0), Redirected},
		{"v4, ECN", patch(v4, ip+1, 3), Redirected},
		{"v6, flow label", patch(v6, ip, 0x6a, 0xbc, 0xde, 0xff), Redirected},
		{"v4, TCP options", l.segment(true, syn, func(s *segment) {
			s.tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
		}), Redirected},

		{"Ethernet header only", v4[:ip], tooShort},
		{"v4, cut in the IP header", v4[:tcp4-1], tooShort},
		{"v6, cut in the IP header", v6[:tcp6-1], tooShort},
		{"broadcast", patch(v4, 0, 255, 255, 255, 255, 255, 255), notUnicast},
		{"multicast", patch(v6, 0, 0x33, 0x33, 0, 0, 0, 1), notUnicast},
		{"802.1Q", insert(v4, 12, 0x81, 0, 0, 5), vlan},
		{"802.1ad", insert(v6, 12, 0x88, 0xa8, 0, 5), vlan},
		{"ARP", patch(v4, 12, 0x08, 0x06), notIP},
		{"802.3 length", patch(v4, 12, 0, 46), notIP},

		{"v4, version 5", patch(v4, ip, 0x55), ipHeader},
		{"v4, header of 16", patch(v4, ip, 0x44), ipHeader},
		{"v4, longer than the frame by 1", patch(v4, ip+2, 0, 41), ipHeader},
		{"v4, shorter than its header", patch(v4, ip+2, 0, 19), ipHeader},
		{"v4, cut in the TCP header", v4[:len(v4)-1], ipHeader},
		{"v6, version 4", patch(v6, ip, 0x40), ipHeader},
		{"v6, longer than the frame by 1", patch(v6, ip+4, 0, 21), ipHeader},
		{"v6, cut in the TCP header", v6[:len(v6)-1], ipHeader},
		{"v4, options", patch(insert(v4, tcp4, 1, 1, 1, 0), ip, 0x46, 0, 0, 44), ipOptions},
		{"v6, hop-by-hop", patch(v6, ip+6, 0), ipOptions},
		{"v6, routing", patch(v6, ip+6, 43), ipOptions},
		{"v6, destination options", patch(v6, ip+6, 60), ipOptions},
		{"v6, authentication", patch(v6, ip+6, 51), ipOptions},
		{"v6, mobility", patch(v6, ip+6, 135), ipOptions},
		{"v4, first fragment", patch(v4, ip+6, 0x20, 0), fragment},
		{"v4, last fragment", patch(v4, ip+6, 0, 1), fragment},
		{"v6, fragment", patch(v6, ip+6, 44), fragment},
		{"v4, UDP", patch(v4, ip+9, 17), notTCP},
		{"v4, ICMP", patch(v4, ip+9, 1), notTCP},
		{"v6, ICMP", patch(v6, ip+6, 58), notTCP},
		{"v6, no next header", patch(v6, ip+6, 59), notTCP},

		{"v4, from this network", l.segment(true, source("0.0.0.0")), badAddress},
		{"v4, from loopback", l.segment(true, source("127.0.0.1")), badAddress},
		{"v4, from multicast", l.segment(true, source("224.0.0.1")), badAddress},
		{"v4, from broadcast", l.segment(true, source("255.255.255.255")), badAddress},
		{"v4, from the destination", l.segment(true, source(l.server.IPv4.String())), badAddress},
		{"v6, from unspecified", l.segment(false, source("::")), badAddress},
		{"v6, from loopback", l.segment(false, source("::1")), badAddress},
		{"v6, from multicast", l.segment(false, source("ff02::1")), badAddress},
		{"v6, from the destination", l.segment(false, source(l.server.IPv6.String())), badAddress},
		{"v6, from IPv4-mapped", patch(v6, ip+8, mapped(client4)...), badAddress},
		{"v6, to IPv4-mapped", patch(v6, ip+24, mapped(l.server.IPv4)...), badAddress},

		{"v4, no TCP header", patch(v4, ip+2, 0, 39), tcpHeader},
		{"v6, no TCP header", patch(v6, ip+4, 0, 19), tcpHeader},
		{"v4, TCP header of 16", patch(v4, tcp4+12, 0x40), tcpHeader},
		{"v4, TCP header longer than the packet", patch(v4, tcp4+12, 0x60), tcpHeader},
		{"v6, TCP header longer than the packet", patch(v6, tcp6+12, 0xf0), tcpHeader},
		{"v4, TCP header in the padding", append(patch(v4, tcp4+12, 0x60), 0, 0, 0, 0, 0, 0), tcpHeader},
		{"v4, other port", l.segment(true, func(s *segment) { s.tcp.DstPort = 443 }), otherPort},
		{"v6, ports of an answer", l.segment(false, func(s *segment) { s.tcp.SrcPort, s.tcp.DstPort = 80, 1234 }), otherPort},
		{"v4, other address", l.segment(true, destination("192.0.2.3")), otherAddress},
		{"v6, other address", l.segment(false, destination("2001:db8::3")), otherAddress},

		{"v4, injected", patch(v4, 6, 2, 'x', 'h', 't', 't', 'p'), injected},
		{"v6, injected", patch(v6, 6, 2, 'x', 'h', 't', 't', 'p'), injected},
		{"SYN", l.segment(true, flags("S")), Redirected},
		{"SYN with ECN", l.segment(false, flags("SEC")), Redirected},
		{"RST of a client whose socket is gone", l.segment(true, flags("R")), Redirected},
		{"RST+ACK", l.segment(true, flags("RA")), Redirected},
		{"FIN+ACK", l.segment(false, flags("FA")), Redirected},
		{"all of a late segment", l.segment(true, flags("APUEC")), Redirected},
		{"nothing", l.segment(true, flags("")), oddFlags},
		{"FIN", l.segment(true, flags("F")), oddFlags},
		{"PSH", l.segment(false, flags("P")), oddFlags},
		{"FIN+PSH+URG", l.segment(true, flags("FPU")), oddFlags},
		{"SYN+FIN", l.segment(true, flags("SF")), oddFlags},
		{"SYN+RST", l.segment(false, flags("SR")), oddFlags},
		{"SYN+ACK", l.segment(true, flags("SA")), oddFlags},
		{"RST+FIN", l.segment(true, flags("RF")), oddFlags},
		{"all", l.segment(true, flags("SAFRPUEC")), oddFlags},
	} {
		t.Run(c.name, func(t *testing.T) { l.expect(t, c.frame, c.want) })
	}
}

// mapped is how IPv4 looks as an IPv6 address.
func mapped(a netip.Addr) []byte {
	b := a.As16()
	return b[:]
}
