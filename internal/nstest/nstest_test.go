package nstest

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestPairIsReachableAtOnce(t *testing.T) {
	for name, opts := range map[string]Options{
		"as-made":   {},
		"wire-like": {WireLike: true, MTU: 1400},
		"queues":    {Queues: 4},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := Pair(t, opts)
			for _, ip := range []netip.Addr{b.IPv4, b.IPv6} {
				exchange(t, a, b, netip.AddrPortFrom(ip, 80))
			}
		})
	}
}

func exchange(t *testing.T, a, b *NS, addr netip.AddrPort) {
	t.Helper()
	var listener net.Listener
	b.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", addr.String()); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	a.Do(func() {
		conn, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
}

func TestCommandsRunInTheNamespace(t *testing.T) {
	n := New(t, "alone")
	if out := n.Exec("cat", "/proc/net/dev"); strings.Count(out, ":") != 1 || !strings.Contains(out, "lo:") {
		t.Errorf("interfaces in a new namespace:\n%s", out)
	}
	cmd := n.Command("sleep", "1000")
	n.Start(cmd)
	want, err := os.Readlink(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Exec("readlink", "/proc/self/ns/net"); strings.TrimSpace(got) != want {
		t.Errorf("command ran in %s, not in %s", got, want)
	}
}

func TestDoReturnsHomeWhenTheTestEndsInside(t *testing.T) {
	Require(t)
	before, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("skip inside", func(t *testing.T) {
		n := New(t, "left early")
		done := make(chan struct{})
		go func() { // as t.FailNow does, without failing
			defer close(done)
			n.Do(func() { runtime.Goexit() })
		}()
		<-done
	})
	for range 100 { // whichever threads there are
		after, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil || after != before {
			t.Fatalf("in %s (%v), not back in %s", after, err, before)
		}
	}
}
