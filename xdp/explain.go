package xdp

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// explainLoad, explainAttach and explainBind say what the error numbers of the kernel mean here, and what to do. They keep the
// cause for errors.Is.

func explainLoad(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, run as root: %w", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("this kernel lacks what the program needs, use Linux 6.9 or later: %w", err)
	case errors.As(err, &verifier):
		// Without CAP_PERFMON it lets nobody subtract packet pointers.
		return fmt.Errorf("the kernel's verifier refuses the program, or CAP_PERFMON is missing, run as root: %w", err)
	}
	return err
}

func explainAttach(iface *net.Interface, err error) error {
	var hint string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		hint = fmt.Sprintf("another XDP program is attached: stop its daemon, or detach it by 'ip link set dev %s xdp off'", iface.Name)
	case errors.Is(err, unix.EPERM):
		hint = "needs CAP_NET_ADMIN, run as root"
	case errors.Is(err, unix.EOPNOTSUPP):
		hint = "the driver has no XDP"
	case errors.Is(err, unix.ERANGE): // drivers that cannot fit a frame into a page, nor use several
		hint = fmt.Sprintf("the MTU, %d, is too large for the driver's XDP: lower it, to %d or what the driver's documentation says",
			iface.MTU, LinearMTU)
	case errors.Is(err, unix.ENOSPC): // veth_xdp_set
		hint = "the interface has fewer receive queues than its veth peer has transmit queues: make them equal"
	case errors.Is(err, unix.EINVAL):
		hint = fmt.Sprintf("the driver refuses its present settings (MTU %d, offloads such as LRO, number of queues)", iface.MTU)
	default:
		return fmt.Errorf("attach steer to %q: %w", iface.Name, err)
	}
	return fmt.Errorf("attach steer to %q: %s: %w", iface.Name, hint, err)
}

func explainBind(cfg *SocketConfig, err error) error {
	var hint string
	switch {
	case errors.Is(err, unix.EBUSY):
		hint = "another AF_XDP socket is bound to it: stop its process"
	case errors.Is(err, unix.ENETDOWN):
		hint = fmt.Sprintf("the interface is down: 'ip link set dev %s up'", cfg.Interface)
	case errors.Is(err, unix.EINVAL):
		hint = "no such queue, or the driver refuses this frame size"
	default:
		return fmt.Errorf("bind AF_XDP socket to queue %d of %q: %w", cfg.Queue, cfg.Interface, err)
	}
	return fmt.Errorf("bind AF_XDP socket to queue %d of %q: %s: %w", cfg.Queue, cfg.Interface, hint, err)
}
