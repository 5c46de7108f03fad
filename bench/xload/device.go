package xload

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
	"github.com/xhttpd/xhttpd/xdp"
)

// queues are the sockets of an interface with several receive queues: responses come by any of them. What is sent goes by
// the first.
type queues struct {
	sockets []*xdp.Socket
	poll    []unix.PollFd
	spin    time.Duration
}

func deviceOf(sockets []*xdp.Socket, spin time.Duration) tcpclient.Device {
	if len(sockets) == 1 {
		return sockets[0]
	}
	q := &queues{sockets: sockets, spin: spin}
	for _, s := range sockets {
		q.poll = append(q.poll, unix.PollFd{Fd: int32(s.FD()), Events: unix.POLLIN})
	}
	return q
}

// Receive takes from each queue its share, so that none of them starves.
func (q *queues) Receive(frames [][]byte) int {
	n, share := 0, len(frames)/len(q.sockets)
	for _, s := range q.sockets {
		n += s.Receive(frames[n : n+share])
	}
	return n
}

func (q *queues) Alloc(frames [][]byte) int { return q.sockets[0].Alloc(frames) }
func (q *queues) Send(frames [][]byte) int  { return q.sockets[0].Send(frames) }

func (q *queues) Wait(d time.Duration) {
	begin := time.Now()
	for time.Since(begin) < min(q.spin, d) {
		if n, err := unix.Poll(q.poll, 0); n > 0 && err == nil {
			return
		}
	}
	if d -= time.Since(begin); d > 0 {
		ts := unix.NsecToTimespec(int64(d))
		unix.Ppoll(q.poll, &ts, nil) //nolint:errcheck // then it ends early
	}
}

// lost sums up what the sockets have lost.
func lost(sockets []*xdp.Socket) (r Ring, err error) {
	for _, s := range sockets {
		st, e := s.Statistics()
		err = errors.Join(err, e)
		r.Dropped += st.RXDropped
		r.Full += st.RXRingFull
		r.Empty += st.FillRingEmpty
	}
	return r, err
}
