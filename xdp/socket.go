package xdp

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Defaults of SocketConfig.
const (
	// DefaultFrameSize is a page: it holds packets of up to 3,826 octets, zero copy wants frames within a page, and on veth smaller
	// ones were not measurably faster.
	DefaultFrameSize = 4096
	// DefaultRingSize holds 2 ms of a million packets in a second. With frames of a page each, a queue takes 16 MiB.
	DefaultRingSize = 2048
	// DefaultSpin makes the turn-around of a single connection 3 times as fast as poll alone, and is not measurable with many.
	DefaultSpin = 20 * time.Microsecond
	// DefaultBindTimeout is for a predecessor's socket, which the kernel frees some time after its process has ended.
	DefaultBindTimeout = 3 * time.Second
)

// SocketConfig says what OpenSocket opens. Sizes are powers of two; 0 means the default.
type SocketConfig struct {
	Interface string
	Queue     int
	Copy      bool // do not try zero copy; needed with a Program in Generic mode
	// PartialChecksums says that the frames to be sent are TCP segments of IPv4 or IPv6 without IP options, and hold only the
	// pseudo-header's sum in the checksum field, where Socket.PartialChecksums allows that.
	PartialChecksums bool

	// BusyPoll has Wait, while it does not sleep, and Send call the driver's receiving side themselves, so that it needs no interrupts:
	// see Deferral. Where NAPI stays 0 it has no effect.
	BusyPoll bool

	FrameSize              int           // octets: 2048 or 4096
	FillRing, RXRing       int           // entries; FillRing is also the number of frames for receiving
	TXRing, CompletionRing int           // entries; TXRing is also the number of frames for sending
	Spin, BindTimeout      time.Duration // negative: none; Spin for an hour: Wait never sleeps
}

// Socket is an AF_XDP socket, bound to one queue of an interface, with its own UMEM. Receive, Alloc, Send, Wait and Close belong to
// one goroutine; the other methods may be called from any.
type Socket struct {
	fd         int
	fill       *ring[uint64]
	completion *ring[uint64]
	rx, tx     *ring[unix.XDPDesc]
	frames     frames
	poll       [1]unix.PollFd
	spin       time.Duration
	busyPoll   bool
	load       atomic.Pointer[ringLoad] // of who gives packets to the queue
	inPacket   bool                     // the last descriptor was not its packet's last
	starved    bool                     // the last Alloc got too few

	zeroCopy       bool
	partial        bool // checksums of what is sent
	name           string
	badDescriptors atomic.Uint64
	gone           atomic.Bool

	mu     sync.Mutex // keeps Statistics from a descriptor that Close has closed
	closed bool
}

func (c *SocketConfig) setDefaults() {
	for _, size := range []*int{&c.FillRing, &c.RXRing, &c.TXRing, &c.CompletionRing} {
		if *size == 0 {
			*size = DefaultRingSize
		}
	}
	if c.FrameSize == 0 {
		c.FrameSize = DefaultFrameSize
	}
	if c.Spin == 0 {
		c.Spin = DefaultSpin
	}
	if c.Spin < 0 || !severalCPUs() { // with one CPU, spinning only keeps the sender from running
		c.Spin = 0
	}
	if c.BindTimeout == 0 {
		c.BindTimeout = DefaultBindTimeout
	}
}

// severalCPUs reports whether the machine has more than one CPU in use, even if this process is kept on one of them: runtime.NumCPU counts those alone.
func severalCPUs() bool {
	list, err := os.ReadFile("/sys/devices/system/cpu/online") // 0, 0-3, 0,2
	return err != nil || strings.ContainsAny(string(list), "-,")
}

func (c *SocketConfig) check(iface *net.Interface) error {
	for _, size := range []int{c.FillRing, c.RXRing, c.TXRing, c.CompletionRing, c.FrameSize} {
		if size <= 0 || bits.OnesCount(uint(size)) != 1 {
			return fmt.Errorf("size %d of a ring or frame is not a power of two", size)
		}
	}
	if c.CompletionRing < c.TXRing {
		return fmt.Errorf("completion ring (%d) is smaller than the TX ring (%d)", c.CompletionRing, c.TXRing)
	}
	if c.FrameSize < 2048 || c.FrameSize > os.Getpagesize() { // xdp_umem_reg
		return fmt.Errorf("frame size %d is not between 2048 and a page, %d", c.FrameSize, os.Getpagesize())
	}
	// Program drops what does not fit the default, and counts it; what does not fit a smaller one, the kernel would lose.
	if largest := MaxPacket(c.FrameSize); c.FrameSize < DefaultFrameSize && iface.MTU > largest {
		return fmt.Errorf("MTU %d of %q does not fit into frames of %d octets: set it to %d at most, 'ip link set dev %s mtu %d'",
			iface.MTU, c.Interface, c.FrameSize, largest, c.Interface, largest)
	}
	return nil
}

