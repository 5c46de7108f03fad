package tcpclient

import (
	"math/rand/v2"
	"testing"
)

const tickNanos = int64(1) << tickShift

// The wheel does what a list of times does, whatever is set, moved and cleared.
func TestWheelAgainstList(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		const n = 50
		w := NewWheel(n, 0)
		want := map[int32]int64{}
		now := int64(0)
		for range 20_000 {
			i := rnd.Int32N(n)
			switch rnd.IntN(4) {
			case 0, 1:
				at := now + rnd.Int64N([]int64{tickNanos, 100 * tickNanos, 3 * wheelSize * tickNanos}[rnd.IntN(3)])
				w.Set(i, at)
				want[i] = at
			case 2:
				w.Clear(i)
				delete(want, i)
			case 3:
				now += rnd.Int64N([]int64{tickNanos, 50 * tickNanos, 2 * wheelSize * tickNanos}[rnd.IntN(3)])
				for {
					i, ok := w.Due(now)
					if !ok {
						break
					}
					at, set := want[i]
					if !set || at > now {
						t.Fatalf("seed %d: %d came at %d, its time is %d (%v)", seed, i, now, at, set)
					}
					delete(want, i)
				}
				for i, at := range want {
					if at+2*tickNanos < now {
						t.Fatalf("seed %d: %d is late by %d ticks", seed, i, (now-at)/tickNanos)
					}
				}
			}
		}
	}
}
