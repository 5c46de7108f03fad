package nstest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// How the kernel receives for a namespace.
const (
	Interrupts = "interrupts" // what polls comes before every process, as an interrupt does
	Threads    = "threads"    // what polls has the rank of an ordinary process
	Stack      = "stack"      // what polls does so on the core of the sender; its TCP is where it shall be
	Plain      = "plain"      // all on the core of the sender, as a veth pair does of itself
)

// Steer has the kernel receive for the namespace on some cores, the k-th queue on the k-th of them, as the interrupts of a network card with affinity
// would: a packet of a veth pair is otherwise received on the core of its sender. Where the interface polls, as it does with an XDP program, that is in a thread of
// its own; else by receive packet steering, which makes an interrupt on that core. It is called when what polls is there: before, the kernel makes no threads. It returns them.
func (n *NS) Steer(how string, cores ...int) (threads []int) {
	n.t.Helper()
	if how == Plain {
		return nil
	}
	script := []string{"mount -t sysfs sys /sys", "cd /sys/class/net/" + n.Interface}
	queues := strings.Count(n.Exec("unshare", "-m", "sh", "-c", strings.Join(append(script, "ls queues"), " && ")), "rx-")
	for queue := range queues {
		script = append(script, fmt.Sprintf("echo %x >queues/rx-%d/rps_cpus", 1<<cores[queue%len(cores)], queue))
	}
	if how != Stack {
		script = append(script, "{ { echo 1 >threaded; } 2>/dev/null || true; }")
	}
	n.Exec("unshare", "-m", "sh", "-c", strings.Join(script, " && "))
	if how == Stack {
		return nil
	}
	threads = n.pollers()
	for k, pid := range threads {
		var set unix.CPUSet
		set.Set(cores[k%len(cores)])
		if err := unix.SchedSetaffinity(pid, &set); err != nil {
			n.t.Fatalf("%s: keep thread %d on a core: %v", n.Name, pid, err)
		}
		if how != Interrupts {
			continue
		}
		if err := unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
			n.t.Fatalf("%s: have thread %d come first: %v", n.Name, pid, err)
		}
	}
	return threads
}

// Of the kernel's netdev family (include/uapi/linux/netdev.h, Linux 6.8).
const (
	netdevNapiGet     = 11 // NETDEV_CMD_NAPI_GET
	netdevNapiIfindex = 1  // NETDEV_A_NAPI_IFINDEX
	netdevNapiPID     = 4  // NETDEV_A_NAPI_PID
)

// pollers returns the kernel's threads that poll the interface, the oldest first.
func (n *NS) pollers() (pids []int) {
	n.t.Helper()
	var answers [][]byte
	var err error
	n.Do(func() { answers, err = dump(netdevNapiGet) })
	if err != nil {
		n.t.Fatalf("%s: who polls %s: %v", n.Name, n.Interface, err)
	}
	for _, answer := range answers {
		ifindex, pid := 0, 0
		for a := range nl.ParseAttributes(answer[nl.SizeofGenlmsg:]) {
			switch a.Type {
			case netdevNapiIfindex:
				ifindex = int(a.Uint32())
			case netdevNapiPID:
				pid = int(a.Uint32())
			}
		}
		if ifindex == n.Index && pid != 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// genlHeader is command, version, and two reserved octets, which must be 0: nl.Genlmsg has what is behind it in memory.
type genlHeader [4]byte

func (h genlHeader) Len() int          { return len(h) }
func (h genlHeader) Serialize() []byte { return h[:] }

// dump asks the netdev family for all that it has of something. Its answers lack NLM_F_MULTI, so that netlink's own Execute takes the first for the last.
func dump(command uint8) (answers [][]byte, err error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return nil, err
	}
	socket, err := nl.Subscribe(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
	req.AddData(genlHeader{command, 1})
	if err := socket.Send(req); err != nil {
		return nil, err
	}
	for {
		messages, _, err := socket.Receive()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return answers, nil
			case unix.NLMSG_ERROR:
				return nil, unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			}
			answers = append(answers, slices.Clone(m.Data))
		}
	}
}
