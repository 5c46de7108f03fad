package tcp

import (
	"fmt"
	"slices"
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
}

// BenchmarkCompletion measures how long downloads take, from xhttpd and from the kernel's TCP in turns.
func BenchmarkCompletion(b *testing.B) {
	var cells []*cell
	commit() // what is measured
	end := time.Now().Add(*deadline)
	rounds := numbers(b, *repeat)
	for _, cc := range list(*controls) {
		b.Run(cc, func(b *testing.B) {
			s := newStage(b, cc, list(*sizes))
			for k, size := range list(*sizes) {
				for _, rtt := range numbers(b, *rtts) {
					for _, loss := range numbers(b, *losses) {
						for _, reorder := range numbers(b, *reorders) {
							c := &cell{Control: cc, Size: size, RTT: rtt, Loss: loss, Reorder: reorder}
							s.measure(c, int(rounds[min(k, len(rounds)-1)]), end)
							if len(c.Kernels) > 0 {
								cells = append(cells, c)
								fmt.Println(c)
							}
						}
					}
				}
			}
			if err := write(*out, cells); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(0, "ns/op")
}

// measure takes rounds of a cell, the kernel's TCP and ours taking turns to be the first.
func (s *stage) measure(c *cell, rounds int, end time.Time) {
	s.Helper()
	want, before := float64(octets(s.TB.(*testing.B), c.Size)), s.answers()
	defer func() {
		if got := s.answers() - before; got != float64(len(c.Ours)) {
			s.Fatalf("%v: xhttpd gave %v answers of %d: Apache gave the others", c, got, len(c.Ours))
		}
	}()
	for k := range rounds {
		select {
		case <-interrupted:
			return
		default:
		}
		if time.Now().After(end) {
			return
		}
		both := [2]float64{}
		for turn := range 2 {
			side := (k + turn) % 2
			s.path(uint64(k+1), c.RTT, c.Loss, c.Reorder)
			took, got, err := s.download([2]string{s.Address(false), s.alone}[side], c.Size+".png", *limit)
			if err != nil || got == 0 {
				s.Fatalf("%v: %d octets: %v", c, got, err)
			}
			s.onlyPackets()
			both[side] = took.Seconds() * max(1, want/float64(got))
		}
		c.Ours, c.Kernels = append(c.Ours, both[0]), append(c.Kernels, both[1])
	}
}

// onlyPackets asserts that what the path has carried was one packet a frame: what an interface's offloads put together
// would be lost, queued and overtaken as one.
func (s *stage) onlyPackets() {
	s.Helper()
	const ethernet = 1514
	toClient, toServer := s.Path.Counters()
	if most := max(toClient.LargestFrame, toServer.LargestFrame); most > ethernet {
		s.Fatalf("a frame of %d octets: the offloads of the interfaces are on", most)
	}
}

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
func (c *cell) ratio() float64 { return median(c.Ours) / median(c.Kernels) }

func (c *cell) String() string {
	if len(c.Ours) == 0 {
		return fmt.Sprintf("%s %s, %g ms, loss %g %%, reordering %g %%", c.Control, c.Size, c.RTT, c.Loss, c.Reorder)
	}
	return fmt.Sprintf("%s %s, %g ms, loss %g %%, reordering %g %%: xhttpd %.3f s, kernel %.3f s, ratio %.3f (%d rounds)",
		c.Control, c.Size, c.RTT, c.Loss, c.Reorder, median(c.Ours), median(c.Kernels), c.ratio(), len(c.Ours))
}
