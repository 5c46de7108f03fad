package netsim

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Kernel stands for the host's own TCP and for the two programs of package redirect: a record that Begin has
// written makes a socket out of the injected segment that fits it. Behind the sockets is a small web server.
//
// It ends the run when a hand-over breaks a rule: octets of ours in flight, other options than the client
// has, injected octets that are not the client's, a window that the kernel would not have given.
type Kernel struct {
	// BeginErrors is how many calls of Begin fail from now on. AcceptFull is how many segments that would make
	// a socket are dropped, as with a full accept queue; negative: all of them.
	BeginErrors, AcceptFull int
	// NoListener is a host without a web server: what would be accepted is reset.
	NoListener bool
	// Answer makes the response to a request; close says that the connection ends with it. By default it
	// is DefaultAnswer.
	Answer func(r *http.Request, body []byte) (response []byte, close bool)

	net     *Net
	records map[netip.AddrPort]tcpstate.Handover
	sockets map[netip.AddrPort]*socket
	stats   KernelStats
}

// KernelStats are a kernel's totals.
type KernelStats struct {
	Begun, Cancelled, Injected int
	Taken                      int // connections that were handed over
	Accepted                   int // connections that began with a SYN
	Full                       int // segments dropped because of AcceptFull
	Strays                     int // segments beside the record's number: dropped
	Unknown                    int // segments of no flow: answered by RST
}

func newKernel(n *Net) *Kernel {
	return &Kernel{
		net: n, Answer: DefaultAnswer,
		records: map[netip.AddrPort]tcpstate.Handover{}, sockets: map[netip.AddrPort]*socket{},
	}
}

// ErrBegin is what Begin returns as long as BeginErrors says so.
var ErrBegin = errors.New("netsim: no record could be written")

func remoteOf(flow *wire.Flow) netip.AddrPort {
	return netip.AddrPortFrom(flow.Remote.Netip(), flow.RemotePort)
}

// Begin writes the record of flow.
func (k *Kernel) Begin(flow *wire.Flow, h *tcpstate.Handover) error {
	if k.BeginErrors > 0 {
		k.BeginErrors--
		return ErrBegin
	}
	k.stats.Begun++
	remote := remoteOf(flow)
	c := k.net.host.clients[remote]
	switch {
	case c == nil && k.net.host.hostile.is(remote):
		k.records[remote] = *h
		return nil
	case c == nil:
		k.net.Failf("Begin for %v, whom nobody knows", flow)
		return nil
	case k.sockets[remote] != nil:
		k.net.Failf("%s: Begin although the kernel has a socket", c.name)
	}
	c.check.onHandover(h)
	k.records[remote] = *h
	return nil
}

// Inject gives frames to the kernel as if they had been received.
func (k *Kernel) Inject(frames [][]byte) error {
	for _, frame := range frames {
		k.stats.Injected++
		frame = append([]byte(nil), frame...)
		k.net.note("injected", frame)
		s, err := decode(frame)
		if err != nil && k.net.host.hostile.prefix.IsValid() {
			continue // an error message about a segment that was never sent
		}
		if err != nil {
			k.net.Failf("a bad frame is injected: %v", err)
			return nil
		}
		c := k.net.host.clients[s.src]
		if c == nil && k.net.host.hostile.is(s.src) {
			k.injectHostile(s)
			continue
		}
		if c == nil {
			k.net.Failf("a frame of %v is injected, whom nobody knows", s.src)
			return nil
		}
		c.check.onInjected(s)
		k.input(s)
	}
	return nil
}

// Established reports whether the kernel has a socket for flow, or no record of it: as redirect's, which takes a record
// that is gone for a hand-over that has come to its end.
func (k *Kernel) Established(flow *wire.Flow) bool {
	remote := remoteOf(flow)
	if _, begun := k.records[remote]; begun && k.sockets[remote] == nil {
		return false
	}
	delete(k.records, remote)
	return true
}

// Cancel deletes the record of flow.
func (k *Kernel) Cancel(flow *wire.Flow) {
	k.stats.Cancelled++
	delete(k.records, remoteOf(flow))
}

// Stats returns the kernel's totals.
func (k *Kernel) Stats() KernelStats { return k.stats }

// Records is how many records there are.
func (k *Kernel) Records() int { return len(k.records) }

