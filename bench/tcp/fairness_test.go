package tcp

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// shares is how one run of two flows went.
type shares struct {
	octets [2]int64
	late   time.Duration // by how much the path was late at most
}

// jain returns Jain's index of two shares, 1/2 to 1.
func (s shares) jain() float64 {
	x, y := float64(s.octets[0]), float64(s.octets[1])
	if x == 0 && y == 0 {
		return 0
	}
	return (x + y) * (x + y) / (2 * (x*x + y*y))
}

// BenchmarkFairness lets two flows share the bottleneck for a while: ours and the kernel's, with the same algorithm, and
// as a yardstick two of the kernel's. It reports Jain's index of what each got after the first sixth of the time, of each of -runs
// runs, and its median: one run alone says little, also of two flows of the kernel's.
func BenchmarkFairness(b *testing.B) {
	for _, cc := range list(*controls) {
		b.Run(cc, func(b *testing.B) {
			stages := make([]*stage, *parallel)
			for k := range stages {
				stages[k] = newStage(b, cc, []string{"400M"})
			}
			for _, rtt := range numbers(b, *rtts) {
				if rtt < 20 {
					continue // the queue would hold a few segments only
				}
				report(cc, rtt, together(stages, rtt))
			}
		})
	}
	b.ReportMetric(0, "ns/op")
}

// together takes -runs runs of each pair, the pairs in turns, on all stages at the same time. Which of a pair begins alternates.
func together(stages []*stage, rtt float64) (all [2][]shares) {
	var workers sync.WaitGroup
	var mu sync.Mutex
	todo := make(chan int)
	for _, s := range stages {
		workers.Go(func() {
			for k := range todo {
				pair := k % 2
				got := s.pair([2]string{[2]string{s.Address(false), s.alone}[pair], s.alone}, rtt, k/2)
				mu.Lock()
				all[pair] = append(all[pair], got)
				mu.Unlock()
			}
		})
	}
	for k := range 2 * *runs {
		select {
		case <-interrupted:
		default:
			todo <- k
		}
	}
	close(todo)
	workers.Wait()
	return all
}

// pair lets a flow from each address run.
func (s *stage) pair(from [2]string, rtt float64, run int) (got shares) {
	s.path(uint64(run+1), rtt, 0, 0)
	var flows sync.WaitGroup
	for turn := range from {
		k := (turn + run) % 2
		flows.Go(func() { got.octets[k] = s.share(from[k], *duration) })
		time.Sleep(time.Millisecond)
	}
	flows.Wait()
	toClient, toServer := s.Path.Counters()
	got.late = max(toClient.Late, toServer.Late)
	return got
}

// report prints the runs of both pairs as lines of a table.
func report(cc string, rtt float64, all [2][]shares) {
	for pair, name := range [2]string{"ours and the kernel's", "two of the kernel's"} {
		if len(all[pair]) == 0 {
			continue
		}
		var index, first, second, late []float64
		var each string
		for _, s := range all[pair] {
			index, late = append(index, s.jain()), append(late, s.late.Seconds()*1000)
			first, second = append(first, rateOf(s.octets[0])), append(second, rateOf(s.octets[1]))
			each += fmt.Sprintf(" %.3f (%.1f:%.1f)", s.jain(), rateOf(s.octets[0]), rateOf(s.octets[1]))
		}
		fmt.Printf("| %s | %g | %s | %.1f | %.1f | %.3f | %.3f to %.3f | %d | %.1f |%s\n", cc, rtt, name, median(first), median(second),
			median(index), slices.Min(index), slices.Max(index), len(index), median(late), each)
	}
}

func rateOf(octets int64) float64 {
	return float64(octets) * 8 / 1e6 / (*duration * 5 / 6).Seconds()
}

// share downloads for d and returns how many octets came in the last five sixths of it.
func (s *stage) share(addr string, d time.Duration) int64 {
	conn, err := s.connect(addr, d)
	if err != nil {
		return 0
	}
	defer conn.Close() //nolint:errcheck // enough was read
	begin := time.Now()
	fmt.Fprint(conn, "GET /400M.png HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
	buf := make([]byte, 256<<10)
	got := int64(0)
	for time.Since(begin) < d {
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		if time.Since(begin) > d/6 {
			got += int64(n)
		}
	}
	return got
}
