package dataplane

import (
	"math/rand/v2"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// The wheel against a map of deadlines: a timer never fires early for good, never late by more than a tick,
// and next never oversleeps.
func TestWheelAgainstMap(t *testing.T) {
	const slots = 300
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	all := make([]slot, slots+1)
	var w wheel
	now := tcpstate.Time(1 + rnd.Int64N(1e15))
	w.begin(now)
	want := map[uint32]tcpstate.Time{}
	for range 200000 {
		switch i := 1 + rnd.Uint32N(slots); rnd.IntN(4) {
		case 0, 1:
			d := now + tcpstate.Time(rnd.Int64N(40e9)) + 1
			if rnd.IntN(2) == 0 {
				d = now + tcpstate.Time(rnd.Int64N(30e6)) + 1
			}
			want[i] = d
			w.set(all, i, d)
		case 2:
			delete(want, i)
			w.set(all, i, 0)
		case 3:
			if next := w.next(); next != 0 && rnd.IntN(2) == 0 {
				now = max(now, next)
			} else {
				now += tcpstate.Time(rnd.Int64N(5e6))
			}
			for j := w.pop(all, now); j != 0; j = w.pop(all, now) {
				if d := want[j]; d > now {
					w.set(all, j, d)
				} else {
					delete(want, j)
				}
			}
		}
		next := w.next()
		for j, d := range want {
			if d < now-(1<<tickShift) {
				t.Fatalf("slot %d due at %d has not fired at %d", j, d, now)
			}
			if next == 0 || next > d+(1<<tickShift) && next > now+(1<<tickShift) {
				t.Fatalf("slot %d due at %d, but next is %d", j, d, next)
			}
		}
	}
	if w.held != len(want) {
		t.Fatalf("the wheel holds %d timers, want %d", w.held, len(want))
	}
}

func TestWheelOfNothing(t *testing.T) {
	var w wheel
	all := make([]slot, 2)
	w.begin(1)
	if n := w.next(); n != 0 {
		t.Errorf("next of an empty wheel is %d", n)
	}
	if i := w.pop(all, 1e18); i != 0 {
		t.Errorf("pop of an empty wheel is %d", i)
	}
	w.set(all, 1, 1e18+5)
	if w.next() == 0 {
		t.Error("next after set is 0")
	}
}

// The flow table against a map, through full and empty.
func TestArenaAgainstMap(t *testing.T) {
	const n = 100
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var a arena
	a.init(n)
	want := map[wire.Flow]uint32{}
	for range 100000 {
		f := wire.Flow{LocalPort: 80, RemotePort: uint16(rnd.IntN(3 * n))}
		i := a.find(&f)
		if i != want[f] {
			t.Fatalf("find(%v) = %d, want %d", f, i, want[f])
		}
		switch {
		case i != 0:
			a.remove(i)
			delete(want, f)
		default:
			i = a.add(&f)
			if (i == 0) != (len(want) == n) {
				t.Fatalf("add = %d with %d of %d in use", i, len(want), n)
			}
			if i != 0 {
				want[f] = i
			}
		}
		if a.used != len(want) {
			t.Fatalf("used = %d, want %d", a.used, len(want))
		}
	}
	seen := 0
	a.each(func(i uint32) {
		seen++
		if want[a.at(i).flow] != i {
			t.Errorf("each: slot %d is of nobody", i)
		}
		a.remove(i)
	})
	if seen != len(want) || a.used != 0 {
		t.Errorf("each saw %d, want %d; %d left", seen, len(want), a.used)
	}
}

func TestReadyListOrder(t *testing.T) {
	all := make([]slot, 6)
	var r readyList
	for _, i := range []uint32{1, 2, 3, 2, 4, 5} {
		r.push(all, i)
	}
	for _, i := range []uint32{3, 5, 1, 3} {
		r.remove(all, i)
	}
	r.push(all, 3)
	var got []uint32
	for r.head != 0 {
		got = append(got, r.head)
		r.remove(all, r.head)
	}
	if len(got) != 3 || got[0] != 2 || got[1] != 4 || got[2] != 3 || r.tail != 0 {
		t.Errorf("ready list held %v (tail %d), want [2 4 3]", got, r.tail)
	}
}

// RFC says nothing of it, but the promise does: "≤ 256 bytes for a connection".
func TestSlotSize(t *testing.T) {
	if size := sizeOf[slot](); size > 240 {
		t.Errorf("a connection takes %d octets, want at most 240", size)
	}
}
