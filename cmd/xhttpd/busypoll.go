package main

import (
	"context"
	"slices"
	"time"

	"github.com/xhttpd/xhttpd/xdp"
)

const busyPollLook = 100 * time.Millisecond

// putOffInterrupts puts the interrupts of each queue off when its socket polls it. Which NAPI instance that is, the kernel tells when the socket is
// bound (6.15), or with the first packet, if the driver has said it. Where it never does, nothing is polled, and putting
// interrupts off would only make packets late.
func (d *daemon) putOffInterrupts(ctx context.Context) {
	tick := time.NewTicker(busyPollLook)
	defer tick.Stop()
	left := slices.Clone(d.sockets)
	for warned := false; len(left) > 0; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		left = slices.DeleteFunc(left, d.putOff)
		if c := d.counters(); !warned && c.RxPackets > 0 && len(left) == len(d.sockets) {
			warned = true
			d.log.Warn("the driver does not say which NAPI instance serves a queue: nothing can be polled, so --poll busy only spins", "interface", d.cfg.Interface)
		}
	}
}

// putOff reports whether there is nothing more to do for s.
func (d *daemon) putOff(s *xdp.Socket) bool {
	id := s.NAPI()
	if id == 0 {
		return false
	}
	if err := d.deferral.Add(id); err != nil {
		d.log.Warn("polled, but with interrupts", "err", err)
	} else {
		d.log.Info("a queue is polled, and its interrupts are put off", "napi", id)
	}
	return true
}
