package nstest

import (
	"net/netip"
	"strconv"
	"testing"
)

// Path is what lies between the ends of Routed.
type Path struct {
	// MTU is the largest IP packet that the router sends to the client, octets; both its cables take 1,500. To who sends a
	// larger one it says so, by ICMP.
	MTU int
	// BlackHole makes the router say nothing.
	BlackHole bool
}

// The router's interfaces, and its addresses there.
const (
	toClient = "client"
	toServer = "server"
)

// Routed makes two namespaces joined by a third, which forwards. Like those of Pair, each end's interface is called "veth";
// packets are as they would be on a wire. The client has 192.0.2.1/24 and 2001:db8::1/64, the server 198.51.100.2/24 and
// 2001:db8:1::2/64; the router has .254 and ::fe of each.
func Routed(t testing.TB, path Path) (client, router, server *NS) {
	t.Helper()
	client, router, server = New(t, "client"), New(t, "router"), New(t, "server")
	wire := Options{WireLike: true}
	connect(client, ifname, router, toClient, wire)
	connect(server, ifname, router, toServer, wire)
	router.Sysctl("net/ipv4/ip_forward", "1")
	router.Sysctl("net/ipv6/conf/all/forwarding", "1")
	client.setUp(netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
	server.setUp(netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8:1::2"))
	for name, addresses := range map[string][2]string{
		toClient: {"192.0.2.254/24", "2001:db8::fe/64"},
		toServer: {"198.51.100.254/24", "2001:db8:1::fe/64"},
	} {
		router.Do(func() { router.up(name) })
		for _, a := range addresses {
			router.AddAddress(name, netip.MustParsePrefix(a))
		}
	}
	client.Exec("ip", "route", "add", "default", "via", "192.0.2.254")
	client.Exec("ip", "route", "add", "default", "via", "2001:db8::fe")
	server.Exec("ip", "route", "add", "default", "via", "198.51.100.254")
	server.Exec("ip", "route", "add", "default", "via", "2001:db8:1::fe")
	if path.MTU > 0 {
		router.narrow(path.MTU, client)
	}
	if path.BlackHole {
		router.silence(server)
	}
	return client, router, server
}

// narrow lets the router send peer no larger packets. A locked MTU of a route counts when forwarding, in both families.
func (n *NS) narrow(mtu int, peer *NS) {
	n.t.Helper()
	for _, ip := range []netip.Addr{peer.IPv4, peer.IPv6} {
		host := netip.PrefixFrom(ip, ip.BitLen()).String()
		n.Exec("ip", "route", "add", host, "dev", toClient, "mtu", "lock", strconv.Itoa(mtu))
	}
}

// silence drops what the router itself sends to peer, its ICMP errors; what it forwards is not touched.
func (n *NS) silence(peer *NS) {
	n.t.Helper()
	n.Exec("ip", "-4", "rule", "add", "pref", "0", "iif", "lo", "to", peer.IPv4.String(), "blackhole")
	n.Exec("ip", "-6", "rule", "add", "pref", "0", "iif", "lo", "to", peer.IPv6.String(), "blackhole")
}
