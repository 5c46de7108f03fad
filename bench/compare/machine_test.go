package compare_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// The client, and all that the kernel does for it, runs on one core, the server on the other, as on two machines.
const (
	clientCPU = 0
	serverCPU = 1
)

// on is a command, to be put before another, that keeps it on one core.
func on(cpu int) []string { return []string{"taskset", "-c", strconv.Itoa(cpu)} }

// busyness is what the cores have done since the machine began, seconds.
type busyness struct {
	at     time.Time
	idle   [2]float64
	stolen [2]float64 // by the host of this machine
}

func look(t testing.TB) (b busyness) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	b.at = time.Now()
	for line := range bytes.Lines(text) {
		for cpu := range b.idle {
			fields := strings.Fields(string(line))
			if len(fields) < 9 || fields[0] != "cpu"+strconv.Itoa(cpu) {
				continue
			}
			b.idle[cpu] = ticks(t, fields[4]) + ticks(t, fields[5]) // idle, iowait
			b.stolen[cpu] = ticks(t, fields[8])
		}
	}
	return b
}

func ticks(t testing.TB, field string) float64 {
	v, err := strconv.ParseFloat(field, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v / 100 // USER_HZ
}

// since returns the share of the time since b in which the core was busy for us, and the share that was stolen.
func (b *busyness) since(now *busyness, cpu int) (busy, stolen float64) {
	elapsed := now.at.Sub(b.at).Seconds()
	stolen = (now.stolen[cpu] - b.stolen[cpu]) / elapsed
	busy = 1 - (now.idle[cpu]-b.idle[cpu])/elapsed - stolen
	return max(0, busy), stolen
}

// steer has the kernel receive for ns on one core, as the interrupts of a network card with affinity would: a packet of a veth pair is otherwise
// received on the core of its sender. Where the interface polls, as it does with XDP, in a thread of its own; else by receive packet steering.
// It is called when the server runs.
func steer(t testing.TB, ns *nstest.NS, cpu int) {
	t.Helper()
	before := pollers(ns.Interface)
	script := fmt.Sprintf("mount -t sysfs sys /sys && cd /sys/class/net/%s && for q in queues/rx-*; do echo %x >$q/rps_cpus; done && { echo 1 >threaded || true; }", ns.Interface, 1<<cpu)
	ns.Exec("unshare", "-m", "sh", "-c", script)
	var set unix.CPUSet
	set.Set(cpu)
	for _, pid := range pollers(ns.Interface) {
		if !slices.Contains(before, pid) {
			if err := unix.SchedSetaffinity(pid, &set); err != nil {
				t.Fatalf("keep thread %d on core %d: %v", pid, cpu, err)
			}
		}
	}
}

// pollers returns the kernel's threads that poll an interface called ifname, in whatever namespace.
func pollers(ifname string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/comm") //nolint:errcheck // the pattern is right
	for _, file := range all {
		if name, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(name), "napi/"+ifname+"-") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// memory returns the proportional set size of processes and of all their descendants, MiB.
func memory(t testing.TB, pids []int) (sum float64) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended
		}
		for line := range bytes.Lines(text) {
			if fields := strings.Fields(string(line)); len(fields) > 1 && fields[0] == "Pss:" {
				kib, err := strconv.ParseFloat(fields[1], 64)
				if err != nil {
					t.Fatal(err)
				}
				sum += kib / 1024
			}
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) //nolint:errcheck // the pattern is right
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			for child := range strings.FieldsSeq(string(text)) {
				if n, err := strconv.Atoi(child); err == nil {
					sum += memory(t, []int{n})
				}
			}
		}
	}
	return sum
}
