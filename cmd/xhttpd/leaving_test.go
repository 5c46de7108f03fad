package main

import (
	"testing"
	"time"
)

// What changes all the time is said once a minute, and only if it is another thing then.
func TestLeavingIsSaidOnceAMinute(t *testing.T) {
	var log leavingLog
	begin := time.Now()
	for _, c := range []struct {
		after  time.Duration
		queues uint64
		want   bool
	}{
		{0, 0, false}, {time.Second, 1, true}, {2 * time.Second, 1, false}, {3 * time.Second, 0, false}, {4 * time.Second, 1, false},
		{60 * time.Second, 0, false}, {62 * time.Second, 1, false}, {63 * time.Second, 0, true}, {64 * time.Second, 2, false}, {124 * time.Second, 2, true},
	} {
		if got := log.due(c.queues, begin.Add(c.after)); got != c.want {
			t.Errorf("after %v, %d queues: said %t, want %t", c.after, c.queues, got, c.want)
		}
	}
}
