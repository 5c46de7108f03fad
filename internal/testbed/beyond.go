package testbed

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Beyond makes the addresses of prefix ones that the server reaches by way of the client, where its packets to them vanish:
// nobody asks for their link-layer addresses, and nobody answers.
func (b *Bed) Beyond(prefix netip.Prefix) {
	b.Helper()
	dst := &net.IPNet{IP: prefix.Masked().Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
	gateway := b.Client.IPv4
	if prefix.Addr().Is6() {
		gateway = b.Client.IPv6
	}
	b.Server.Do(func() {
		b.must(netlink.RouteAdd(&netlink.Route{LinkIndex: b.Server.Index, Dst: dst, Gw: gateway.AsSlice()}))
	})
	// Also if this machine forwards.
	b.Client.Do(func() { b.must(netlink.RouteAdd(&netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: dst})) })
}
