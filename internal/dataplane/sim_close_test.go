package dataplane

import (
	"fmt"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// A client that closes its side right behind its request, or in the request's own segment, still gets the whole
// answer: ours, or the kernel's, which gets the FIN too.
func TestSimHalfClose(t *testing.T) {
	overPaths(t, 8, func(t *testing.T, p simPath, seed uint64) {
		for name, requests := range map[string][]simRequest{
			"empty": {static(0)}, "small": {static(1400)}, "large": {static(100_000)}, "several": {static(10_000), static(1), static(1400)},
			"dynamic": {dynamic("/a?b")}, "post": {post(30_000)}, "static, then dynamic": {static(10_000), dynamic("/cgi-bin/x")},
		} {
			for _, when := range []string{"own segment", "behind", "later"} {
				t.Run(name+" "+when, func(t *testing.T) {
					w := newSim(t, seed, p)
					k := halfClosing(w, p, when, requests)
					w.finish(k)
					w.close(k)
					w.end()
					w.wantCounted()
					if n := w.Kernel.Stats().Taken; (n == 1) != (k.ours < len(requests)) {
						t.Errorf("the kernel took %d connections, %d of %d answers are ours", n, k.ours, len(requests))
					}
				})
			}
		}
	})
}

// halfClosing makes all requests at once, with the FIN when it says.
func halfClosing(w *simWorld, p simPath, when string, requests []simRequest) *simTalk {
	switch when {
	case "own segment": // all of it waits for the handshake, and leaves as one
		k := w.pipeline(p.client, requests...)
		k.c.Close()
		return k
	case "behind":
		k := w.talk(p.client, requests...)
		w.until(time.Minute, k.c.Connected)
		k.pipelined = true
		k.ask()
		k.c.Close()
		return k
	}
	k := w.pipeline(p.client, requests...)
	w.After(30*ms, k.c.Close)
	return k
}

// A client that closes before any request, or in the middle of one, is nobody's for long: the one gets our FIN, the
// other is the kernel's, who sees the FIN.
func TestSimHalfCloseWithoutRequest(t *testing.T) {
	overPaths(t, 9, func(t *testing.T, p simPath, seed uint64) {
		for _, octets := range []string{"", "G", "GET /1400.txt HTTP/1.1\r\nHost: h\r\n"} {
			for _, when := range []time.Duration{0, ms, 300 * ms} {
				w := newSim(t, seed, p)
				k := w.talk(p.client)
				k.c.Send([]byte(octets))
				w.After(when, k.c.Close)
				w.close(k)
				w.end()
				if len(k.c.Received()) > 0 {
					t.Errorf("the answer to %q has %d octets", octets, len(k.c.Received()))
				}
				if n := w.Kernel.Stats().Taken; n != min(len(octets), 1) {
					t.Errorf("%q: the kernel took %d connections", octets, n)
				}
			}
		}
	})
}

// resetMoments are points of time from the first SYN on to where the conversations of TestSimReset have ended.
func resetMoments(n int, step time.Duration) (at []time.Duration) {
	for k := range n {
		at = append(at, time.Duration(k)*step+time.Duration(k%7)*100*time.Microsecond)
	}
	return at
}

// A client that resets the connection is forgotten at once, in whatever state it is; while it is being handed over, at
// the latest when that is given up: what the client sent meanwhile went by us, so that we can't tell whether its RST is
// exact.
func TestSimReset(t *testing.T) {
	for _, full := range []int{0, -1} {
		overPaths(t, 10, func(t *testing.T, p simPath, seed uint64) {
			for _, at := range resetMoments(25, 5*ms) {
				w := newSim(t, seed, p)
				w.Kernel.AcceptFull = full
				p.client.Up.Delay, p.client.Down.Delay = 5*ms, 5*ms
				k := w.pipeline(p.client, static(1400), static(100_000), post(50_000))
				w.After(at, k.c.Reset)
				w.run(at + 100*ms)
				k.done()
				if !k.c.WasReset() {
					t.Fatalf("after %v: not reset", at)
				}
				if full == 0 && exact(p) && !w.empty() {
					t.Errorf("reset after %v: %d slots are in use", at, w.loop.slots.used)
				}
				w.end()
			}
		})
	}
}

// exact reports whether every segment of the client's arrives, once and in order: then its RST is exact.
func exact(p simPath) bool {
	up := &p.client.Up
	return up.Loss+up.Reorder+up.Duplicate+up.Corrupt == 0 && p.host.RxFrames == 0
}

// A client that vanishes is given up after KeepAliveTimeout and StallTimeout, or less.
func TestSimVanishedClient(t *testing.T) {
	overPaths(t, 11, func(t *testing.T, p simPath, seed uint64) {
		for _, at := range []time.Duration{ms, 6 * ms, 11 * ms, 16 * ms, 25 * ms, 60 * ms, 200 * ms, 2 * time.Second} {
			w := newSim(t, seed, p)
			gone := false
			p.client.Up.Drop = func(int, []byte) bool { return gone }
			p.client.Down.Drop = p.client.Up.Drop
			k := w.pipeline(p.client, static(1), static(100_000))
			k.c.Send([]byte("GET /never-finished"))
			w.After(at, func() { gone = true })
			w.run(at + 20*ms)
			limit := w.tcp.KeepAliveTimeout + w.tcp.HeadTimeout + w.tcp.StallTimeout + tcpstate.Second
			w.until(time.Duration(limit), func() bool { return w.empty() && w.Kernel.Records() == 0 })
			w.end()
		}
	})
}

// A client that never reads is given up after StallTimeout, with a RST: the window stays closed, however often it is
// probed.
func TestSimNeverReads(t *testing.T) {
	overPaths(t, 12, func(t *testing.T, p simPath, seed uint64) {
		for _, room := range []int{600, 3000, 60_000} {
			t.Run(fmt.Sprint(room), func(t *testing.T) {
				w := newSim(t, seed, p)
				p.client.Policy = netsim.Policy{Never: true, Buffer: room}
				k := w.pipeline(p.client, static(100_000), static(1))
				full := func() bool { return len(k.c.Received()) >= room-room%128 }
				w.until(30*time.Second, full)
				since := w.Now()
				w.until(2*time.Duration(tcpstate.DefaultConfig().StallTimeout), w.empty)
				took := time.Duration(w.Now() - since)
				stall := time.Duration(w.tcp.StallTimeout)
				if took < stall-time.Second || took > stall+5*time.Second {
					t.Errorf("given up after %v, StallTimeout is %v", took, stall)
				}
				w.end()
				seen := k.c.Sight()
				if seen.Resets == 0 || seen.Probes+seen.Repeated == 0 {
					t.Errorf("%+v: want probes, and a RST", seen)
				}
				w.wantHandovers("")
			})
		}
	})
}

// A client that reads again after a while gets everything, however long its window was closed.
func TestSimReadsLate(t *testing.T) {
	overPaths(t, 13, func(t *testing.T, p simPath, seed uint64) {
		w := newSim(t, seed, p)
		p.client.Policy = netsim.Policy{Never: true, Buffer: 4000}
		k := w.pipeline(p.client, static(10_000), static(100), dynamic("/x?y"))
		for range 12 {
			w.run(20 * time.Second)
			k.c.Read(4000)
		}
		w.converse(k)
		w.wantCounted()
	})
}
