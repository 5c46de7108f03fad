package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/xdp"
)

// followAddresses keeps the served addresses those of the interface.
func (d *daemon) followAddresses(ctx context.Context, tasks *sync.WaitGroup) error {
	updates := make(chan netlink.AddrUpdate, 64)
	lost := make(chan error, 1)
	subscribe := func() error {
		return netlink.AddrSubscribeWithOptions(updates, ctx.Done(), netlink.AddrSubscribeOptions{
			ErrorCallback: func(err error) {
				select {
				case lost <- err:
				default:
				}
			},
		})
	}
	if err := subscribe(); err != nil {
		return fmt.Errorf("follow the addresses of %q: %w", d.cmd.Interface, err)
	}
	// Addresses that came between reading them and subscribing, and whatever gets lost later.
	again := time.NewTicker(10 * time.Second)
	tasks.Go(func() {
		defer again.Stop()
		for {
			d.readAddresses()
			select {
			case <-ctx.Done():
				return
			case u, ok := <-updates:
				if !ok {
					updates = nil // the subscription has ended; the ticker goes on
				} else if u.LinkIndex == d.iface.Index {
					d.log.Info("addresses change", "interface", d.cmd.Interface, "address", u.LinkAddress.String(), "added", u.NewAddr)
				}
			case err := <-lost:
				if ctx.Err() == nil {
					d.log.Warn("changes of addresses may be seen late", "err", err)
				}
			case <-again.C:
			}
		}
	})
	return nil
}

func (d *daemon) readAddresses() {
	addresses, err := xdp.Addresses(d.cmd.Interface)
	if err == nil {
		err = d.program.SetAddresses(addresses)
	}
	if err != nil {
		d.log.Debug("addresses not read", "err", err)
	}
}
