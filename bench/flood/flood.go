package flood

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/xdp"
)

// Kind names a flood.
type Kind string

// Floods of single segments, each from a random address and port. Nothing answers the replies.
const (
	SYN   Kind = "syn"
	ACK   Kind = "ack"   // bare, of no connection
	RST   Kind = "rst"   // of no connection
	Data  Kind = "data"  // a whole request in a segment of no connection
	Reuse Kind = "reuse" // SYNs of the same few flows, again and again
)

// Clients that complete the handshake. Each comes back with another port when the server ends its connection, and none
// says goodbye when the flood ends.
const (
	HalfOpen   Kind = "half-open"   // sends a part of a request, and stays
	ZeroWindow Kind = "zero-window" // asks, and takes nothing ("sockstress")
	TinyWindow Kind = "tiny-window" // asks, and takes an octet at a time
	SlowReader Kind = "slow-reader" // asks, and reads slowly
	Idle       Kind = "idle"        // asks, takes the answer, and stays
)

// Kinds are all of them.
var Kinds = []Kind{SYN, ACK, RST, Data, Reuse, HalfOpen, ZeroWindow, TinyWindow, SlowReader, Idle}

// Config says what Run does.
type Config struct {
	Kind      Kind
	Interface string         // in the network namespace of the calling thread; Ethernet
	ServerMAC wire.MAC       // where the frames go
	Server    netip.AddrPort // of the same family as Sources
	Sources   netip.Prefix   // where the frames claim to come from
	Path      string         // what clients ask for. Default "/"
	Rate      int            // segments in a second, or new connections; 0: as many as can be
	Clients   int            // how many at once. Default 1,000
	PerSource int            // clients of one address, at consecutive ports. Default 1
	ReadRate  int            // of a slow reader, octets in a second. Default 100
	Seed      uint64
}

// Report is what was done. What came back is what the interface received meanwhile, from whomever.
type Report struct {
	Kind           Kind    `json:"kind"`
	Seconds        float64 `json:"seconds"`
	Sent           uint64  `json:"sent_packets"`
	SentOctets     uint64  `json:"sent_octets"`  // of frames, without preamble and FCS
	Lost           uint64  `json:"lost_packets"` // sent by the interface, by whomever, and dropped before the other end saw it
	Received       uint64  `json:"received_packets"`
	ReceivedOctets uint64  `json:"received_octets"`
	Opened         uint64  `json:"opened,omitempty"` // connections whose handshake was completed
	Reset          uint64  `json:"reset,omitempty"`  // of these, ended by the server with RST
	Closed         uint64  `json:"closed,omitempty"` // of these, ended by the server with FIN
	Data           uint64  `json:"data_octets,omitempty"`
}

// run is one flood under way.
type run struct {
	cfg   Config
	mac   wire.MAC
	out   sender
	rnd   *rand.Rand
	start time.Time
	rep   Report
}

// Run floods until ctx ends, in the network namespace of the calling goroutine's thread.
func Run(ctx context.Context, cfg Config) (Report, error) {
	r := &run{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 1)), rep: Report{Kind: cfg.Kind}}
	if err := r.prepare(); err != nil {
		return r.rep, err
	}
	iface, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return r.rep, fmt.Errorf("look up interface %q: %w", cfg.Interface, err)
	}
	copy(r.mac[:], iface.HardwareAddr)
	socket, err := xdp.OpenSocket(xdp.SocketConfig{Interface: cfg.Interface, Spin: -1})
	if err != nil {
		return r.rep, err
	}
	defer socket.Close() //nolint:errcheck // what was sent is sent
	r.out.socket = socket
	before, err := statistics(iface.Index)
	if err != nil {
		return r.rep, err
	}
	r.start = time.Now()
	if b, ok := behaviours[cfg.Kind]; ok {
		err = r.clients(ctx, iface.Index, b)
	} else {
		r.segments(ctx)
	}
	r.rep.Sent, r.rep.SentOctets = r.out.packets, r.out.octets
	r.rep.Seconds = time.Since(r.start).Seconds()
	after, err2 := statistics(iface.Index)
	if err2 == nil {
		r.rep.Lost = after.TxDropped - before.TxDropped
		r.rep.Received, r.rep.ReceivedOctets = after.RxPackets-before.RxPackets, after.RxBytes-before.RxBytes
	}
	return r.rep, errors.Join(err, err2)
}

func (r *run) prepare() error {
	c := &r.cfg
	_, client := behaviours[c.Kind]
	_, segment := segments[c.Kind]
	if !client && !segment {
		return fmt.Errorf("no such flood: %q", c.Kind)
	}
	if !c.Server.IsValid() || !c.Sources.IsValid() || c.Server.Addr().Is4() != c.Sources.Addr().Is4() {
		return fmt.Errorf("server %s and sources %s must be addresses of the same family", c.Server, c.Sources)
	}
	for v, def := range map[*int]int{&c.Clients: 1000, &c.PerSource: 1, &c.ReadRate: 100} {
		if *v <= 0 {
			*v = def
		}
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if host := c.Sources.Addr().BitLen() - c.Sources.Bits(); host < 62 && 1<<host < c.Clients/c.PerSource+2 {
		return fmt.Errorf("%s has no room for %d clients", c.Sources, c.Clients)
	}
	return nil
}

func statistics(index int) (*netlink.LinkStatistics, error) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil, fmt.Errorf("read the interface's counters: %w", err)
	}
	return link.Attrs().Statistics, nil
}

// due returns how many more of what was done n times so far may be done now, at most most.
func (r *run) due(n uint64, most int) int {
	if r.cfg.Rate <= 0 {
		return most
	}
	allowed := int64(time.Since(r.start).Seconds() * float64(r.cfg.Rate))
	return int(min(max(allowed-int64(n), 0), int64(most)))
}
