package dataplane

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// 20 MB arrive whole with 5 % lost and 5 % out of order in both directions.
func TestSimTwentyMegabytes(t *testing.T) {
	bad := netsim.Link{Delay: 5 * ms, Loss: 0.05, Reorder: 0.05}
	size := 20_000_000
	if testing.Short() {
		size = 2_000_000
	}
	for name, cfg := range map[string]netsim.ClientConfig{
		"IPv4": modern,
		"IPv6": {MSS: 1440, Scale: 7, SACK: true, Timestamps: true, IPv6: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSim(t, netsim.Seed(t, 40), simPaths[0])
			k := w.talk(way(cfg, bad), static(size), post(20_000))
			w.converse(k)
			w.wantCounted()
			seen := k.c.Sight()
			t.Logf("%.1f s, %d segments with payload, %d of them again", float64(w.Now()-netsim.Start)/1e9, seen.Data, seen.Repeated)
		})
	}
}

// randomTalk dials a client of any kind, which wants up to eight things.
func randomTalk(w *simWorld, r *rand.Rand) *simTalk {
	var requests []simRequest
	for range 1 + r.IntN(8) {
		switch r.IntN(6) {
		case 0:
			requests = append(requests, post(r.IntN(60_000)))
		case 1:
			requests = append(requests, dynamic("/cgi-bin/x"))
		default:
			requests = append(requests, static(simSizes[r.IntN(6)]))
		}
	}
	k := w.talk(randomPath(r).client, requests...)
	k.pipelined = r.IntN(2) == 0
	return k
}

// A hundred clients of all kinds at once, on a large device and on small ones.
func TestSimHundredClients(t *testing.T) {
	seed := netsim.Seed(t, 41)
	for name, host := range map[string]netsim.HostConfig{
		"large": {}, "small rings": {RxFrames: 24, TxFrames: 8, TxTime: 5 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSim(t, seed, simPath{host: host})
			w.Kernel.AcceptFull = 10
			r := rand.New(rand.NewPCG(seed, 41))
			handed := 0
			for range 100 {
				k := randomTalk(w, r)
				for _, q := range k.requests {
					if q.size < 0 {
						handed++
						break
					}
				}
			}
			w.converse(w.talks...)
			w.wantCounted()
			if n := w.Kernel.Stats().Taken; n != handed {
				t.Errorf("the kernel took %d connections of %d", n, handed)
			}
		})
	}
}

// Connections beyond MaxConns are the kernel's from their first request on, and those below are served.
func TestSimMaxConns(t *testing.T) {
	overPaths(t, 42, func(t *testing.T, p simPath, seed uint64) {
		for _, limit := range []int{1, 7} {
			w := newSim(t, seed, p, func(s *simSetup) { s.loop.MaxConns = limit })
			for range 20 {
				k := w.talk(p.client, static(1400), static(100), static(10_000))
				k.mayHand = true
			}
			most := 0
			done := allDone(w.talks)
			w.until(time.Hour, func() bool { most = max(most, w.loop.slots.used); return done() })
			w.close(w.talks...)
			w.end()
			w.wantCounted()
			if c := w.counters(); most != limit || int(c.Handovers[ReasonConnLimit]) != w.Kernel.Stats().Taken {
				t.Errorf("%d connections at most, want %d; %d beyond, the kernel took %d", most, limit, c.Handovers[ReasonConnLimit], w.Kernel.Stats().Taken)
			}
		}
	})
}

// Incomplete requests beyond MaxBuffers are the kernel's, or wait for the client to send them again; none is lost.
func TestSimMaxBuffers(t *testing.T) {
	overPaths(t, 43, func(t *testing.T, p simPath, seed uint64) {
		for _, limit := range []int{1, 3} {
			w := newSim(t, seed, p, func(s *simSetup) { s.loop.MaxBuffers = limit })
			cfg := p.client
			cfg.Cut = func() int { return 5 + w.Rand.IntN(30) }
			for n := range 12 {
				k := w.talk(cfg, static(1400), static(100), post(300+n))
				k.mayHand = true
				k.pipelined = n%2 == 0
			}
			w.converse(w.talks...)
			w.wantCounted()
			if n := w.Kernel.Stats().Taken; n != len(w.talks) {
				t.Errorf("the kernel took %d connections of %d", n, len(w.talks))
			}
		}
	})
}

// Many short connections one after the other over few slots: what one leaves does not meet the next.
func TestSimSlotsAreReused(t *testing.T) {
	overPaths(t, 44, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p, func(s *simSetup) { s.loop.MaxConns, s.loop.MaxBuffers = 3, 3 })
		for n := range 60 {
			var k *simTalk
			switch n % 4 {
			case 0:
				k = w.talk(p.client, static(1400), post(100))
			case 1:
				k = w.talk(p.client, static(100), static(1))
				w.After(20*ms, k.c.Reset)
				w.run(20 * ms)
				continue
			default:
				k = w.pipeline(p.client, static(simSizes[n%5]), static(10_000))
			}
			k.mayHand = true // the reset may have got lost
			w.finish(k)
			w.close(k)
		}
		w.end()
		if p.name == "clean" && w.handovers() != fmt.Sprintf("method %d", 15) {
			t.Errorf("handed over: %s", w.handovers())
		}
	})
}