// Requests returns what the kernel's server has received from c, in order.
func (k *Kernel) Requests(c *Client) []Request {
	if s := k.sockets[c.local]; s != nil {
		return s.requests
	}
	return nil
}

// Owns reports whether the kernel has a socket for c.
func (k *Kernel) Owns(c *Client) bool { return k.owns(c.local) }

func (k *Kernel) owns(remote netip.AddrPort) bool { return k.sockets[remote] != nil }

// input takes a segment in that was injected, or that XDP has passed.
func (k *Kernel) input(s *segment) {
	if sock := k.sockets[s.src]; sock != nil {
		delete(k.records, s.src) // at the first sight of the socket
		sock.take(s)
		return
	}
	h, begun := k.records[s.src]
	switch {
	case s.rst:
	case k.NoListener:
		k.stats.Unknown++
		k.reset(s)
	case s.syn && !s.isACK:
		k.listen(s)
	case !begun:
		k.stats.Unknown++
		k.reset(s)
	case !s.isACK || s.syn:
	case s.seq != uint32(h.Seq) || s.ack != uint32(h.Ack): // as redirect's assign: a stale ACK would build a wrong socket
		k.stats.Strays++
	case k.AcceptFull != 0:
		k.AcceptFull--
		k.stats.Full++
	default:
		k.stats.Taken++
		k.assign(s, &h)
	}
}

// reset answers a segment of no connection (RFC 9293, 3.10.7.1).
func (k *Kernel) reset(s *segment) {
	r := newSegment(s.dst, s.src)
	r.srcMAC, r.dstMAC = hostMAC, clientMAC
	r.rst, r.seq = true, s.ack
	if !s.isACK {
		r.seq, r.isACK, r.ack = 0, true, s.seq+1
	}
	k.output(r)
}

func (k *Kernel) output(s *segment) {
	frame := s.encode()
	k.net.host.inspect(frame, true)
	k.net.host.forward(frame)
}

// onHandover checks what another TCP is told about the connection.
func (v *inspector) onHandover(h *tcpstate.Handover) {
	c := v.c
	ack, seq := offset(uint32(h.Ack), c.irs, c.rcvNxt), offset(uint32(h.Seq), c.iss, v.arrived.end())
	scaled := c.cfg.shift() >= 0 && v.offersScale
	now := uint32(c.net.now/1e6) + h.TSOffset
	switch {
	case v.finAt >= 0:
		v.failf("hands over behind its FIN")
	case ack != int64(len(v.stream)) || ack > c.rcvNxt:
		v.failf("hands over at %d of its stream, %d were sent, %d have arrived", ack, len(v.stream), c.rcvNxt)
	case seq > v.arrived.end():
		v.failf("hands over at %d of the client's stream, %d have arrived", seq, v.arrived.end())
	case int(h.MSS) > c.cfg.maxSegment() || h.MSS < 536 || c.cfg.IPv6 && h.MSS < 1220:
		v.failf("hands over with MSS %d, %d was offered", h.MSS, c.cfg.maxSegment())
	case h.WScaleOK != scaled || scaled && (int(h.SndWScale) != c.cfg.shift() || h.RcvWScale != v.scale):
		v.failf("hands over with window scales %+v: offered %d, answered %d", *h, c.cfg.shift(), v.scale)
	case h.SACKOK != c.sackOK || h.TimestampsOK != c.tsOK:
		v.failf("hands over with options %+v", *h)
	case h.TimestampsOK && (int32(now-v.val) < 0 || int32(h.TSRecent-v.tsFirst) < 0 || int32(v.tsLast-h.TSRecent) < 0):
		v.failf("hands over with timestamps %d and %d, last sent %d, arrived %d", now, h.TSRecent, v.val, v.tsLast)
	}
}

// onInjected checks that what is given to the kernel is what the client has sent.
func (v *inspector) onInjected(s *segment) {
	c := v.c
	if s.srcMAC != clientMAC || s.dstMAC != hostMAC || s.dst != c.remote {
		v.failf("injects a frame from %x to %x, %v", s.srcMAC, s.dstMAC, s.dst)
	}
	if s.syn || len(s.payload) == 0 || v.forged {
		return
	}
	off := offset(s.seq, c.iss, v.arrived.end())
	end := off + int64(len(s.payload))
	if off < 0 || !v.arrived.covers(off, end) || string(c.out[off:end]) != string(s.payload) {
		v.failf("injects octets %d to %d, which are not what arrived", off, end)
	}
}
