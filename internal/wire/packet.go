package wire

import "encoding/binary"

// Flags are the control bits of a TCP header (RFC 9293, 3.1), the eight of octet 13.
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Has reports whether every bit of f is set.
func (g Flags) Has(f Flags) bool { return g&f == f }

// Segment is a TCP segment as received. Payload is a part of the frame and valid as long as that.
type Segment struct {
	Seq, Ack Seq
	Wnd      uint16 // octets, not yet scaled
	Flags    Flags
	CE       bool // congestion experienced, from the IP header (RFC 3168)
	Options  Options
	Payload  []byte
}

// Len returns the segment's length in sequence space: payload, SYN and FIN (RFC 9293, 3.4).
func (s *Segment) Len() uint32 {
	n := uint32(len(s.Payload))
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// MAC is an Ethernet address.
type MAC [6]byte

// Packet is a parsed frame. Frame is the received frame cut to the IP length, so that the padding of small
// frames is gone; it and Payload are the caller's memory.
type Packet struct {
	Frame    []byte
	Flow     Flow
	Segment  Segment
	Src, Dst MAC
	// Partial says that the checksum field holds only the pseudo-header's sum, as on a veth pair whose
	// peer offloads checksums (CHECKSUM_PARTIAL); Complete repairs it.
	Partial bool
}

// Problem says why a frame was not taken. Its String is the label of a metric.
type Problem uint8

// What Parse and ParseTooBig can find.
const (
	OK Problem = iota
	TooShort
	NotIP
	IPHeader
	Fragment
	NotTCP
	TCPHeader
	IPChecksum
	TCPChecksum
	ICMPChecksum // ParseTooBig's only, as BadQuote
	BadQuote
	NumProblems
)

var problemNames = [NumProblems]string{"ok", "too-short", "not-ip", "ip-header", "fragment", "not-tcp", "tcp-header", "ip-checksum", "tcp-checksum", "icmp-checksum", "bad-quote"}

// String returns the problem as a metric's label.
func (p Problem) String() string {
	if p < NumProblems {
		return problemNames[p]
	}
	return "unknown"
}

// Lengths of headers without options, octets.
const (
	EthLen  = 14
	IPv4Len = 20
	IPv6Len = 40
	TCPLen  = 20

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	protoTCP  = 6
)

// Parse reads an Ethernet frame into p. After anything but OK, p is undefined. The frame's contents are not
// changed. It never reads past the IP length, however long the frame is.
func Parse(frame []byte, p *Packet) Problem {
	if len(frame) < EthLen {
		return TooShort
	}
	p.Dst, p.Src = MAC(frame[0:6]), MAC(frame[6:12])
	ip := frame[EthLen:]
	var addrs []byte
	var tos byte
	var problem Problem
	var hdr, total int
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		hdr = IPv4Len
		if total, problem = parseIPv4(ip, protoTCP); problem != OK {
			return problem
		}
		tos, addrs = ip[1], ip[12:20]
		p.Flow.Remote, p.Flow.Local = Addr4(ip[12:]), Addr4(ip[16:])
	case etherIPv6:
		hdr = IPv6Len
		if total, problem = parseIPv6(ip, protoTCP); problem != OK {
			return problem
		}
		tos, addrs = ip[0]<<4|ip[1]>>4, ip[8:40]
		p.Flow.Remote, p.Flow.Local = Addr6(ip[8:]), Addr6(ip[24:])
		if p.Flow.Remote.Is4() || p.Flow.Local.Is4() {
			return IPHeader // IPv4-mapped addresses do not belong on a wire, and Flow means IPv4 by them
		}
	default:
		return NotIP
	}
	p.Frame = frame[:EthLen+total]
	p.Segment.CE = tos&3 == 3
	return p.parseTCP(ip[hdr:total], addrs)
}

func parseIPv4(ip []byte, proto byte) (total int, _ Problem) {
	if len(ip) < IPv4Len {
		return 0, TooShort
	}
	total = int(binary.BigEndian.Uint16(ip[2:]))
	switch {
	case ip[0] != 0x45, total < IPv4Len, total > len(ip):
		return 0, IPHeader
	case isFragment4(ip):
		return 0, Fragment
	case ip[9] != proto:
		return 0, NotTCP
	case Sum(ip[:IPv4Len], 0) != 0xffff:
		return 0, IPChecksum
	}
	return total, OK
}

// isFragment4 reports whether the IPv4 header says that more fragments follow, or has an offset.
func isFragment4(ip []byte) bool { return binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 }

func parseIPv6(ip []byte, proto byte) (total int, _ Problem) {
	if len(ip) < IPv6Len {
		return 0, TooShort
	}
	total = IPv6Len + int(binary.BigEndian.Uint16(ip[4:]))
	switch {
	case ip[0]>>4 != 6, total > len(ip):
		return 0, IPHeader
	case ip[6] != proto:
		return 0, NotTCP
	}
	return total, OK
}

func (p *Packet) parseTCP(tcp, addrs []byte) Problem {
	if len(tcp) < TCPLen {
		return TCPHeader
	}
	off := int(tcp[12]>>4) * 4
	if off < TCPLen || off > len(tcp) {
		return TCPHeader
	}
	pseudo := pseudoSum(addrs, protoTCP, len(tcp))
	// CHECKSUM_PARTIAL: the sender's stack left the rest to a device that a veth pair does not have. One whole checksum in 65,536
	// looks so by chance; it is computed again when it matters.
	p.Partial = binary.BigEndian.Uint16(tcp[16:]) == pseudo
	if !p.Partial && Sum(tcp, pseudo) != 0xffff {
		return TCPChecksum
	}
	p.Flow.RemotePort = binary.BigEndian.Uint16(tcp)
	p.Flow.LocalPort = binary.BigEndian.Uint16(tcp[2:])
	s := &p.Segment
	s.Seq = Seq(binary.BigEndian.Uint32(tcp[4:]))
	s.Ack = Seq(binary.BigEndian.Uint32(tcp[8:]))
	s.Flags = Flags(tcp[13])
	s.Wnd = binary.BigEndian.Uint16(tcp[14:])
	s.Payload = tcp[off:]
	s.Options.parse(tcp[TCPLen:off])
	return OK
}

// Complete writes the full TCP checksum into the frame if it was partial, so that it can be given to the
// kernel as a frame from a wire.
func (p *Packet) Complete() {
	if !p.Partial {
		return
	}
	Finish(p.Frame)
	p.Partial = false
}

func putChecksum(tcp, addrs []byte) {
	tcp[16], tcp[17] = 0, 0
	sum := ^Sum(tcp, pseudoSum(addrs, protoTCP, len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], sum)
}
