package nstest

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
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

// An interface polls in a thread of its own, on the core that it is steered to, when it has an XDP program.
func TestSteer(t *testing.T) {
	a, b := Pair(t, Options{WireLike: true, Queues: 2})
	if threads := a.Steer(Interrupts, 0); len(threads) != 0 {
		t.Errorf("%d threads poll without an XDP program", len(threads))
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "BSD", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, n := range []*NS{a, b} {
		n.Do(func() {
			l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: n.Index, Flags: link.XDPDriverMode})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		})
	}
	first, ordinary := a.Steer(Interrupts, 0), b.Steer(Threads, 0)
	if len(first) != 2 || len(ordinary) != 2 {
		t.Fatalf("threads %v and %v", first, ordinary)
	}
	for _, c := range []struct {
		pids   []int
		policy uint32
	}{{first, unix.SCHED_FIFO}, {ordinary, unix.SCHED_NORMAL}} {
		for _, pid := range c.pids {
			var set unix.CPUSet
			attr, err := unix.SchedGetAttr(pid, 0)
			if err != nil || unix.SchedGetaffinity(pid, &set) != nil || attr.Policy != c.policy || !set.IsSet(0) || set.Count() != 1 {
				t.Errorf("thread %d: %+v, cores %v, %v", pid, attr, set, err)
			}
		}
	}
}
