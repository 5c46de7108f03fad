package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// complaint is a router's message, built by gopacket, about the segment quoted, an IP packet.
type complaint struct {
	six    bool
	mtu    uint32
	quoted []byte
}

// complain makes one about a segment of ours with n octets of payload, and quotes at most the first limit octets of it.
func complain(t testing.TB, f Flow, seq, mtu uint32, n, limit int) *complaint {
	t.Helper()
	d := newDraft(&Flow{Local: f.Remote, Remote: f.Local, LocalPort: f.RemotePort, RemotePort: f.LocalPort})
	d.tcp.Seq, d.payload = seq, make([]byte, n)
	quoted := d.frame(t)[EthLen:]
	return &complaint{six: !f.Is4(), mtu: mtu, quoted: quoted[:min(limit, len(quoted))]}
}

func (c *complaint) frame(t testing.TB) []byte {
	t.Helper()
	eth := layers.Ethernet{SrcMAC: macPeer[:], DstMAC: macUs[:], EthernetType: layers.EthernetTypeIPv4}
	var parts []gopacket.SerializableLayer
	var n int
	if c.six {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip := layers.IPv6{Version: 6, HopLimit: 61, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("2001:db8:1::fe"), DstIP: flow6.Local[:]}
		icmp := layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypePacketTooBig, 0)}
		if err := icmp.SetNetworkLayerForChecksum(&ip); err != nil {
			t.Fatal(err)
		}
		parts = []gopacket.SerializableLayer{&eth, &ip, &icmp, gopacket.Payload(binary.BigEndian.AppendUint32(nil, c.mtu)), gopacket.Payload(c.quoted)}
		n = EthLen + IPv6Len + 8 + len(c.quoted)
	} else {
		ip := layers.IPv4{Version: 4, TTL: 61, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IPv4(203, 0, 113, 9), DstIP: flow4.Local[12:], Id: 5}
		// RFC 1191, 4: what is the sequence number of an echo is the MTU here.
		icmp := layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded), Seq: uint16(c.mtu)}
		parts = []gopacket.SerializableLayer{&eth, &ip, &icmp, gopacket.Payload(c.quoted)}
		n = EthLen + IPv4Len + 8 + len(c.quoted)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return append(make([]byte, 0, n), buf.Bytes()[:n]...) // without padding or spare capacity, as draft.frame
}

func TestParseTooBigReadsWhatGopacketBuilds(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, f := range []Flow{flow4, flow6} {
		least := IPv4Len + 8
		if !f.Is4() {
			least = IPv6Len + 8
		}
		for _, mtu := range []uint32{0, 1, 576, 1280, 1500, 65535} {
			for _, limit := range []int{least, least + 1, least + 12, 548, 1232} {
				for _, padding := range []int{0, 1, 18} {
					f.LocalPort, f.RemotePort = uint16(r.Uint32()), uint16(r.Uint32())
					seq := r.Uint32()
					frame := append(complain(t, f, seq, mtu, 1460, limit).frame(t), random(r, padding)...)
					before := bytes.Clone(frame)
					var m TooBig
					if got := ParseTooBig(frame, &m); got != OK {
						t.Fatalf("%v, quote of %d octets: %v", f, limit, got)
					}
					if want := (TooBig{Flow: f, Seq: Seq(seq), MTU: mtu, Dst: macUs}); m != want {
						t.Errorf("%+v, want %+v", m, want)
					}
					if !bytes.Equal(frame, before) {
						t.Fatal("ParseTooBig has changed the frame")
					}
				}
			}
		}
	}
	var m TooBig
	if got := ParseTooBig(complain(t, flow6, 1, 1<<31, 1460, 1232).frame(t), &m); got != OK || m.MTU != 1<<31 {
		t.Errorf("MTU of 32 bits: %v, %d", got, m.MTU)
	}
}

