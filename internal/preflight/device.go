package preflight

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/xdp"
)

// features are what a driver says of itself: enum netdev_xdp_act of linux/netdev.h.
type features uint64

const (
	featureBasic    features = 1 << 0 // XDP_PASS, XDP_DROP, …
	featureRedirect features = 1 << 1
	featureZeroCopy features = 1 << 3
	featureBuffers  features = 1 << 5 // received packets in several buffers
)

// From linux/netdev.h.
const (
	netdevFamily      = "netdev"
	netdevVersion     = 1
	netdevCmdDevGet   = 1
	netdevDevIfindex  = 1
	netdevDevFeatures = 3
)

// deviceFeatures asks the kernel (6.3 or later) what XDP the driver has.
func deviceFeatures(ifindex int) (features, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return 0, fmt.Errorf("find the netlink family %s: %w", netdevFamily, err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	// Not nl.Genlmsg, which leaves the reserved octets to chance; the kernel wants zeroes.
	genlHeader := []byte{netdevCmdDevGet, netdevVersion, 0, 0}
	request.AddRawData(append(genlHeader, nl.NewRtAttr(netdevDevIfindex, nl.Uint32Attr(uint32(ifindex))).Serialize()...))
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, fmt.Errorf("ask for the driver's XDP features: %w", err)
	}
	for _, m := range messages {
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return 0, fmt.Errorf("read the driver's XDP features: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == netdevDevFeatures && len(a.Value) == 8 {
				return features(binary.NativeEndian.Uint64(a.Value)), nil
			}
		}
	}
	return 0, errors.New("the kernel does not tell the driver's XDP features")
}

func checkXDP(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	driver, err := xdp.Driver(m.cfg.Interface)
	if err != nil {
		driver = "of unknown name"
	}
	if m.cfg.Mode == config.ModeGeneric {
		return result(Warn, "driver "+driver+", generic mode as asked for", "Packets are taken after the kernel has made buffers of them: that gains little.", "Leave --mode out.")
	}
	f, err := m.features(m.link.Attrs().Index)
	switch {
	case err != nil:
		return result(Warn, fmt.Sprintf("driver %s: %v", driver, err), "Native mode will be tried, and then generic mode.", "")
	case f&featureBasic == 0 || f&featureRedirect == 0:
		level, means := Warn, "It would run in generic mode, which works, but gains little."
		if m.cfg.Mode == config.ModeNative {
			level, means = Fail, "Native mode was asked for, and cannot be had."
		}
		return result(level, "driver "+driver+" has no native XDP (by its features; nothing was attached to try)", means,
			"Use a network card whose driver has it (ixgbe, i40e, ice, igb, igc, mlx5, virtio_net, ena, veth, …); for some, fewer queues or no LRO make it possible.")
	}
	copies := "zero copy"
	switch {
	case m.cfg.ZeroCopy == config.ZeroCopyOff:
		copies = "copies, as asked for"
	case f&featureZeroCopy == 0:
		copies = "copies, the driver has no zero copy"
	}
	return ok("driver %s, native mode, %s (by its features; nothing was attached to try)", driver, copies)
}

func checkQueues(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	n, err := xdp.Queues(m.cfg.Interface)
	if err != nil {
		return result(Fail, err.Error(), "Each receive queue needs a socket of its own.", "")
	}
	if cpus := numCPU(); n > cpus {
		return result(Warn, fmt.Sprintf("%d receive queues, each with a thread, on %d CPUs", n, cpus), "The threads share CPUs.",
			fmt.Sprintf("ethtool -L %s combined %d, or rx %d where the driver has no combined ones.", m.cfg.Interface, cpus, cpus))
	}
	return ok("%d receive queues, each with a thread, %d KiB of locked memory in all", n, n*socketMemory>>10)
}

// zeroCopy reports whether sockets will do without copies, so far as the driver says it.
func zeroCopy(m *machine) bool {
	f, err := m.features(m.link.Attrs().Index)
	return err == nil && f&featureZeroCopy != 0 && m.cfg.ZeroCopy != config.ZeroCopyOff && m.cfg.Mode != config.ModeGeneric
}

func checkKernelAbove(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	segments, err := m.segments(m.cfg.Interface)
	octets, why := m.cfg.KernelAbove.Above(config.Sending{ZeroCopy: zeroCopy(m), Segments: segments, Long: m.cfg.Segmentation != config.SegmentationOff})
	if err != nil {
		why += "; " + err.Error()
	}
	if octets == math.MaxUint64 {
		return ok("no response is left to the server behind for its length (%s)", why)
	}
	return ok("responses of more than %s are left to the server behind, and their connections with them (%s)", config.Size(octets), why)
}

func checkMTU(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	mtu := m.link.Attrs().MTU
	says := fmt.Sprintf("MTU %d", mtu)
	if largest := xdp.MaxPacket(xdp.DefaultFrameSize); mtu > largest {
		says += fmt.Sprintf(", segments of at most %d octets (IPv6: %d), as a packet must fit into %d", largest-40, largest-60, xdp.DefaultFrameSize)
	}
	switch {
	case mtu < 1280:
		return result(Fail, says, "IPv6 needs 1280 at least (RFC 8200, 5).", fmt.Sprintf("ip link set dev %s mtu 1500", m.cfg.Interface))
	case mtu > xdp.LinearMTU && !takesBuffers(m):
		return result(Warn, says, "The driver may refuse native mode: it does not say that it can put a packet into several buffers.",
			fmt.Sprintf("ip link set dev %s mtu %d, or less, if it cannot be attached.", m.cfg.Interface, xdp.LinearMTU))
	}
	return ok("%s", says)
}

// takesBuffers reports whether the mode that is wanted takes packets in several buffers: generic mode does, of drivers some.
func takesBuffers(m *machine) bool {
	if m.cfg.Mode == config.ModeGeneric {
		return true
	}
	f, err := m.features(m.link.Attrs().Index)
	return err == nil && f&featureBuffers != 0
}

func checkOtherXDP(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	x := m.link.Attrs().Xdp
	if x == nil || !x.Attached {
		return ok("no other XDP program is attached")
	}
	name := programName(x.ProgId)
	do := fmt.Sprintf("Stop the daemon that has attached it, or detach it: ip link set dev %s xdp off", m.cfg.Interface)
	if strings.HasPrefix(name, "steer") {
		name, do = name+" (xhttpd's own)", "Stop the xhttpd that is running on this interface."
	}
	return result(Fail, fmt.Sprintf("XDP program %d %s is attached", x.ProgId, name), "An interface has room for one.", do)
}

// programName returns what can be found out about a program.
func programName(id uint32) string {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return "of unknown name"
	}
	defer p.Close() //nolint:errcheck // only read
	info, err := p.Info()
	if err != nil || info.Name == "" {
		return "of unknown name"
	}
	return info.Name
}
