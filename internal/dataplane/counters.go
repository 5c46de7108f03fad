package dataplane

import (
	"sync/atomic"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Reason says why a connection was handed over. The first are httpwire's, under the same names.
type Reason uint8

// Reasons of the dataplane's own.
const (
	ReasonMiss      = Reason(httpwire.NumReasons) + iota // not in the cache (any more, or yet)
	ReasonVariant                                        // the object has this response only from Apache
	ReasonLarge                                          // the response is longer than KernelAbove
	ReasonSlowHead                                       // the rest of the request did not come
	ReasonHalfSent                                       // the client closed in the middle of a request
	ReasonConnLimit                                      // MaxConns reached
	ReasonBuffers                                        // MaxBuffers reached
	ReasonShutdown                                       // Drain
	ReasonPieces                                         // no room for another response from disk
	ReasonDisk                                           // the disk did not bring its first octets
	NumReasons
)

var reasonNames = [...]string{"miss", "variant", "large", "slow-head", "half-sent", "connection-limit", "buffer-limit", "shutdown", "piece-limit", "disk"}

// String returns the reason as a metric's label.
func (r Reason) String() string {
	if int(r) < int(httpwire.NumReasons) {
		return httpwire.Reason(r).String()
	}
	if k := int(r) - int(httpwire.NumReasons); k < len(reasonNames) {
		return reasonNames[k]
	}
	return "unknown"
}

// Drop says why a frame, or what it asked for, came to nothing. The first are wire's problems, then come
// tcpstate's, under the same names.
type Drop uint8

// dropTCP is where tcpstate's begin.
const dropTCP = Drop(wire.NumProblems)

// Drops of the dataplane's own.
const (
	DropOtherMAC        = dropTCP + Drop(tcpstate.NumDrops) + iota // addressed to another station
	DropEarly                                                      // octets of a request whose beginning has not come yet
	DropNoFrame                                                    // a stateless answer found no frame to be sent in
	DropStrayReset                                                 // a RST for no connection of ours
	DropBuffer                                                     // request octets that no buffer could be had for
	DropInject                                                     // the kernel could not be given a frame
	DropHandoverRefused                                            // a hand-over could not begin; the client got a RST
	DropHandoverTimeout                                            // the server accepted no connection in time; the client got a RST
	DropStrayLimit                                                 // a segment of an unknown connection, of which the kernel has got enough
	DropSegmenter                                                  // a long segment that could not be sent; no more is tried
	NumDrops
)

var dropNames = [...]string{"other-mac", "early", "no-frame", "stray-reset", "buffer-limit", "inject-failed", "handover-refused", "handover-timeout", "stray-limit", "segmenter-refused"}

func dropOf(d tcpstate.Drop) Drop { return dropTCP + Drop(d) }

// Never reports whether d counts nothing: the values that stand for "no problem" in their own packages.
func (d Drop) Never() bool { return d == Drop(wire.OK) || d == dropOf(tcpstate.DropNone) }

// String returns the reason as a metric's label.
func (d Drop) String() string {
	switch k := int(d); {
	case k < int(wire.NumProblems):
		return wire.Problem(k).String()
	case k < int(DropOtherMAC):
		return tcpstate.Drop(k - int(dropTCP)).String()
	case k < int(NumDrops):
		return dropNames[k-int(DropOtherMAC)]
	}
	return "unknown"
}

// Statuses are the status codes that we answer with, in the order of Counters.Responses.
var Statuses = [...]int{200, 206, 304}

// Counters are a loop's totals since it began, and gauges.
type Counters struct {
	Responses   [len(Statuses)]uint64
	Handovers   [NumReasons]uint64 // that the kernel has a socket for
	Drops       [NumDrops]uint64
	Shed        [NumSheds]uint64
	Connections [tcpstate.NumStates]uint64 // gauge
	Handing     uint64                     // gauge: waiting for the kernel's socket; not in Connections
	RxPackets   uint64
	TxPackets   uint64
	TxLong      uint64 // frames given to the Segmenter, each of several packets
	Injected    uint64 // frames given to the kernel
	Answered    uint64 // of Responses, those that the steering program gave
	Buffers     uint64 // gauge: receive buffers in use
	Leaving     uint64 // gauge: 1 while most new connections are left to the kernel
	// Of responses that come from disk: gauges of pieces taken and of responses, and how many pieces were read; how often a
	// response had to wait for its turn to have a further piece, and how often a client had got all that was read.
	Pieces, Readers, PiecesRead, PieceWaits, DiskWaits uint64
	// Routers' messages that a segment was too big: about connections held here, and about others.
	TooBig, TooBigUnknown uint64
}

// Live is how many connections have not ended yet, those in TIME-WAIT left out.
func (c *Counters) Live() uint64 {
	n := c.Handing
	for st, v := range c.Connections {
		if tcpstate.State(st) != tcpstate.TimeWait {
			n += v
		}
	}
	return n
}

// counters are the loop's own copy, written without atomics, and what others may read, refreshed with every
// Step.
type counters struct {
	Counters
	shared struct {
		responses   [len(Statuses)]atomic.Uint64
		handovers   [NumReasons]atomic.Uint64
		drops       [NumDrops]atomic.Uint64
		shed        [NumSheds]atomic.Uint64
		connections [tcpstate.NumStates]atomic.Uint64
		rest        [numRest]atomic.Uint64
	}
}

// numRest is how many counters are neither by status nor by reason.
const numRest = 15

func (c *Counters) rest() [numRest]*uint64 {
	return [numRest]*uint64{&c.Handing, &c.RxPackets, &c.TxPackets, &c.TxLong, &c.Injected, &c.Buffers, &c.TooBig, &c.TooBigUnknown,
		&c.Pieces, &c.Readers, &c.PiecesRead, &c.PieceWaits, &c.DiskWaits, &c.Answered, &c.Leaving}
}

func (c *counters) publish() {
	store(c.shared.responses[:], c.Responses[:])
	store(c.shared.handovers[:], c.Handovers[:])
	store(c.shared.drops[:], c.Drops[:])
	store(c.shared.shed[:], c.Shed[:])
	store(c.shared.connections[:], c.Connections[:])
	for i, v := range c.rest() {
		c.shared.rest[i].Store(*v)
	}
}

// store writes only what changed: most have not, and an atomic store is dearer than a load.
func store(dst []atomic.Uint64, src []uint64) {
	for i, v := range src {
		if dst[i].Load() != v {
			dst[i].Store(v)
		}
	}
}

// Snapshot adds the loop's counters, as of its last Step, to sum. Any goroutine may call it.
func (l *Loop) Snapshot(sum *Counters) {
	sh := &l.count.shared
	add(sum.Responses[:], sh.responses[:])
	add(sum.Handovers[:], sh.handovers[:])
	add(sum.Drops[:], sh.drops[:])
	add(sum.Shed[:], sh.shed[:])
	add(sum.Connections[:], sh.connections[:])
	for i, v := range sum.rest() {
		*v += sh.rest[i].Load()
	}
}

func add(dst []uint64, src []atomic.Uint64) {
	for i := range src {
		dst[i] += src[i].Load()
	}
}

// noteState keeps the gauge of connections by state true after s may have changed its own.
func (l *Loop) noteState(s *slot) {
	if st := s.conn.State(); st != s.counted {
		l.count.Connections[s.counted]--
		l.count.Connections[st]++
		s.counted = st
	}
}
