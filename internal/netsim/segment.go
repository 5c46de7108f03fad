package netsim

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// segment is a TCP segment between two stations, in plain words.
type segment struct {
	srcMAC, dstMAC [6]byte
	src, dst       netip.AddrPort
	seq, ack       uint32
	wnd            uint16

	syn, fin, rst, isACK, psh bool

	mss      int // -1: no such option
	wscale   int // -1: no such option
	sackOK   bool
	ts       bool
	val, ecr uint32
	sack     [][2]uint32

	payload []byte
}

func newSegment(src, dst netip.AddrPort) *segment {
	return &segment{src: src, dst: dst, mss: -1, wscale: -1}
}

// options are what gopacket writes for s, padded by NOPs in front as most stacks do.
func (s *segment) options() (list []layers.TCPOption) {
	add := func(kind layers.TCPOptionKind, data []byte) {
		for range (4 - (2+len(data))%4) % 4 {
			list = append(list, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
		}
		list = append(list, layers.TCPOption{OptionType: kind, OptionData: data})
	}
	if s.mss >= 0 {
		add(layers.TCPOptionKindMSS, binary.BigEndian.AppendUint16(nil, uint16(s.mss)))
	}
	if s.sackOK {
		add(layers.TCPOptionKindSACKPermitted, nil)
	}
	if s.ts {
		add(layers.TCPOptionKindTimestamps, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, s.val), s.ecr))
	}
	if s.wscale >= 0 {
		add(layers.TCPOptionKindWindowScale, []byte{byte(s.wscale)})
	}
	if len(s.sack) > 0 {
		var data []byte
		for _, b := range s.sack {
			data = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(data, b[0]), b[1])
		}
		add(layers.TCPOptionKindSACK, data)
	}
	return list
}

// encode builds the frame of s by gopacket.
func (s *segment) encode() []byte {
	eth := layers.Ethernet{SrcMAC: s.srcMAC[:], DstMAC: s.dstMAC[:], EthernetType: layers.EthernetTypeIPv4}
	src, dst := net.IP(s.src.Addr().AsSlice()), net.IP(s.dst.Addr().AsSlice())
	ip4 := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, Flags: layers.IPv4DontFragment, SrcIP: src, DstIP: dst}
	ip6 := layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src, DstIP: dst}
	network, ip := gopacket.NetworkLayer(&ip4), gopacket.SerializableLayer(&ip4)
	if s.src.Addr().Is6() {
		network, ip = &ip6, &ip6
		eth.EthernetType = layers.EthernetTypeIPv6
	}
	tcp := layers.TCP{
		SrcPort: layers.TCPPort(s.src.Port()), DstPort: layers.TCPPort(s.dst.Port()), Seq: s.seq, Ack: s.ack, Window: s.wnd,
		SYN: s.syn, FIN: s.fin, RST: s.rst, ACK: s.isACK, PSH: s.psh, Options: s.options(),
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	err := tcp.SetNetworkLayerForChecksum(network)
	if err == nil {
		err = gopacket.SerializeLayers(buf, opts, &eth, ip, &tcp, gopacket.Payload(s.payload))
	}
	if err != nil {
		panic("netsim: " + err.Error()) // a test asks for what no frame can hold
	}
	return buf.Bytes()
}

// decode reads a frame by gopacket, checksums included. The payload is a part of frame.
func decode(frame []byte) (*segment, error) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	eth, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if e := p.ErrorLayer(); e != nil {
		return nil, e.Error()
	}
	if eth == nil || tcp == nil {
		return nil, fmt.Errorf("no TCP segment: %x", frame)
	}
	s := newSegment(netip.AddrPort{}, netip.AddrPort{})
	copy(s.srcMAC[:], eth.SrcMAC)
	copy(s.dstMAC[:], eth.DstMAC)
	if err := s.readNetwork(p.NetworkLayer(), tcp); err != nil {
		return nil, err
	}
	s.seq, s.ack, s.wnd, s.payload = tcp.Seq, tcp.Ack, tcp.Window, tcp.Payload
	s.syn, s.fin, s.rst, s.isACK, s.psh = tcp.SYN, tcp.FIN, tcp.RST, tcp.ACK, tcp.PSH
	for _, o := range tcp.Options {
		if err := s.readOption(o); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readNetwork reads the addresses and verifies both checksums.
func (s *segment) readNetwork(network gopacket.NetworkLayer, tcp *layers.TCP) error {
	var src, dst net.IP
	switch ip := network.(type) {
	case *layers.IPv4:
		src, dst = ip.SrcIP, ip.DstIP
		if c := checksum(ip.Contents); c != 0xffff {
			return fmt.Errorf("the IPv4 header sums to %#x", c)
		}
	case *layers.IPv6:
		src, dst = ip.SrcIP, ip.DstIP
	default:
		return fmt.Errorf("network layer %v", network)
	}
	if err := tcp.SetNetworkLayerForChecksum(network); err != nil {
		return err
	}
	if c, err := tcp.ComputeChecksum(); err != nil || c != 0 {
		return fmt.Errorf("TCP checksum is off by %#x, %v", c, err)
	}
	a, _ := netip.AddrFromSlice(src)
	b, _ := netip.AddrFromSlice(dst)
	s.src, s.dst = netip.AddrPortFrom(a, uint16(tcp.SrcPort)), netip.AddrPortFrom(b, uint16(tcp.DstPort))
	return nil
}

func (s *segment) readOption(o layers.TCPOption) error {
	v := o.OptionData
	is := func(kind layers.TCPOptionKind, n int) bool { return o.OptionType == kind && len(v) == n }
	switch {
	case o.OptionType == layers.TCPOptionKindNop, o.OptionType == layers.TCPOptionKindEndList:
	case is(layers.TCPOptionKindMSS, 2):
		s.mss = int(binary.BigEndian.Uint16(v))
	case is(layers.TCPOptionKindWindowScale, 1):
		s.wscale = int(v[0])
	case is(layers.TCPOptionKindSACKPermitted, 0):
		s.sackOK = true
	case is(layers.TCPOptionKindTimestamps, 8):
		s.ts, s.val, s.ecr = true, binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	case o.OptionType == layers.TCPOptionKindSACK && len(v) > 0 && len(v)%8 == 0:
		for ; len(v) > 0; v = v[8:] {
			s.sack = append(s.sack, [2]uint32{binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])})
		}
	default:
		return fmt.Errorf("option %v of %d octets", o.OptionType, len(v))
	}
	return nil
}

