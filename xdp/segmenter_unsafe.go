package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Segmenter sends TCP segments that are longer than a packet through an interface: the card cuts them (TSO), or the kernel, in one go
// just before the driver (GSO). That is one struct sk_buff for up to 64 KiB, where a Socket without zero copy costs one for each packet. It
// is an AF_PACKET socket with PACKET_VNET_HDR, so what it sends goes through the interface's queueing discipline and tc's egress
// programs, which frames of a Socket don't. Head and Send belong to one goroutine; nothing in them allocates.
type Segmenter struct {
	fd     int
	mem    []byte // a virtio_net_hdr, and Head
	iovs   [2]unix.Iovec
	msg    unix.Msghdr
	refuse atomic.Uint64
}

// MaxSegment is the longest frame of a Segmenter, octets: the longest IP packet, behind an Ethernet header.
const MaxSegment = ethLen + 65535

const (
	// struct virtio_net_hdr of linux/virtio_net.h
	vnetLen           = 10
	vnetNeedsChecksum = 1
	vnetGSONone       = 0
	vnetGSOTCP4       = 1
	vnetGSOTCP6       = 4

	checksumAt = 16 // in a TCP header

	// segmenterBuffer holds what a queueing discipline may keep: some hundred segments of 64 KiB.
	segmenterBuffer = 16 << 20
)

// OpenSegmenter opens a Segmenter for an interface of the calling thread's network namespace.
func OpenSegmenter(ifname string) (*Segmenter, error) {
	iface, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("look up interface %q: %w", ifname, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: receives nothing
	if err != nil {
		return nil, fmt.Errorf("open AF_PACKET socket: %w", err)
	}
	s := &Segmenter{fd: fd, mem: make([]byte, vnetLen+MaxSegment)}
	s.msg.Iov = &s.iovs[0]
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, segmenterBuffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: iface.Index}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up AF_PACKET socket on %q: %w", ifname, err), s.Close())
	}
	return s, nil
}

// Head is where a frame begins: the caller's until Send has taken it.
func (s *Segmenter) Head() []byte { return s.mem[vnetLen:] }

// Send sends a frame that begins with the first n octets of Head and goes on with rest. Its first headers octets are Ethernet's, IP's and TCP's,
// with the pseudo-header's sum in place of TCP's checksum; of the payload, size octets go into each packet. rest is not kept. If it was not sent, again says whether that may be tried again; else
// Err says why. What was sent may get lost, as on a wire.
func (s *Segmenter) Send(n int, rest []byte, headers, size int) (sent, again bool) {
	h, frame := s.mem[:vnetLen], s.mem[vnetLen:]
	l4, gso := ethLen+20, byte(vnetGSOTCP4)
	if binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IPV6 {
		l4, gso = ethLen+40, vnetGSOTCP6
	}
	if n+len(rest) <= headers+size {
		gso = vnetGSONone
	}
	h[0], h[1] = vnetNeedsChecksum, gso
	binary.NativeEndian.PutUint16(h[2:], uint16(headers))
	binary.NativeEndian.PutUint16(h[4:], uint16(size))
	binary.NativeEndian.PutUint16(h[6:], uint16(l4))
	binary.NativeEndian.PutUint16(h[8:], checksumAt)
	s.iovs[0].Base = &s.mem[0]
	s.iovs[0].SetLen(vnetLen + n)
	s.msg.SetIovlen(1)
	if len(rest) > 0 {
		s.iovs[1].Base = &rest[0]
		s.iovs[1].SetLen(len(rest))
		s.msg.SetIovlen(2)
	}
	errno := s.send()
	s.iovs[1].Base = nil // the caller's
	switch errno {
	case 0:
		return true, false
	case unix.EAGAIN, unix.EINTR: // the socket's buffer is full
		return false, true
	case unix.ENOBUFS, unix.ENETDOWN, unix.ENOMEM: // dropped by the queueing discipline, or on an interface that is down: as on a wire
		return true, false
	}
	s.refuse.Store(uint64(errno))
	return false, false
}

func (s *Segmenter) send() syscall.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msg)), unix.MSG_DONTWAIT)
	return errno
}

// Err returns why a frame was refused, or nil if none was. It may be called from any goroutine.
func (s *Segmenter) Err() error {
	if e := s.refuse.Load(); e != 0 {
		return fmt.Errorf("send a long segment: %w", syscall.Errno(e))
	}
	return nil
}

// Close closes the socket.
func (s *Segmenter) Close() error { return unix.Close(s.fd) }