// fixChecksums makes those of a message good again.
func fixChecksums(f []byte) []byte {
	switch {
	case len(f) >= EthLen+IPv4Len+8 && f[12] == 0x08 && f[13] == 0:
		total := int(binary.BigEndian.Uint16(f[16:]))
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], ^slowSum(f[EthLen:EthLen+IPv4Len], 0))
		if total >= IPv4Len+8 && EthLen+total <= len(f) {
			icmp := f[EthLen+IPv4Len : EthLen+total]
			icmp[2], icmp[3] = 0, 0
			binary.BigEndian.PutUint16(icmp[2:], ^slowSum(icmp, 0))
		}
	case len(f) >= EthLen+IPv6Len+8 && f[12] == 0x86 && f[13] == 0xdd:
		n := int(binary.BigEndian.Uint16(f[18:]))
		if n >= 8 && EthLen+IPv6Len+n <= len(f) {
			icmp := f[EthLen+IPv6Len : EthLen+IPv6Len+n]
			icmp[2], icmp[3] = 0, 0
			header := append(bytes.Clone(f[22:54]), 0, 0, byte(n>>8), byte(n), 0, 0, 0, 58) // RFC 8200, 8.1
			binary.BigEndian.PutUint16(icmp[2:], ^slowSum(icmp, slowSum(header, 0)))
		}
	}
	return f
}

// Each problem has a message that differs in one thing from one that is taken.
func TestTooBigProblems(t *testing.T) {
	const (
		ip             = EthLen
		icmp4, icmp6   = ip + IPv4Len, ip + IPv6Len
		quote4, quote6 = icmp4 + 8, icmp6 + 8
		end4, end6     = quote4 + IPv4Len + 8, quote6 + IPv6Len + 8
	)
	raw := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return f }
	}
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return fixChecksums(f) }
	}
	cut := func(n int) func([]byte) []byte { return func(f []byte) []byte { return f[:n:n] } }
	// say changes the IP length and leaves what is behind it as padding.
	say := func(at, n int) func([]byte) []byte { return set(at, byte(n>>8), byte(n)) }
	for _, c := range []struct {
		name   string
		flow   Flow
		change func([]byte) []byte
		want   Problem
	}{
		{"IPv4 as built", flow4, raw(0), OK},
		{"IPv4, least quote", flow4, say(16, end4-ip), OK},
		{"IPv4, quoted length of an odd router", flow4, set(quote4+2, 0, 0), OK},
		{"IPv4, quoted checksum", flow4, set(quote4+10, 1, 2), OK},
		{"nothing", flow4, cut(0), TooShort},
		{"half an Ethernet header", flow4, cut(13), TooShort},
		{"no IPv4 header", flow4, cut(14), TooShort},
		{"ARP", flow4, raw(12, 0x08, 0x06), NotIP},
		{"IPv4 options", flow4, set(ip, 0x46), IPHeader},
		{"frame shorter than IPv4 says", flow4, cut(end4), IPHeader},
		{"fragment", flow4, set(20, 0x20, 0), Fragment},
		{"IPv4 checksum", flow4, raw(22, 99), IPChecksum},
		{"TCP", flow4, set(23, 6), NotTCP},
		{"ICMPv6 in IPv4", flow4, set(23, 58), NotTCP},
		{"echo", flow4, set(icmp4, 8, 0), NotTCP},
		{"unreachable", flow4, set(icmp4+1, 3), NotTCP},
		{"redirect", flow4, set(icmp4, 5), NotTCP},
		{"no ICMP header", flow4, say(16, 27), NotTCP},
		{"ICMP checksum", flow4, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, ICMPChecksum},
		{"ICMP checksum field", flow4, raw(icmp4+2, 0, 0), ICMPChecksum},
		{"no quote", flow4, say(16, 28), BadQuote},
		{"quote of 7 octets of TCP", flow4, say(16, end4-ip-1), BadQuote},
		{"quote with IPv4 options", flow4, set(quote4, 0x46), BadQuote},
		{"quote of UDP", flow4, set(quote4+9, 17), BadQuote},
		{"quote of a first fragment", flow4, set(quote4+6, 0x20), BadQuote},
		{"quote of a last fragment", flow4, set(quote4+6, 0, 1), BadQuote},
		{"quote of another host's", flow4, set(quote4+15, 99), BadQuote},

		{"IPv6 as built", flow6, raw(0), OK},
		{"IPv6, least quote", flow6, say(18, end6-icmp6), OK},
		{"IPv6, any code", flow6, set(icmp6+1, 7), OK},
		{"no IPv6 header", flow6, cut(14), TooShort},
		{"frame shorter than IPv6 says", flow6, cut(end6), IPHeader},
		{"ICMPv4 in IPv6", flow6, set(20, 1), NotTCP},
		{"hop-by-hop header", flow6, set(20, 0), NotTCP},
		{"IPv6, unreachable", flow6, set(icmp6, 1), NotTCP},
		{"neighbour solicitation", flow6, set(icmp6, 135), NotTCP},
		{"IPv6, no ICMP header", flow6, say(18, 7), NotTCP},
		{"ICMPv6 checksum", flow6, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, ICMPChecksum},
		{"ICMPv6 sum without the pseudo-header", flow6, func(f []byte) []byte {
			copy(f[icmp6+2:], []byte{0, 0})
			binary.BigEndian.PutUint16(f[icmp6+2:], ^slowSum(f[icmp6:], 0))
			return f
		}, ICMPChecksum},
		{"IPv6, no quote", flow6, say(18, 8), BadQuote},
		{"IPv6, quote of 7 octets of TCP", flow6, say(18, end6-icmp6-1), BadQuote},
		{"IPv6, quote of IPv4", flow6, set(quote6, 0x45), BadQuote},
		{"IPv6, quote of UDP", flow6, set(quote6+6, 17), BadQuote},
		{"IPv6, quote of a fragment", flow6, set(quote6+6, 44), BadQuote},
		{"IPv6, quote of another host's", flow6, set(quote6+8+15, 99), BadQuote},
		{"IPv6, mapped client", flow6, set(quote6+24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), BadQuote},
		{"IPv6, we are mapped", flow6, func(f []byte) []byte {
			mapped := Addr4([]byte{1, 2, 3, 4})
			copy(f[ip+24:], mapped[:])
			copy(f[quote6+8:], mapped[:])
			return fixChecksums(f)
		}, BadQuote},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame := c.change(complain(t, c.flow, 1000, 1300, 1460, 548).frame(t))
			var m TooBig
			if got := ParseTooBig(frame, &m); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			var p Packet
			if c.want == OK && Parse(frame, &p) != NotTCP {
				t.Errorf("Parse takes it for something else than %v", NotTCP)
			}
		})
	}
}

