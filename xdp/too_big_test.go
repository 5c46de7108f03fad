package xdp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The router that cannot forward our segments. Like the clients, it is an address that the peer's kernel does not own.
var (
	router4 = netip.MustParseAddr("192.0.2.8")
	router6 = netip.MustParseAddr("2001:db8::8")
)

// tooBig builds a router's frame that says that a segment was too big which the server had sent to the client. The edits
// change that segment, whose ends are exchanged: source() is where the server's segment went to.
func (l *lab) tooBig(is4 bool, edits ...func(*segment)) []byte {
	l.t.Helper()
	quoted := l.segment(is4, append([]func(*segment){payload(make([]byte, 1400))}, edits...)...)
	turn(quoted)
	quoted = quoted[14:]
	eth := layers.Ethernet{SrcMAC: l.client.MAC, DstMAC: l.server.MAC}
	var parts []gopacket.SerializableLayer
	if is4 {
		eth.EthernetType = layers.EthernetTypeIPv4
		ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: router4.AsSlice(), DstIP: quoted[12:16]}
		icmp := layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 1300} // where RFC 1191 puts the MTU
		parts = []gopacket.SerializableLayer{&eth, &ip, &icmp, gopacket.Payload(quoted[:548])}
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: router6.AsSlice(), DstIP: quoted[8:24]}
		icmp := layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
		if err := icmp.SetNetworkLayerForChecksum(&ip); err != nil {
			l.t.Fatal(err)
		}
		body := append(binary.BigEndian.AppendUint32(nil, 1300), quoted[:1232-4]...)
		parts = []gopacket.SerializableLayer{&eth, &ip, &icmp, gopacket.Payload(body)}
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		l.t.Fatal(err)
	}
	return buffer.Bytes()
}

// ipLength cuts a frame after n octets of the outer IP's payload, and says so in its header. Padding follows.
func ipLength(frame []byte, n int, padding ...byte) []byte {
	if frame[12] == 0x08 {
		frame = append(patch(frame, 14+2, byte((20+n)>>8), byte(20+n))[:14+20+n], padding...)
		return frame
	}
	return append(patch(frame, 14+4, byte(n>>8), byte(n))[:14+40+n], padding...)
}

