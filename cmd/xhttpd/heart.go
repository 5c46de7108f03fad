package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// beatEvery is how often it is looked whether every loop goes on. A loop steps at least every 100 ms; the XDP program
// waits 1 s before it gives new connections to the kernel.
const beatEvery = 200 * time.Millisecond

// heart tells the XDP program that all loops are alive, for as long as that is so.
type heart struct{ stuck atomic.Pointer[error] }

var errNotYet = errors.New("not serving yet")

// healthy returns nil, or why new connections go to the server behind.
func (h *heart) healthy() error {
	if err := h.stuck.Load(); err != nil {
		return *err
	}
	return nil
}

func (h *heart) set(err error) {
	if err == nil {
		h.stuck.Store(nil)
		return
	}
	h.stuck.Store(&err)
}

// run beats until ctx ends. What can't be mended goes to failed.
func (h *heart) run(ctx context.Context, d *daemon, clock func() tcpstate.Time, failed chan<- error) {
	h.set(errNotYet)
	last := make([]uint64, len(d.loops))
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		alive := true
		for k, loop := range d.loops {
			p := loop.Progress()
			if p == last[k] {
				alive = false
				h.set(fmt.Errorf("the loop of queue %d does not go on", k))
			}
			last[k] = p
			if err := d.sockets[k].Err(); err != nil {
				failed <- err
				return
			}
		}
		if alive {
			if err := d.program.Beat(int64(clock())); err != nil {
				failed <- err
				return
			}
			h.set(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// interrupted returns a channel that gets the next SIGTERM or SIGINT.
func interrupted() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT)
	return c
}