func TestParseTooBigAllocatesNothing(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		frame := complain(t, f, 1000, 1300, 1460, 548).frame(t)
		var m TooBig
		if n := testing.AllocsPerRun(100, func() { ParseTooBig(frame, &m) }); n != 0 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}

// What ParseTooBig takes, gopacket reads in the same way.
func FuzzParseTooBig(f *testing.F) {
	for _, flow := range []Flow{flow4, flow6} {
		for _, limit := range []int{48, 60, 548} {
			f.Add(complain(f, flow, 1000, 1300, 1460, limit).frame(f), uint8(0), true)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, padding uint8, repair bool) {
		if repair { // mutations would hardly ever pass otherwise
			fixChecksums(in)
		}
		in = in[:len(in):len(in)]
		before := bytes.Clone(in)
		var m, padded TooBig
		problem := ParseTooBig(in, &m)
		if !bytes.Equal(in, before) {
			t.Fatal("ParseTooBig has changed the frame")
		}
		if problem != OK {
			return
		}
		if got := ParseTooBig(append(before, make([]byte, padding)...), &padded); got != OK || padded != m {
			t.Fatalf("with %d octets of padding: %v %+v, without %+v", padding, got, padded, m)
		}
		if got := oracleTooBig(t, in); got != m {
			t.Fatalf("%+v, gopacket reads %+v", m, got)
		}
	})
}

// oracleTooBig reads a message with gopacket, but for the 8 octets of TCP, which are too few for it.
func oracleTooBig(t *testing.T, frame []byte) (m TooBig) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true})
	eth, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !ok {
		t.Fatal("gopacket sees no Ethernet")
	}
	m.Dst = MAC(eth.DstMAC)
	var quoted []byte
	if icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		m.MTU, quoted = uint32(icmp.Seq), icmp.Payload
	} else if icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		m.MTU, quoted = binary.BigEndian.Uint32(icmp.Payload), icmp.Payload[4:]
	} else {
		t.Fatalf("gopacket sees %v", p)
	}
	var src, dst net.IP
	var tcp []byte
	if quoted[0]>>4 == 4 { // by hand: the quoted length says more than there is, or anything
		src, dst, tcp = net.IP(quoted[12:16]), net.IP(quoted[16:20]), quoted[20:]
	} else {
		src, dst, tcp = net.IP(quoted[8:24]), net.IP(quoted[24:40]), quoted[40:]
	}
	m.Flow.Local, m.Flow.Remote = Addr(src.To16()), Addr(dst.To16())
	m.Flow.LocalPort, m.Flow.RemotePort = binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	m.Seq = Seq(binary.BigEndian.Uint32(tcp[4:]))
	return m
}