// OpenSocket opens a socket and binds it to its queue, in zero copy where the driver has it. The interface is looked up in the
// network namespace of the calling thread. While the queue is taken, as by a process that has just ended, it tries again for
// BindTimeout. All receiving frames are in the fill ring when it returns.
func OpenSocket(cfg SocketConfig) (*Socket, error) {
	cfg.setDefaults()
	iface, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("look up interface %q: %w", cfg.Interface, err)
	}
	if err := cfg.check(iface); err != nil {
		return nil, fmt.Errorf("open AF_XDP socket on queue %d of %q: %w", cfg.Queue, cfg.Interface, err)
	}
	s := &Socket{fd: -1, spin: cfg.Spin, busyPoll: cfg.BusyPoll, name: fmt.Sprintf("queue %d of %q", cfg.Queue, cfg.Interface)}
	if err := s.open(&cfg, iface.Index); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Socket) open(cfg *SocketConfig, ifindex int) (err error) {
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("open AF_XDP socket: needs CAP_NET_RAW, run as root: %w", err)
		}
		return fmt.Errorf("open AF_XDP socket: %w", err)
	}
	if cfg.BusyPoll {
		if err := s.preferBusyPoll(); err != nil {
			return err
		}
	}
	if err := s.makeUMEM(cfg); err != nil {
		return err
	}
	if err := s.makeRings(cfg); err != nil {
		return err
	}
	s.recycle()
	if err := s.bind(cfg, ifindex); err != nil {
		return explainBind(cfg, err)
	}
	var options uint32
	if err := getOption(s.fd, unix.XDP_OPTIONS, &options); err != nil {
		return fmt.Errorf("read options of AF_XDP socket: %w", err)
	}
	s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	s.partial = s.partial && !s.zeroCopy
	return nil
}

// Of SO_BUSY_POLL any time but none will do, as no call of ours waits.
const (
	busyPollTime   = 20 // µs
	busyPollBudget = 64 // packets for each call: what Receive takes
)

func (s *Socket) preferBusyPoll() error {
	for _, o := range []struct{ name, value int }{{unix.SO_PREFER_BUSY_POLL, 1}, {unix.SO_BUSY_POLL, busyPollTime}, {unix.SO_BUSY_POLL_BUDGET, busyPollBudget}} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o.name, o.value); err != nil {
			return fmt.Errorf("have AF_XDP socket poll (option %d): %w", o.name, err)
		}
	}
	return nil
}

func (s *Socket) makeUMEM(cfg *SocketConfig) error {
	size := (cfg.FillRing + cfg.TXRing) * cfg.FrameSize
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map %d octets of UMEM: %w", size, err)
	}
	s.frames = newFrames(mem, uint32(bits.TrailingZeros(uint(cfg.FrameSize))), uint32(cfg.FillRing), uint32(cfg.TXRing))
	if s.partial = cfg.PartialChecksums; s.partial {
		s.frames.prepareMetadata()
	}
	err = registerUMEM(s.fd, mem, cfg.FrameSize, int(s.frames.headroom))
	if errors.Is(err, unix.ENOBUFS) { // xdp_umem_account_pages
		return fmt.Errorf("register %d octets of UMEM: needs CAP_IPC_LOCK or a higher limit of locked memory, 'ulimit -l': %w", size, err)
	}
	if err != nil {
		return fmt.Errorf("register %d octets of UMEM: %w", size, err)
	}
	return nil
}

