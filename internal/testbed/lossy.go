package testbed

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// Impairment is what a link does to packets, in both directions. This kernel may lack netem, so frames are carried by
// hand between two cables.
type Impairment struct {
	Seed    uint64
	Loss    float64 // share of frames that vanish
	Reorder float64 // share of frames that come some frames later
}

const reorderBy = 2 * time.Millisecond

// lossyPair joins two namespaces by way of a third, in which frames are forwarded with losses:
//
//	client ══ (middle: frames carried by hand) ══ server
func lossyPair(t testing.TB, im *Impairment) (client, server *nstest.NS) {
	t.Helper()
	t.Logf("impairment seed %d", im.Seed)
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
	forward(t, im, left, right)
	return a, b
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

// forward carries frames between the ends until the test ends.
func forward(t testing.TB, im *Impairment, left, right *nstest.NS) {
	l, r := rawSocket(t, left), rawSocket(t, right)
	var carriers sync.WaitGroup
	stop := make(chan struct{})
	for k, way := range [][2]int{{l, r}, {r, l}} {
		rnd := rand.New(rand.NewPCG(im.Seed, uint64(k)))
		carriers.Go(func() { carry(im, rnd, way[0], way[1], stop) })
	}
	t.Cleanup(func() {
		close(stop)
		carriers.Wait()
		time.Sleep(2 * reorderBy) // for what is late
		unix.Close(l)             //nolint:errcheck // the test is over
		unix.Close(r)             //nolint:errcheck // the test is over
	})
}

func carry(im *Impairment, rnd *rand.Rand, from, to int, stop <-chan struct{}) {
	buf := make([]byte, 65536)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, sender, err := unix.Recvfrom(from, buf, 0)
		if err != nil {
			continue // a time-out: look at stop
		}
		if ll, ok := sender.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		switch x := rnd.Float64(); {
		case x < im.Loss:
		case x < im.Loss+im.Reorder:
			late := append([]byte(nil), buf[:n]...)
			time.AfterFunc(reorderBy, func() { unix.Write(to, late) }) //nolint:errcheck // one more loss
		default:
			unix.Write(to, buf[:n]) //nolint:errcheck // one more loss
		}
	}
}

func rawSocket(t testing.TB, ns *nstest.NS) (fd int) {
	t.Helper()
	const allBE = unix.ETH_P_ALL>>8&0xff | unix.ETH_P_ALL&0xff<<8
	ns.Do(func() {
		var err error
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allBE, Ifindex: ns.Index}); err != nil {
			t.Fatal(err)
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) //nolint:errcheck // fewer losses of its own
		if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50000}); err != nil {
			t.Fatal(err)
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			t.Fatal(err)
		}
		mreq := unix.PacketMreq{Ifindex: int32(ns.Index), Type: unix.PACKET_MR_PROMISC}
		if err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
			t.Fatal(err)
		}
	})
	return fd
}
