package tcp

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// When a cell has been measured enough. The rule is the same for all cells, and was set before any was measured by it:
//
//   - What counts is the ratio of the medians. The distributions are of two heaps where a lost tail waits for a time-out. A mean would follow
//     the rare SYN that is lost (one second, two hundred times what 10 kB take over 1 ms), and need thousands of rounds. A
//     median between two heaps of one size is uncertain, too, but its interval says so.
//   - Its interval is what the bootstrap gives: rounds are drawn with replacement, each with both of its times, as one seed made
//     them. 99 %, as a cell is looked at several times.
//   - With fewer than leastRounds no interval is believed: all rounds of seven fall on one side of the median in one of 64 times.
//   - A cell is looked at when its rounds have grown by half, and not in between: who stops at the first moment that pleases
//     finds one. From leastRounds to mostRounds that is six looks.
//   - It is decided when the interval lies wholly below or above the aim, or as undecided at mostRounds.
//   - A round whose path was later than tolerated does not count, whatever it says.
const (
	aim         = 1.05
	leastRounds = 8
	mostRounds  = 61
	confidence  = 0.99
	resamples   = 2000
)

type verdict string

const (
	within    verdict = "within"
	exceeds   verdict = "above"
	undecided verdict = "undecided"
)

// punctual returns the rounds of a cell that count.
func (c *cell) punctual() (ours, kernels []float64) {
	for k, late := range c.Late {
		if late <= tolerated(c).Seconds()*1000 {
			ours, kernels = append(ours, c.Ours[k]), append(kernels, c.Kernels[k])
		}
	}
	return ours, kernels
}

// interval returns that of the ratio of the medians of ours and kernels, which are of the same rounds. It is the same each time.
func interval(ours, kernels []float64) (low, high float64) {
	random := rand.New(rand.NewPCG(1, 2))
	n := len(ours)
	a, b, ratios := make([]float64, n), make([]float64, n), make([]float64, resamples)
	for k := range ratios {
		for m := range n {
			r := random.IntN(n)
			a[m], b[m] = ours[r], kernels[r]
		}
		ratios[k] = median(a) / median(b)
	}
	slices.Sort(ratios)
	out := int((1 - confidence) / 2 * resamples)
	return ratios[out], ratios[resamples-1-out]
}

// judge says what the rounds of a cell that count decide.
func judge(ours, kernels []float64) verdict {
	if len(ours) < leastRounds {
		return undecided
	}
	switch low, high := interval(ours, kernels); {
	case high < aim:
		return within
	case low > aim:
		return exceeds
	}
	return undecided
}

// nextLook returns at how many rounds a cell that is undecided with n is looked at again: n if at none.
func nextLook(n int) int {
	if n < leastRounds {
		return leastRounds
	}
	return max(n, min(n+(n+1)/2, mostRounds))
}

func (c *cell) verdict() verdict { return judge(c.punctual()) }

// counting returns the rounds that the table shows: the punctual ones, or all if there is none. Then the cell is undecided.
func (c *cell) counting() (ours, kernels []float64) {
	if ours, kernels = c.punctual(); len(ours) > 0 {
		return ours, kernels
	}
	return c.Ours, c.Kernels
}

// begun returns the cells that are undecided with the rounds that the folder of results has of them, and not done. Cells of which there are none are undecided, too.
func begun(b *testing.B, asked []*cell) (cells []*cell) {
	b.Helper()
	old, err := merge(filepath.Join(*out, "completion.json"), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range asked {
		if k := slices.IndexFunc(old, c.same); k >= 0 {
			c = old[k]
		}
		n, _ := c.punctual()
		if c.verdict() == undecided && nextLook(len(n)) > len(n) {
			cells = append(cells, c)
		}
	}
	return cells
}

// decide takes rounds of a cell until it is decided, behind those it has. Each has a seed of its own. Three are taken at most
// for each that is missing at the next look, and twelve at least: on a machine that is never punctual the cell stays undecided.
func (s *stage) decide(c *cell, end time.Time, how string) {
	s.Helper()
	before, taken := s.answers(), 0
	for again := true; again; {
		n, _ := c.punctual()
		want := nextLook(len(n))
		again = c.verdict() == undecided && want > len(n)
		for most := max(12, 3*(want-len(n))); again && len(n) < want && most > 0; most-- {
			if stopped(end) {
				again = false
				break
			}
			r, err := s.round(c, len(c.Ours)+c.Again)
			if err != nil {
				s.Errorf("%v: %v", c, err)
				return
			}
			taken++
			c.Ours, c.Kernels = append(c.Ours, r.took[0]), append(c.Kernels, r.took[1])
			c.Late = append(c.Late, r.late.Seconds()*1000)
			n, _ = c.punctual()
		}
		again = again && len(n) == want
	}
	defer func() {
		if taken > 0 {
			c.made(how)
		}
	}()
	if got := s.answers() - before; got != float64(taken) {
		kept := len(c.Ours) - taken // whose the new ones are is not known
		c.Ours, c.Kernels, c.Late = c.Ours[:kept], c.Kernels[:kept], c.Late[:kept]
		s.Errorf("%v: xhttpd gave %v answers of %d: Apache gave the others", c, got, taken)
	}
}

// stopped reports whether no further round may begin. While the file -pause names exists, it waits: another measures.
func stopped(end time.Time) bool {
	for {
		select {
		case <-interrupted:
			return true
		default:
		}
		if !time.Now().Before(end) {
			return true
		}
		if _, err := os.Stat(*pause); *pause == "" || err != nil {
			return false
		}
		time.Sleep(time.Second)
	}
}

// made adds a command to those that a cell was measured by.
func (c *cell) made(how string) {
	if c.Made != "" {
		how = c.Made + "; " + how
	}
	c.Made = how
}
