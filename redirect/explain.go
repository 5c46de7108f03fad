package redirect

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// kfunc is what makes the hand-over possible; it came with Linux 6.9 and needs CONFIG_SYN_COOKIES.
const kfunc = "bpf_sk_assign_tcp_reqsk"

// explain adds to an error of the set-up what to do about it.
func explain(err error) error {
	var rejected *ebpf.VerifierError // says EACCES or EPERM, too, but no capability helps
	if errors.Is(err, os.ErrPermission) && !errors.As(err, &rejected) {
		return fmt.Errorf("%w (run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW)", err)
	}
	if have := Supported(); have != nil {
		return fmt.Errorf("%w (%w)", err, have)
	}
	return err
}

// Supported returns nil if this kernel can take connections over, else an error that says what is missing.
func Supported() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return fmt.Errorf("kernel %s shows no BTF: one built with CONFIG_DEBUG_INFO_BTF is needed: %w", release(), err)
	}
	var f *btf.Func
	if err := kernel.TypeByName(kfunc, &f); err != nil {
		return fmt.Errorf("kernel %s has no %s: Linux 6.9 or later is needed", release(), kfunc)
	}
	return nil
}

func release() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		var u unix.Utsname
		if unix.Uname(&u) != nil {
			return "of unknown release"
		}
		return unix.ByteSliceToString(u.Release[:])
	}
	return strings.TrimSpace(string(b))
}
