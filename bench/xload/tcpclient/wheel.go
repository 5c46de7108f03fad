package tcpclient

import "reflect"

const (
	tickShift = 18 // a tick is 2^18 ns, a quarter of a millisecond
	wheelSize = 4096
	none      = -1
)

// Wheel holds a time for each of a fixed number of things, named by index, and finds those whose time has come, a tick late at
// most. Setting a later time costs nothing: the thing stays where it is and is put on when its old time comes.
type Wheel struct {
	slots []int32 // heads of lists
	nodes []node
	done  uint32 // the tick up to which all have come
}

type node struct {
	next, prev int32  // prev: the one before, or ^slot for the first
	at         uint32 // the tick that is wanted; 0: none
	filed      uint32 // the tick that it is filed under; 0: in no list
}

// TimerSize returns how many octets a wheel takes for each thing.
func TimerSize() int { return int(reflect.TypeFor[node]().Size()) }

// NewWheel returns a wheel of n things without a time. Its time begins at now.
func NewWheel(n int, now int64) *Wheel {
	w := &Wheel{slots: make([]int32, wheelSize), nodes: make([]node, n), done: tick(now)}
	for i := range w.slots {
		w.slots[i] = none
	}
	return w
}

// tick is never 0 for times after the first quarter of a millisecond. 32 bits last for 13 days.
func tick(now int64) uint32 { return uint32(now>>tickShift) + 1 }

// Set gives thing i a time, in nanoseconds, in place of the one that it had.
func (w *Wheel) Set(i int32, at int64) { w.setTick(i, tick(at)+1) } // rounded up: never early

func (w *Wheel) setTick(i int32, at uint32) {
	n := &w.nodes[i]
	n.at = max(at, w.done+1)
	if n.filed == 0 || n.at < n.filed {
		w.unfile(i)
		w.file(i)
	}
}

// Clear takes thing i's time away.
func (w *Wheel) Clear(i int32) { w.nodes[i].at = 0 }

func (w *Wheel) file(i int32) {
	n := &w.nodes[i]
	n.filed = min(n.at, w.done+wheelSize-1)
	slot := n.filed % wheelSize
	n.next, n.prev = w.slots[slot], ^int32(slot)
	if n.next != none {
		w.nodes[n.next].prev = i
	}
	w.slots[slot] = i
}

func (w *Wheel) unfile(i int32) {
	n := &w.nodes[i]
	if n.filed == 0 {
		return
	}
	if n.prev < 0 {
		w.slots[^n.prev] = n.next
	} else {
		w.nodes[n.prev].next = n.next
	}
	if n.next != none {
		w.nodes[n.next].prev = n.prev
	}
	n.filed = 0
}

// Due returns a thing whose time has come by now, and takes its time away; or none is left and ok is false. Call it until then.
func (w *Wheel) Due(now int64) (i int32, ok bool) {
	for last := tick(now); w.done < last; {
		slot := (w.done + 1) % wheelSize
		for {
			i := w.slots[slot]
			if i == none {
				break
			}
			n := &w.nodes[i]
			w.unfile(i)
			if n.at == 0 {
				continue
			}
			if n.at <= w.done+1 {
				n.at = 0
				return i, true
			}
			// Its time was set later meanwhile, or was too far for the wheel.
			w.done++
			w.file(i)
			w.done--
		}
		w.done++
	}
	return none, false
}
