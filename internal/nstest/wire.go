package nstest

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// Cores are where the two ends of a wire receive, in rising order. Several cores are for as many queues: the kernel divides flows by the same hash among both.
type Cores [2][]int

// wired joins a and b by two veth pairs and a namespace between them, the wire. A veth pair receives on the core of its sender; the wire's ends have receive packet
// steering instead, so that what a sends makes an interrupt on b's core. There a program redirects it to b: all that b does to receive is done on that core in softirq, as with a
// network card whose interrupts are bound to it, XDP included, without a thread of the kernel's.
//
//	a ══ (wire "a": steered to b's cores ─▶ tc: redirect ─▶ wire "b") ══ b
//
// Frames go through as they came: no GRO, no checksum looked at or made. On which core one is received says which queue of b's it comes to.
func wired(a, b *NS, opts Options) {
	a.t.Helper()
	wire := New(a.t, "wire")
	wire.Sysctl("net/ipv6/conf/default/disable_ipv6", "1") // says nothing of itself
	connect(a, ifname, wire, "a", opts)
	connect(b, ifname, wire, "b", opts)
	ends := [2]*NS{}
	for k, n := range []*NS{a, b} {
		end := &NS{Name: wire.Name, Interface: [2]string{"a", "b"}[k], t: wire.t, handle: wire.handle}
		end.Do(func() {
			end.up(end.Interface)
			end.Index = end.link(end.Interface).Attrs().Index
		})
		n.Wire, ends[k] = end, end
	}
	for k, end := range ends {
		end.steer(opts.Wire[1-k])
		end.forward(ends[1-k])
	}
}

// steer has what comes to each queue received on one of the cores; each flow on the same.
func (n *NS) steer(cores []int) {
	n.t.Helper()
	mask := 0
	for _, core := range cores {
		mask |= 1 << core
	}
	n.Exec("unshare", "-m", "sh", "-c", fmt.Sprintf("mount -t sysfs sys /sys && for q in /sys/class/net/%s/queues/rx-*; do echo %x >$q/rps_cpus; done", n.Interface, mask))
}

// forward sends what comes to n's interface out of to's.
func (n *NS) forward(to *NS) {
	n.t.Helper()
	insns := asm.Instructions{asm.Mov.Imm(asm.R1, int32(to.Index)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return()}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "BSD", Instructions: insns})
	if err != nil {
		n.t.Fatalf("%s: %v", n.Name, err)
	}
	n.t.Cleanup(func() { program.Close() }) //nolint:errcheck // it ends
	n.Do(func() {
		l, err := link.AttachTCX(link.TCXOptions{Program: program, Interface: n.Index, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			n.t.Fatalf("%s: forward what comes to %s: %v", n.Name, n.Interface, err)
		}
		n.t.Cleanup(func() { l.Close() }) //nolint:errcheck // it ends
	})
}
