package nstest

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// What comes over a wire is received on the cores of who gets it, whichever sends: each queue on its own, by an XDP program and by the stack alike.
func TestWire(t *testing.T) {
	for name, c := range map[string]struct {
		opts Options
		xdp  bool
	}{
		"XDP":        {Options{WireLike: true, Wire: Cores{{0}, {1}}}, true},
		"stack":      {Options{WireLike: true, Wire: Cores{{0}, {1}}}, false},
		"exchanged":  {Options{WireLike: true, Wire: Cores{{1}, {0}}}, true},
		"large":      {Options{WireLike: true, MTU: 9000, Wire: Cores{{0}, {1}}}, true},
		"offloads":   {Options{Wire: Cores{{0}, {1}}}, false},
		"two queues": {Options{WireLike: true, Queues: 2, Wire: Cores{{0, 1}, {0, 1}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			Require(t)
			if ebpf.MustPossibleCPU() < 2 {
				t.Skip("needs two cores")
			}
			a, b := Pair(t, c.opts)
			for k, way := range [][2]*NS{{b, a}, {a, b}} {
				from, to := way[0], way[1]
				const flows = 64 // of each family
				received := to.countReceived(c.xdp, 2*flows)
				for _, ip := range []netip.Addr{to.IPv4, to.IPv6} {
					exchange(t, from, to, netip.AddrPortFrom(ip, 80))
					for range flows {
						shout(t, from, netip.AddrPortFrom(ip, 9), max(c.opts.MTU, 1500)-48)
					}
				}
				cores := c.opts.Wire[k]
				for queue, counts := range received() {
					for core, n := range counts {
						if mine := queue < len(cores) && cores[queue] == core; mine != (n > 0) {
							t.Errorf("%s received %d frames of queue %d on core %d", to.Name, n, queue, core)
						}
					}
				}
			}
		})
	}
}

// shout sends a datagram of n octets that nobody takes.
func shout(t *testing.T, from *NS, addr netip.AddrPort, n int) {
	t.Helper()
	from.Do(func() {
		conn, err := net.Dial("udp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	})
}

// countReceived returns what tells how many large frames the interface has received, when there are as many as want: by queue and core by its XDP program, else by the
// stack, which is taken to have queue 0.
func (n *NS) countReceived(xdp bool, want uint64) func() [][]uint64 {
	n.t.Helper()
	const queues = 2
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: queues})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { counts.Close() })
	spec, pass := &ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "BSD"}, int32(-1)
	queueAndLength := asm.Instructions{asm.Mov.Imm(asm.R2, 0), asm.LoadMem(asm.R3, asm.R1, 0, asm.Word)}
	if xdp { // rx_queue_index, and what lies between data and data_end
		spec.Type, spec.Flags, pass = ebpf.XDP, unix.BPF_F_XDP_HAS_FRAGS, 2
		queueAndLength = asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 16, asm.Word), asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), asm.Sub.Reg(asm.R3, asm.R1),
		}
	}
	spec.Instructions = slices.Concat(queueAndLength, asm.Instructions{
		asm.JLT.Imm(asm.R3, 1000, "pass"),
		asm.StoreMem(asm.RFP, -4, asm.R2, asm.Word), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, counts.FD()), asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"), asm.Return(),
	})
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { program.Close() })
	n.Do(func() {
		var l link.Link
		if xdp {
			l, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: n.Index, Flags: link.XDPDriverMode})
		} else {
			l, err = link.AttachTCX(link.TCXOptions{Program: program, Interface: n.Index, Attach: ebpf.AttachTCXIngress})
		}
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Cleanup(func() { l.Close() })
	})
	return func() [][]uint64 {
		all := make([][]uint64, queues)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			sum := uint64(0)
			for queue := range all {
				if err := counts.Lookup(uint32(queue), &all[queue]); err != nil {
					n.t.Fatal(err)
				}
				for _, n := range all[queue] {
					sum += n
				}
			}
			if sum == want {
				return all
			}
			if time.Now().After(deadline) {
				n.t.Fatalf("of %d large frames %d were received: %v", want, sum, all)
			}
		}
	}
}
