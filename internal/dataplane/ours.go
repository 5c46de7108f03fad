package dataplane

import (
	"fmt"
	"sync/atomic"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// OursWays is how many flows one bucket of the table holds: 64 octets, a cache line.
const OursWays = 8

// Ours is the table of the connections that loops hold, kept for the program that steers packets: it sends those of a flow in
// the table here without asking the kernel's socket table. An entry is the keyed hash of a flow, 0 is a free place.
//
// The table may hold less than what is ours, for then the program asks the kernel; it must never hold what the kernel may own.
// So a connection that finds its bucket full is left out, and one is taken out before its hand-over begins. TIME-WAIT is left
// out, too: it has few segments and may last for long, and the places are for those with many.
//
// Several loops share a table, without a lock, a system call or an allocation. A nil *Ours holds nothing.
type Ours struct {
	words []uint64
	mask  uint64 // buckets - 1
	key   wire.Key
}

// NewOurs returns a table in words, which it uses for as long as it lives: OursWays to a bucket, a power of two of buckets. The
// reader must know key.
func NewOurs(words []uint64, key wire.Key) (*Ours, error) {
	buckets := len(words) / OursWays
	if buckets == 0 || buckets&(buckets-1) != 0 || len(words)%OursWays != 0 {
		return nil, fmt.Errorf("dataplane: a table of %d words", len(words))
	}
	return &Ours{words: words, mask: uint64(buckets - 1), key: key}, nil
}

// entry returns what stands for f, and the bucket where it may stand. steer.c does the same.
func (o *Ours) entry(f *wire.Flow) (uint64, []uint64) {
	h := o.key.Short(f)
	first := h & o.mask * OursWays
	return max(h, 1), o.words[first : first+OursWays]
}

// add enters f if its bucket has room.
func (o *Ours) add(f *wire.Flow) {
	if o == nil {
		return
	}
	h, bucket := o.entry(f)
	for k := range bucket {
		if atomic.CompareAndSwapUint64(&bucket[k], 0, h) {
			return
		}
	}
}

// remove takes f out, wherever it was entered and by which loop: a flow that is missing is only slower.
func (o *Ours) remove(f *wire.Flow) {
	if o == nil {
		return
	}
	h, bucket := o.entry(f)
	for k := range bucket {
		if atomic.LoadUint64(&bucket[k]) == h {
			atomic.CompareAndSwapUint64(&bucket[k], h, 0)
		}
	}
}
