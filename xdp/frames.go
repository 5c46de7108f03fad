package xdp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// owner says who may touch a frame.
type owner uint8

const (
	ownerPool owner = iota // free for sending
	ownerUser              // lent to the caller: received by Receive, or given by Alloc
	ownerFill              // the kernel's for receiving: in the fill ring, the device, or the RX ring
	ownerTX                // the kernel's for sending: in the TX ring, the device, or the completion ring
)

// frames is the UMEM with its book-keeping. A frame is named by its number; its address in the UMEM is number << shift. The
// first received frames serve for receiving and are never sent; the others the other way round.
type frames struct {
	mem      []byte
	shift    uint32
	headroom uint64 // octets before what is sent, for instructions to the kernel
	owners   []owner
	pool     []uint32 // numbers with ownerPool; the last one used is warm in the cache, so it is the next
	lent     []uint32 // numbers that Receive has lent, until the next Receive
}

func newFrames(mem []byte, shift uint32, receive, send uint32) frames {
	f := frames{
		mem:    mem,
		shift:  shift,
		owners: make([]owner, receive+send),
		pool:   make([]uint32, 0, send),
		lent:   make([]uint32, 0, receive),
	}
	for n := range receive {
		f.owners[n] = ownerUser
		f.lent = append(f.lent, n) // the first recycling puts them into the fill ring
	}
	for n := receive + send; n > receive; n-- {
		f.pool = append(f.pool, n-1)
	}
	return f
}

// size is that of a frame, octets.
func (f *frames) size() uint64 { return 1 << f.shift }

// move passes a frame from one owner to the next. Who breaks the chain would corrupt other people's data, silently: so panic.
func (f *frames) move(number uint32, from, to owner) {
	if f.owners[number] != from {
		panic(fmt.Sprintf("xdp: frame %d is owned by %d, not by %d", number, f.owners[number], from))
	}
	f.owners[number] = to
}

// whole returns a frame for sending, from behind its headroom to its end.
func (f *frames) whole(number uint32) []byte {
	begin := uint64(number) << f.shift
	end := begin + f.size()
	return f.mem[begin+f.headroom : end : end]
}

// The kernel's struct xsk_tx_metadata (uapi/linux/if_xdp.h, since Linux 6.8) before a frame that is sent:
//
//	0      flags
//	8      csum_start    where the checksum begins, from the frame's beginning
//	10     csum_offset   where to put it, from csum_start
//	16     launch time
//	24     the frame
const (
	metadataLen     = 24
	metaStart       = 8
	metaOffset      = 10
	tcpChecksumAt   = 16
	tcpStart4       = ethLen + 20
	tcpStart6       = ethLen + 40
	etherTypeAt     = 12
	etherTypeIPv6Hi = 0x86
)

// prepareMetadata gives all frames for sending a headroom that asks for a TCP checksum.
func (f *frames) prepareMetadata() {
	f.headroom = metadataLen
	for _, number := range f.pool {
		meta := f.mem[uint64(number)<<f.shift:]
		binary.NativeEndian.PutUint64(meta, unix.XDP_TXMD_FLAGS_CHECKSUM)
		binary.NativeEndian.PutUint16(meta[metaOffset:], tcpChecksumAt)
	}
}

// placeChecksum says in the metadata where the TCP header of the frame b begins, which is at addr.
func (f *frames) placeChecksum(addr uint64, b []byte) {
	start := uint16(tcpStart4)
	if b[etherTypeAt] == etherTypeIPv6Hi {
		start = tcpStart6
	}
	binary.NativeEndian.PutUint16(f.mem[addr-metadataLen+metaStart:], start)
}

// find returns the number of the frame that b lies in and the address of b. It panics if b is not memory of the UMEM, as it
// comes from our own caller.
func (f *frames) find(b []byte) (number uint32, addr uint64) {
	addr, ok := offsetIn(f.mem, b)
	if !ok {
		panic("xdp: Send of a frame that Alloc did not lend")
	}
	number = uint32(addr >> f.shift)
	if addr+uint64(len(b)) > uint64(number+1)<<f.shift {
		panic("xdp: Send of more than one frame in one")
	}
	return number, addr
}
