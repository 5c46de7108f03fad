package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// A loop steps at least every 100 ms. The XDP program waits 1 s before it gives new connections to the kernel.
const (
	beatEvery = 100 * time.Millisecond
	stuckFrom = tcpstate.Second
)

// heart tells the XDP program until when all loops were seen to go on. A loop that hangs, and a process that does,
// is thus found out by the program after the same time.
type heart struct {
	progress []uint64
	moved    []tcpstate.Time // when progress was last seen to grow
	oldest   atomic.Int64    // the earliest of moved; 0 before the first beat
	slowest  atomic.Int32    // whose that is
}

var errNotYet = errors.New("not serving yet")

// begin counts every loop as alive, as one that has not had its turn yet is.
func (h *heart) begin(d *daemon) {
	h.progress, h.moved = make([]uint64, len(d.loops)), make([]tcpstate.Time, len(d.loops))
	for k := range h.moved {
		h.moved[k] = d.clock()
	}
}

// run beats until ctx ends, and fails the daemon when the interface is gone.
func (h *heart) run(ctx context.Context, d *daemon) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		for k, s := range d.sockets {
			if err := s.Err(); err != nil {
				d.fail(fmt.Errorf("queue %d: %w", k, err))
				return
			}
		}
		oldest := h.look(d.clock(), func(k int) uint64 { return d.loops[k].Progress() })
		if err := d.program.Beat(int64(oldest)); err != nil {
			d.fail(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look notes which loops have made progress, and returns since when not all have.
func (h *heart) look(now tcpstate.Time, progress func(k int) uint64) tcpstate.Time {
	oldest, slowest := now, 0
	for k := range h.moved {
		if p := progress(k); p != h.progress[k] {
			h.progress[k], h.moved[k] = p, now
		}
		if h.moved[k] < oldest {
			oldest, slowest = h.moved[k], k
		}
	}
	h.slowest.Store(int32(slowest))
	h.oldest.Store(int64(oldest))
	return oldest
}

// healthy returns nil, or why new connections go to the server behind. Any goroutine may call it.
func (h *heart) healthy(now tcpstate.Time) error {
	oldest := tcpstate.Time(h.oldest.Load())
	if oldest == 0 {
		return errNotYet
	}
	if age := now - oldest; age > stuckFrom {
		return fmt.Errorf("the loop of queue %d has made no progress for %s: connections go to the server behind",
			h.slowest.Load(), time.Duration(age).Round(time.Millisecond))
	}
	return nil
}

// healthy is what /healthz says.
func (d *daemon) healthy() error { return d.heart.healthy(d.clock()) }
