package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// slot is what a connection costs while nothing of it is in flight: its TCP state, its place in the flow
// table and in the timer wheel. At most 256 octets, no pointers.
type slot struct {
	conn    tcpstate.Conn
	flow    wire.Flow
	chain   uint32 // next slot of the same bucket of the flow table, or of the free list
	timer   timer
	before  uint32 // neighbours in the ready list
	after   uint32
	work    uint32 // what is in flight, index into workArena, or 0
	peer    wire.MAC
	due     uint16 // its timer's bucket in the wheel + 1, or 0 when it has none
	older   uint32 // neighbours in the queue of its class
	newer   uint32
	entered uint32 // when it came into its class, ms modulo 2³²
	served  uint16
	flags   uint16
	class   class
	why     Reason // of the hand-over that is wanted
	counted tcpstate.State
}

const (
	flagUsed    = 1 << iota
	flagReady   // in the ready list
	flagClosing // the last response is written: what the client still sends is thrown away
	flagWant    // shall be handed over as soon as SND.UNA == SND.NXT
	flagCounted // for its prefix
	flagLong    // something in flight has gone by the Segmenter
	flagHot     // its last response lies ready, too: it may be lent
	flagLent    // the steering program may answer its requests
	flagHanding // the record is written and the octets were injected, but the kernel has no socket yet
)

// arena holds the slots and the flow table over them: buckets of chains, keyed by a secret, so that nobody
// can aim for one bucket. It never grows.
type arena struct {
	all     []slot
	buckets []uint32
	mask    uint64
	key     wire.Key
	free    uint32
	fresh   uint32 // slots from here on were never used, and their memory never touched
	used    int
}

func (a *arena) init(n int) {
	size := 1
	for size < n {
		size *= 2
	}
	a.all = make([]slot, n+1)
	a.buckets = make([]uint32, size)
	a.mask = uint64(size - 1)
	a.key = wire.NewKey()
	a.fresh = 1
}

func (a *arena) at(i uint32) *slot { return &a.all[i] }

func (a *arena) bucket(f *wire.Flow) *uint32 { return &a.buckets[a.key.Short(f)&a.mask] }

// find returns the slot of flow f, or 0.
func (a *arena) find(f *wire.Flow) uint32 {
	i := *a.bucket(f)
	for i != 0 && a.all[i].flow != *f {
		i = a.all[i].chain
	}
	return i
}

// add takes a slot for flow f, which must not have one, or returns 0 if all are taken.
func (a *arena) add(f *wire.Flow) uint32 {
	i := a.free
	switch {
	case i != 0:
		a.free = a.all[i].chain
	case int(a.fresh) < len(a.all):
		i = a.fresh
		a.fresh++
	default:
		return 0
	}
	b := a.bucket(f)
	a.all[i] = slot{flow: *f, flags: flagUsed, chain: *b}
	*b = i
	a.used++
	return i
}

// remove gives slot i back.
func (a *arena) remove(i uint32) {
	s := &a.all[i]
	p := a.bucket(&s.flow)
	for *p != i {
		p = &a.all[*p].chain
	}
	*p = s.chain
	s.flags = 0
	s.chain = a.free
	a.free = i
	a.used--
}

// each calls f for every slot in use; f may release the slot that it is called for.
func (a *arena) each(f func(i uint32)) {
	for i := uint32(1); i < a.fresh; i++ {
		if a.all[i].flags&flagUsed != 0 {
			f(i)
		}
	}
}

// readyList is the queue of slots that may have something to send.
type readyList struct{ head, tail uint32 }

func (r *readyList) push(all []slot, i uint32) {
	s := &all[i]
	if s.flags&flagReady != 0 {
		return
	}
	s.flags |= flagReady
	s.after, s.before = 0, r.tail
	if r.tail == 0 {
		r.head = i
	} else {
		all[r.tail].after = i
	}
	r.tail = i
}

func (r *readyList) remove(all []slot, i uint32) {
	s := &all[i]
	if s.flags&flagReady == 0 {
		return
	}
	s.flags &^= flagReady
	if s.before == 0 {
		r.head = s.after
	} else {
		all[s.before].after = s.after
	}
	if s.after == 0 {
		r.tail = s.before
	} else {
		all[s.after].before = s.before
	}
}
