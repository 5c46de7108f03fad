package impair

import (
	"container/heap"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Forwarder carries frames between two sockets of Open.
type Forwarder struct {
	ends  [2]end // 0: a, 1: b
	mu    sync.Mutex
	stop  atomic.Bool
	ended chan struct{}
	order uint64
}

// end is one interface, and what is on its way to it.
type end struct {
	fd   int
	path *path // towards it
	way  frames
	free [][]byte // memory of frames that were delivered
}

// MaxFrame is the largest frame that is carried, octets: larger ones are what an interface's offloads make, and
// would pass a rate and a loss as one.
const MaxFrame = 9018

// Open returns a packet socket that does not block and gets all frames that the interface with that index receives, not
// those that it sends, in the network namespace of the calling thread. The caller closes it. It needs CAP_NET_ADMIN and
// CAP_NET_RAW.
func Open(index int) (fd int, err error) {
	const all = unix.ETH_P_ALL>>8&0xff | unix.ETH_P_ALL&0xff<<8 // in network byte order
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}),
	)
	if err != nil {
		unix.Close(fd) //nolint:errcheck // it was of no use
		return -1, fmt.Errorf("bind packet socket to interface %d: %w", index, err)
	}
	return fd, nil
}

// New carries frames between the sockets a and b of Open, which it owns from now on, until Close.
func New(a, b int) *Forwarder {
	f := &Forwarder{ended: make(chan struct{})}
	f.ends[0].fd, f.ends[1].fd = a, b
	f.Set(0, Link{}, Link{})
	go f.run()
	return f
}

// Set makes the directions towards a and towards b as given, and begins their random decisions and their counters
// anew. What is on its way is dropped.
func (f *Forwarder) Set(seed uint64, toA, toB Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, l := range []Link{toA, toB} {
		f.ends[k].path = newPath(l, seed, uint64(k))
		f.ends[k].way = nil
	}
}

// Counters returns those of the directions towards a and towards b since Set.
func (f *Forwarder) Counters() (toA, toB Counters) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ends[0].path.Counters, f.ends[1].path.Counters
}

// Close ends it.
func (f *Forwarder) Close() {
	f.stop.Store(true)
	<-f.ended
	for _, e := range f.ends {
		unix.Close(e.fd) //nolint:errcheck // nobody to tell
	}
}

const longestSleep = 10 * time.Millisecond

func (f *Forwarder) run() {
	defer close(f.ended)
	fds := []unix.PollFd{{Fd: int32(f.ends[0].fd), Events: unix.POLLIN}, {Fd: int32(f.ends[1].fd), Events: unix.POLLIN}}
	buf := make([]byte, 65536)
	for !f.stop.Load() {
		f.mu.Lock()
		f.receive(buf, 0, 1)
		f.receive(buf, 1, 0)
		next := f.deliver()
		f.mu.Unlock()
		if wait := next - nanos(); wait > 0 {
			ts := unix.NsecToTimespec(wait)
			unix.Ppoll(fds, &ts, nil) //nolint:errcheck // then it looks sooner
		}
	}
}

// receive takes in what has come at one end.
func (f *Forwarder) receive(buf []byte, from, to int) {
	e := &f.ends[to]
	for range 64 {
		n, _, err := unix.Recvfrom(f.ends[from].fd, buf, unix.MSG_TRUNC)
		if err != nil {
			return
		}
		at, copies := e.path.send(nanos(), n)
		if n > MaxFrame {
			continue // LargestFrame tells
		}
		for _, t := range at[:copies] {
			f.order++
			heap.Push(&e.way, frame{at: t, order: f.order, octets: append(e.memory(), buf[:n]...)})
		}
	}
}

// deliver sends what is due, and returns when there is more to do.
func (f *Forwarder) deliver() (next int64) {
	now := nanos()
	next = now + int64(longestSleep)
	for k := range f.ends {
		e := &f.ends[k]
		for len(e.way) > 0 && e.way[0].at <= now {
			due := heap.Pop(&e.way).(frame)
			if _, err := unix.Write(e.fd, due.octets); err == nil {
				e.path.Delivered++
			}
			e.path.Late = max(e.path.Late, time.Duration(now-due.at))
			e.free = append(e.free, due.octets)
		}
		if len(e.way) > 0 {
			next = min(next, e.way[0].at)
		}
	}
	return next
}

func (e *end) memory() []byte {
	if n := len(e.free); n > 0 {
		m := e.free[n-1]
		e.free = e.free[:n-1]
		return m[:0]
	}
	return make([]byte, 0, 2048)
}

func nanos() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) //nolint:errcheck // cannot fail
	return ts.Nano()
}

// frame is on its way until at.
type frame struct {
	at     int64
	order  uint64
	octets []byte
}

// frames is a heap by time, and by order of arrival among equals.
type frames []frame

func (q frames) Len() int { return len(q) }
func (q frames) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q frames) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *frames) Push(x any)   { *q = append(*q, x.(frame)) }
func (q *frames) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
