package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// lookAgain is for changes that the kernel's messages did not tell: they may get lost when there are many.
const lookAgain = 10 * time.Second

// followAddresses keeps the served addresses those of the interface.
func (d *daemon) followAddresses(ctx context.Context) {
	updates := make(chan netlink.AddrUpdate, 64)
	err := netlink.AddrSubscribeWithOptions(updates, ctx.Done(), netlink.AddrSubscribeOptions{
		ErrorCallback: func(err error) {
			if ctx.Err() == nil {
				d.log.Warn("changes of addresses may be seen late", "interface", d.cfg.Interface, "err", err)
			}
		},
	})
	if err != nil {
		d.log.Warn("changes of addresses are seen late", "interface", d.cfg.Interface, "err", err)
	}
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	var served []netip.Addr
	for {
		served = d.readAddresses(served)
		select {
		case <-ctx.Done():
			return
		case _, ok := <-updates:
			if !ok {
				updates = nil // the subscription has ended; the ticker goes on
			}
		case <-again.C:
		}
	}
}

// readAddresses serves what addresses the interface has now, and returns them; served if that could not be done.
func (d *daemon) readAddresses(served []netip.Addr) []netip.Addr {
	now, err := d.addresses()
	if err == nil {
		slices.SortFunc(now, netip.Addr.Compare)
		if slices.Equal(now, served) {
			return served
		}
		err = d.program.SetAddresses(now)
	}
	if err != nil {
		d.log.Warn("the addresses that are served may not be the interface's", "interface", d.cfg.Interface, "err", err)
		return served
	}
	d.log.Info("addresses", "interface", d.cfg.Interface, "served", fmt.Sprint(now))
	return now
}
