package testbed

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

// impairedPair joins two namespaces by a path that can be made as bad as one likes:
//
//	client ══ (a: impair.Forwarder :b) ══ server
func impairedPair(t testing.TB) (client, server *nstest.NS, path *impair.Forwarder) {
	t.Helper()
	a, left := nstest.Pair(t, nstest.Options{WireLike: true})
	b, right := nstest.Pair(t, nstest.Options{WireLike: true})
	// Both pairs have the same addresses: the two inner ends lose theirs, the outer ones are .1 of a and .2 of b.
	for _, ns := range []*nstest.NS{left, right} {
		ns.Do(func() { flush(t, ns) })
	}
	b.Do(func() { flush(t, b) })
	addr4, addr6 := left.IPv4, left.IPv6 // what a's neighbour table does not know: it will ask
	b.Do(func() {
		link, err := netlink.LinkByName(b.Interface)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []*netlink.Addr{
			{IPNet: &net.IPNet{IP: addr4.AsSlice(), Mask: net.CIDRMask(24, 32)}},
			{IPNet: &net.IPNet{IP: addr6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
		} {
			if err := netlink.AddrAdd(link, addr); err != nil {
				t.Fatal(err)
			}
		}
	})
	b.IPv4, b.IPv6 = addr4, addr6
	introduce(t, a, b)
	introduce(t, b, a)
	path = impair.New(openEnd(t, left), openEnd(t, right))
	t.Cleanup(path.Close)
	return a, b, path
}

func openEnd(t testing.TB, ns *nstest.NS) (fd int) {
	t.Helper()
	ns.Do(func() {
		var err error
		if fd, err = impair.Open(ns.Index); err != nil {
			t.Fatal(err)
		}
	})
	return fd
}

func flush(t testing.TB, ns *nstest.NS) {
	link, err := netlink.LinkByName(ns.Interface)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if err := netlink.AddrDel(link, &addr); err != nil {
			t.Fatal(err)
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		neighbours, err := netlink.NeighList(link.Attrs().Index, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range neighbours {
			netlink.NeighDel(&n) //nolint:errcheck // gone with its address, perhaps
		}
	}
}

// introduce tells ns the link-layer address of peer: what is lost shall be data.
func introduce(t testing.TB, ns, peer *nstest.NS) {
	ns.Do(func() {
		link, err := netlink.LinkByName(ns.Interface)
		if err != nil {
			t.Fatal(err)
		}
		for _, ip := range []net.IP{peer.IPv4.AsSlice(), peer.IPv6.AsSlice()} {
			n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: peer.MAC}
			if err := netlink.NeighSet(n); err != nil {
				t.Fatal(err)
			}
		}
	})
}
