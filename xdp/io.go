package xdp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Receive fills frames with received ones and returns how many. They are valid until the next Receive, may be written to, and
// go back to the kernel by it. It never blocks.
func (s *Socket) Receive(frames [][]byte) int {
	s.recycle()
	available := s.rx.available()
	if available == 0 {
		s.load.Load().empty()
		return 0
	}
	got, before := 0, s.rx.own
	for available > 0 && got < len(frames) {
		desc := s.rx.at(s.rx.own)
		if frame := s.accept(desc); frame != nil {
			frames[got] = frame
			got++
		}
		s.rx.own++
		available--
	}
	s.rx.publish(s.rx.consumer)
	s.load.Load().take(s.rx.own - before)
	return got
}

// accept takes a descriptor's frame from the kernel. It returns nil for one that is not to be handed out: a piece of a packet
// in several frames, which this program never asked for, or a descriptor that makes no sense. Its frame is recycled all the same.
func (s *Socket) accept(desc *unix.XDPDesc) []byte {
	number := uint32(desc.Addr >> s.frames.shift)
	if desc.Addr >= uint64(len(s.frames.mem)) || s.frames.owners[number] != ownerFill {
		s.badDescriptors.Add(1)
		return nil
	}
	s.frames.owners[number] = ownerUser
	s.frames.lent = append(s.frames.lent, number)

	first := !s.inPacket
	s.inPacket = desc.Options&unix.XDP_PKT_CONTD != 0
	end := uint64(number+1) << s.frames.shift
	if !first || s.inPacket || desc.Addr+uint64(desc.Len) > end {
		s.badDescriptors.Add(1)
		return nil
	}
	return s.frames.mem[desc.Addr : desc.Addr+uint64(desc.Len) : end]
}

// recycle returns the frames that the last Receive has lent to the fill ring, which has room for all frames that ever receive.
func (s *Socket) recycle() {
	if len(s.frames.lent) == 0 {
		return
	}
	for _, number := range s.frames.lent {
		s.frames.move(number, ownerUser, ownerFill)
		*s.fill.at(s.fill.own) = uint64(number) << s.frames.shift
		s.fill.own++
	}
	s.frames.lent = s.frames.lent[:0]
	s.fill.publish(s.fill.producer)
	if s.fill.needWakeup() { // a driver with zero copy that has run out of frames
		_ = s.wakeReceiver()
	}
}

// Alloc lends frames for sending, each with its whole capacity, and returns how many; fewer than asked for, even none, while
// the others are being sent. A frame stays the caller's, over any number of calls, until it is given to Send.
func (s *Socket) Alloc(frames [][]byte) int {
	if len(s.frames.pool) < len(frames) {
		s.reap()
	}
	n := min(len(frames), len(s.frames.pool))
	s.starved = n < len(frames)
	left := len(s.frames.pool) - n
	for i, number := range s.frames.pool[left:] {
		s.frames.move(number, ownerPool, ownerUser)
		frames[i] = s.frames.whole(number)
	}
	s.frames.pool = s.frames.pool[:left]
	return n
}

// reap takes the frames back that the kernel has sent.
func (s *Socket) reap() {
	for n := s.completion.available(); n > 0; n-- {
		number := uint32(*s.completion.at(s.completion.own) >> s.frames.shift)
		s.frames.move(number, ownerTX, ownerPool)
		s.frames.pool = append(s.frames.pool, number)
		s.completion.own++
	}
	s.completion.publish(s.completion.consumer)
}

