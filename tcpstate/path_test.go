package tcpstate

import (
	"fmt"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// transfer sends 20 MB over a path whose bottleneck passes 50 Mbit/s and queues what it passes in a round trip. It
// returns the share of the bottleneck's rate that was used, and how many segments were sent for each that had to be.
func transfer(t *testing.T, control Control, rtt Time, loss, reorder float64) (use, effort float64) {
	t.Helper()
	const rate, size = 50e6 / 8, 20_000_000
	r := random(t, 9)
	cfg := DefaultConfig()
	cfg.StallTimeout = 0
	s := newSim(t, r, path{
		cfg: cfg, control: control, irs: wire.Seq(r.Uint32()), delay: rtt / 2, flow: flow4, loss: loss, reorder: reorder,
		window: 6 << 20, request: 200, response: size, num: 1,
		rate: rate, queue: max(rate*float64(rtt)/float64(Second), 20000),
		syn: wire.Options{HasMSS: true, MSS: 1460, HasTS: true, SACKPermitted: true, HasWScale: true, WScale: 9},
	})
	if !s.run(Hour) || s.over == TimedOut || s.over == Reset {
		t.Fatalf("not done: server %v %v, client at %d", s.c.State(), s.over, s.client.rcvNxt)
	}
	use = size / rate / (float64(s.now-start) / float64(Second))
	effort = float64(s.sent) / (size / 1448)
	t.Logf("%.0f %% of the rate, %.3f segments for each, %d found the queue full", use*100, effort, s.full)
	return use, effort
}

var roundTrips = []Time{Millisecond, 20 * Millisecond, 80 * Millisecond, 200 * Millisecond}

// A path without loss is filled, but for the handshake and the first round trips, and little is sent in vain: when
// slow start overflows the queue, at most about what the queue and the path hold. So it is if 5 % of the segments are
// overtaken by those of half a round trip.
func TestFillsThePath(t *testing.T) {
	for control := range NumControls {
		for k, rtt := range roundTrips {
			for _, reorder := range []float64{0, 0.05} {
				t.Run(fmt.Sprint(control, " ", rtt/Millisecond, " ms, reordering ", reorder), func(t *testing.T) {
					least := []float64{0.87, 0.85, 0.7, 0.5}[k]
					if reorder > 0 && control != BBR {
						least = []float64{0.85, 0.8, 0.5, 0.2}[k] // it is taken for loss until it has been seen
					}
					if use, effort := transfer(t, control, rtt, 0, reorder); use < least || effort > 1.35 {
						t.Errorf("%.0f %% of the rate, want %.0f; %.3f segments for each", use*100, least*100, effort)
					}
				})
			}
		}
	}
}

// BBR fills a path that loses segments for other reasons than congestion.
func TestBBRFillsALossyPath(t *testing.T) {
	for k, rtt := range roundTrips {
		for _, loss := range []float64{0.001, 0.01, 0.03} {
			t.Run(fmt.Sprint(rtt/Millisecond, " ms, loss ", loss), func(t *testing.T) {
				least := []float64{0.78, 0.74, 0.6, 0.35}[k]
				if use, effort := transfer(t, BBR, rtt, loss, 0); use < least || effort > 1.35+loss {
					t.Errorf("%.0f %% of the rate, want %.0f; %.3f segments for each", use*100, least*100, effort)
				}
			})
		}
	}
}

// BBR3 fills a path that loses up to 1 %, and sends less in vain than BBR; where 3 % are lost it slows down, by design, so that the
// kernel's BBR is faster.
func TestBBR3OnALossyPath(t *testing.T) {
	for k, rtt := range roundTrips {
		for _, loss := range []float64{0.001, 0.01} {
			t.Run(fmt.Sprint(rtt/Millisecond, " ms, loss ", loss), func(t *testing.T) {
				least := []float64{0.78, 0.7, 0.6, 0.35}[k]
				if use, effort := transfer(t, BBR3, rtt, loss, 0); use < least || effort > 1.1+loss {
					t.Errorf("%.0f %% of the rate, want %.0f; %.3f segments for each", use*100, least*100, effort)
				}
			})
		}
	}
	v1, _ := transfer(t, BBR, 20*Millisecond, 0.03, 0)
	if draft, _ := transfer(t, BBR3, 20*Millisecond, 0.03, 0); draft > v1*9/10 || draft < v1/10 {
		t.Errorf("3 %% lost: %.0f %% of the rate, with BBR %.0f", draft*100, v1*100)
	}
}

// The others slow down, and take their share: that of RFC 5681 at least, 1.22 segments in flight over the root of the
// share that is lost (Mathis et al., 1997), here with some allowance for what the delayed acknowledgments take.
func TestLossyPath(t *testing.T) {
	for _, control := range []Control{NewReno, CUBIC} {
		for _, rtt := range []Time{20 * Millisecond, 80 * Millisecond} {
			for loss, segments := range map[float64]float64{0.01: 12.2, 0.03: 7} {
				t.Run(fmt.Sprint(control, " ", rtt/Millisecond, " ms, loss ", loss), func(t *testing.T) {
					least := 0.6 * segments * 1448 / (float64(rtt) / float64(Second)) / (50e6 / 8)
					if use, effort := transfer(t, control, rtt, loss, 0); use < least || use > 4*least || effort > 1.05+loss {
						t.Errorf("%.0f %% of the rate, want about %.0f; %.3f segments for each", use*100, least*100, effort)
					}
				})
			}
		}
	}
}
