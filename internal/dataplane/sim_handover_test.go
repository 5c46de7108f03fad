package dataplane

import (
	"fmt"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// A connection is handed over at its first request or behind some static ones, and the kernel's server receives the
// bodies octet for octet.
func TestSimHandover(t *testing.T) {
	overPaths(t, 20, func(t *testing.T, p simPath, seed uint64) {
		size := 100_000
		if exact(p) && !testing.Short() {
			size = 1_000_000
		}
		for _, before := range []int{0, 1, 3} {
			for _, pipelined := range []bool{false, true} {
				w := newSim(t, seed, p)
				var requests []simRequest
				for k := range before {
					requests = append(requests, static(simSizes[k+2]))
				}
				k := w.talk(p.client, append(requests, post(size), dynamic("/a?b"), static(100), post(5000))...)
				k.pipelined = pipelined
				w.converse(k)
				w.wantCounted()
				w.wantHandovers("method 1")
				if k.ours != before {
					t.Errorf("%d answers are ours, want %d", k.ours, before)
				}
			}
		}
	})
}

// What is not in the cache is the kernel's, as is everything behind it.
func TestSimMiss(t *testing.T) {
	overPaths(t, 21, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p)
		w.converse(w.pipeline(p.client, static(1400), dynamic("/none.txt"), static(1), dynamic("/cgi-bin/x")))
		w.wantCounted()
		w.wantHandovers("miss 1")
	})
}

// Static and dynamic requests in one stream, in two pieces, cut at each octet, and octet by octet.
func TestSimHandoverCuts(t *testing.T) {
	seed := netsim.Seed(t, 22)
	requests := []simRequest{static(1400), post(40), dynamic("/x?y")}
	var stream []byte
	for _, r := range requests {
		stream = append(stream, r.octets()...)
	}
	for cut := range stream {
		p := simPaths[cut%len(simPaths)]
		w := newSim(t, seed+uint64(cut), p)
		k := w.talk(p.client, requests...)
		k.pipelined = true
		k.send = func(octets []byte) {
			w.After(200*ms, func() {
				k.c.SendPieces(octets, []netsim.Piece{{Lo: 0, Hi: cut}, {Lo: cut, Hi: len(octets), At: time.Duration(cut%5) * 30 * ms}})
			})
		}
		w.converse(k)
		w.wantCounted()
		w.wantHandovers("method 1")
		if t.Failed() {
			t.Fatalf("cut at %d, %s", cut, p.name)
		}
	}
	overPaths(t, 23, func(t *testing.T, p simPath, seed uint64) {
		for _, n := range []int{1, 7, 100} {
			w := newSim(t, seed, p)
			p.client.Cut = func() int { return n }
			w.converse(w.pipeline(p.client, requests...))
			w.wantHandovers("method 1")
		}
	})
}

// A server whose accept queue is full for a while gets the connection later, with all that the client sent meanwhile,
// its FIN too.
func TestSimAcceptsLate(t *testing.T) {
	overPaths(t, 24, func(t *testing.T, p simPath, seed uint64) {
		for _, after := range []time.Duration{10 * ms, 300 * ms, 5 * time.Second, 25 * time.Second} {
			for _, closing := range []bool{false, true} {
				w := newSim(t, seed, p)
				w.Kernel.AcceptFull = -1
				w.After(after, func() { w.Kernel.AcceptFull = 0 })
				k := w.pipeline(p.client, static(1400), post(20_000), dynamic("/cgi-bin/a"))
				if closing {
					k.c.Close()
				}
				w.converse(k)
				w.wantCounted()
				w.wantHandovers("method 1")
			}
		}
	})
}

// A server that never accepts: the client gets a RST after HandoverTimeout, which is counted.
func TestSimNeverAccepts(t *testing.T) {
	for name, request := range map[string]simRequest{"small": dynamic("/x?y"), "large": post(100_000)} {
		overPaths(t, 25, func(t *testing.T, p simPath, seed uint64) {
			w := newSim(t, seed, p)
			w.Kernel.AcceptFull = -1
			k := w.pipeline(p.client, static(100), request)
			w.until(time.Minute, func() bool { return w.counters().Handing == 1 })
			since := w.Now()
			w.until(time.Minute, func() bool { return w.counters().Handing == 0 })
			// The default of Config.HandoverTimeout, and the longest wait between two tries.
			if took := time.Duration(w.Now() - since); took < 30*time.Second || took > 32*time.Second {
				t.Errorf("%s: given up after %v", name, took)
			}
			w.end()
			w.wantDrop(DropHandoverTimeout, 1)
			w.wantHandovers("")
			if seen := k.c.Sight(); seen.Resets == 0 || seen.Resets > 1 && exact(p) {
				t.Errorf("%s: %+v, want one RST, or more if it was lost", name, seen)
			}
		})
	}
}

// Without a server the kernel resets what is handed over, as it would without us.
func TestSimNoListener(t *testing.T) {
	overPaths(t, 26, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p)
		w.Kernel.NoListener = true
		k := w.pipeline(p.client, static(10_000), static(1), dynamic("/x?y"))
		if p.client.Down.Loss == 0 {
			w.until(time.Minute, k.c.WasReset)
			if k.done(); k.got != 2 {
				t.Errorf("%d answers before the reset, want 2", k.got)
			}
		}
		w.end()
		w.wantHandovers("")
		if exact(p) { // or else the client, which is gone, may have told us so
			w.wantDrop(DropHandoverTimeout, 1)
		}
	})
}

// A record that can't be written: the client gets a RST, which is counted.
func TestSimHandoverRefused(t *testing.T) {
	overPaths(t, 27, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p)
		w.Kernel.BeginErrors = 1
		k := w.pipeline(p.client, static(100), post(3000))
		w.until(time.Minute, func() bool { return w.counters().Drops[DropHandoverRefused] == 1 })
		w.end()
		w.wantHandovers("")
		if seen := k.c.Sight(); seen.Resets == 0 {
			t.Errorf("%+v: want a RST", seen)
		}
	})
}

// A request that does not come to its end in HeadTimeout is the kernel's, who has its own idea of patience.
func TestSimSlowHead(t *testing.T) {
	overPaths(t, 28, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p)
		request := static(100)
		request.size = -1 // the kernel answers
		octets := request.octets()
		k := w.talk(p.client, static(1400), request)
		k.send = func(o []byte) {
			if k.got == 0 {
				k.c.Send(o)
				return
			}
			k.c.Send(octets[:20])
			w.After(time.Duration(tcpstate.DefaultConfig().HeadTimeout)+5*time.Second, func() { k.c.Send(octets[20:]) })
		}
		w.converse(k)
		w.wantHandovers("slow-head 1")
	})
}

// Whatever the client offers as MSS that can't be handed over: the kernel has the connection from its SYN on.
func TestSimMSSTooSmall(t *testing.T) {
	for _, mss := range []int{100, 400, 535} {
		t.Run(fmt.Sprint(mss), func(t *testing.T) {
			p := simPaths[1]
			p.client.MSS = mss
			w := newSim(t, netsim.Seed(t, 29), p)
			k := w.talk(p.client, static(100))
			k.mayHand = true
			w.converse(k)
			if s := w.Kernel.Stats(); s.Accepted != 1 || k.ours != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}
