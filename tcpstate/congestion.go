package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Control names an algorithm of congestion control.
type Control uint8

const (
	// NewReno is RFC 5681 with RFC 3465's counting of octets.
	NewReno Control = iota
	// CUBIC is RFC 9438, with HyStart++ (RFC 9406).
	CUBIC
	// BBR is the algorithm of Linux's tcp_bbr (draft-cardwell-iccrg-bbr-congestion-control-00).
	BBR
	// BBR3 is draft-ietf-ccwg-bbr.
	BBR3
	// NumControls is the number of algorithms.
	NumControls
)

// controlNames are those that Linux uses in net.ipv4.tcp_congestion_control; it has no bbr3.
var controlNames = [NumControls]string{"reno", "cubic", "bbr", "bbr3"}

// String returns the name that Linux uses, where it has the algorithm.
func (k Control) String() string { return controlNames[k] }

// ParseControl returns the algorithm of that name, or false.
func ParseControl(name string) (Control, bool) {
	for k, n := range controlNames {
		if n == name {
			return Control(k), true
		}
	}
	return 0, false
}

// controller decides how much may be in flight and how fast it goes out. It is told what happened and
// changes the window; it knows nothing of sequence numbers.
type controller interface {
	// begin is called when something is to be sent again after everything was acknowledged, or for the
	// first time; m is what keep left. random is any number.
	begin(w *window, m *memory, us uint32, random uint32)
	// onAck takes in an acknowledgment that brought progress, or told of losses.
	onAck(w *window, e *ackEvent)
	// onCongestion is called once for each recovery, or other sign of congestion: it sets ssthresh, for PRR.
	onCongestion(w *window)
	// onTimeout is called for an expiry of the retransmission timer; again says that it is one more for the
	// same octets. cwnd is then set to one segment by the caller.
	onTimeout(w *window, again bool)
	// onRecovered is called when all that was lost has arrived.
	onRecovered(w *window)
	// onUndo is called when congestion turned out to be none, after cwnd and ssthresh were put back.
	onUndo(w *window)
	// keep leaves in m what the next begin shall know.
	keep(w *window, m *memory)
}

// controllers is the state of the algorithm in use, for each flight of a Stack, by its index: an algorithm that is not used takes
// no memory.
type controllers struct {
	reno  []newReno
	cubic []cubic
	bbr   []bbr
	bbr3  []bbr3
}

func newControllers(control Control, n int) (all controllers) {
	switch control {
	case CUBIC:
		all.cubic = make([]cubic, n)
	case BBR:
		all.bbr = make([]bbr, n)
	case BBR3:
		all.bbr3 = make([]bbr3, n)
	default:
		all.reno = make([]newReno, n)
	}
	return all
}

// controller returns that of c, which has a flight.
func (st *Stack) controller(c *Conn) controller {
	switch st.control {
	case CUBIC:
		return &st.controllers.cubic[c.flight]
	case BBR:
		return &st.controllers.bbr[c.flight]
	case BBR3:
		return &st.controllers.bbr3[c.flight]
	}
	return &st.controllers.reno[c.flight]
}

// window is what a controller decides.
type window struct {
	cwnd     uint32 // octets
	ssthresh uint32 // octets
	mss      uint32 // octets of payload of a full segment
	srtt     uint32 // µs, 0: not known
	rate     uint64 // of pacing, octets a second; 0: no pacing
	// steers says that the controller sets cwnd in recoveries itself; otherwise PRR does.
	steers bool
}

// memory is what is known of a path while nothing is in flight.
type memory struct {
	cwnd, ssthresh uint32
	peak           uint32 // CUBIC: W_max, BBR3: inflight_longterm, octets; 0: none
	minRTT         uint32 // BBR: µs, 0: none
	minRTTAt       uint32 // µs
	full           bool   // BBR: the path has been filled once
	idle           bool   // for longer than the retransmission time-out nothing was sent
	bw             uint64 // BBR: octets a second
}

const maxCwnd = 1 << 30

// initialWindow is RFC 6928, 2.
func initialWindow(mss uint32) uint32 { return min(10*mss, max(2*mss, 14600)) }

func (m *memory) init(mss uint32) { *m = memory{cwnd: initialWindow(mss), ssthresh: maxCwnd} }

// restart is RFC 5681, 4.1: after an idle time longer than the retransmission time-out, not more than the
// initial window.
func (w *window) restart(m *memory) {
	if m.idle {
		w.cwnd = min(w.cwnd, initialWindow(w.mss))
	}
	w.pace(0)
}

// slowStart grows cwnd by what was acknowledged (RFC 5681, 3.1; RFC 3465, 2.2 and 2.3): at most most segments
// for an acknowledgment.
func (w *window) slowStart(e *ackEvent, most, divisor uint32) {
	limit := most * w.mss
	if e.mode == modeLoss {
		limit = w.mss
	}
	w.cwnd = min(w.cwnd+min(e.credit, limit)/divisor, maxCwnd)
}

// usage says whether the window is filled: one that is not proves nothing about the path (RFC 7661, 3). As in Linux's
// tcp_cwnd_validate, what counts is the most that was in the network during a window: acknowledgments that come faster
// than pacing lets octets go do not make it less.
type usage struct {
	most    uint32   // in the network, octets
	end     wire.Seq // it is about what was sent before this
	limited bool     // the window held something back
	valid   bool
}

// sent takes in that octets were sent up to nxt, so that pipe of them are in the network.
func (u *usage) sent(w *window, pipe uint32, una, nxt wire.Seq) {
	limited := pipe+w.mss > w.cwnd
	if !u.valid || limited || u.end.LessEq(una) || !u.limited && pipe > u.most {
		*u = usage{most: pipe, end: nxt, limited: limited, valid: true}
	}
}

// filled reports whether the window may grow.
func (u *usage) filled(w *window) bool {
	if w.cwnd < w.ssthresh {
		return w.cwnd < 2*u.most
	}
	return u.limited
}

// pace spreads a window over a round trip, with a little more than the rate, as Linux's tcp_update_pacing_rate does.
// While the window doubles, it goes in a tenth of a round trip: in half of one, a 1 MB object over 20 ms took half as long
// again as from a sender that does not pace at all.
func (w *window) pace(flight uint32) {
	if w.srtt == 0 {
		return
	}
	percent := uint64(120)
	if w.cwnd < w.ssthresh {
		percent = 1000
	}
	w.rate = uint64(max(w.cwnd, flight)) * percent * 1e4 / uint64(w.srtt)
}
