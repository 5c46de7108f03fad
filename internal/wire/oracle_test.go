package wire

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// gopacket is the oracle of these tests: frames that we build must be what it decodes, and frames that it
// builds must be what we parse.

var (
	macUs   = MAC{2, 0, 0, 0, 0, 1}
	macPeer = MAC{2, 0, 0, 0, 0, 2}
	flow4   = Flow{Local: testAddr("192.0.2.1"), Remote: testAddr("198.51.100.7"), LocalPort: 80, RemotePort: 40001}
	flow6   = Flow{Local: testAddr("2001:db8::1"), Remote: testAddr("2001:db8:ffff::7"), LocalPort: 80, RemotePort: 40001}
)

func testAddr(s string) Addr { return AddrFrom(netip.MustParseAddr(s)) }

// decoded is a frame as gopacket reads it.
type decoded struct {
	eth *layers.Ethernet
	ip4 *layers.IPv4
	ip6 *layers.IPv6
	tcp *layers.TCP
}

// decode reads frame with gopacket, and fails if anything in it is not as it should be, checksums included.
func decode(t testing.TB, frame []byte) decoded {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v", e.Error())
	}
	var d decoded
	d.eth, _ = p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	d.ip4, _ = p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	d.ip6, _ = p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	d.tcp, _ = p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if d.eth == nil || d.tcp == nil || (d.ip4 == nil) == (d.ip6 == nil) {
		t.Fatalf("gopacket sees %v", p)
	}
	network := gopacket.NetworkLayer(d.ip6)
	if d.ip4 != nil {
		network = d.ip4
		if s := slowSum(d.ip4.Contents, 0); s != 0xffff {
			t.Fatalf("the IPv4 header sums to %#x", s)
		}
	}
	if err := d.tcp.SetNetworkLayerForChecksum(network); err != nil {
		t.Fatal(err)
	}
	if c, err := d.tcp.ComputeChecksum(); err != nil || c != 0 {
		t.Fatalf("TCP checksum is off by %#x, %v", c, err)
	}
	return d
}

// draft is a frame to be built by gopacket: from the peer to us, unless changed.
type draft struct {
	eth     layers.Ethernet
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	payload []byte
	six     bool
}

func newDraft(f *Flow) *draft {
	d := &draft{six: !f.Is4()}
	d.eth = layers.Ethernet{SrcMAC: macPeer[:], DstMAC: macUs[:], EthernetType: layers.EthernetTypeIPv4}
	src, dst := net.IP(f.Remote.Netip().AsSlice()), net.IP(f.Local.Netip().AsSlice())
	if d.six {
		d.eth.EthernetType = layers.EthernetTypeIPv6
	}
	d.ip4 = layers.IPv4{Version: 4, TTL: 61, Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: dst, Id: 77, Flags: layers.IPv4DontFragment}
	d.ip6 = layers.IPv6{Version: 6, HopLimit: 61, NextHeader: layers.IPProtocolTCP, SrcIP: src, DstIP: dst}
	d.tcp = layers.TCP{SrcPort: layers.TCPPort(f.RemotePort), DstPort: layers.TCPPort(f.LocalPort), Seq: 1000, Ack: 2000, ACK: true, Window: 512}
	return d
}

func (d *draft) frame(t testing.TB) []byte {
	t.Helper()
	network, ip := gopacket.NetworkLayer(&d.ip4), gopacket.SerializableLayer(&d.ip4)
	if d.six {
		network, ip = &d.ip6, &d.ip6
	}
	if err := d.tcp.SetNetworkLayerForChecksum(network); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, &d.eth, ip, &d.tcp, gopacket.Payload(d.payload)); err != nil {
		t.Fatal(err)
	}
	// Without the padding that gopacket adds to small frames, and in a copy without spare capacity: what
	// reads or writes past the end panics.
	n := EthLen + int(d.ip4.Length)
	if d.six {
		n = EthLen + IPv6Len + int(d.ip6.Length)
	}
	return append(make([]byte, 0, n), buf.Bytes()[:n]...)
}

