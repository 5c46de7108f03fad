package wire

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the one's-complement sum of b added to initial, folded to 16 bits, not complemented
// (RFC 1071). b is taken as 16-bit words in network byte order, padded with a zero octet. Sums of pieces
// may be chained if every piece but the last has an even length.
func Sum(b []byte, initial uint16) uint16 {
	var s, c uint64
	s = uint64(initial)
	for len(b) >= 32 {
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b), 0)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b[24:]), c)
		s, c = bits.Add64(s, 0, c)
		s += c
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.BigEndian.Uint64(b), 0)
		s += c
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		s, c = bits.Add64(s, binary.BigEndian.Uint64(tail[:]), 0)
		s += c
	}
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// pseudoSum returns the sum of the pseudo-header of a TCP segment or, with IPv6, an ICMP message, of length octets (RFC
// 9293, 3.1; for IPv6 RFC 8200, 8.1), folded. addrs are the source and destination addresses as they stand in the header.
func pseudoSum(addrs []byte, proto byte, length int) uint16 {
	return fold(uint32(Sum(addrs, 0)) + uint32(proto) + uint32(length))
}

// fold adds the carries of a sum of 16-bit words to it.
func fold(s uint32) uint16 {
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}
