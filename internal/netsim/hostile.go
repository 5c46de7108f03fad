package netsim

import "net/netip"

// hostile is who keeps no rule: stations of a prefix, of which nothing is expected, and whom the host may tell anything
// that is a well-formed segment.
type hostile struct {
	prefix   netip.Prefix
	received func(frame []byte)
	handed   map[netip.AddrPort]bool // connections that the kernel has got
}

// Hostile lets the stations of prefix, which has no Client, send what they like with Throw. What the host sends to
// them is given to received. Connections of theirs that are handed over end there: their segments go nowhere.
func (n *Net) Hostile(prefix netip.Prefix, received func(frame []byte)) {
	n.host.hostile = hostile{prefix, received, map[netip.AddrPort]bool{}}
}

// Throw gives the host a frame from the wire, whatever it is, past all links, as XDP would: not if the kernel has a
// socket for its flow. frame must not change afterwards.
func (n *Net) Throw(frame []byte) {
	if s, err := decode(frame); err == nil && (n.Kernel.owns(s.src) || n.host.hostile.handed[s.src]) {
		return
	}
	n.note("thrown", frame)
	n.Device.arrive(frame)
}

func (h *hostile) is(a netip.AddrPort) bool { return h.prefix.IsValid() && h.prefix.Contains(a.Addr()) }

// inject is Kernel.Inject for a hostile station's frame.
func (k *Kernel) injectHostile(s *segment) {
	h, begun := k.records[s.src]
	switch {
	case k.net.host.hostile.handed[s.src]:
		delete(k.records, s.src)
	case begun && s.seq == uint32(h.Seq) && s.ack == uint32(h.Ack) && k.AcceptFull == 0:
		k.net.host.hostile.handed[s.src] = true
		delete(k.records, s.src)
		k.stats.Taken++
	case !begun && !s.rst:
		k.stats.Unknown++
		k.reset(s)
	}
}

// Forged says that others send in the name of c: what is given to the kernel need not be its own octets.
func (c *Client) Forged() { c.check.forged = true }

// Numbers returns where the client stands: its address, the sequence number behind all that it was given to send, and
// the one that it expects next.
func (c *Client) Numbers() (local netip.AddrPort, seq, ack uint32) {
	return c.local, c.iss + 1 + uint32(len(c.out)), c.irs + 1 + uint32(c.rcvNxt)
}
