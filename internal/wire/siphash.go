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
	v := [4]uint64{k.K0 ^ 0x736f6d6570736575, k.K1 ^ 0x646f72616e646f6d, k.K0 ^ 0x6c7967656e657261, k.K1 ^ 0x7465646279746573}
	for _, m := range w {
		v = sipWord(v, m)
	}
	v = sipWord(v, a)
	v = sipWord(v, b)
	v = sipWord(v, 56<<56)
	v[2] ^= 0xff
	v = sipRound(sipRound(sipRound(sipRound(v))))
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

func sipWord(v [4]uint64, m uint64) [4]uint64 {
	v[3] ^= m
	v = sipRound(sipRound(v))
	v[0] ^= m
	return v
}

func sipRound(v [4]uint64) [4]uint64 {
	v[0] += v[1]
	v[2] += v[3]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[1]
	v[0] += v[3]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] = bits.RotateLeft64(v[2], 32)
	return v
}