// Send queues frames that Alloc has lent, cut to their length, and tells the kernel once. It takes all of them back; it returns
// how many were queued, which is all but the empty ones. What the kernel does not take at once is offered again by the next Send
// or Wait.
func (s *Socket) Send(frames [][]byte) int {
	queued := 0
	for _, frame := range frames {
		number, addr := s.frames.find(frame)
		if len(frame) == 0 { // the kernel would swallow such a descriptor, and its frame with it
			s.frames.move(number, ownerUser, ownerPool)
			s.frames.pool = append(s.frames.pool, number)
			continue
		}
		s.frames.move(number, ownerUser, ownerTX)
		desc := unix.XDPDesc{Addr: addr, Len: uint32(len(frame))}
		if s.partial {
			s.frames.placeChecksum(addr, frame)
			desc.Options = unix.XDP_TX_METADATA
		}
		*s.tx.at(s.tx.own) = desc
		s.tx.own++
		queued++
	}
	s.tx.publish(s.tx.producer)
	s.kick()
	return queued
}

// kick has the kernel send what is in the TX ring. In copy mode it takes as many frames in one call as its budget allows, then
// says EAGAIN; so call again while that makes progress. Otherwise the frames stay in the ring for a later kick: EAGAIN without
// progress and ENOBUFS (socket buffers), EBUSY (device's queue), ENETDOWN.
//
// The system call does not sleep, so it is made without telling Go's scheduler: 10 to 20 % less for each small packet.
func (s *Socket) kick() {
	for {
		before := s.tx.length()
		if before == 0 || !s.tx.needWakeup() {
			return
		}
		_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return
		case unix.EAGAIN, unix.EBUSY:
			if s.tx.length() == before {
				return
			}
		case unix.EINTR:
		case unix.ENXIO: // the interface is gone
			s.gone.Store(true)
			return
		default:
			return
		}
	}
}

// How long Wait sleeps at most while something is owed that poll does not report: frames that the kernel has not taken, or
// the completions of an Alloc that got too few; and how often it asks the kernel to take them while it spins.
const retryInterval = 200 * time.Microsecond

// Wait sleeps until frames were received, or d has passed. After an Alloc that got fewer frames than it asked for it also ends when
// frames are free again. Before it sleeps it looks for a while without, see SocketConfig.Spin. It may end early.
func (s *Socket) Wait(d time.Duration) {
	s.kick()
	if s.ready() || d <= 0 {
		return
	}
	begin := time.Now()
	spin, retry := min(s.spin, d), retryInterval
	for {
		elapsed := time.Since(begin)
		if elapsed >= spin {
			break
		}
		if s.ready() {
			return
		}
		if elapsed >= retry {
			retry = elapsed + retryInterval
			s.kick()
		}
		if s.busyPoll {
			_ = s.wakeReceiver() // which polls
		}
	}
	for {
		left := d - time.Since(begin)
		if left <= 0 {
			if spin == d { // it never slept, so nobody has asked
				s.noteGone(s.wakeReceiver())
			}
			return
		}
		if s.starved || s.tx.length() > 0 {
			left = min(left, retryInterval)
		}
		s.sleep(left)
		s.kick()
		if s.ready() {
			return
		}
	}
}

// ready reports whether Wait has nothing to wait for.
func (s *Socket) ready() bool {
	return s.rx.available() > 0 || s.starved && s.completion.available() > 0
}

// sleep waits in poll(2), which also wakes up a driver that wants it for the fill or the TX ring. Poll does not tell that the
// interface has gone; so ask, when there was nothing else. Then it sleeps without poll.
func (s *Socket) sleep(d time.Duration) {
	if s.gone.Load() {
		time.Sleep(d)
		return
	}
	s.poll[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	timeout := unix.NsecToTimespec(int64(d))
	if n, err := unix.Ppoll(s.poll[:], &timeout, nil); err != nil || n > 0 && s.poll[0].Revents&unix.POLLIN != 0 {
		return
	}
	s.noteGone(s.wakeReceiver())
}

func (s *Socket) noteGone(errno syscall.Errno) {
	if errno == unix.ENXIO {
		s.gone.Store(true)
	}
}

// wakeReceiver has the kernel look at the fill ring. ENXIO: the interface has gone.
func (s *Socket) wakeReceiver() syscall.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}
