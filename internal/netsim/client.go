package netsim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// ClientConfig says what a client is like. The zero value offers no option at all and behaves well.
type ClientConfig struct {
	Policy
	// Up leads from the client to the host, Down back.
	Up, Down Link
	IPv6     bool
	// MSS, Scale, SACK and Timestamps are what the SYN offers. MSS 0: nothing; Scale 0: nothing, or else
	// the shift that is offered, from 1 to 14, or Unscaled for a shift of 0.
	MSS, Scale       int
	SACK, Timestamps bool
	// NoHandshakeACK leaves the handshake to be completed by the first octets.
	NoHandshakeACK bool
	// Reuse is an earlier client whose address and port this one has. Its SYN carries ISSAhead (default 64,000)
	// more than the last sequence number of the other, and timestamps that go on from there.
	Reuse    *Client
	ISSAhead int
	// PartialChecksums leaves checksums unfinished as a veth peer's stack does (CHECKSUM_PARTIAL).
	PartialChecksums bool
}

// Unscaled offers window scaling with a shift of 0.
const Unscaled = -1

func (c *ClientConfig) shift() int {
	switch c.Scale {
	case 0:
		return -1
	case Unscaled:
		return 0
	}
	return c.Scale
}

// maxSegment is the largest segment that the host may send: what was offered or the default of RFC 9293, 3.7.1.
func (c *ClientConfig) maxSegment() int {
	switch {
	case c.MSS > 0:
		return c.MSS
	case c.IPv6:
		return 1220
	}
	return 536
}

// Client is one TCP connection of a client to port 80 of the host.
type Client struct {
	*endpoint
	cfg      ClientConfig
	up, down *link
	state    clientState
	syn      timer
	tries    int
	next     *Client // who has the address now
	check    inspector
}

type clientState uint8

const (
	connecting clientState = iota
	established
)

var (
	hostMAC   = [6]byte{2, 0, 0, 0, 0, 1}
	clientMAC = [6]byte{2, 0, 0, 0, 0, 2}
	host4     = netip.MustParseAddr("192.0.2.1")
	host6     = netip.MustParseAddr("2001:db8::1")
)

// Dial begins a connection. What is sent before it is established goes out then.
func (n *Net) Dial(cfg ClientConfig) *Client {
	c := &Client{endpoint: &endpoint{pol: cfg.Policy}, cfg: cfg}
	c.init(n)
	c.pol.setDefaults(cfg.Scale != 0)
	number := n.host.register(c)
	c.name = fmt.Sprintf("client %d", number)
	c.localMAC, c.remoteMAC = clientMAC, hostMAC
	if cfg.IPv6 {
		c.remote = netip.AddrPortFrom(host6, 80)
		c.local = netip.AddrPortFrom(numbered("2001:db8:1::", number), uint16(30000+number%30000))
	} else {
		c.remote = netip.AddrPortFrom(host4, 80)
		c.local = netip.AddrPortFrom(numbered("198.18.0.0", number), uint16(30000+number%30000))
	}
	c.iss, c.tsOffset = n.Rand.Uint32(), n.Rand.Uint32()
	if old := cfg.Reuse; old != nil {
		c.reuse(old)
	}
	n.host.clients[c.local] = c
	c.up = newLink(n, "up", cfg.Up, func(frame []byte) { n.host.deliver(c, frame) })
	c.down = newLink(n, "down", cfg.Down, c.receive)
	c.emit = c.transmit
	c.changed = func() {}
	c.mss = 1460 // the host's, until its SYN/ACK says so
	c.held = true
	c.check.init(c)
	c.sendSYN()
	return c
}

// reuse takes the address of old, which ends.
func (c *Client) reuse(old *Client) {
	ahead := c.cfg.ISSAhead
	if ahead == 0 {
		ahead = 64000
	}
	old.syn.stop()
	old.stop()
	old.next = c
	c.local, c.tsOffset = old.local, old.tsOffset
	c.iss = old.iss + uint32(old.end()) + uint32(ahead)
}

// numbered is the address n behind base.
func numbered(base string, n int) netip.Addr {
	a := netip.MustParseAddr(base).AsSlice()
	low := a[len(a)-2:]
	binary.BigEndian.PutUint16(low, uint16(n))
	out, _ := netip.AddrFromSlice(a)
	return out
}

