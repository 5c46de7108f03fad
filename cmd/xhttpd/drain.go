package main

import (
	"os"
	"time"

	"github.com/xhttpd/xhttpd/internal/dataplane"
)

// quiet is how long a draining daemon waits for the requests of peers that have only shaken hands so far. They cost
// no memory, so nobody knows of them.
const quiet = time.Second

// drain lets new connections pass to the kernel, and waits until the loops have given away those that they hold, or
// until the grace period ends, or a signal comes.
func (d *daemon) drain(signals <-chan os.Signal) error {
	if err := d.program.SetDraining(true); err != nil {
		return err
	}
	for _, loop := range d.loops {
		loop.Drain()
	}
	begun := time.Now()
	busy := begun
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-d.failed:
			return err
		case <-signals:
			d.log.Warn("a second signal: stopping at once; the connections that are left are reset", "connections", d.live())
			return nil
		case <-tick.C:
		}
		left := d.live()
		if left > 0 {
			busy = time.Now()
		}
		switch {
		case time.Since(busy) >= quiet:
			return nil
		case time.Since(begun) < d.cfg.Grace:
		case left > 0:
			d.log.Warn("the grace period is over: the connections that are left are reset", "connections", left)
			return nil
		default:
			return nil
		}
	}
}

// live is how many connections the loops still hold.
func (d *daemon) live() uint64 {
	c := d.counters()
	return c.Live()
}

// counters returns the sum over the loops.
func (d *daemon) counters() (sum dataplane.Counters) {
	for _, l := range d.loops {
		l.Snapshot(&sum)
	}
	return sum
}
