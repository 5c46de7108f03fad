package dataplane

import (
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// again dials from the address of k.
func (w *simWorld) again(k *simTalk, cfg netsim.ClientConfig, requests ...simRequest) *simTalk {
	cfg.Reuse = k.c
	return w.talk(cfg, requests...)
}

// A client that comes again from the same port right after we have closed, while its old connection is in TIME-WAIT with
// us, is served, whether its sequence numbers go on from the old ones or, as timestamps allow, go back (RFC 6191).
func TestSimReuseInTimeWait(t *testing.T) {
	last := static(1400)
	last.fields = "Connection: close\r\n"
	overPaths(t, 50, func(t *testing.T, p simPath, seed uint64) {
		for _, ahead := range []int{1, 64_000, 1 << 30, -100_000} {
			w := newSim(t, seed, p)
			k := w.talk(p.client, static(100), last)
			for range 4 {
				w.finish(k)
				w.until(time.Minute, k.c.PeerClosed)
				w.close(k)
				w.until(time.Minute, func() bool { return w.counters().Connections[tcpstate.TimeWait] == 1 })
				w.run(2 * ms) // for the clock of the timestamps
				cfg := p.client
				cfg.ISSAhead = ahead
				k = w.again(k, cfg, static(10_000), last)
			}
			w.converse(k)
			w.wantCounted()
			w.wantHandovers("")
		}
	})
}

// The same when the client has closed first, and when the old connection was reset.
func TestSimReuseAfterEnd(t *testing.T) {
	overPaths(t, 51, func(t *testing.T, p simPath, seed uint64) {
		for _, reset := range []bool{false, true} {
			w := newSim(t, seed, p)
			k := w.talk(p.client, static(100))
			for range 4 {
				w.finish(k)
				if reset {
					k.c.Reset()
				} else {
					w.close(k)
				}
				k = w.again(k, p.client, static(10_000), static(1))
			}
			w.converse(k)
			w.wantCounted()
			w.wantHandovers("")
		}
	})
}

// A client that has lost its memory comes again from the same port while we still have its old connection, in the middle
// of an answer: our ACK of what it no longer knows makes it reset that (RFC 5961, 4), and then it is served.
func TestSimReuseOfLiveConnection(t *testing.T) {
	overPaths(t, 52, func(t *testing.T, p simPath, seed uint64) {
		for _, at := range []time.Duration{0, 4 * ms, 8 * ms, 120 * ms, 3 * time.Second} {
			w := newSim(t, seed, p)
			k := w.pipeline(p.client, static(100_000), static(1400))
			w.run(at)
			k = w.again(k, p.client, static(10_000), static(100))
			w.converse(k)
		}
	})
}

// Octets of an earlier connection that come late, up to some seconds, never get into the next one, nor does it end by
// them. We close first, so that the flow is in TIME-WAIT until the next one begins. What is late may be answered once
// more, to nobody: an answer to a cookie leaves no trace (TestGhostGivesWay).
func TestSimOldDuplicates(t *testing.T) {
	last := static(1400)
	last.fields = "Connection: close\r\n"
	overPaths(t, 53, func(t *testing.T, p simPath, seed uint64) {
		for round := range uint64(10) {
			w := newSim(t, seed+round, p)
			cfg := p.client
			cfg.Up.Duplicate, cfg.Up.ReorderBy = 0.5, 10*time.Second
			cfg.Up.Reorder = 0 // doubles are late, originals are not
			k := w.talk(cfg, static(100), static(10_000), last)
			for range 5 {
				w.finish(k)
				w.until(time.Minute, k.c.PeerClosed)
				w.close(k)
				w.run(2 * ms)
				k = w.again(k, cfg, static(10_000), static(1), last)
			}
			w.converse(k)
		}
	})
}
