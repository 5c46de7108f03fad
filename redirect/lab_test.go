package redirect

import (
	"crypto/rand"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// lab is a server and a client joined by veth. The test's thread is in the server's namespace. The addresses of
// the clients that the test plays are no interface's: nobody but the test answers the server.
type lab struct {
	t                testing.TB
	server, client   *nstest.NS
	remote4, remote6 netip.Addr
}

// newLab must be called by the goroutine of the test, and not again by a subtest of it.
func newLab(t testing.TB, opts nstest.Options) *lab {
	t.Helper()
	l := &lab{t: t, remote4: netip.MustParseAddr("192.0.2.77"), remote6: netip.MustParseAddr("2001:db8::77")}
	l.server, l.client = nstest.Pair(t, opts)
	enter(t, l.server)
	for _, a := range []netip.Addr{l.remote4, l.remote6} {
		must(t, "add neighbour", netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.server.Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: net.HardwareAddr(l.client.MAC),
		}))
	}
	return l
}

// enter moves the calling goroutine's thread into the namespace for good: the thread ends with the goroutine.
func enter(t testing.TB, n *nstest.NS) {
	t.Helper()
	runtime.LockOSThread()
	ns, err := netns.GetFromPath(n.Path())
	must(t, "open namespace", err)
	defer ns.Close()
	must(t, "enter namespace", netns.Set(ns))
}

// wireLike is what most tests want: segments as a real client would see them.
var wireLike = nstest.Options{WireLike: true}

// open attaches a Redirector to the server's interface, for this test.
func (l *lab) open(cfg Config) (*Redirector, *Injector) {
	l.t.Helper()
	cfg.Interface = l.server.Interface
	r, err := Open(cfg)
	must(l.t, "open", err)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			logCounters(l.t, r)
		}
		must(l.t, "close", r.Close())
	})
	i, err := r.Injector()
	must(l.t, "injector", err)
	return r, i
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func logCounters(t testing.TB, r *Redirector) {
	counters, err := r.Counters()
	must(t, "counters", err)
	for v, n := range counters {
		if n != 0 {
			t.Logf("%v: %d", Verdict(v), n)
		}
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
