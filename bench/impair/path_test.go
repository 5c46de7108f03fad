package impair

import (
	"math"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// sendAll gives n frames of 1000 octets, one each gap ns, and returns when the first copies come.
func sendAll(p *path, n int, gap int64) (at []int64) {
	for k := range n {
		if t, copies := p.send(int64(k)*gap, 1000); copies > 0 {
			at = append(at, t[0])
		}
	}
	return at
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %.4f, want %.4f ± %.4f", what, got, want, tolerance)
	}
}

func TestDelayAndJitter(t *testing.T) {
	p := newPath(Link{Delay: 10 * time.Millisecond, Jitter: 4 * time.Millisecond}, 1, 0)
	sum := 0.0
	for k, at := range sendAll(p, 10000, ms) {
		d := at - int64(k)*ms
		if d < 10*ms || d > 14*ms {
			t.Fatalf("frame %d takes %d µs", k, d/1000)
		}
		sum += float64(d)
	}
	near(t, "mean delay, ms", sum/1e10, 12, 0.1)
}

// The link sends at its rate, whatever comes; the queue holds what it may.
func TestRateAndQueue(t *testing.T) {
	p := newPath(Link{Rate: 8e6, Queue: 20_000}, 1, 0) // a frame each ms
	at := sendAll(p, 1000, ms/2)
	near(t, "delivered", float64(len(at)), 520, 2) // in 500 ms, and what the queue held
	for k := range at[1:] {
		if gap := at[k+1] - at[k]; gap < ms-1 {
			t.Fatalf("frames %d µs apart", gap/1000)
		}
	}
	if p.LargestQueue > 20_000 || p.LargestQueue < 19_000 {
		t.Errorf("the queue held %d octets", p.LargestQueue)
	}
	if int(p.Full)+len(at) != 1000 {
		t.Errorf("%d dropped, %d delivered", p.Full, len(at))
	}
	// A queue smaller than a frame still lets the link work.
	p = newPath(Link{Rate: 8e6, Queue: 10}, 1, 0)
	if at := sendAll(p, 100, 2*ms); len(at) != 100 {
		t.Errorf("%d of 100 delivered", len(at))
	}
}

func TestLossAndBursts(t *testing.T) {
	for _, burst := range []float64{0, 1, 3, 10} {
		p := newPath(Link{Loss: 0.05, Burst: burst}, 7, 0)
		const n = 400_000
		runs, last := 0, false
		for k := range n {
			_, copies := p.send(int64(k)*ms, 100)
			if copies == 0 && !last {
				runs++
			}
			last = copies == 0
		}
		near(t, "share lost", float64(p.Lost)/n, 0.05, 0.004)
		near(t, "length of a burst", float64(p.Lost)/float64(runs), max(burst, 1/(1-0.05)), 0.05*max(burst, 1))
	}
}

func TestReorderingAndDuplication(t *testing.T) {
	p := newPath(Link{Reorder: 0.1, ReorderBy: 5 * time.Millisecond, Duplicate: 0.02}, 3, 0)
	overtaken, latest := 0, int64(0)
	for _, at := range sendAll(p, 50_000, ms) {
		if at < latest {
			overtaken++
		}
		latest = max(latest, at)
	}
	near(t, "share reordered", float64(p.Reordered)/50_000, 0.1, 0.005)
	near(t, "share duplicated", float64(p.Duplicated)/50_000, 0.02, 0.002)
	if overtaken == 0 {
		t.Error("nothing was overtaken")
	}
}

// The same seed, the same fate for the same frame, whatever happens to the others.
func TestSeed(t *testing.T) {
	a, b := newPath(Link{Loss: 0.3}, 5, 1), newPath(Link{Loss: 0.3, Reorder: 0.5, Duplicate: 0.1, Rate: 1e9}, 5, 1)
	c := newPath(Link{Loss: 0.3}, 6, 1)
	differ := 0
	for k := range 1000 {
		_, x := a.send(int64(k)*ms, 100)
		_, y := b.send(int64(k)*ms, 100)
		_, z := c.send(int64(k)*ms, 100)
		if (x > 0) != (y > 0) {
			t.Fatalf("frame %d differs", k)
		}
		if (x > 0) != (z > 0) {
			differ++
		}
	}
	if differ == 0 {
		t.Error("another seed makes no difference")
	}
}
