package redirect

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Injector hands connections over for one loop: one goroutine at a time may use it. Nothing in it allocates
// unless it fails. Different Injectors share only the kernel's maps.
//
// A hand-over is Begin, Inject, Established; when that says no, again Begin and Inject, after a while.
type Injector struct {
	r      *Redirector
	fd     int // AF_PACKET
	key    bpfFlow
	record bpfRecord
	send   sender
	probe  prober
}

func newInjector(r *Redirector) (*Injector, error) {
	fd, err := packetSocket(r.ifindex, r.mark)
	if err != nil {
		return nil, fmt.Errorf("open injection socket: %w", explain(err))
	}
	i := &Injector{r: r, fd: fd}
	i.probe.init(r.objects.Verify.FD(), r.ifindex)
	if _, err := i.probe.run(); err != nil {
		return nil, errors.Join(fmt.Errorf("look up a socket from this thread (is it in the interface's network namespace?): %w", err), i.close())
	}
	return i, nil
}

// packetSocket returns an AF_PACKET socket that only sends, with mark, through the interface. Never with
// PACKET_QDISC_BYPASS: that skips the egress hook, and the frames would go out on the wire.
func packetSocket(ifindex int, mark uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: receives nothing
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return -1, errors.Join(fmt.Errorf("set SO_MARK: %w", err), unix.Close(fd))
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return -1, errors.Join(fmt.Errorf("bind to interface: %w", err), unix.Close(fd))
	}
	return fd, nil
}

func (i *Injector) close() error { return unix.Close(i.fd) }

// Begin writes the record for a connection: from now on, and until a socket exists, Cancel is called or the
// lifetime ends, the segment of flow with exactly h's Seq and Ack becomes a socket of the listener, and any
// other is dropped. It must precede Inject. Calling it again is how a hand-over is tried again.
func (i *Injector) Begin(flow *wire.Flow, h *tcpstate.Handover) error {
	if err := acceptable(flow, h); err != nil {
		return err
	}
	i.key.set(flow)
	i.record.set(h, monotonic()+uint64(i.r.lifetime))
	if err := i.r.objects.Records.Update(&i.key, &i.record, ebpf.UpdateAny); err != nil {
		if errors.Is(err, unix.E2BIG) {
			return ErrFull
		}
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Inject lets the kernel receive frames as if they had come from the interface's wire, in order: those of a
// hand-over, in order from the request's first octet, and those that nobody knows, which the kernel answers
// (with RST, RFC 9293, 3.5.2). They are Ethernet frames with complete checksums, addressed to the interface.
// They are copied before it returns, and on an idle host also already processed. A frame may get lost on the
// way, silently, as on a wire.
func (i *Injector) Inject(frames [][]byte) error {
	return i.send.frames(i.fd, frames)
}

// Established reports whether the hand-over that Begin began has come to its end: the kernel has a socket for the
// flow, listeners aside, or has had one that a later segment of the client's met. Then the record is gone, and the
// connection is none of ours any more. That it may be over already matters: a second Begin and Inject would repeat the
// request. Without a Begin, after Cancel and after the lifetime it means nothing. The calling thread must be in the
// interface's network namespace.
func (i *Injector) Established(flow *wire.Flow) bool {
	i.probe.flow().set(flow)
	done, err := i.probe.run()
	return err == nil && done
}

// Cancel deletes the record. Segments of the flow are then answered as those of an unknown one.
func (i *Injector) Cancel(flow *wire.Flow) {
	i.key.set(flow)
	// The only error is that there is none: the hand-over is over in any case.
	_ = i.r.objects.Records.Delete(&i.key)
}
