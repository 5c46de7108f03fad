package nstest

import (
	"net/netip"
	"testing"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
)

// Options of Pair. The zero value is a pair as the kernel makes it, with one queue each way.
type Options struct {
	Queues   int   // receive and transmit queues of each end
	MTU      int   // of each end, octets
	WireLike bool  // no offloads: packets as they would be on a wire, at most MTU long, with full checksums
	Wire     Cores // where the first and the second of the namespaces receive, if set; else each does where the other sends
}

// What each end of a pair is called and has.
const (
	ifname = "veth"
	bits4  = 24
	bits6  = 64
)

var (
	addresses4 = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	addresses6 = [2]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}
)

// Pair makes two namespaces joined by a veth pair, with addresses of both families on both ends, up and reachable at once:
// in each the interface is called "veth"; the first has 192.0.2.1/24 and 2001:db8::1/64, the second .2 and ::2.
func Pair(t testing.TB, opts Options) (a, b *NS) {
	t.Helper()
	a, b = New(t, "a"), New(t, "b")
	if opts.Wire[0] != nil {
		wired(a, b, opts)
	} else {
		connect(a, ifname, b, ifname, opts)
	}
	for i, n := range []*NS{a, b} {
		n.setUp(addresses4[i], addresses6[i])
	}
	a.neighbour(b)
	b.neighbour(a)
	return a, b
}

// connect makes a veth pair with one end in a, the other in b.
func connect(a *NS, nameA string, b *NS, nameB string, opts Options) {
	a.t.Helper()
	queues := max(opts.Queues, 1)
	a.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = nameA, opts.MTU
		attrs.NumRxQueues, attrs.NumTxQueues = queues, queues
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerMTU = nameB, uint32(opts.MTU)
		veth.PeerNumRxQueues, veth.PeerNumTxQueues = uint32(queues), uint32(queues)
		veth.PeerNamespace = netlink.NsFd(int(b.handle))
		if err := netlink.LinkAdd(veth); err != nil {
			a.t.Fatalf("make veth pair: %v", err)
		}
	})
	if opts.WireLike {
		a.Do(func() { a.offloadsOff(nameA) })
		b.Do(func() { b.offloadsOff(nameB) })
	}
}

// setUp makes the end of a pair that is called ifname ready.
func (n *NS) setUp(ip4, ip6 netip.Addr) {
	n.t.Helper()
	n.Interface, n.IPv4, n.IPv6 = ifname, ip4, ip6
	n.Do(func() {
		attrs := n.link(ifname).Attrs()
		n.Index, n.MAC = attrs.Index, attrs.HardwareAddr
		n.up(ifname)
	})
	n.AddAddress(ifname, netip.PrefixFrom(n.IPv4, bits4))
	n.AddAddress(ifname, netip.PrefixFrom(n.IPv6, bits6))
}

func (n *NS) offloadsOff(name string) {
	n.t.Helper()
	e, err := ethtool.NewEthtool()
	if err != nil {
		n.t.Fatalf("ethtool: %v", err)
	}
	defer e.Close()
	off := map[string]bool{
		"tx-checksum-ip-generic":       false,
		"tx-tcp-segmentation":          false,
		"tx-tcp6-segmentation":         false,
		"tx-generic-segmentation":      false,
		"rx-gro":                       false,
		"tx-vlan-hw-insert":            false,
		"rx-vlan-hw-parse":             false,
		"tx-tcp-ecn-segmentation":      false,
		"tx-tcp-mangleid-segmentation": false,
	}
	if err := e.Change(name, off); err != nil {
		n.t.Fatalf("%s: turn the offloads of %s off: %v", n.Name, name, err)
	}
}

// neighbour spares the tests address resolution, whose packets are not theirs.
func (n *NS) neighbour(other *NS) {
	n.t.Helper()
	n.Do(func() {
		for _, ip := range []netip.Addr{other.IPv4, other.IPv6} {
			entry := &netlink.Neigh{
				LinkIndex:    n.Index,
				State:        netlink.NUD_PERMANENT,
				IP:           ip.AsSlice(),
				HardwareAddr: other.MAC,
			}
			if err := netlink.NeighSet(entry); err != nil {
				n.t.Fatalf("%s: neighbour %s: %v", n.Name, ip, err)
			}
		}
	})
}
