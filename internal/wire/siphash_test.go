package wire

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// slowSIPHash is SipHash-2-4 over octets.
func slowSIPHash(k Key, m []byte) uint64 { return slowSIPHashOf(2, 4, k, m) }

// slowSIPHashOf is SipHash-c-d over octets, as the paper describes it (Aumasson and Bernstein, 2012, 2).
func slowSIPHashOf(c, d int, k Key, m []byte) uint64 {
	v0, v1 := k.K0^0x736f6d6570736575, k.K1^0x646f72616e646f6d
	v2, v3 := k.K0^0x6c7967656e657261, k.K1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13)
		v1 ^= v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16)
		v3 ^= v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21)
		v3 ^= v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17)
		v1 ^= v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	padded := append([]byte(nil), m...)
	for len(padded)%8 != 7 {
		padded = append(padded, 0)
	}
	padded = append(padded, byte(len(m)))
	for ; len(padded) > 0; padded = padded[8:] {
		w := binary.LittleEndian.Uint64(padded)
		v3 ^= w
		for range c {
			round()
		}
		v0 ^= w
	}
	v2 ^= 0xff
	for range d {
		round()
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// The first of the test vectors that come with the reference implementation: key 00 01 … 0f, input 00 01 …
// of as many octets as the index says. The last is the one in the paper's appendix A.
var sipVectors = [16]uint64{
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
	0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
	0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
}

var sipVectorKey = Key{0x0706050403020100, 0x0f0e0d0c0b0a0908}

func TestSlowSipHash(t *testing.T) {
	var m []byte
	for i, want := range sipVectors {
		if got := slowSIPHash(sipVectorKey, m); got != want {
			t.Errorf("%d octets: %#x, want %#x", i, got, want)
		}
		m = append(m, byte(i))
	}
}

func TestHash(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 1000 {
		k := Key{r.Uint64(), r.Uint64()}
		if i == 0 {
			k = sipVectorKey
		}
		f := Flow{LocalPort: uint16(r.Uint32()), RemotePort: uint16(r.Uint32())}
		for j := range f.Local {
			f.Local[j], f.Remote[j] = byte(r.Uint32()), byte(r.Uint32())
		}
		a, b := r.Uint64(), r.Uint64()
		m := append(append([]byte(nil), f.Local[:]...), f.Remote[:]...)
		m = binary.LittleEndian.AppendUint64(m, uint64(f.LocalPort)<<16|uint64(f.RemotePort))
		if got, want := k.Short(&f), slowSIPHashOf(1, 3, k, m); got != want {
			t.Fatalf("%v, short: %#x, want %#x", f, got, want)
		}
		m = binary.LittleEndian.AppendUint64(m, a)
		m = binary.LittleEndian.AppendUint64(m, b)
		if len(m) != 56 {
			t.Fatalf("%d octets", len(m))
		}
		if got, want := k.Hash(&f, a, b), slowSIPHash(k, m); got != want {
			t.Fatalf("%v: %#x, want %#x", f, got, want)
		}
	}
}

func TestNewKey(t *testing.T) {
	if a, b := NewKey(), NewKey(); a == b || a == (Key{}) {
		t.Errorf("keys %v and %v", a, b)
	}
}

func BenchmarkHash(b *testing.B) {
	f := flow4
	for b.Loop() {
		sipVectorKey.Hash(&f, 1, 2)
	}
}

func BenchmarkShort(b *testing.B) {
	f := flow4
	for b.Loop() {
		sipVectorKey.Short(&f)
	}
}
