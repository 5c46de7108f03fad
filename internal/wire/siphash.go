package wire

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// Key is the secret of a keyed hash over flows (SipHash: Aumasson and Bernstein, 2012). Whoever does not
// know it can neither predict an initial sequence number nor aim for one bucket of a flow table.
type Key struct{ K0, K1 uint64 }

// NewKey returns a random key.
func NewKey() Key {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never returns an error (its documentation)
	return Key{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Hash returns SipHash-2-4 of f and the two words a and b, as 56 octets in little-endian order.
func (k Key) Hash(f *Flow, a, b uint64) uint64 {
	w := f.words()
	s := k.start()
	s = s.word(w[0]).word(w[1]).word(w[2]).word(w[3]).word(w[4])
	s = s.word(a).word(b).word(56 << 56)
	s.v2 ^= 0xff
	s = s.round().round().round().round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// Short returns SipHash-1-3 of f, as 40 octets in little-endian order: less than half of the work of Hash. It is for tables,
// where nobody sees the hashes, so that the margin of Hash is not needed.
func (k Key) Short(f *Flow) uint64 {
	s := k.start()
	for _, m := range f.words() {
		s.v3 ^= m
		s = s.round()
		s.v0 ^= m
	}
	s.v3 ^= 40 << 56
	s = s.round()
	s.v0 ^= 40 << 56
	s.v2 ^= 0xff
	s = s.round().round().round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// sip is SipHash's state: a struct, because the compiler keeps the elements of an array in memory.
type sip struct{ v0, v1, v2, v3 uint64 }

func (k Key) start() sip {
	return sip{k.K0 ^ 0x736f6d6570736575, k.K1 ^ 0x646f72616e646f6d, k.K0 ^ 0x6c7967656e657261, k.K1 ^ 0x7465646279746573}
}

func (s sip) word(m uint64) sip {
	s.v3 ^= m
	s = s.round().round()
	s.v0 ^= m
	return s
}

func (s sip) round() sip {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v1
	s.v0 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
	return s
}
