package compare_test

import (
	"time"

	"github.com/xhttpd/xhttpd/bench/compare"
	"github.com/xhttpd/xhttpd/bench/echo"
)

const engineName = "echo-"

// engines are the servers of compare.Echo.
var engines = func() (names []string) {
	for k := range echo.Engines {
		names = append(names, engineName+echo.Engines[k].Name)
		starters[engineName+echo.Engines[k].Name] = func(*stage, *server) {}
	}
	return names
}()

// echo has frames sent back, so many at a time as there would be connections.
func (s *stage) echo(sv *server, w *compare.Workload) (m compare.Sample) {
	s.Helper()
	for k := range echo.Engines {
		e := &echo.Engines[k]
		if engineName+e.Name != sv.name {
			continue
		}
		var end time.Time
		c := echo.Run(s, e, *layout == wire, compare.Sizes()[w.Object], w.Conns, func(sent int) bool {
			if sent == 0 {
				end = time.Now().Add(*duration)
			}
			return time.Now().Before(end)
		})
		if c.Frames == 0 {
			s.Fatalf("%s: no frame came back", sv.name)
		}
		m.Requests, m.Errors = float64(c.Frames)/c.Seconds, c.Lost
		m.CPU = c.CPU / float64(c.Frames) * 1e6
		m.Bits = m.Requests * 8 * float64(compare.Sizes()[w.Object])
	}
	return m
}
