package tcp

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// heaps draws n rounds: each side takes 1 s times its factor, and a time-out of 1 s more with probability late.
func heaps(random *rand.Rand, n int, factor, oursLate, kernelsLate float64) (ours, kernels []float64) {
	draw := func(late float64) float64 {
		t := 1 + 0.02*random.NormFloat64()
		if random.Float64() < late {
			t++
		}
		return t
	}
	for range n {
		ours, kernels = append(ours, factor*draw(oursLate)), append(kernels, draw(kernelsLate))
	}
	return ours, kernels
}

// decide goes through the looks, as BenchmarkCompletion does.
func decide(random *rand.Rand, factor, oursLate, kernelsLate float64) (verdict, int) {
	var ours, kernels []float64
	for {
		n := nextLook(len(ours))
		if n == len(ours) {
			return undecided, n
		}
		a, b := heaps(random, n-len(ours), factor, oursLate, kernelsLate)
		ours, kernels = append(ours, a...), append(kernels, b...)
		if v := judge(ours, kernels); v != undecided {
			return v, n
		}
	}
}

func TestRuleDecides(t *testing.T) {
	const tries = 40
	for _, tt := range []struct {
		name                         string
		factor, oursLate, kernelLate float64
		want                         verdict
		least                        int // of tries
		most                         map[verdict]int
	}{
		{"alike", 1, 0, 0, within, tries, nil},
		{"a tenth slower", 1.1, 0, 0, exceeds, tries * 9 / 10, map[verdict]int{within: 1}},
		{"one in five waits, on both sides", 1, 0.2, 0.2, within, tries * 3 / 4, map[verdict]int{exceeds: tries / 20}},
		{"two heaps alike", 1, 0.5, 0.5, undecided, tries / 2, map[verdict]int{exceeds: tries / 20}},
		{"ours waits mostly", 1, 0.9, 0.1, exceeds, tries * 3 / 4, map[verdict]int{within: 1}},
		{"at the aim", 1.05, 0, 0, undecided, tries / 2, map[verdict]int{within: tries / 10, exceeds: tries / 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random, count := rand.New(rand.NewPCG(3, 4)), map[verdict]int{}
			for range tries {
				v, _ := decide(random, tt.factor, tt.oursLate, tt.kernelLate)
				count[v]++
			}
			if count[tt.want] < tt.least {
				t.Errorf("%s in %d of %d, want %d: %v", tt.want, count[tt.want], tries, tt.least, count)
			}
			for v, most := range tt.most {
				if count[v] > most {
					t.Errorf("%s in %d of %d, want %d at most: %v", v, count[v], tries, most, count)
				}
			}
		})
	}
}

func TestRuleLooks(t *testing.T) {
	var looks []int
	for n := 0; nextLook(n) != n; n = nextLook(n) {
		looks = append(looks, nextLook(n))
	}
	if want := []int{8, 12, 18, 27, 41, 61}; !slices.Equal(looks, want) {
		t.Errorf("looks at %v, want %v", looks, want)
	}
	if got := nextLook(400); got != 400 {
		t.Errorf("400 rounds are followed by a look at %d", got)
	}
	few := make([]float64, leastRounds-1)
	for k := range few {
		few[k] = 1
	}
	if got := judge(few, few); got != undecided {
		t.Errorf("%d rounds: %s", len(few), got)
	}
}

func TestRuleDropsLateRounds(t *testing.T) {
	c := &cell{Size: "1M", RTT: 80, Ours: []float64{1, 2, 3}, Kernels: []float64{4, 5, 6}, Late: []float64{8, 9, 1}}
	ours, kernels := c.punctual()
	if !slices.Equal(ours, []float64{1, 3}) || !slices.Equal(kernels, []float64{4, 6}) {
		t.Errorf("counts: %v and %v", ours, kernels)
	}
	for _, tt := range []struct {
		c    cell
		want float64 // ms
	}{
		{cell{Size: "10k", RTT: 1}, 2},
		{cell{Size: "10k", RTT: 200}, 20},
		{cell{Size: "20M", RTT: 1}, 16},
	} {
		if got := tolerated(&tt.c).Seconds() * 1000; got != tt.want {
			t.Errorf("%s over %g ms: %g ms late tolerated, want %g", tt.c.Size, tt.c.RTT, got, tt.want)
		}
	}
}

func TestJain(t *testing.T) {
	for _, tt := range []struct {
		octets [2]int64
		want   float64
	}{{[2]int64{5, 5}, 1}, {[2]int64{7, 0}, 0.5}, {[2]int64{3, 1}, 0.8}, {[2]int64{}, 0}} {
		if got := (shares{octets: tt.octets}).jain(); got != tt.want {
			t.Errorf("%v: %g, want %g", tt.octets, got, tt.want)
		}
	}
}