// testSteerTooBig has the exits of ICMP errors that depend on nothing but the packet.
func testSteerTooBig(t *testing.T) {
	l := newBench(t)
	v4, v6 := l.tooBig(true), l.tooBig(false)
	const (
		ip             = 14
		icmp4, icmp6   = ip + 20, ip + 40
		quote4, quote6 = icmp4 + 8, icmp6 + 8
		least4, least6 = 8 + 20 + 8, 8 + 40 + 8 // ICMP, quoted IP, 8 octets of TCP
	)
	notTCP, badQuote := Reason(steerReasonREASON_NOT_TCP), Reason(steerReasonREASON_BAD_QUOTE)
	otherPort, otherAddress := Reason(steerReasonREASON_OTHER_PORT), Reason(steerReasonREASON_OTHER_ADDRESS)
	badAddress, injected := Reason(steerReasonREASON_BAD_ADDRESS), Reason(steerReasonREASON_INJECTED)
	fragment, ipHeader := Reason(steerReasonREASON_FRAGMENT), Reason(steerReasonREASON_IP_HEADER)
	ipOptions, notUnicast := Reason(steerReasonREASON_IP_OPTIONS), Reason(steerReasonREASON_NOT_UNICAST)

	for _, c := range []struct {
		name  string
		frame []byte
		want  Reason
	}{
		{"v4", v4, TooBig},
		{"v6", v6, TooBig},
		{"v4, least quote", ipLength(v4, least4), TooBig},
		{"v6, least quote", ipLength(v6, least6), TooBig},
		{"v4, least quote, padded", ipLength(v4, least4, 0, 0, 0), TooBig},
		{"v4, no MTU, as of old routers", patch(v4, icmp4+6, 0, 0), TooBig},
		{"v4, checksums are user space's", patch(patch(v4, ip+10, 1, 2), icmp4+2, 3, 4), TooBig},
		{"v6, checksums are user space's", patch(v6, icmp6+2, 3, 4), TooBig},
		{"v6, any code", patch(v6, icmp6+1, 1), TooBig},
		{"v4, quoted length of an odd router", patch(v4, quote4+2, 0, 0), TooBig},
		{"v4, quoted RST", l.tooBig(true, flags("R")), TooBig},

		{"v4, host unreachable", patch(v4, icmp4+1, 1), notTCP},
		{"v4, port unreachable", patch(v4, icmp4+1, 3), notTCP},
		{"v4, source route failed", patch(v4, icmp4+1, 5), notTCP},
		{"v4, echo", patch(v4, icmp4, 8, 0), notTCP},
		{"v4, echo reply", patch(v4, icmp4, 0, 0), notTCP},
		{"v4, redirect", patch(v4, icmp4, 5, 1), notTCP},
		{"v4, time exceeded", patch(v4, icmp4, 11, 0), notTCP},
		{"v4, parameter problem", patch(v4, icmp4, 12, 0), notTCP},
		{"v4, type of v6", patch(v4, icmp4, 2, 4), notTCP},
		{"v4, protocol of ICMPv6", patch(v4, ip+9, 58), notTCP},
		{"v4, UDP", patch(v4, ip+9, 17), notTCP},
		{"v6, unreachable", patch(v6, icmp6, 1, 0), notTCP},
		{"v6, time exceeded", patch(v6, icmp6, 3, 0), notTCP},
		{"v6, parameter problem", patch(v6, icmp6, 4, 0), notTCP},
		{"v6, echo", patch(v6, icmp6, 128, 0), notTCP},
		{"v6, neighbour solicitation", patch(v6, icmp6, 135, 0), notTCP},
		{"v6, neighbour advertisement", patch(v6, icmp6, 136, 0), notTCP},
		{"v6, router advertisement", patch(v6, icmp6, 134, 0), notTCP},
		{"v6, type and code of v4", patch(v6, icmp6, 3, 4), notTCP},
		{"v6, next header of ICMPv4", patch(v6, ip+6, 1), notTCP},
		{"v4, no ICMP header", ipLength(v4, 7), notTCP},
		{"v6, no ICMP header", ipLength(v6, 7), notTCP},

		{"v4, no quote", ipLength(v4, 8), badQuote},
		{"v6, no quote", ipLength(v6, 8), badQuote},
		{"v4, quote of 7 octets of TCP", ipLength(v4, least4-1), badQuote},
		{"v6, quote of 7 octets of TCP", ipLength(v6, least6-1), badQuote},
		{"v4, the rest of the quote in the padding", ipLength(v4, least4-1, v4[icmp4+least4-1], 0, 0), badQuote},
		{"v6, the rest of the quote in the padding", ipLength(v6, least6-1, v6[icmp6+least6-1], 0, 0), badQuote},
		{"v4, quote of IPv6", patch(v4, quote4, 0x65), badQuote},
		{"v6, quote of IPv4", patch(v6, quote6, 0x45), badQuote},
		{"v4, quote with options", patch(v4, quote4, 0x46), badQuote},
		{"v4, quote with a short header", patch(v4, quote4, 0x44), badQuote},
		{"v4, quote of UDP", patch(v4, quote4+9, 17), badQuote},
		{"v6, quote of UDP", patch(v6, quote6+6, 17), badQuote},
		{"v6, quote of a fragment", patch(v6, quote6+6, 44), badQuote},
		{"v6, quote with hop-by-hop options", patch(v6, quote6+6, 0), badQuote},
		{"v4, quote of a first fragment", patch(v4, quote4+6, 0x20, 0), badQuote},
		{"v4, quote of a last fragment", patch(v4, quote4+6, 0, 1), badQuote},
		{"v4, quote of what another host sent", patch(v4, quote4+15, 77), badQuote},
		{"v6, quote of what another host sent", patch(v6, quote6+23, 77), badQuote},
		{"v6, the same in the first word", patch(v6, quote6+8, 0x2a), badQuote},
		{"v4, quote of what we have received", patch(v4, quote4+12, v4[ip+12:ip+20]...), badQuote},

		{"v4, about an address that is not served", l.tooBig(true, destination("192.0.2.3")), otherAddress},
		{"v6, about an address that is not served", l.tooBig(false, destination("2001:db8::3")), otherAddress},
		{"v4, about another port", l.tooBig(true, func(s *segment) { s.tcp.DstPort = 443 }), otherPort},
		{"v6, about another port", l.tooBig(false, func(s *segment) { s.tcp.DstPort = 443 }), otherPort},
		{"v4, about a connection of ours to that port", l.tooBig(true, func(s *segment) { s.tcp.SrcPort, s.tcp.DstPort = 80, 1234 }), otherPort},

		{"v4, from loopback", patch(v4, ip+12, 127, 0, 0, 1), badAddress},
		{"v4, from us", patch(v4, ip+12, v4[ip+16:ip+20]...), badAddress},
		{"v6, from unspecified", patch(v6, ip+8, net.IPv6unspecified...), badAddress},
		{"v6, from multicast", patch(v6, ip+8, 0xff), badAddress},
		{"v6, from us", patch(v6, ip+8, v6[ip+24:ip+40]...), badAddress},
		{"v6, about IPv4-mapped addresses of ours", patch(patch(v6, ip+24, mapped(l.server.IPv4)...), quote6+8, mapped(l.server.IPv4)...), badAddress},
		{"v6, about an IPv4-mapped client", patch(v6, quote6+24, mapped(client4)...), badAddress},

		{"v4, first fragment", patch(v4, ip+6, 0x20, 0), fragment},
		{"v4, last fragment", patch(v4, ip+6, 0, 1), fragment},
		{"v6, fragment", patch(v6, ip+6, 44), fragment},
		{"v4, options", insert(patch(v4, ip, 0x46), icmp4, 1, 1, 1, 0), ipOptions},
		{"v6, hop-by-hop options", patch(v6, ip+6, 0), ipOptions},
		{"v4, longer than the frame", v4[:len(v4)-1], ipHeader},
		{"v6, longer than the frame", v6[:len(v6)-1], ipHeader},
		{"v4, broadcast", patch(v4, 0, 255, 255, 255, 255, 255, 255), notUnicast},
		{"v4, injected", patch(v4, 6, 2, 'x', 'h', 't', 't', 'p'), injected},
		{"v6, injected", patch(v6, 6, 2, 'x', 'h', 't', 't', 'p'), injected},
	} {
		t.Run(c.name, func(t *testing.T) { l.expect(t, c.frame, c.want) })
	}
}

