package wire

import "testing"

func TestSeq(t *testing.T) {
	const half = 1 << 31
	for _, base := range []Seq{0, 1, 0xffffffff, half, half - 1} {
		for _, d := range []uint32{0, 1, 2, 1000, half - 1} {
			after := base.Add(d)
			if got := after.Sub(base); got != int32(d) {
				t.Errorf("%d + %d - itself = %d", base, d, got)
			}
			if base.Less(after) != (d > 0) || after.Less(base) || !base.LessEq(after) || after.LessEq(base) != (d == 0) {
				t.Errorf("order of %d and %d", base, after)
			}
			if MaxSeq(base, after) != after || MaxSeq(after, base) != after || MinSeq(base, after) != base || MinSeq(after, base) != base {
				t.Errorf("extremes of %d and %d", base, after)
			}
			if !after.In(base, d+1) || after.In(base, d) || base.Add(^uint32(0)).In(base, d+1) {
				t.Errorf("%d in [%d, +%d)", after, base, d)
			}
		}
	}
}