func (c *Client) sendSYN() {
	s := newSegment(c.local, c.remote)
	s.srcMAC, s.dstMAC = c.localMAC, c.remoteMAC
	s.syn, s.seq = true, c.iss
	s.wnd = uint16(min(c.pol.Buffer, 0xffff))
	if c.cfg.MSS > 0 {
		s.mss = c.cfg.MSS
	}
	s.wscale, s.sackOK = c.cfg.shift(), c.cfg.SACK
	if c.cfg.Timestamps {
		s.ts, s.val = true, c.clock()
	}
	c.transmit(s)
	c.syn.net = c.net
	c.syn.start(time.Second<<min(c.tries, 4), c.sendSYN)
	c.tries++
}

// transmit gives s to the link.
func (c *Client) transmit(s *segment) {
	c.check.onClientSends(s)
	frame := s.encode()
	if c.cfg.PartialChecksums {
		s.leavePartial(frame)
	}
	c.net.note("client", frame)
	c.up.send(frame)
}

// receive takes a frame from the link.
func (c *Client) receive(frame []byte) {
	c.net.note("arrives", frame)
	s, err := decode(frame)
	if err != nil {
		c.net.Failf("%s: %v", c.name, err)
		return
	}
	switch {
	case c.next != nil:
		c.next.receive(frame)
	case c.state == connecting:
		c.onSYNACK(s)
	case c.gone && s.isACK && !s.rst: // RFC 9293, 3.10.7.1
		c.refuse(s)
	default:
		c.input(s)
	}
}

// refuse answers a segment that acknowledges what this connection has never sent.
func (c *Client) refuse(s *segment) {
	r := newSegment(c.local, c.remote)
	r.srcMAC, r.dstMAC = c.localMAC, c.remoteMAC
	r.rst, r.seq = true, s.ack
	c.transmit(r)
}

// onSYNACK is RFC 9293, 3.10.7.3.
func (c *Client) onSYNACK(s *segment) {
	switch {
	case c.gone:
		return
	case s.rst && s.isACK && s.ack == c.iss+1:
		c.syn.stop()
		c.stop()
		return
	case s.isACK && !s.rst && s.ack != c.iss+1: // of an earlier connection
		c.refuse(s)
		return
	case !s.syn || !s.isACK || s.rst:
		return
	}
	c.syn.stop()
	c.state = established
	c.irs = s.seq
	c.mss = 536
	if c.cfg.IPv6 {
		c.mss = 1220
	}
	if s.mss >= 0 {
		c.mss = s.mss
	}
	if c.cfg.shift() >= 0 && s.wscale >= 0 {
		c.sndShift, c.rcvShift = uint8(s.wscale), uint8(c.cfg.shift())
	}
	c.sackOK = c.cfg.SACK && s.sackOK
	c.tsOK = c.cfg.Timestamps && s.ts
	c.tsRecent = s.val
	c.edge = int64(s.wnd) // RFC 7323, 2.2: never scaled here
	c.wndEdge = min(int64(c.pol.Buffer), 0xffff)
	if c.pol.ReadEvery > 0 {
		c.readSlowly()
	}
	if !c.cfg.NoHandshakeACK || len(c.out) == 0 && !c.closing {
		c.acknowledge()
	}
	c.held = false
	c.push()
}

// Connected reports whether the handshake is complete.
func (c *Client) Connected() bool { return c.state == established }

// Received returns the octets that were received in order so far.
func (c *Client) Received() []byte { return c.in[:min(c.rcvNxt, int64(len(c.in)))] }

// Acked returns how many octets of what was sent are acknowledged.
func (c *Client) Acked() int { return int(min(c.una, int64(len(c.out)))) }

// Sent returns how many octets of its stream the host has sent, each counted once.
func (c *Client) Sent() int { return len(c.check.stream) }

// Reused reports whether an earlier client had the same address.
func (c *Client) Reused() bool { return c.cfg.Reuse != nil }

// PeerClosed reports whether the host's FIN was received, and all before it.
func (c *Client) PeerClosed() bool { return c.peerFIN >= 0 && c.rcvNxt > c.peerFIN }

// WasReset reports whether the host has reset the connection, or the client has.
func (c *Client) WasReset() bool { return c.gone }

// Over reports whether the connection has ended on both sides.
func (c *Client) Over() bool { return c.over() }

// Sight returns what was seen of the host's segments to this client.
func (c *Client) Sight() Sight { return c.check.seen }

// Links returns the totals of both links.
func (c *Client) Links() (up, down LinkStats) { return c.up.stats, c.down.stats }
