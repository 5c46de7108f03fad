package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// slowSum is RFC 1071 to the letter: 16-bit words, end-around carry.
func slowSum(b []byte, initial uint16) uint16 {
	s := uint32(initial)
	for i, c := range b {
		w := uint32(c)
		if i%2 == 0 {
			w <<= 8
		}
		s += w
		if s > 0xffff {
			s -= 0xffff
		}
	}
	return uint16(s)
}

// sumData are contents that carry in different places.
func sumData(n int) map[string][]byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	random, sparse := make([]byte, n), make([]byte, n)
	for i := range random {
		random[i] = byte(r.Uint32())
		if r.Uint32()%5 == 0 {
			sparse[i] = 0xff
		}
	}
	alternating := bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1}, n/16+1)[:n]
	return map[string][]byte{
		"random": random, "sparse": sparse, "alternating": alternating,
		"ones": bytes.Repeat([]byte{0xff}, n), "zeros": make([]byte, n), "high": bytes.Repeat([]byte{0x80, 0}, n/2+1)[:n],
	}
}

func TestSum(t *testing.T) {
	lengths := []int{1500, 4095, 65535}
	for n := range 201 {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		for name, data := range sumData(n + 8) {
			for skip := range 8 { // every alignment
				b := data[skip : skip+n]
				for _, initial := range []uint16{0, 1, 0x1234, 0x8000, 0xfffe, 0xffff} {
					if got, want := Sum(b, initial), slowSum(b, initial); got != want {
						t.Fatalf("%d octets %s at %d with %#x: %#x, want %#x", n, name, skip, initial, got, want)
					}
				}
			}
		}
	}
}

// The carries of the words of a block add up to more than one bit in one place only: where the sum is all
// ones and a carry comes on top. These are the words that bring it there.
func TestSumCarries(t *testing.T) {
	edge := []uint64{0, 1, 2, 0xffff, 1 << 63, 1<<63 - 1, ^uint64(0), ^uint64(0) - 1, ^uint64(0) - 0xffff}
	r := rand.New(rand.NewPCG(2, 2))
	for range 200_000 {
		var b [48]byte
		for i := range 6 {
			w := edge[r.IntN(len(edge))]
			for k := range 8 {
				b[8*i+k] = byte(w >> (56 - 8*k))
			}
		}
		initial := uint16(edge[r.IntN(len(edge))])
		if got, want := Sum(b[:], initial), slowSum(b[:], initial); got != want {
			t.Fatalf("%x with %#x: %#x, want %#x", b, initial, got, want)
		}
	}
}

func TestSumChains(t *testing.T) {
	data := sumData(333)["random"]
	want := slowSum(data, 0)
	for i := 0; i <= len(data); i += 2 {
		for j := i; j <= len(data); j += 2 {
			if got := Sum(data[j:], Sum(data[i:j], Sum(data[:i], 0))); got != want {
				t.Fatalf("cut at %d and %d: %#x, want %#x", i, j, got, want)
			}
		}
	}
}

func TestPseudoSum(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, size := range []int{8, 32} {
		addrs := make([]byte, size)
		for _, length := range []int{0, 20, 1480, 65535} {
			for i := range addrs {
				addrs[i] = byte(r.Uint32()) | byte(length) // the last length gives all ones
			}
			header := append(bytes.Clone(addrs), 0, protoTCP, byte(length>>8), byte(length))
			if got, want := pseudoSum(addrs, protoTCP, length), slowSum(header, 0); got != want {
				t.Errorf("%x with %d: %#x, want %#x", addrs, length, got, want)
			}
		}
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 64, 1460, 9000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Sum(data, 0)
			}
		})
	}
}
