package main

import (
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// beating returns a heart of two loops, both alive at second 100.
func beating() *heart {
	return &heart{progress: make([]uint64, 2), moved: []tcpstate.Time{100 * tcpstate.Second, 100 * tcpstate.Second}}
}

func TestHeartTellsSinceWhenALoopHangs(t *testing.T) {
	h, progress := beating(), [2]uint64{}
	look := func(now tcpstate.Time) tcpstate.Time {
		return h.look(now, func(k int) uint64 { return progress[k] })
	}
	if err := h.healthy(100 * tcpstate.Second); err != errNotYet {
		t.Errorf("before the first beat: %v, want %v", err, errNotYet)
	}
	now := 100 * tcpstate.Second
	for range 20 { // both go on
		now += 100 * tcpstate.Millisecond
		progress[0]++
		progress[1] += 1000
		if got := look(now); got != now {
			t.Fatalf("beat of %d at %d, while all go on", got, now)
		}
		if err := h.healthy(now); err != nil {
			t.Fatalf("while all go on: %v", err)
		}
	}
	hung := now
	for range 10 { // the second hangs
		now += 100 * tcpstate.Millisecond
		progress[0]++
		if got := look(now); got != hung {
			t.Fatalf("beat of %d at %d, want %d, when the second was last seen to go on", got, now, hung)
		}
	}
	if err := h.healthy(now); err != nil {
		t.Errorf("after 1 s: %v, want none yet", err)
	}
	now += tcpstate.Millisecond
	look(now)
	if err := h.healthy(now); err == nil || !strings.Contains(err.Error(), "queue 1") {
		t.Errorf("after more than 1 s: %v, want one that names queue 1", err)
	}
	progress[0]++
	progress[1]++ // it goes on
	if got := look(now); got != now {
		t.Errorf("beat of %d at %d, when all go on again", got, now)
	}
	if err := h.healthy(now); err != nil {
		t.Errorf("when all go on again: %v", err)
	}
}

func TestHeartOfAStoppedProcess(t *testing.T) {
	h := beating()
	h.look(100*tcpstate.Second, func(int) uint64 { return 1 })
	if err := h.healthy(103 * tcpstate.Second); err == nil {
		t.Error("healthy 3 s after the last beat")
	}
}
