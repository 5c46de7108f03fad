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
	if v4 {
		putIPv4(frame, src, dst, length, h.tos())
	} else {
		putIPv6(frame, src, dst, length, h.tos())
	}
	binary.BigEndian.PutUint16(tcp[0:], sport)
	binary.BigEndian.PutUint16(tcp[2:], dport)
	binary.BigEndian.PutUint32(tcp[4:], uint32(h.Seq))
	binary.BigEndian.PutUint32(tcp[8:], uint32(h.Ack))
	tcp[12] = byte((TCPLen + opts) / 4 << 4)
	tcp[13] = byte(h.Flags)
	binary.BigEndian.PutUint16(tcp[14:], h.Wnd)
	binary.BigEndian.PutUint32(tcp[16:], 0) // checksum and urgent pointer
	return l4 + length
}

// tos is the octet of IPv4's type of service, IPv6's traffic class.
func (h *Header) tos() byte {
	if h.ECT {
		return 2
	}
	return 0
}

func putIPv4(frame []byte, src, dst *Addr, length int, tos byte) {
	binary.BigEndian.PutUint16(frame[12:], etherIPv4)
	ip := frame[EthLen : EthLen+IPv4Len]
	ip[0], ip[1] = 0x45, tos
	binary.BigEndian.PutUint16(ip[2:], uint16(IPv4Len+length))
	binary.BigEndian.PutUint16(ip[4:], 0) // an atomic datagram needs no identification (RFC 6864, 4.1)
	binary.BigEndian.PutUint16(ip[6:], dontFragment)
	ip[8], ip[9], ip[10], ip[11] = defaultTTL, protoTCP, 0, 0
	copy(ip[12:16], src[12:])
	copy(ip[16:20], dst[12:])
	binary.BigEndian.PutUint16(ip[10:], ^Sum(ip, 0))
}

func putIPv6(frame []byte, src, dst *Addr, length int, tos byte) {
	binary.BigEndian.PutUint16(frame[12:], etherIPv6)
	ip := frame[EthLen : EthLen+IPv6Len]
	binary.BigEndian.PutUint32(ip, 6<<28|uint32(tos)<<20)
	binary.BigEndian.PutUint16(ip[4:], uint16(length))
	ip[6], ip[7] = protoTCP, defaultTTL
	copy(ip[8:24], src[:])
	copy(ip[24:40], dst[:])
}

// Finish computes the TCP checksum of a frame that Build made and whose payload is in place.
func Finish(frame []byte) { putChecksum(tcpOf(frame)) }

// FinishPartial puts the pseudo-header's sum where the TCP checksum of a frame that Build made will be, for a device that adds
// the rest (Linux's CHECKSUM_PARTIAL). frame may be the beginning only, headers included, of n octets in all.
func FinishPartial(frame []byte, n int) {
	tcp, addrs := tcpOf(frame)
	binary.BigEndian.PutUint16(tcp[16:], pseudoSum(addrs, protoTCP, n-len(frame)+len(tcp)))
}

// tcpOf returns the segment in a frame that Build made, and the addresses that its checksum covers.
func tcpOf(frame []byte) (tcp, addrs []byte) {
	if binary.BigEndian.Uint16(frame[12:]) == etherIPv4 {
		return frame[EthLen+IPv4Len:], frame[EthLen+12 : EthLen+20]
	}
	return frame[EthLen+IPv6Len:], frame[EthLen+8 : EthLen+40]
}
