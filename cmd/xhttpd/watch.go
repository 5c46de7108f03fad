package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

const watchEvery = time.Second

// errRestart says that the interface is no longer what the loops were made for, while connections can go on.
var errRestart = errors.New("start xhttpd again")

// watch ends the daemon when the interface changes in a way that it was not made for. The server behind serves all
// then, until a supervisor starts xhttpd again.
func (d *daemon) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	up := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		link, err := netlink.LinkByIndex(d.iface.Index)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			d.fail(fmt.Errorf("the interface %q is gone", d.cfg.Interface))
			return
		}
		if err != nil {
			d.log.Debug("look at the interface", "interface", d.cfg.Interface, "err", err)
			continue
		}
		attrs := link.Attrs()
		if err := changed(d.iface, attrs); err != nil {
			d.fail(err)
			return
		}
		if now := attrs.Flags&net.FlagUp != 0; now != up {
			up = now
			d.log.Warn("the interface was set up or down", "interface", d.cfg.Interface, "up", up)
		}
	}
}

// changed returns what makes it impossible to go on with the interface, given how it was and how it is.
func changed(was *net.Interface, is *netlink.LinkAttrs) error {
	switch {
	case is.Xdp == nil || !is.Xdp.Attached:
		return fmt.Errorf("somebody has detached the XDP program from %q", was.Name)
	case is.MTU < was.MTU:
		return fmt.Errorf("the MTU of %q went from %d to %d: %w", was.Name, was.MTU, is.MTU, errRestart)
	case !bytes.Equal(is.HardwareAddr, was.HardwareAddr):
		return fmt.Errorf("the address of %q went from %s to %s: %w", was.Name, was.HardwareAddr, is.HardwareAddr, errRestart)
	}
	return nil
}