// testSteerTooBigByState has those that depend on the daemon, the queue and the kernel's sockets.
func testSteerTooBigByState(t *testing.T) {
	l := newBench(t)
	for _, is4 := range []bool{true, false} {
		for age, want := range map[time.Duration]Reason{
			0: TooBig, 1001 * time.Millisecond: TooBig, 4900 * time.Millisecond: TooBig, 5001 * time.Millisecond: Stale,
		} {
			if err := l.program.Beat(monotonic(t, age)); err != nil {
				t.Fatal(err)
			}
			l.expect(t, l.tooBig(is4), want)
		}
		l.beat()
		if err := l.program.SetDraining(true); err != nil {
			t.Fatal(err)
		}
		l.expect(t, l.tooBig(is4), TooBig)
		if err := l.program.SetDraining(false); err != nil {
			t.Fatal(err)
		}
		if verdict, reason := l.run(l.tooBig(is4), 1); verdict != xdpPass || reason != NoSocket {
			t.Errorf("queue without a socket: verdict %d, %s", verdict, reason)
		}
	}
	listener := l.listen(t)
	defer listener.Close()
	for _, ip := range []netip.Addr{l.server.IPv4, l.server.IPv6} {
		l.beat()
		l.expect(t, l.tooBig(ip.Is4()), TooBig)
		client, _ := l.connect(t, listener, netip.AddrPortFrom(ip, port))
		local := client.LocalAddr().(*net.TCPAddr).AddrPort()
		peer := source(local.Addr().String())
		l.expect(t, l.tooBig(ip.Is4(), peer, from(int(local.Port()))), Kernel)
		l.expect(t, l.tooBig(ip.Is4(), peer, from(int(local.Port())+1)), TooBig)
	}
}