// optionsLen is what the options of s take in its frame.
func (s *segment) optionsLen() (n int) {
	for _, o := range s.options() {
		n++
		if o.OptionType != layers.TCPOptionKindNop {
			n += 1 + len(o.OptionData)
		}
	}
	return n
}

// pseudoHeader is what a TCP checksum covers beside the segment: addresses, protocol and length.
func pseudoHeader(src, dst netip.Addr, length int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	return append(b, 0, 6, byte(length>>8), byte(length))
}

// leavePartial puts the sum of the pseudo-header alone into the checksum field of a TCP frame, as Linux does
// for a device that would complete it (CHECKSUM_PARTIAL).
func (s *segment) leavePartial(frame []byte) {
	at := tcpAt(frame)
	header := pseudoHeader(s.src.Addr(), s.dst.Addr(), 20+s.optionsLen()+len(s.payload))
	binary.BigEndian.PutUint16(frame[at+16:], uint16(checksum(header)))
}

// completePartial undoes leavePartial, and reports false if that is not what was done to frame.
func completePartial(frame []byte) bool {
	at := tcpAt(frame)
	if len(frame) < at+20 || at < 0 {
		return false
	}
	addrs, length := frame[26:34], int(binary.BigEndian.Uint16(frame[16:]))-20
	if at == 54 {
		addrs, length = frame[22:54], int(binary.BigEndian.Uint16(frame[18:]))
	}
	if length < 20 || at+length > len(frame) {
		return false
	}
	sum := checksum(append(append([]byte(nil), addrs...), 0, 6, byte(length>>8), byte(length)))
	if binary.BigEndian.Uint16(frame[at+16:]) != uint16(sum) {
		return false
	}
	tcp := append([]byte(nil), frame[at:at+length]...)
	if len(tcp)%2 != 0 {
		tcp = append(tcp, 0)
	}
	binary.BigEndian.PutUint16(tcp[16:], 0)
	whole := checksum(append(binary.BigEndian.AppendUint16(nil, uint16(sum)), tcp...))
	binary.BigEndian.PutUint16(frame[at+16:], ^uint16(whole))
	return true
}

// tcpAt is where the TCP header of a frame begins, or -1.
func tcpAt(frame []byte) int {
	if len(frame) < 14 {
		return -1
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		return 34
	case 0x86dd:
		return 54
	}
	return -1
}

// checksum is RFC 1071 over an even number of octets.
func checksum(b []byte) uint32 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// describe prints a frame as tcpdump does.
func describe(frame []byte) string {
	s, err := decode(frame)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v > %v ", s.src, s.dst)
	for _, f := range []struct {
		set  bool
		name byte
	}{{s.fin, 'F'}, {s.syn, 'S'}, {s.rst, 'R'}, {s.psh, 'P'}, {s.isACK, '.'}} {
		if f.set {
			b.WriteByte(f.name)
		}
	}
	fmt.Fprintf(&b, " seq %d:%d ack %d win %d", s.seq, s.seq+uint32(len(s.payload)), s.ack, s.wnd)
	if s.ts {
		fmt.Fprintf(&b, " TS %d %d", s.val, s.ecr)
	}
	for _, k := range s.sack {
		fmt.Fprintf(&b, " sack %d:%d", k[0], k[1])
	}
	fmt.Fprintf(&b, " length %d", len(s.payload))
	return b.String()
}
