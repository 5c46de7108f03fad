package xdp

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// TestExplain has the errors that other drivers and kernels give, which a veth on this one does not.
func TestExplain(t *testing.T) {
	iface := &net.Interface{Name: "eth0", MTU: 9000}
	cfg := &SocketConfig{Interface: "eth0", Queue: 3}
	wrap := func(err error) error { return fmt.Errorf("failed: %w", err) }
	for _, c := range []struct {
		err, cause error
		want       string
	}{
		{explainLoad(wrap(unix.EPERM)), unix.EPERM, "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"},
		{explainLoad(wrap(ebpf.ErrNotSupported)), ebpf.ErrNotSupported, "use Linux 6.9 or later"},
		{explainLoad(wrap(&ebpf.VerifierError{Cause: unix.EACCES})), unix.EACCES, "CAP_PERFMON is missing"},
		{explainLoad(wrap(unix.ENOMEM)), unix.ENOMEM, "failed"},
		{explainAttach(iface, wrap(unix.EOPNOTSUPP)), unix.EOPNOTSUPP, "the driver has no XDP"},
		{explainAttach(iface, wrap(unix.ERANGE)), unix.ERANGE, "the MTU, 9000, is too large"},
		{explainAttach(iface, wrap(unix.EINVAL)), unix.EINVAL, "MTU 9000, offloads such as LRO"},
		{explainAttach(iface, wrap(unix.EPERM)), unix.EPERM, "CAP_NET_ADMIN"},
		{explainAttach(iface, wrap(unix.ENOMEM)), unix.ENOMEM, `attach steer to "eth0": failed`},
		{explainBind(cfg, unix.ENETDOWN), unix.ENETDOWN, "'ip link set dev eth0 up'"},
		{explainBind(cfg, unix.EBUSY), unix.EBUSY, `queue 3 of "eth0"`},
		{explainBind(cfg, unix.ENOMEM), unix.ENOMEM, `queue 3 of "eth0": cannot allocate`},
	} {
		if !errors.Is(c.err, c.cause) || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%q does not say %q, or is not %v", c.err, c.want, c.cause)
		}
	}
	if err := explainAttach(iface, nil); err != nil {
		t.Error(err)
	}
}
