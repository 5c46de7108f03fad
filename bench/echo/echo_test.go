package echo

import (
	"fmt"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// BenchmarkEcho: an operation is one frame there and back. cpu-ns/op is what the server's core spends for one.
func BenchmarkEcho(b *testing.B) {
	nstest.Require(b)
	for _, size := range []int{10, 1024} {
		for k := range Engines {
			b.Run(fmt.Sprintf("%s/%d", Engines[k].Name, size), func(b *testing.B) {
				c := Run(b, &Engines[k], true, size, 512, func(sent int) bool { return sent < b.N })
				b.ReportMetric(c.Seconds*1e9/float64(c.Frames), "ns/op")
				b.ReportMetric(c.CPU*1e9/float64(c.Frames), "cpu-ns/op")
				b.ReportMetric(float64(c.Lost)/float64(c.Frames), "lost/op")
			})
		}
	}
}

// Each engine sends back what comes.
func TestEngines(t *testing.T) {
	nstest.Require(t)
	nstest.RequireTool(t, "gcc", "gcc")
	for k := range Engines {
		t.Run(Engines[k].Name, func(t *testing.T) {
			const want = 10_000
			if c := Run(t, &Engines[k], true, 1024, 64, func(sent int) bool { return sent < want }); c.Frames+c.Lost < want || c.Frames < want/2 {
				t.Errorf("%d frames came back, %d did not", c.Frames, c.Lost)
			}
		})
	}
}
