package preflight

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/xdp"
)

var needed = []struct {
	bit  uint
	name string
	why  string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "attach programs to the interface"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "open AF_XDP and AF_PACKET sockets"},
	{unix.CAP_BPF, "CAP_BPF", "load programs"},
	{unix.CAP_PERFMON, "CAP_PERFMON", "load programs that compute with pointers"},
}

func checkCapabilities(*machine) []Result {
	have, err := effective()
	if err != nil {
		return result(Fail, err.Error(), "It is not known what this process may do.", "")
	}
	var missing, whys []string
	for _, c := range needed {
		if !have(c.bit) && (c.bit < unix.CAP_PERFMON || !have(unix.CAP_SYS_ADMIN)) { // which includes what was split from it
			missing, whys = append(missing, c.name), append(whys, c.why)
		}
	}
	if missing == nil {
		return ok("CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON are there")
	}
	return result(Fail, "missing: "+strings.Join(missing, ", "), "Without them it cannot "+strings.Join(whys, ", nor ")+".",
		"Run as root, or give them to the process (systemd: AmbientCapabilities; containers: --cap-add).")
}

// effective returns a function that tells whether the calling thread has a capability.
func effective() (have func(bit uint) bool, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // version 3 takes two words of 32 bits
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	return func(bit uint) bool { return data[bit/32].Effective&(1<<(bit%32)) != 0 }, nil
}

// socketMemory is what a queue's socket locks: two rings' worth of frames, of a page each, and the rings.
const socketMemory = (2*xdp.DefaultRingSize + 64) * xdp.DefaultFrameSize

func checkMemlock(m *machine) []Result {
	if have, err := effective(); err == nil && have(unix.CAP_IPC_LOCK) {
		return ok("CAP_IPC_LOCK is there: no limit to locked memory")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return result(Warn, fmt.Sprintf("read the limit to locked memory: %v", err), "The packets' memory may not be had.", "")
	}
	queues, err := xdp.Queues(m.cfg.Interface)
	if err != nil {
		queues = 1
	}
	if need := uint64(queues) * socketMemory; limit.Cur < need {
		return result(Fail, fmt.Sprintf("at most %d KiB of memory may be locked", limit.Cur>>10),
			fmt.Sprintf("The packets of %d queues need %d KiB.", queues, need>>10),
			"Run as root, or give the process CAP_IPC_LOCK, or raise the limit (ulimit -l; systemd: LimitMEMLOCK=infinity).")
	}
	return ok("enough memory may be locked")
}