func (s *Socket) makeRings(cfg *SocketConfig) (err error) {
	for _, r := range []struct{ option, size int }{
		{unix.XDP_UMEM_FILL_RING, cfg.FillRing},
		{unix.XDP_UMEM_COMPLETION_RING, cfg.CompletionRing},
		{unix.XDP_RX_RING, cfg.RXRing},
		{unix.XDP_TX_RING, cfg.TXRing},
	} {
		size := uint32(r.size)
		if err := setOption(s.fd, r.option, &size); err != nil {
			return fmt.Errorf("set size of ring (option %d) to %d: %w", r.option, r.size, err)
		}
	}
	// Frames that the kernel takes from the TX ring in one call, in copy mode: 32 by default, settable since Linux 6.18. More
	// saves calls, 1.7 against 2.1 µs a packet. Older kernels do not know the option.
	budget := uint32(min(256, cfg.TXRing))
	_ = setOption(s.fd, unix.XDP_MAX_TX_SKB_BUDGET, &budget)

	var off unix.XDPMmapOffsets
	if err := getOption(s.fd, unix.XDP_MMAP_OFFSETS, &off); err != nil {
		return fmt.Errorf("read ring offsets: %w", err)
	}
	if s.fill, err = mapRing[uint64](s.fd, cfg.FillRing, unix.XDP_UMEM_PGOFF_FILL_RING, &off.Fr); err != nil {
		return err
	}
	if s.completion, err = mapRing[uint64](s.fd, cfg.CompletionRing, unix.XDP_UMEM_PGOFF_COMPLETION_RING, &off.Cr); err != nil {
		return err
	}
	if s.rx, err = mapRing[unix.XDPDesc](s.fd, cfg.RXRing, unix.XDP_PGOFF_RX_RING, &off.Rx); err != nil {
		return err
	}
	s.tx, err = mapRing[unix.XDPDesc](s.fd, cfg.TXRing, unix.XDP_PGOFF_TX_RING, &off.Tx)
	return err
}

// bind binds the socket. Without XDP_COPY or XDP_ZEROCOPY the kernel tries zero copy and falls back by itself.
func (s *Socket) bind(cfg *SocketConfig, ifindex int) error {
	address := unix.SockaddrXDP{
		Flags:   unix.XDP_USE_NEED_WAKEUP,
		Ifindex: uint32(ifindex),
		QueueID: uint32(cfg.Queue),
	}
	if cfg.Copy {
		address.Flags |= unix.XDP_COPY
	}
	deadline := time.Now().Add(cfg.BindTimeout)
	for {
		err := unix.Bind(s.fd, &address)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ZeroCopy reports whether the device reads and writes the frames itself, without copies by the kernel.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// PartialChecksums reports whether the kernel adds to the TCP checksums of what is sent what the pseudo-header's sum leaves out, as
// SocketConfig.PartialChecksums asks for. With copies it does, or its device, whatever that is; with zero copy only some drivers
// can, and tell nobody if they cannot.
func (s *Socket) PartialChecksums() bool { return s.partial }

// FD returns the file descriptor, for the XSKMAP of another program than Program, or for poll. It stays the socket's.
func (s *Socket) FD() int { return s.fd }

// Err returns an error once the interface is gone: nothing will be received or sent any more.
func (s *Socket) Err() error {
	if s.gone.Load() {
		return fmt.Errorf("AF_XDP socket on %s: the interface is gone", s.name)
	}
	return nil
}

// NAPI returns the number of the NAPI instance from which packets come, 0 if none have come yet, or the driver does not say it: then it is
// not polled.
func (s *Socket) NAPI() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	id, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID)
	if err != nil {
		return 0
	}
	return uint32(id)
}

// Statistics count what was lost, in packets, since the socket was opened.
type Statistics struct {
	RXDropped      uint64 // by the kernel, for want of memory or because too long for a frame
	RXRingFull     uint64 // by the kernel: we were too slow
	FillRingEmpty  uint64 // by the kernel: all receiving frames were in use
	TXInvalid      uint64 // descriptors of ours that the kernel refused: an error in this package
	BadDescriptors uint64 // received pieces of packets in several frames, or senseless
}

// Statistics reads the counters of the socket.
func (s *Socket) Statistics() (Statistics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Statistics{}, fmt.Errorf("read statistics of %s: %w", s.name, os.ErrClosed)
	}
	var k unix.XDPStatistics
	if err := getOption(s.fd, unix.XDP_STATISTICS, &k); err != nil {
		return Statistics{}, fmt.Errorf("read statistics of %s: %w", s.name, err)
	}
	return Statistics{
		RXDropped:      k.Rx_dropped,
		RXRingFull:     k.Rx_ring_full,
		FillRingEmpty:  k.Rx_fill_ring_empty_descs,
		TXInvalid:      k.Tx_invalid_descs,
		BadDescriptors: s.badDescriptors.Load(),
	}, nil
}

// Close closes the socket and unmaps its memory: no frame may be touched any more. It may be called again.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.fd >= 0 {
		errs = append(errs, unix.Close(s.fd))
	}
	errs = append(errs, s.fill.unmap(), s.completion.unmap(), s.rx.unmap(), s.tx.unmap())
	if s.frames.mem != nil {
		errs = append(errs, unix.Munmap(s.frames.mem))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close AF_XDP socket on %s: %w", s.name, err)
	}
	return nil
}
