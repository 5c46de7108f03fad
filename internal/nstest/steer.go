package nstest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Steer has the kernel receive for the namespace on one core, as the interrupts of a network card with affinity would: a packet of a veth
// pair is otherwise received on the core of its sender. Where the interface polls, as it does with XDP, in a thread of its own;
// else by receive packet steering. It is called when what polls is there.
func (n *NS) Steer(core int) {
	n.t.Helper()
	before := pollers(n.Interface)
	script := fmt.Sprintf("mount -t sysfs sys /sys && cd /sys/class/net/%s && for q in queues/rx-*; do echo %x >$q/rps_cpus; done && { echo 1 >threaded || true; } 2>/dev/null",
		n.Interface, 1<<core)
	n.Exec("unshare", "-m", "sh", "-c", script)
	var set unix.CPUSet
	set.Set(core)
	for _, pid := range pollers(n.Interface) {
		if !slices.Contains(before, pid) {
			if err := unix.SchedSetaffinity(pid, &set); err != nil {
				n.t.Fatalf("%s: keep thread %d on core %d: %v", n.Name, pid, core, err)
			}
		}
	}
}

// pollers returns the kernel's threads that poll an interface called ifname, in whatever namespace.
func pollers(ifname string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/comm") //nolint:errcheck // the pattern is right
	for _, file := range all {
		if name, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(name), "napi/"+ifname+"-") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
