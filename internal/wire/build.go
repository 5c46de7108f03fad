package wire

import "encoding/binary"

// MaxHeaders is the most that headers take in front of the payload: Ethernet, IPv6, TCP with 40 octets of
// options.
const MaxHeaders = EthLen + IPv6Len + TCPLen + 40

const (
	defaultTTL   = 64 // as Linux's net.ipv4.ip_default_ttl and net.ipv6.conf.*.hop_limit
	dontFragment = 0x4000
)

// Header describes a frame to be built. Src is the sender: for what we send, the flow's Local; for a frame
// that is injected as if received, set Inbound and the flow's Remote is the sender.
type Header struct {
	Src, Dst MAC
	Flow     *Flow
	Inbound  bool
	Seq, Ack Seq
	Flags    Flags
	ECT      bool   // the IP header says ECT(0) (RFC 3168, 5)
	Wnd      uint16 // as it stands in the header, scaled by the caller
	Options  *Options
	// Partial has Build put the pseudo-header's sum where the TCP checksum will be, for a device that adds the rest (Linux's
	// CHECKSUM_PARTIAL). Such a frame needs no Finish.
	Partial bool
}

// HeaderLen returns the octets in front of the payload.
func (h *Header) HeaderLen() int {
	n := EthLen + IPv6Len + TCPLen
	if h.Flow.Is4() {
		n = EthLen + IPv4Len + TCPLen
	}
	if h.Options != nil {
		n += h.Options.Len()
	}
	return n
}

// Build writes headers in front of a payload of n octets which the caller has put, or will have put before
// Finish, at frame[HeaderLen():]. It returns the length of the frame. The checksum of TCP is left for Finish.
// frame must have room for headers and payload.
//
// It reads nothing of what it has written: a load behind narrower stores waits until they have reached the cache, and
// a frame that was sent a while ago is in none that is near.
func (h *Header) Build(frame []byte, n int) int {
	copy(frame[0:6], h.Dst[:])
	copy(frame[6:12], h.Src[:])
	src, dst := &h.Flow.Local, &h.Flow.Remote
	sport, dport := h.Flow.LocalPort, h.Flow.RemotePort
	if h.Inbound {
		src, dst, sport, dport = dst, src, dport, sport
	}
	l4 := EthLen + IPv6Len
	v4 := h.Flow.Is4()
	if v4 {
		l4 = EthLen + IPv4Len
	}
	tcp := frame[l4:]
	opts := 0
	if h.Options != nil {
		opts = h.Options.put(tcp[TCPLen:])
	}
	length := TCPLen + opts + n
	var sum uint32 // of the addresses
	if v4 {
		sum = putIPv4(frame, src, dst, length, h.tos())
	} else {
		sum = putIPv6(frame, src, dst, length, h.tos())
	}
	if sum += protoTCP + uint32(length); !h.Partial {
		sum = 0
	}
	_ = tcp[TCPLen-1]
	binary.BigEndian.PutUint32(tcp[0:], uint32(sport)<<16|uint32(dport))
	binary.BigEndian.PutUint32(tcp[4:], uint32(h.Seq))
	binary.BigEndian.PutUint32(tcp[8:], uint32(h.Ack))
	binary.BigEndian.PutUint32(tcp[12:], uint32(TCPLen+opts)/4<<28|uint32(h.Flags)<<16|uint32(h.Wnd))
	binary.BigEndian.PutUint32(tcp[16:], uint32(fold(sum))<<16) // and no urgent pointer
	return l4 + length
}

// tos is the octet of IPv4's type of service, IPv6's traffic class.
func (h *Header) tos() byte {
	if h.ECT {
		return 2
	}
	return 0
}

// putIPv4 writes the header of a datagram with length octets behind it, and returns the sum of the addresses, not folded.
func putIPv4(frame []byte, src, dst *Addr, length int, tos byte) uint32 {
	ip := frame[EthLen-2 : EthLen+IPv4Len]
	from, to := binary.BigEndian.Uint32(src[12:]), binary.BigEndian.Uint32(dst[12:])
	total := uint32(IPv4Len + length)
	addrs := from>>16 + from&0xffff + to>>16 + to&0xffff
	const rest = 0x4500 + dontFragment + defaultTTL<<8 + protoTCP
	sum := ^fold(rest + uint32(tos) + total + addrs)
	binary.BigEndian.PutUint32(ip[0:], etherIPv4<<16|0x4500|uint32(tos))
	binary.BigEndian.PutUint32(ip[4:], total<<16) // an atomic datagram needs no identification (RFC 6864, 4.1)
	binary.BigEndian.PutUint32(ip[8:], dontFragment<<16|defaultTTL<<8|protoTCP)
	binary.BigEndian.PutUint16(ip[12:], sum)
	binary.BigEndian.PutUint32(ip[14:], from)
	binary.BigEndian.PutUint32(ip[18:], to)
	return addrs
}

// putIPv6 does the same.
func putIPv6(frame []byte, src, dst *Addr, length int, tos byte) uint32 {
	binary.BigEndian.PutUint16(frame[12:], etherIPv6)
	ip := frame[EthLen : EthLen+IPv6Len]
	binary.BigEndian.PutUint32(ip, 6<<28|uint32(tos)<<20)
	binary.BigEndian.PutUint16(ip[4:], uint16(length))
	ip[6], ip[7] = protoTCP, defaultTTL
	copy(ip[8:24], src[:])
	copy(ip[24:40], dst[:])
	return uint32(Sum(src[:], 0)) + uint32(Sum(dst[:], 0))
}

// Finish computes the TCP checksum of a frame that Build made, without Partial, and whose payload is in place.
func Finish(frame []byte) { putChecksum(tcpOf(frame)) }

// tcpOf returns the segment in a frame that Build made, and the addresses that its checksum covers.
func tcpOf(frame []byte) (tcp, addrs []byte) {
	if binary.BigEndian.Uint16(frame[12:]) == etherIPv4 {
		return frame[EthLen+IPv4Len:], frame[EthLen+12 : EthLen+20]
	}
	return frame[EthLen+IPv6Len:], frame[EthLen+8 : EthLen+40]
}
