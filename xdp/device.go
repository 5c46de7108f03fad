package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"
)

const (
	ethLen = 14

	// LinearMTU is the largest MTU of most drivers that cannot put a packet into several buffers for XDP, on machines with pages
	// of 4,096 octets: a page less XDP_PACKET_HEADROOM, the Ethernet header and the kernel's struct skb_shared_info.
	LinearMTU = 4096 - unix.XDP_PACKET_HEADROOM - ethLen - 320
)

// MaxPacket returns the largest IP packet that fits into one UMEM frame of frameSize octets (xsk_pool_get_rx_frame_size). The
// interface's MTU may be larger: then peers must be told of a smaller one, by the MSS.
func MaxPacket(frameSize int) int {
	return frameSize - unix.XDP_PACKET_HEADROOM - ethLen
}

// Queues returns how many receive queues an interface has. Each needs a Socket, or its packets go to the kernel.
func Queues(ifname string) (int, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return 0, fmt.Errorf("count queues of %q: %w", ifname, err)
	}
	defer e.Close()
	channels, err := e.GetChannels(ifname)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return queuesBySysfs(ifname)
	}
	if err != nil {
		return 0, fmt.Errorf("count queues of %q: %w", ifname, err)
	}
	return max(1, int(channels.RxCount+channels.CombinedCount)), nil
}

// queuesBySysfs serves drivers that do not know ethtool's channels. sysfs shows the network namespace that it was mounted in.
func queuesBySysfs(ifname string) (int, error) {
	queues, err := filepath.Glob(filepath.Join("/sys/class/net", ifname, "queues", "rx-*"))
	if err != nil {
		return 0, fmt.Errorf("count queues of %q: %w", ifname, err)
	}
	return max(1, len(queues)), nil
}

// Driver returns the name of an interface's driver, as in "veth".
func Driver(ifname string) (string, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return "", fmt.Errorf("ask for the driver of %q: %w", ifname, err)
	}
	defer e.Close()
	name, err := e.DriverName(ifname)
	if err != nil {
		return "", fmt.Errorf("ask for the driver of %q: %w", ifname, err)
	}
	return name, nil
}

// Segments reports whether a device cuts what the kernel's TCP gives it into packets (TSO). If not, the kernel does, in one go just before
// (GSO).
func Segments(ifname string) (bool, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return false, fmt.Errorf("ask for the offloads of %q: %w", ifname, err)
	}
	defer e.Close()
	on, err := e.Features(ifname)
	if err != nil {
		return false, fmt.Errorf("ask for the offloads of %q: %w", ifname, err)
	}
	return on["tx-tcp-segmentation"], nil
}

// Addresses returns the IP addresses of an interface, without zones.
func Addresses(ifname string) ([]netip.Addr, error) {
	iface, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("look up interface %q: %w", ifname, err)
	}
	list, err := iface.Addrs()
	if err != nil {
		return nil, fmt.Errorf("list addresses of %q: %w", ifname, err)
	}
	var addresses []netip.Addr
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			addresses = append(addresses, prefix.Addr().Unmap())
		}
	}
	return addresses, nil
}
