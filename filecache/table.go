package filecache

import (
	"hash/maphash"
	"sync/atomic"
)

// table maps keys to objects: open addressing over atomic pointers. Any number of readers, without a lock; one
// writer at a time. The hash is keyed, so that clients can't aim for one place.
type table struct {
	seed  maphash.Seed
	slots atomic.Pointer[[]atomic.Pointer[Object]]
	used  int // slots that are not nil, graves included
}

// grave stands where an object was, so that searches go on behind it.
var grave = new(Object)

const smallestTable = 1024

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	t.replace(smallestTable)
	return t
}

func (t *table) replace(size int) {
	slots := make([]atomic.Pointer[Object], size)
	t.used = 0
	if old := t.slots.Load(); old != nil {
		for k := range *old {
			if o := (*old)[k].Load(); o != nil && o != grave {
				put(slots, maphash.String(t.seed, o.key), o)
				t.used++
			}
		}
	}
	t.slots.Store(&slots)
}

// get returns the object of key, or nil.
func (t *table) get(key []byte) *Object {
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	for h := maphash.Bytes(t.seed, key); ; h++ {
		o := slots[h&mask].Load()
		if o == nil || o != grave && o.key == string(key) {
			return o
		}
	}
}

// set puts o in, in the place of the object of the same key if there is one.
func (t *table) set(o *Object, objects int) {
	slots := *t.slots.Load()
	if 4*(t.used+1) > 3*len(slots) {
		size := smallestTable
		for size < 4*(objects+1) {
			size *= 2
		}
		t.replace(size)
		slots = *t.slots.Load()
	}
	if put(slots, maphash.String(t.seed, o.key), o) {
		t.used++
	}
}

// put reports whether it took a slot that was nil.
func put(slots []atomic.Pointer[Object], h uint64, o *Object) bool {
	mask := uint64(len(slots) - 1)
	for ; ; h++ {
		switch old := slots[h&mask].Load(); {
		case old == nil:
			slots[h&mask].Store(o)
			return true
		case old != grave && old.key == o.key:
			slots[h&mask].Store(o)
			return false
		}
	}
}

// remove takes o out, unless another has taken its place.
func (t *table) remove(o *Object) {
	slots := *t.slots.Load()
	mask := uint64(len(slots) - 1)
	for h := maphash.String(t.seed, o.key); ; h++ {
		switch old := slots[h&mask].Load(); old {
		case nil:
			return
		case o:
			slots[h&mask].Store(grave)
			return
		}
	}
}
