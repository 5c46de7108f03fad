package tcp

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cell is one kind of path and object, and how long the downloads took, seconds.
type cell struct {
	Control       string
	Size          string
	RTT           float64 // ms
	Loss, Reorder float64 // %
	Ours, Kernels []float64
	Late          []float64 // by how much the path was late with a frame in each round, at most, ms
	Again         int       // rounds that were thrown away because the path was later in them
	Made          string    // by which command, from which commit, when
}

func (c *cell) same(d *cell) bool {
	return c.Control == d.Control && c.Size == d.Size && c.RTT == d.RTT && c.Loss == d.Loss && c.Reorder == d.Reorder
}

// BenchmarkCompletion measures how long downloads take, from xhttpd and from the kernel's TCP in turns.
func BenchmarkCompletion(b *testing.B) {
	var done []*cell
	how := how() // of what is measured
	end := time.Now().Add(*deadline)
	for _, cc := range list(*controls) {
		b.Run(cc, func(b *testing.B) {
			stages := make([]*stage, *parallel)
			for k := range stages {
				stages[k] = newStage(b, cc, list(*sizes))
			}
			todo := make(chan *cell)
			var workers sync.WaitGroup
			for _, s := range stages {
				workers.Go(func() {
					for c := range todo {
						if *decided {
							s.decide(c, end, how)
						} else {
							s.measure(c, end)
						}
						if len(c.Kernels) > 0 {
							fmt.Println(c)
						}
					}
				})
			}
			cells := ask(b, cc)
			if *decided {
				cells = begun(b, cells)
			}
			if !*decided { // the longest first, so that all workers end at about the same time; -decide decides as many as it can
				slices.Reverse(cells)
			}
			for _, c := range cells {
				if !*decided {
					c.Made = how
				}
				todo <- c
			}
			close(todo)
			workers.Wait()
			done = append(done, slices.DeleteFunc(cells, func(c *cell) bool { return len(c.Kernels) == 0 })...)
			if err := write(*out, done); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(0, "ns/op")
}

// ask lists the cells that the flags ask for.
func ask(b *testing.B, cc string) (cells []*cell) {
	b.Helper()
	for _, size := range list(*sizes) {
		for _, rtt := range numbers(b, *rtts) {
			for _, loss := range numbers(b, *losses) {
				for _, reorder := range numbers(b, *reorders) {
					cells = append(cells, &cell{Control: cc, Size: size, RTT: rtt, Loss: loss, Reorder: reorder})
				}
			}
		}
	}
	return cells
}

// rounds returns how many a cell shall have.
func (s *stage) rounds(c *cell) int {
	all := numbers(s.TB.(*testing.B), *repeat)
	return int(all[min(slices.Index(list(*sizes), c.Size), len(all)-1)])
}

// measure takes rounds of a cell, the kernel's TCP and ours taking turns to be the first. For each round in which the path
// was late, because the machine had other things to do, one more is taken, up to three times as many in all; those count
// that were the least late. Rounds are short of some cells: these get more, until -least has passed. A cell in which something fails
// has no result, and the others keep theirs.
func (s *stage) measure(c *cell, end time.Time) {
	s.Helper()
	want, good := s.rounds(c), 0
	before := s.answers()
	more := time.Now().Add(*least)
	var all []round
	for k := 0; (good < want && k < 3*want || time.Now().Before(more)) && time.Now().Before(end); k++ {
		select {
		case <-interrupted:
			return
		default:
		}
		r, err := s.round(c, k)
		if err != nil {
			s.Errorf("%v: %v", c, err)
			return
		}
		all = append(all, r)
		if r.late <= tolerated(c) {
			good++
		}
	}
	if got := s.answers() - before; got != float64(len(all)) {
		s.Errorf("%v: xhttpd gave %v answers of %d: Apache gave the others", c, got, len(all))
		return
	}
	slices.SortStableFunc(all, func(a, b round) int { return cmp.Compare(a.late, b.late) })
	for _, r := range all[:min(max(want, good), len(all))] {
		c.Ours, c.Kernels = append(c.Ours, r.took[0]), append(c.Kernels, r.took[1])
		c.Late = append(c.Late, r.late.Seconds()*1000)
	}
	c.Again = len(all) - len(c.Ours)
}

// round is one download from each side.
type round struct {
	took [2]float64    // ours and the kernel's, s
	late time.Duration // by how much the path was late at most
}

// tolerated is by how much the path may be late in a round: what cannot matter beside a round trip, nor beside the time that
// the object takes at the bottleneck's rate. Frames that are late stay in order, and the shortest time-out is 200 ms.
func tolerated(c *cell) time.Duration {
	whole := float64(magnitude(c.Size)) * 8 / *rate * float64(time.Second)
	return max(2*time.Millisecond, time.Duration(c.RTT*float64(time.Millisecond)/10), time.Duration(whole/200))
}

// round takes round k of a cell.
func (s *stage) round(c *cell, k int) (r round, err error) {
	want := float64(octets(s.TB.(*testing.B), c.Size))
	for turn := range 2 {
		side := (k + turn) % 2
		s.path(uint64(k+1), c.RTT, c.Loss, c.Reorder)
		took, got, err := s.download([2]string{s.Address(false), s.alone}[side], c.Size+".png", *limit)
		if err != nil || got == 0 {
			return r, fmt.Errorf("%d octets: %w", got, err)
		}
		toClient, toServer := s.Path.Counters()
		// What an interface's offloads put together would be lost, queued and overtaken as one.
		if most := max(toClient.LargestFrame, toServer.LargestFrame); most > ethernet {
			return r, fmt.Errorf("a frame of %d octets: the offloads of the interfaces are on", most)
		}
		r.late = max(r.late, toClient.Late, toServer.Late)
		r.took[side] = took.Seconds() * max(1, want/float64(got))
	}
	return r, nil
}

const ethernet = 1514 // octets of a frame

// answers returns how many xhttpd has given. They are published behind the frames.
func (s *stage) answers() float64 {
	time.Sleep(20 * time.Millisecond)
	return s.Metric("responses_total")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratio is what ours takes for each of the kernel's.
func (c *cell) ratio() float64 {
	ours, kernels := c.counting()
	return median(ours) / median(kernels)
}

func (c *cell) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s, %g ms, loss %g %%, reordering %g %%", c.Control, c.Size, c.RTT, c.Loss, c.Reorder)
	if len(c.Ours) > 0 {
		ours, kernels := c.counting()
		low, high := interval(ours, kernels)
		fmt.Fprintf(&s, ": xhttpd %.3f s, kernel %.3f s, ratio %.3f, %.3f to %.3f, %s (%d rounds, %d more thrown away)",
			median(ours), median(kernels), c.ratio(), low, high, c.verdict(), len(ours), len(c.Ours)-len(ours)+c.Again)
	}
	return s.String()
}
