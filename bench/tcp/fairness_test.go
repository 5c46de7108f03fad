package tcp

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkFairness lets two flows share the bottleneck for a while: ours and the kernel's, with the same algorithm, and
// as a yardstick two of the kernel's. It reports Jain's index of what each got after the first sixth of the time.
func BenchmarkFairness(b *testing.B) {
	for _, cc := range list(*controls) {
		b.Run(cc, func(b *testing.B) {
			s := newStage(b, cc, []string{"400M"})
			for _, rtt := range numbers(b, *rtts) {
				if rtt < 20 {
					continue // the queue would hold a few segments only
				}
				for name, pair := range map[string][2]string{"ours and the kernel's": {s.Address(false), s.alone}, "two of the kernel's": {s.alone, s.alone}} {
					var shares [2]int64
					s.path(1, rtt, 0, 0)
					var flows sync.WaitGroup
					for k, addr := range pair {
						flows.Go(func() { shares[k] = s.share(addr, *duration) })
					}
					flows.Wait()
					x, y := float64(shares[0]), float64(shares[1])
					fmt.Printf("%s, %g ms, %s: %.2f and %.2f Mbit/s, Jain's index %.3f\n", cc, rtt, name, rateOf(shares[0]), rateOf(shares[1]), (x+y)*(x+y)/(2*(x*x+y*y)))
				}
			}
		})
	}
	b.ReportMetric(0, "ns/op")
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
