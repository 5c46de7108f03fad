// Package cores keeps the two sides of a benchmark on a core each, as on two machines, and says what a core has spent.
package cores

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The client, and all that the kernel does for it, runs on one core, the server on the other.
const (
	Client = 0
	Server = 1
	n      = 2
)

// On is a command, to be put before another, that keeps it on one core.
func On(core int) []string { return []string{"taskset", "-c", strconv.Itoa(core)} }

// Pin keeps the calling goroutine on its thread, and that on one core, until unpin is called. The thread must outlive the goroutine: processes
// that it has started may be told to end with it (prctl(2), PR_SET_PDEATHSIG).
func Pin(core int) (unpin func(), err error) {
	runtime.LockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("look on which cores a thread may run: %w", err)
	}
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("keep a thread on core %d: %w", core, err)
	}
	return func() {
		if unix.SchedSetaffinity(0, &before) == nil { // else let it end
			runtime.UnlockOSThread()
		}
	}, nil
}

// Times are what the cores have done since the machine began, seconds.
type Times struct {
	at     time.Time
	idle   [n]float64
	stolen [n]float64 // by the host of this machine
}

// Look returns the times of now (proc(5), stat).
func Look() (t Times, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, fmt.Errorf("look at the cores: %w", err)
	}
	t.at = time.Now()
	for line := range bytes.Lines(text) {
		for core := range t.idle {
			fields := strings.Fields(string(line))
			if len(fields) < 9 || fields[0] != "cpu"+strconv.Itoa(core) {
				continue
			}
			for _, f := range []struct {
				to   *float64
				from string
			}{{&t.idle[core], fields[4]}, {&t.idle[core], fields[5]}, {&t.stolen[core], fields[8]}} { // idle, iowait, steal
				ticks, err := strconv.ParseFloat(f.from, 64)
				if err != nil {
					return t, fmt.Errorf("look at the cores: %w", err)
				}
				*f.to += ticks / 100 // USER_HZ
			}
		}
	}
	return t, nil
}

// Since returns the shares of the time from before to t in which a core was busy, softirq included, and in which it was stolen.
func (t *Times) Since(before *Times, core int) (busy, stolen float64) {
	elapsed := t.Elapsed(before)
	stolen = (t.stolen[core] - before.stolen[core]) / elapsed
	busy = 1 - (t.idle[core]-before.idle[core])/elapsed - stolen
	return max(0, busy), stolen
}

// Elapsed returns the seconds from before to t.
func (t *Times) Elapsed(before *Times) float64 { return t.at.Sub(before.at).Seconds() }
