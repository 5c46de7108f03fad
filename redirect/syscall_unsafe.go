package redirect

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file is the package's only unsafe one: sendmmsg(2) has no wrapper, and ebpf.Program.Run allocates.

// batch is how many frames one sendmmsg takes: 2.2 µs a frame with 32, 3.2 with 1.
const batch = 32

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// sender holds the arrays that sendmmsg reads. It stays where it is: the arrays point into each other.
type sender struct {
	msgs [batch]mmsghdr
	iovs [batch]unix.Iovec
}

// frames sends all frames through fd, in order.
func (s *sender) frames(fd int, frames [][]byte) error {
	for len(frames) > 0 {
		n, err := s.some(fd, frames[:min(batch, len(frames))])
		if err != nil {
			return fmt.Errorf("inject: %w", err)
		}
		frames = frames[n:]
	}
	return nil
}

// some sends one batch. It returns how many of its frames went, at least one unless it failed.
func (s *sender) some(fd int, frames [][]byte) (int, error) {
	for k, f := range frames {
		if len(f) == 0 {
			return 0, errEmptyFrame
		}
		s.iovs[k].Base = &f[0]
		s.iovs[k].SetLen(len(f))
		s.msgs[k].hdr.Iov = &s.iovs[k]
		s.msgs[k].hdr.SetIovlen(1)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.msgs[0])),
			uintptr(len(frames)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
}

var errEmptyFrame = errors.New("empty frame")

// testRunAttr is the part of union bpf_attr for BPF_PROG_TEST_RUN, <linux/bpf.h>.
type testRunAttr struct {
	progFD, retval           uint32
	dataSizeIn, dataSizeOut  uint32
	dataIn, dataOut          uint64
	repeat, duration         uint32
	ctxSizeIn, ctxSizeOut    uint32
	ctxIn, ctxOut            uint64
	flags, cpu, batchSize, _ uint32
}

// probeData is what verify gets: an Ethernet header that says nothing, and the flow.
type probeData struct {
	ethernet [14]byte
	flow     [unsafe.Sizeof(bpfFlow{})]byte // unaligned here
}

// probeContext is struct __sk_buff up to the last field that is set.
type probeContext struct {
	_       [10]uint32
	ifindex uint32
}

// prober runs verify. The kernel looks in the network namespace of the calling thread
// (bpf_prog_test_run_skb in net/bpf/test_run.c); with ifindex in the context it fails with ENODEV where there
// is no such interface.
type prober struct {
	attr testRunAttr
	data probeData
	ctx  probeContext
}

// flow is where the flow to look up belongs.
func (p *prober) flow() *bpfFlow { return (*bpfFlow)(unsafe.Pointer(&p.data.flow)) }

func (p *prober) init(progFD, ifindex int) {
	p.ctx.ifindex = uint32(ifindex)
	p.attr = testRunAttr{
		progFD:     uint32(progFD),
		dataSizeIn: uint32(unsafe.Sizeof(p.data)),
		ctxSizeIn:  uint32(unsafe.Sizeof(p.ctx)),
		repeat:     1,
	}
}

// run returns what verify says of the flow.
func (p *prober) run() (bool, error) {
	// Set each time: an integer would not keep up with memory that moves.
	p.attr.dataIn = uint64(uintptr(unsafe.Pointer(&p.data)))
	p.attr.ctxIn = uint64(uintptr(unsafe.Pointer(&p.ctx)))
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&p.attr)), unsafe.Sizeof(p.attr))
	runtime.KeepAlive(p)
	if errno != 0 {
		return false, errno
	}
	return p.attr.retval != 0, nil
}
