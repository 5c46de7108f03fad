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

	"github.com/xhttpd/xhttpd/bench/cores"
)

func (s *stage) look() cores.Times {
	s.Helper()
	t, err := cores.Look()
	s.must(err)
	return t
}

// spent returns the processor time that the server's processes have had, and the threads of the kernel that receive for it, seconds.
func (s *stage) spent(sv *server) (seconds float64) {
	for _, pid := range slices.Concat(descendants(sv.pids), sv.receivers) {
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
