package compare_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/bench/cores"
)

func (s *stage) look() cores.Times {
	s.Helper()
	t, err := cores.Look()
	s.must(err)
	return t
}

// spent returns the processor time that the server's processes have had, seconds.
func (s *stage) spent(sv *server) (seconds float64) {
	for _, pid := range descendants(sv.pids) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) //nolint:errcheck // the pattern is right
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it has ended
			}
			nanos, _, _ := strings.Cut(string(text), " ")
			n, err := strconv.ParseFloat(nanos, 64)
			s.must(err)
			seconds += n / 1e9
		}
	}
	return seconds
}

// slab returns the memory that the kernel itself has taken and can't give back at once, octets.
func slab(s *stage) (octets float64) {
	text, err := os.ReadFile("/proc/meminfo")
	s.must(err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "SUnreclaim:" || fields[0] == "Percpu:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			s.must(err)
			octets += kib * 1024
		}
	}
	return octets
}

// dropped returns what tells how many frames, until it is called, found the queue full of the core that they were for (net/core/net-procfs.c, softnet_seq_show).
func dropped(s *stage) func() int {
	count := func() (sum int) {
		text, err := os.ReadFile("/proc/net/softnet_stat")
		s.must(err)
		for line := range strings.Lines(string(text)) {
			n, err := strconv.ParseUint(strings.Fields(line)[1], 16, 32)
			s.must(err)
			sum += int(n)
		}
		return sum
	}
	before := count()
	return func() int { return count() - before }
}

const backlog = "/proc/sys/net/core/netdev_max_backlog"

// widen gives these queues, which hold 1,000 frames, room for as many as xload's ring has: what bursts of long objects lose there would be losses of no network's. It is one
// setting of the whole machine's, and is put back.
func widen(t testing.TB) {
	t.Helper()
	before, err := os.ReadFile(backlog)
	if err == nil {
		err = os.WriteFile(backlog, []byte(ringSize), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(backlog, before, 0); err != nil {
			t.Error(err)
		}
	})
}

// descendants returns processes with all theirs.
func descendants(pids []int) (all []int) {
	for _, pid := range pids {
		all = append(all, pid)
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) //nolint:errcheck // the pattern is right
		for _, file := range tasks {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			for child := range strings.FieldsSeq(string(text)) {
				if n, err := strconv.Atoi(child); err == nil {
					all = append(all, descendants([]int{n})...)
				}
			}
		}
	}
	return all
}

// memory returns the proportional set size of processes and of all their descendants, MiB.
func memory(t testing.TB, pids []int) (sum float64) {
	for _, pid := range descendants(pids) {
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
	}
	return sum
}
