package netsim

import (
	"net/netip"
	"time"
)

// Server is what is tested. Step does all that can be done at now, and returns when it wants to be called
// again although nothing is received: 0 if it does not.
type Server interface {
	Step(now int64) (next int64)
}

// ServerFunc makes a Server of a function.
type ServerFunc func(now int64) int64

// Step calls f.
func (f ServerFunc) Step(now int64) int64 { return f(now) }

// host is what both the device and the kernel belong to.
type host struct {
	net     *Net
	server  Server
	after   func() // each Step
	clients map[netip.AddrPort]*Client
	hostile hostile
	count   int
	wake    timer
	wakeAt  int64
}

// wakeDelay is how long it takes from a frame's arrival to the Step that receives it. What arrives meanwhile
// is one batch with it.
const wakeDelay = 5 * time.Microsecond

func (h *host) init(n *Net) {
	h.net = n
	h.clients = map[netip.AddrPort]*Client{}
	h.wake.net = n
	n.Device.received = func() { h.wakeIn(wakeDelay) }
}

func (h *host) register(*Client) int {
	h.count++
	return h.count
}

// HostMAC is the host's Ethernet address.
func HostMAC() [6]byte { return hostMAC }

// Serve gives the host the server under test. After each Step, after is called unless it is nil: the place to
// look at invariants.
func (n *Net) Serve(s Server, after func()) {
	n.host.server, n.host.after = s, after
	n.host.wakeIn(0)
}

// Wake makes the server step now, as when it is told something from outside.
func (n *Net) Wake() { n.host.wakeIn(0) }

// wakeIn makes the server step in d, or before.
func (h *host) wakeIn(d time.Duration) {
	at := h.net.now + int64(d)
	if h.wake.set && h.wakeAt <= at {
		return
	}
	h.wakeAt = at
	h.wake.start(d, h.step)
}

func (h *host) step() {
	if h.server == nil {
		return
	}
	next := h.server.Step(h.net.now)
	if h.after != nil {
		h.after()
	}
	if next != 0 {
		// At least a microsecond, so that time moves.
		h.wakeIn(max(time.Duration(next-h.net.now), time.Microsecond))
	}
	if len(h.net.Device.rx) > 0 {
		h.wakeIn(wakeDelay)
	}
}

// Of returns the client with that address, the last one if there were several.
func (n *Net) Of(remote netip.AddrPort) *Client { return n.host.clients[remote] }

// deliver is what XDP does with a frame from the wire: flows that the kernel has a socket for are the kernel's,
// others go to the device. A frame of a client whose address another one has by now is not noted as that one's.
func (h *host) deliver(from *Client, frame []byte) {
	h.net.note("delivered", frame)
	s, err := decode(frame)
	if err != nil { // corrupted, or with an unfinished checksum
		if s = decodePartial(frame); s == nil {
			h.net.Device.arrive(frame)
			return
		}
	}
	switch {
	case h.clients[s.src] == nil:
		h.net.Device.arrive(frame)
	case h.net.Kernel.owns(s.src):
		from.check.onArrival(s)
		h.net.Kernel.input(s)
	case h.net.Device.arrive(frame):
		from.check.onArrival(s)
	}
}

// decodePartial reads a frame whose TCP checksum is that of the pseudo-header alone.
func decodePartial(frame []byte) *segment {
	whole := append([]byte(nil), frame...)
	if !completePartial(whole) {
		return nil
	}
	s, err := decode(whole)
	if err != nil {
		return nil
	}
	return s
}

// inspect shows the client what is sent to it.
func (h *host) inspect(frame []byte, fromKernel bool) {
	h.net.note("host", frame)
	s, err := decode(frame)
	if err != nil {
		h.net.Failf("the host sends a bad frame: %v", err)
		return
	}
	c := h.clients[s.dst]
	if c == nil && h.hostile.is(s.dst) {
		return
	}
	if c == nil {
		h.net.Failf("the host sends to %v, whom nobody knows", s.dst)
		return
	}
	c.check.onHostSends(s, fromKernel)
}

// forward puts a frame of the host's on the wire.
func (h *host) forward(frame []byte) {
	if s, err := decode(frame); err == nil {
		if c := h.clients[s.dst]; c != nil {
			c.down.send(frame)
		} else if h.hostile.is(s.dst) {
			h.hostile.received(frame)
		}
	}
}
