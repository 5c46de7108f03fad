package flood

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// behaviour is how a client that has completed the handshake goes on.
type behaviour struct {
	whole  bool // the request is whole
	buffer int  // octets for received data
	slow   bool // takes them out of there at ReadRate, not at once
}

var behaviours = map[Kind]behaviour{
	HalfOpen:   {buffer: 64000},
	ZeroWindow: {whole: true},
	TinyWindow: {whole: true, buffer: 1},
	SlowReader: {whole: true, buffer: 2920, slow: true},
	Idle:       {whole: true, buffer: 64000},
}

// client is a hostile client's TCP, as far as it has one.
type client struct {
	state    state
	life     uint32 // how many connections it had before: they differ in their ports
	flow     wire.Flow
	seq, ack wire.Seq
	full     int       // octets in its buffer
	since    time.Time // of its last act
}

type state uint8

const (
	absent state = iota
	asked        // its SYN is sent
	there
)

const (
	firstPort = 1024
	numPorts  = 60000
	patience  = time.Second // before the SYN is sent again
	tick      = 10 * time.Millisecond
)

// crowd is all clients of a run.
type crowd struct {
	*run
	behaviour
	all    []client
	fd     int
	buf    []byte
	pkt    wire.Packet
	asked  uint64 // SYNs for new connections
	cursor int    // whose turn it is
}

// clients keeps hostile clients connected until ctx ends.
func (r *run) clients(ctx context.Context, ifindex int, b behaviour) error {
	fd, err := impair.Open(ifindex)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	c := &crowd{run: r, behaviour: b, all: make([]client, r.cfg.Clients), fd: fd, buf: make([]byte, 1<<17)}
	for next := time.Now(); ctx.Err() == nil; {
		c.receive()
		if now := time.Now(); !now.Before(next) {
			next = now.Add(tick)
			c.turns(now)
		}
		c.out.flush()
		if err := pause(fd); err != nil {
			return err
		}
	}
	return nil
}

// pause waits until something was received, or for the next tick.
func pause(fd int) error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(tick/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// receive answers what has come.
func (c *crowd) receive() {
	for range 16 * batch {
		n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
		if err != nil {
			return // nothing there; what else it could be, poll says
		}
		if wire.Parse(c.buf[:n], &c.pkt) == wire.OK {
			c.onPacket()
		}
	}
}

// onPacket finds the client that the packet is for. In a packet's flow, Local is its receiver.
func (c *crowd) onPacket() {
	f := &c.pkt.Flow
	if !c.cfg.Sources.Contains(f.Local.Netip()) {
		return // some other traffic of this machine
	}
	k := int(number(c.cfg.Sources, &f.Local))*c.cfg.PerSource + int(f.LocalPort-firstPort)%c.cfg.PerSource
	if k < 0 || k >= len(c.all) {
		return
	}
	cl := &c.all[k]
	if cl.state != absent && cl.flow.Remote == f.Local && cl.flow.RemotePort == f.LocalPort {
		c.onSegment(cl, &c.pkt.Segment)
	}
}

// number is the inverse of nth.
func number(p netip.Prefix, a *wire.Addr) uint32 {
	first := nth(p, 0).As16()
	return binary.BigEndian.Uint32(a[12:]) - binary.BigEndian.Uint32(first[12:])
}

// turns lets clients act that act without being spoken to: those who come, whose SYN was lost, or who read slowly.
func (c *crowd) turns(now time.Time) {
	for range c.all {
		c.cursor = (c.cursor + 1) % len(c.all)
		cl := &c.all[c.cursor]
		switch {
		case cl.state == absent:
			if c.due(c.asked, 1) == 1 {
				c.connect(c.cursor, now)
			}
		case cl.state == asked && now.Sub(cl.since) > patience:
			c.say(cl, wire.SYN, nil)
			cl.since = now
		case cl.state == there && c.slow && cl.full > 0 && now.Sub(cl.since) > time.Second:
			cl.full = max(0, cl.full-c.cfg.ReadRate)
			cl.since = now
			c.say(cl, wire.ACK, nil)
		}
	}
}

// connect sends the SYN of client k's next connection.
func (c *crowd) connect(k int, now time.Time) {
	cl := &c.all[k]
	step := uint32(k%c.cfg.PerSource) + cl.life*uint32(c.cfg.PerSource)
	// A whole number of rounds, so that the port says whose it is.
	ports := uint32(numPorts / c.cfg.PerSource * c.cfg.PerSource)
	*cl = client{
		state: asked, life: cl.life + 1, since: now, seq: wire.Seq(c.rnd.Uint32()),
		flow: c.flow(uint64(k/c.cfg.PerSource), uint16(firstPort+step%ports)),
	}
	c.asked++
	c.say(cl, wire.SYN, nil)
}

// onSegment is what a hostile client does with what it gets.
func (c *crowd) onSegment(cl *client, seg *wire.Segment) {
	switch {
	case seg.Flags.Has(wire.RST):
		if cl.state == there {
			c.rep.Reset++
		}
		cl.state = absent
	case seg.Flags.Has(wire.SYN):
		if cl.state == asked {
			cl.state = there
			cl.since = time.Now()
			cl.seq, cl.ack = cl.seq.Add(1), seg.Seq.Add(1)
			c.rep.Opened++
			c.ask(cl)
		}
	case cl.state == there && (seg.Len() > 0 || seg.Seq != cl.ack): // data, or a probe of a window or of a silent client
		c.take(cl, seg)
	}
}

// ask sends the request, or a part of it.
func (c *crowd) ask(cl *client) {
	request := c.request()
	if !c.whole {
		request = request[:len(request)-4]
	}
	c.say(cl, wire.ACK|wire.PSH, request)
	cl.seq = cl.seq.Add(uint32(len(request)))
}

// take acknowledges of seg what fits the buffer.
func (c *crowd) take(cl *client, seg *wire.Segment) {
	if seg.Seq == cl.ack {
		n := min(len(seg.Payload), c.buffer-cl.full)
		cl.ack = cl.ack.Add(uint32(n))
		c.rep.Data += uint64(n)
		if c.slow {
			cl.full += n
		}
		if n == len(seg.Payload) && seg.Flags.Has(wire.FIN) {
			cl.ack = cl.ack.Add(1)
			c.rep.Closed++
			defer func() { cl.state = absent }() // without a FIN: the server shall wait for it
		}
	}
	c.say(cl, wire.ACK, nil)
}

// say sends a segment of cl. There are no options: the windows are as they stand.
func (c *crowd) say(cl *client, flags wire.Flags, payload []byte) {
	h := wire.Header{
		Src: c.mac, Dst: c.cfg.ServerMAC, Flow: &cl.flow, Inbound: true,
		Seq: cl.seq, Flags: flags, Wnd: uint16(c.buffer - cl.full),
	}
	if flags.Has(wire.SYN) {
		h.Options = &wire.Options{HasMSS: true, MSS: 1460}
	} else {
		h.Ack = cl.ack
	}
	c.out.put(&h, payload)
}
