package redirect

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// The least MSS that the kernel takes over (bpf_sk_assign_tcp_reqsk in net/core/filter.c): RFC 9293, 3.7.1's
// default for IPv4, IPv6's least MTU without its headers.
const (
	MinMSS4 = 536
	MinMSS6 = 1220
)

// maxWScale is the largest shift (RFC 7323, 2.3).
const maxWScale = 14

// What Begin refuses. None of it gets better by trying again, except ErrFull.
var (
	ErrMSS    = errors.New("hand-over: the peer's MSS is below what the kernel takes over (536, or 1220 for IPv6)")
	ErrWScale = errors.New("hand-over: window scale above 14")
	ErrFull   = errors.New("hand-over: too many under way (Config.Records)")
)

// acceptable says beforehand what the kernel would refuse when the packet is already on its way.
func acceptable(flow *wire.Flow, h *tcpstate.Handover) error {
	least := uint16(MinMSS6)
	if flow.Is4() {
		least = MinMSS4
	}
	if h.MSS < least {
		return ErrMSS
	}
	if h.WScaleOK && (h.RcvWScale > maxWScale || h.SndWScale > maxWScale) {
		return ErrWScale
	}
	return nil
}

func (f *bpfFlow) set(flow *wire.Flow) {
	f.Local.Octets, f.Remote.Octets = flow.Local, flow.Remote
	f.LocalPortBe, f.RemotePortBe = portBE(flow.LocalPort), portBE(flow.RemotePort)
}

func (r *bpfRecord) set(h *tcpstate.Handover, expires uint64) {
	*r = bpfRecord{
		Expires:   expires,
		Seq:       uint32(h.Seq),
		Ack:       uint32(h.Ack),
		TsOffset:  h.TSOffset,
		TsRecent:  h.TSRecent,
		Mss:       h.MSS,
		RcvWscale: h.RcvWScale,
		SndWscale: h.SndWScale,
		WscaleOk:  octet(h.WScaleOK),
		SackOk:    octet(h.SACKOK),
		TstampOk:  octet(h.TimestampsOK),
		EcnOk:     octet(h.ECNOK),
	}
}

func octet(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// monotonic returns the clock that the programs read with bpf_ktime_get_ns.
func monotonic() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("CLOCK_MONOTONIC: " + err.Error()) // no Linux is without it
	}
	return uint64(t.Nano())
}
