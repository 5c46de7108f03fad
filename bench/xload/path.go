package xload

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// path is how frames get to the server.
type path struct {
	iface  *net.Interface
	local  wire.MAC
	next   wire.MAC // the server's, or the gateway's
	source netip.Addr
}

// findPath asks the kernel's routing table and neighbour table. ifname and source may be empty: then the route says which. It
// works in the network namespace of the calling thread.
func findPath(server netip.Addr, ifname string, source netip.Addr) (*path, error) {
	routes, err := netlink.RouteGetWithOptions(server.AsSlice(), &netlink.RouteGetOptions{Oif: ifname})
	if err != nil || len(routes) == 0 {
		return nil, fmt.Errorf("find a route to %s: %w", server, err)
	}
	route := routes[0]
	iface, err := net.InterfaceByIndex(route.LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("find the interface of the route to %s: %w", server, err)
	}
	if len(iface.HardwareAddr) != 6 {
		return nil, fmt.Errorf("the route to %s goes by %s, which is no Ethernet interface: put a veth pair or another machine between "+
			"xload and the server", server, iface.Name)
	}
	p := &path{iface: iface, source: source}
	copy(p.local[:], iface.HardwareAddr)
	if !source.IsValid() {
		a, ok := netip.AddrFromSlice(route.Src)
		if !ok {
			return nil, fmt.Errorf("the route to %s has no source address: name one", server)
		}
		p.source = a.Unmap()
	}
	hop := server
	if gw, ok := netip.AddrFromSlice(route.Gw); ok && !gw.IsUnspecified() {
		hop = gw.Unmap()
	}
	p.next, err = resolve(iface, hop)
	return p, err
}

// resolve returns the link-layer address of a neighbour, which the kernel finds out if it does not know it.
func resolve(iface *net.Interface, hop netip.Addr) (mac wire.MAC, err error) {
	for attempt := range 40 {
		list, err := netlink.NeighList(iface.Index, 0)
		if err != nil {
			return mac, fmt.Errorf("read the neighbours of %s: %w", iface.Name, err)
		}
		for _, n := range list {
			a, ok := netip.AddrFromSlice(n.IP)
			usable := n.State & (netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT)
			if ok && a.Unmap() == hop && usable != 0 && len(n.HardwareAddr) == 6 {
				copy(mac[:], n.HardwareAddr)
				return mac, nil
			}
		}
		if attempt%10 == 0 {
			if err := provoke(iface, hop); err != nil {
				return mac, fmt.Errorf("ask for the Ethernet address of %s: %w", hop, err)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return mac, fmt.Errorf("nobody on %s answers for %s", iface.Name, hop)
}

// provoke makes the kernel look for a neighbour, by a datagram to the port that is there for being ignored.
func provoke(iface *net.Interface, hop netip.Addr) error {
	if hop.IsLinkLocalUnicast() && hop.Is6() {
		hop = hop.WithZone(iface.Name)
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(hop, 9)))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it was sent
	_, err = c.Write([]byte{0})
	return err
}
