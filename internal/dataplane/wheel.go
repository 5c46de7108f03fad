package dataplane

import (
	"math/bits"

	"github.com/xhttpd/xhttpd/tcpstate"
)

// wheel holds one timer for each slot, in buckets of one tick each. A timer that is moved to a later time
// stays in its bucket until that comes, and is then put where it belongs: so the usual case, a deadline
// that every segment pushes back, costs nothing.
//
//	bucket   0    1    2   …   at   …   8191        tick = time >> tickShift
//	                            └─ the next tick to be run
type wheel struct {
	heads [wheelSize]uint32
	some  [wheelSize / 64]uint64 // a bit for each bucket that is not empty
	at    int64                  // the next tick to be run
	held  int
}

// timer is a slot's part in the wheel; slot.due says in which bucket.
type timer struct{ next, prev uint32 }

const (
	tickShift = 19 // 0.52 ms: pacing waits for less than 2 ms
	wheelSize = 8192
	wheelMask = wheelSize - 1
)

// set makes slot i's timer fire at d or, if it stands for an earlier time already, no later than it does
// now; 0 takes it out. Timers further ahead than the wheel's turn fire early and are set again by pop's caller.
func (w *wheel) set(all []slot, i uint32, d tcpstate.Time) {
	t, due := &all[i].timer, &all[i].due
	if d == 0 {
		w.drop(all, i)
		return
	}
	// Not into the bucket that is being run: a deadline that stays in the past must not hold pop up.
	tick := max((int64(d)+(1<<tickShift)-1)>>tickShift, w.at+1)
	tick = min(tick, w.at+wheelMask)
	if *due != 0 {
		if w.distance(*due) <= tick-w.at {
			return
		}
		w.drop(all, i)
	}
	b := uint16(tick & wheelMask)
	t.prev, t.next = 0, w.heads[b]
	if t.next != 0 {
		all[t.next].timer.prev = i
	}
	w.heads[b] = i
	w.some[b/64] |= 1 << (b % 64)
	*due = b + 1
	w.held++
}

// distance is how many ticks ahead of w.at the bucket of due is.
func (w *wheel) distance(due uint16) int64 {
	return (int64(due-1) - w.at) & wheelMask
}

// drop takes slot i's timer out.
func (w *wheel) drop(all []slot, i uint32) {
	t, due := &all[i].timer, &all[i].due
	if *due == 0 {
		return
	}
	b := *due - 1
	if t.prev == 0 {
		w.heads[b] = t.next
	} else {
		all[t.prev].timer.next = t.next
	}
	if t.next != 0 {
		all[t.next].timer.prev = t.prev
	}
	if w.heads[b] == 0 {
		w.some[b/64] &^= 1 << (b % 64)
	}
	*t, *due = timer{}, 0
	w.held--
}

// begin tells the wheel the time; only the first call matters.
func (w *wheel) begin(now tcpstate.Time) {
	if w.at == 0 {
		w.at = int64(now) >> tickShift
	}
}

// pop takes out and returns a slot whose bucket is due at now, or 0 if there is none. Its deadline may still
// be ahead: then the caller sets it again.
func (w *wheel) pop(all []slot, now tcpstate.Time) uint32 {
	end := int64(now) >> tickShift
	for w.at <= end {
		if w.held == 0 {
			w.at = end
			return 0
		}
		if i := w.heads[w.at&wheelMask]; i != 0 {
			w.drop(all, i)
			return i
		}
		if w.at == end {
			return 0
		}
		w.at = min(w.at+w.gap(), end)
	}
	return 0
}

// gap returns how many ticks after w.at the next bucket that is not empty comes, at least 1.
func (w *wheel) gap() int64 {
	for d := int64(1); d < wheelSize; {
		b := (w.at + d) & wheelMask
		if word := w.some[b/64] >> (b % 64); word != 0 {
			return d + int64(bits.TrailingZeros64(word))
		}
		d += 64 - b%64
	}
	return wheelSize
}

// next returns the time of the next bucket that is not empty, or 0.
func (w *wheel) next() tcpstate.Time {
	if w.held == 0 {
		return 0
	}
	if w.heads[w.at&wheelMask] != 0 {
		return tcpstate.Time(w.at << tickShift)
	}
	return tcpstate.Time((w.at + w.gap()) << tickShift)
}
