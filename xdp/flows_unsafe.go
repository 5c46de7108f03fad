package xdp

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	bucketSize = int(unsafe.Sizeof(steerOursBucket{})) // a cache line
	bucketWays = len(steerOursBucket{}.Hashes)
	leastTable = 64 // buckets: a page
)

// setFlowTable makes the table so large that it is at most half full, with all connections of all queues: then one flow in a
// hundred finds its bucket full. Fewer do, as not all connections are there at a time.
func setFlowTable(spec *ebpf.CollectionSpec, cfg *Config, queues int) error {
	buckets := leastTable
	for buckets*bucketWays/2 < cfg.Connections*queues {
		buckets *= 2
	}
	spec.Maps[steerMapOurs].MaxEntries = uint32(buckets)
	for name, value := range map[string]any{
		steerVarOursMask: uint32(buckets - 1), steerVarOursKey0: cfg.FlowKey[0], steerVarOursKey1: cfg.FlowKey[1],
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return err
		}
	}
	return nil
}

// FlowTable is the memory of the table of flows whose segments are redirected without a question to the kernel's socket table:
// keyed hashes in buckets of eight, a power of two of buckets, 0 for a free place. The lower bits of the hash (wire.Key.Short
// with Config.FlowKey; 1 if that is 0) say which bucket. It is to be read and written atomically, until Close.
func (p *Program) FlowTable() []uint64 { return p.flows }

// mapArray maps the memory of an array map, as values of T.
func mapArray[T any](m *ebpf.Map) ([]T, error) {
	size := int(m.MaxEntries() * m.ValueSize())
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s, %d octets: %w", m, size, err)
	}
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), size/int(unsafe.Sizeof(t))), nil
}

func unmapArray[T any](s []T) error {
	if s == nil {
		return nil
	}
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0]))))
}
