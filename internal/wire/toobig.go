package wire

import "encoding/binary"

// TooBig is what a router says that could not forward a segment of ours: ICMPv4 type 3 code 4 (RFC 792, RFC 1191, 4) or
// ICMPv6 type 2 (RFC 4443, 3.2). Nothing proves who has sent it: the quoted sequence number must be one that is in
// flight (RFC 5927, 4.1).
type TooBig struct {
	Flow Flow // the connection, as this host sees it; its family is the message's
	Seq  Seq  // of the segment that was too big
	// MTU is the largest IP packet of the next hop, octets, as the router says: no value is excluded. 0 means, with IPv4, a
	// router older than RFC 1191, which does not know.
	MTU uint32
	Dst MAC // the frame's
}

const (
	protoICMP4 = 1
	protoICMP6 = 58

	icmpLen   = 8 // of the header, MTU included
	quotedTCP = 8 // octets of the TCP header that a router is bound to quote (RFC 792)
)

// ParseTooBig reads an Ethernet frame into m if it is such a message and quotes a TCP segment that this host may have sent:
// from the address that the message came to, whole, without IP options. What is no such message has Parse's problems,
// NotTCP mostly. After anything but OK, m is undefined. The frame's contents are not changed, and nothing behind its IP
// length is read.
func ParseTooBig(frame []byte, m *TooBig) Problem {
	if len(frame) < EthLen {
		return TooShort
	}
	m.Dst = MAC(frame[0:6])
	switch ip := frame[EthLen:]; binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		total, problem := parseIPv4(ip, protoICMP4)
		if problem != OK {
			return problem
		}
		return m.parse4(ip[:total])
	case etherIPv6:
		total, problem := parseIPv6(ip, protoICMP6)
		if problem != OK {
			return problem
		}
		return m.parse6(ip[:total])
	}
	return NotIP
}

func (m *TooBig) parse4(ip []byte) Problem {
	icmp := ip[IPv4Len:]
	if len(icmp) < icmpLen || icmp[0] != 3 || icmp[1] != 4 {
		return NotTCP
	}
	if Sum(icmp, 0) != 0xffff {
		return ICMPChecksum
	}
	quoted := icmp[icmpLen:]
	if len(quoted) < IPv4Len+quotedTCP || quoted[0] != 0x45 || quoted[9] != protoTCP || isFragment4(quoted) {
		return BadQuote
	}
	m.Flow.Local, m.Flow.Remote = Addr4(quoted[12:]), Addr4(quoted[16:])
	if m.Flow.Local != Addr4(ip[16:]) { // an error goes to who sent the packet
		return BadQuote
	}
	m.MTU = uint32(binary.BigEndian.Uint16(icmp[6:]))
	m.parseTCP(quoted[IPv4Len:])
	return OK
}

func (m *TooBig) parse6(ip []byte) Problem {
	icmp := ip[IPv6Len:]
	if len(icmp) < icmpLen || icmp[0] != 2 { // any code: RFC 4443, 3.2
		return NotTCP
	}
	if Sum(icmp, pseudoSum(ip[8:40], protoICMP6, len(icmp))) != 0xffff {
		return ICMPChecksum
	}
	quoted := icmp[icmpLen:]
	if len(quoted) < IPv6Len+quotedTCP || quoted[0]>>4 != 6 || quoted[6] != protoTCP {
		return BadQuote
	}
	m.Flow.Local, m.Flow.Remote = Addr6(quoted[8:]), Addr6(quoted[24:])
	if m.Flow.Local != Addr6(ip[24:]) || m.Flow.Local.Is4() || m.Flow.Remote.Is4() {
		return BadQuote // Flow means IPv4 by mapped addresses
	}
	m.MTU = binary.BigEndian.Uint32(icmp[4:])
	m.parseTCP(quoted[IPv6Len:])
	return OK
}

// parseTCP reads the head of a segment that we have sent.
func (m *TooBig) parseTCP(tcp []byte) {
	m.Flow.LocalPort = binary.BigEndian.Uint16(tcp)
	m.Flow.RemotePort = binary.BigEndian.Uint16(tcp[2:])
	m.Seq = Seq(binary.BigEndian.Uint32(tcp[4:]))
}
