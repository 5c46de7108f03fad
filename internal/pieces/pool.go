package pieces

import (
	"sync/atomic"

	"github.com/xhttpd/xhttpd/filecache"
)

// Size is the octets of a piece: a disk reads as many nearly as fast as any number at a time.
const Size = 256 << 10

// Job is something to be read: N octets of a response that is OnDisk, from Off on, into the memory of Piece.
type Job struct {
	Object   *filecache.Object
	Response filecache.Response
	Off      uint64
	N        uint32
	Piece    uint32
}

// Answer says what came of a job.
type Answer struct {
	Piece uint32
	Fate  filecache.Fate
}

// Pool is the pieces of one loop, numbered from 1. Methods are the loop's, unless they say otherwise.
type Pool struct {
	memory  []byte
	free    []uint32      // last given back, first taken: memory that nobody needs is never touched
	unasked []atomic.Bool // pieces that nobody waits for any more
	jobs    ring[Job]
	answers ring[Answer]

	asleep atomic.Bool // the readers wait for wake
	wake   chan struct{}
}

// New returns a pool of as many pieces as fit into size octets, at least one.
func New(size int64) *Pool {
	n := max(1, int(size/Size))
	p := &Pool{memory: make([]byte, n*Size), unasked: make([]atomic.Bool, n+1), wake: make(chan struct{}, 1)}
	for k := n; k > 0; k-- {
		p.free = append(p.free, uint32(k))
	}
	p.jobs.init(n)
	p.answers.init(n)
	return p
}

// Len is how many pieces there are, Free how many are not taken.
func (p *Pool) Len() int { return len(p.unasked) - 1 }

// Free is how many pieces are not taken.
func (p *Pool) Free() int { return len(p.free) }

// Take takes a piece, of which there must be one.
func (p *Pool) Take() uint32 {
	k := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return k
}

// Give gives a piece back. It must not be asked for.
func (p *Pool) Give(k uint32) { p.free = append(p.free, k) }

// Octets is the memory of a piece. While it is asked for, it is the readers'.
func (p *Pool) Octets(k uint32) []byte { return p.memory[(int(k)-1)*Size : int(k)*Size : int(k)*Size] }

// Ask has j read, after the next Publish.
func (p *Pool) Ask(j *Job) {
	p.unasked[j.Piece].Store(false)
	*p.jobs.next() = *j
}

// Forget says that nobody waits for piece k any more, which is asked for: it need not be read. Its answer comes nevertheless.
func (p *Pool) Forget(k uint32) { p.unasked[k].Store(true) }

// Publish lets the readers see what was asked for, and wakes them if they sleep.
func (p *Pool) Publish() {
	if p.jobs.publish() && p.asleep.Load() && p.asleep.CompareAndSwap(true, false) {
		p.wake <- struct{}{} // there is room: who sleeps has taken what was in it
	}
}

// Answered returns the next answer, and reports whether there was one.
func (p *Pool) Answered(a *Answer) bool { return p.answers.take(a) }

// Next returns the next job, and reports whether there was one. It is the readers', one at a time.
func (p *Pool) Next(j *Job) bool { return p.jobs.take(j) }

// Answer says what came of a job. It is the readers', one at a time.
func (p *Pool) Answer(a Answer) {
	*p.answers.next() = a
	p.answers.publish()
}

// Do reads what j asks for, unless nobody waits for it. It is the readers'.
func (p *Pool) Do(j *Job) Answer {
	a := Answer{Piece: j.Piece, Fate: filecache.ReadFailed}
	if !p.unasked[j.Piece].Load() {
		a.Fate = j.Object.ReadFileAt(&j.Response, p.Octets(j.Piece)[:j.N], j.Off)
	}
	return a
}

// ring is a queue with one producer and one consumer. Whoever puts something in knows that there is room.
type ring[T any] struct {
	all     []T
	mask    uint64
	head    uint64 // the producer's
	_       [64]byte
	written atomic.Uint64
	_       [64]byte
	tail    uint64 // the consumer's
}

func (r *ring[T]) init(n int) {
	size := 1
	for size < n {
		size *= 2
	}
	r.all, r.mask = make([]T, size), uint64(size-1)
}

// next returns the place of the next entry, which the consumer sees after publish.
func (r *ring[T]) next() *T {
	r.head++
	return &r.all[(r.head-1)&r.mask]
}

// publish reports whether there was anything new.
func (r *ring[T]) publish() bool {
	if r.written.Load() == r.head {
		return false
	}
	r.written.Store(r.head)
	return true
}

// take moves the next entry to to: what it refers to is not kept here.
func (r *ring[T]) take(to *T) bool {
	if r.tail == r.written.Load() {
		return false
	}
	at := &r.all[r.tail&r.mask]
	*to = *at
	var none T
	*at = none
	r.tail++
	return true
}
