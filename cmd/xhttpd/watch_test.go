package main

import (
	"errors"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestChanged(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	was := &net.Interface{Name: "eth0", MTU: 1500, HardwareAddr: mac}
	same := netlink.LinkAttrs{MTU: 1500, HardwareAddr: mac, Xdp: &netlink.LinkXdp{Attached: true}}
	for _, c := range []struct {
		name          string
		change        func(*netlink.LinkAttrs)
		ends, restart bool
	}{
		{"nothing", func(*netlink.LinkAttrs) {}, false, false},
		{"a larger MTU", func(a *netlink.LinkAttrs) { a.MTU = 3000 }, false, false},
		{"a smaller MTU", func(a *netlink.LinkAttrs) { a.MTU = 1400 }, true, true},
		{"another address", func(a *netlink.LinkAttrs) { a.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2} }, true, true},
		{"detached", func(a *netlink.LinkAttrs) { a.Xdp = &netlink.LinkXdp{} }, true, false},
		{"no word of XDP", func(a *netlink.LinkAttrs) { a.Xdp = nil }, true, false},
	} {
		is := same
		c.change(&is)
		if err := changed(was, &is); (err != nil) != c.ends || errors.Is(err, errRestart) != c.restart {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