// setFlags sets the control bits of d to f.
func (d *draft) setFlags(f Flags) {
	d.tcp.FIN, d.tcp.SYN, d.tcp.RST, d.tcp.PSH = f.Has(FIN), f.Has(SYN), f.Has(RST), f.Has(PSH)
	d.tcp.ACK, d.tcp.URG, d.tcp.ECE, d.tcp.CWR = f.Has(ACK), f.Has(URG), f.Has(ECE), f.Has(CWR)
}

func flagsOf(t *layers.TCP) (f Flags) {
	for bit, set := range map[Flags]bool{FIN: t.FIN, SYN: t.SYN, RST: t.RST, PSH: t.PSH, ACK: t.ACK, URG: t.URG, ECE: t.ECE, CWR: t.CWR} {
		if set {
			f |= bit
		}
	}
	return f
}

// oracleOptions writes o as gopacket understands options.
func oracleOptions(o *Options) (list []layers.TCPOption) {
	add := func(kind layers.TCPOptionKind, words ...any) {
		var data []byte
		for _, w := range words {
			switch w := w.(type) {
			case uint8:
				data = append(data, w)
			case uint16:
				data = binary.BigEndian.AppendUint16(data, w)
			case uint32:
				data = binary.BigEndian.AppendUint32(data, w)
			}
		}
		list = append(list, layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data})
	}
	if o.HasMSS {
		add(layers.TCPOptionKindMSS, o.MSS)
	}
	if o.HasWScale {
		add(layers.TCPOptionKindWindowScale, o.WScale)
	}
	if o.SACKPermitted {
		add(layers.TCPOptionKindSACKPermitted)
	}
	if o.HasTS {
		add(layers.TCPOptionKindTimestamps, o.TSVal, o.TSEcr)
	}
	if o.NSACK > 0 {
		var edges []any
		for _, s := range o.SACK[:o.NSACK] {
			edges = append(edges, uint32(s.Lo), uint32(s.Hi))
		}
		add(layers.TCPOptionKindSACK, edges...)
	}
	return list
}

// readOptions reads what gopacket decoded, the slow and obvious way.
func readOptions(t testing.TB, list []layers.TCPOption) (o Options) {
	t.Helper()
	for _, opt := range list {
		v := opt.OptionData
		switch opt.OptionType {
		case layers.TCPOptionKindNop, layers.TCPOptionKindEndList:
		case layers.TCPOptionKindMSS:
			o.HasMSS, o.MSS = true, binary.BigEndian.Uint16(v)
		case layers.TCPOptionKindWindowScale:
			o.HasWScale, o.WScale = true, v[0]
		case layers.TCPOptionKindSACKPermitted:
			o.SACKPermitted = true
		case layers.TCPOptionKindTimestamps:
			o.HasTS, o.TSVal, o.TSEcr = true, binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
		case layers.TCPOptionKindSACK:
			for ; len(v) > 0; v = v[8:] {
				o.SACK[o.NSACK] = Span{Seq(binary.BigEndian.Uint32(v)), Seq(binary.BigEndian.Uint32(v[4:]))}
				o.NSACK++
			}
		default:
			t.Fatalf("option %v", opt)
		}
	}
	return o
}

// optionSets are all combinations of options, with random values; those of more than 40 octets are left out.
func optionSets(r *rand.Rand) (sets []Options) {
	for bits := range 16 {
		for blocks := range uint8(MaxSACK + 1) {
			o := Options{HasMSS: bits&1 != 0, HasWScale: bits&2 != 0, SACKPermitted: bits&4 != 0, HasTS: bits&8 != 0, NSACK: blocks}
			if o.HasMSS {
				o.MSS = uint16(r.Uint32())
			}
			if o.HasWScale {
				o.WScale = uint8(r.Uint32())
			}
			if o.HasTS {
				o.TSVal, o.TSEcr = r.Uint32(), r.Uint32()
			}
			for i := range blocks {
				o.SACK[i] = Span{Seq(r.Uint32()), Seq(r.Uint32())}
			}
			if unpaddedLen(&o) <= 40 {
				sets = append(sets, o)
			}
		}
	}
	return sets
}

// unpaddedLen is how many octets o takes without any NOP.
func unpaddedLen(o *Options) (n int) {
	for _, opt := range oracleOptions(o) {
		n += int(opt.OptionLength)
	}
	return n
}
