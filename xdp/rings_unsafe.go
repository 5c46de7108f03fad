package xdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four rings that are shared with the kernel: single producer, single consumer. Of the two indices, which
// count without wrapping at the size, each side writes one and reads the other. Go's atomics order the entries' reads and
// writes around them, as the kernel's smp_load_acquire and smp_store_release do (net/xdp/xsk_queue.h).
type ring[T unix.XDPDesc | uint64] struct {
	producer, consumer, flags *uint32 // shared
	entries                   []T     // shared; owned by us between the indices, on our side
	mask                      uint32
	own                       uint32 // the index that we write, perhaps not yet published
	mem                       []byte
}

// mapRing maps a ring of size entries. T is what the ring holds: descriptors (RX, TX) or addresses (fill, completion).
func mapRing[T unix.XDPDesc | uint64](fd, size int, page int64, off *unix.XDPRingOffset) (*ring[T], error) {
	var entry T
	length := int(off.Desc) + size*int(unsafe.Sizeof(entry))
	mem, err := unix.Mmap(fd, page, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map ring at %#x: %w", page, err)
	}
	base := unsafe.Pointer(unsafe.SliceData(mem))
	return &ring[T]{
		producer: (*uint32)(unsafe.Add(base, off.Producer)),
		consumer: (*uint32)(unsafe.Add(base, off.Consumer)),
		flags:    (*uint32)(unsafe.Add(base, off.Flags)),
		entries:  unsafe.Slice((*T)(unsafe.Add(base, off.Desc)), size),
		mask:     uint32(size) - 1,
		mem:      mem,
	}, nil
}

func (r *ring[T]) unmap() error {
	if r == nil {
		return nil
	}
	return unix.Munmap(r.mem)
}

// at returns the entry of an index.
func (r *ring[T]) at(index uint32) *T { return &r.entries[index&r.mask] }

// length returns how many entries are between the published indices. Either side may be moving.
func (r *ring[T]) length() uint32 {
	return atomic.LoadUint32(r.producer) - atomic.LoadUint32(r.consumer)
}

// available returns, on a ring that we consume, how many entries are ours to read from own on.
func (r *ring[T]) available() uint32 { return atomic.LoadUint32(r.producer) - r.own }

// publish tells the kernel the index that we write: as a producer in *producer, as a consumer in *consumer.
func (r *ring[T]) publish(index *uint32) { atomic.StoreUint32(index, r.own) }

// needWakeup reports whether the kernel wants a system call before it looks at the ring.
func (r *ring[T]) needWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}

// offsetIn returns where in mem b begins; ok is false if it does not begin in it.
func offsetIn(mem, b []byte) (offset uint64, ok bool) {
	offset = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	return offset, offset < uint64(len(mem))
}
