package dataplane

import (
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// drain tells the loop to hand everything over.
func (w *simWorld) drain() {
	w.loop.Drain()
	w.Wake()
}

// live is how many connections have not ended.
func (w *simWorld) live() uint64 {
	c := w.counters()
	return c.Live()
}

// simMix dials clients that are at different points of their conversations at any time: idle ones, large answers, bodies,
// pipelines, and parts of requests. When it returns they are connected: a second SYN of a client whose first was answered
// by us would make a connection of its own with the kernel once SYNs are no longer ours.
func simMix(w *simWorld, cfg netsim.ClientConfig) (talks []*simTalk) {
	cfg.Up.Duplicate = 0
	slow := cfg
	slow.Cut = func() int { return 1 + w.Rand.IntN(40) }
	talks = []*simTalk{
		w.talk(cfg, static(1)),
		w.talk(cfg, static(100_000), static(100_000)),
		w.talk(cfg, static(1400), post(30_000), static(1)),
		w.pipeline(cfg, static(10_000), static(1), static(100), static(0), static(1400), static(10_000), dynamic("/x?y")),
		w.pipeline(slow, static(100), static(1400)),
		w.talk(cfg, static(0), static(1), static(100), static(1400), static(10_000)),
	}
	for _, k := range talks {
		k.mayHand = true
		k.ask()
	}
	w.until(time.Minute, func() bool {
		for _, k := range talks {
			if !k.c.Connected() {
				return false
			}
		}
		return true
	})
	return talks
}

// A shutdown at any moment of any conversation: connections at a request boundary go to the kernel at once, the others
// behind their answers. No client sees an error, and nothing is left although no client has closed.
func TestSimDrain(t *testing.T) {
	moments := []time.Duration{0, ms / 2, ms, 2 * ms, 3 * ms, 4 * ms, 6 * ms, 9 * ms, 15 * ms, 40 * ms, 110 * ms, 200 * ms, 400 * ms, 2 * time.Second}
	overPaths(t, 30, func(t *testing.T, p simPath, seed uint64) {
		for k, at := range moments {
			w := newSim(t, seed+uint64(k), p)
			talks := simMix(w, p.client)
			drained := false
			w.After(at, func() { drained = true; w.drain() })
			done := allDone(talks)
			w.until(10*time.Minute, func() bool { return done() && drained && w.live() == 0 })
			late := w.talk(p.client, static(1400), dynamic("/x?y"))
			late.mayHand = true
			w.finish(late)
			if late.ours != 0 {
				t.Errorf("drained after %v, a new connection was answered", at)
			}
			w.close(append(talks, late)...)
			w.end()
			w.wantCounted()
			if t.Failed() {
				t.Fatalf("drained after %v", at)
			}
		}
	})
}

// During a shutdown while the server accepts nothing, the connections wait for it, and none is lost if it comes back.
func TestSimDrainToBusyServer(t *testing.T) {
	overPaths(t, 31, func(t *testing.T, p simPath, seed uint64) {
		for _, at := range []time.Duration{ms, 5 * ms, 120 * ms} {
			w := newSim(t, seed, p)
			talks := simMix(w, p.client)
			w.Kernel.AcceptFull = -1
			w.After(at, w.drain)
			w.After(at+5*time.Second, func() { w.Kernel.AcceptFull = 0 })
			w.finish(talks...)
			w.close(talks...)
			w.end()
			w.wantCounted()
		}
	})
}

// Stop resets what is left, but nothing of the kernel's, and gives every frame back.
func TestSimStop(t *testing.T) {
	overPaths(t, 32, func(t *testing.T, p simPath, seed uint64) {
		for _, at := range []time.Duration{ms, 4 * ms, 8 * ms, 30 * ms, 110 * ms, time.Second} {
			w := newSim(t, seed, p, func(s *simSetup) { s.host.TxFrames = 512 }) // abortAll has one turn only
			talks := simMix(w, p.client)
			w.run(at)
			w.loop.abortAll(w.loop.now)
			w.audit()
			if !w.empty() {
				t.Errorf("stopped after %v: %d slots are in use", at, w.loop.slots.used)
			}
			for _, k := range talks {
				k.c.Reset()
			}
			w.end()
		}
	})
}
