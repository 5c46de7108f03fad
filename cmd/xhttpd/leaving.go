package main

import (
	"context"
	"time"

	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/dataplane"
)

// leaving is how the loop of a queue has new connections left to the kernel, or nil. The kernel gives them to who listens on the served
// port, which must be the server behind.
func (d *daemon) leaving(queue int) *dataplane.Leaving {
	if d.cfg.LeaveConnections == config.LeaveNever || !d.cfg.Backend.Builtin && !d.cfg.Backend.Default() {
		return nil
	}
	note, leave, mask := d.program.Leaving(queue)
	return &dataplane.Leaving{Note: note, Leave: leave, Mask: mask}
}

// followLeaving says in the log when connections begin to be left, and when no more are: at most once a minute, as it may go to and fro.
func (d *daemon) followLeaving(ctx context.Context) {
	var log leavingLog
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := d.counters()
		if !log.due(c.Leaving, time.Now()) {
			continue
		}
		if c.Leaving > 0 {
			d.log.Info("hardly any connection is for xhttpd: most new ones are left to the server behind", "queues", c.Leaving, "of", len(d.loops))
		} else {
			d.log.Info("the first request of each connection is looked at again")
		}
	}
}

// leavingLog is what was said last, and when.
type leavingLog struct {
	said uint64
	at   time.Time
}

// due reports whether something is to be said of so many queues.
func (l *leavingLog) due(queues uint64, now time.Time) bool {
	if queues == l.said || now.Sub(l.at) < time.Minute {
		return false
	}
	l.said, l.at = queues, now
	return true
}
