package tcpclient

import (
	"fmt"
	"reflect"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// Config says what a Stack is.
type Config struct {
	Device              Device
	LocalMAC, RemoteMAC wire.MAC // RemoteMAC is the server's, or the gateway's
	Remote              wire.Addr
	RemotePort          uint16
	Sources             []wire.Addr // local addresses, of Remote's family; connections take them in turn
	FirstPort, LastPort uint16      // local ports, of each source
	MTU                 int
	Window              uint32 // receive window, octets
	Timestamps, SACK    bool
	Conns               int   // at once, those that are ending included
	Epoch               int64 // what a clock that all runs share has shown at time 0, nanoseconds: for timestamps and initial sequence numbers
	FirstPlace          int   // where the search for a free port begins: not the same in each run, as servers remember
	Reassembly          int   // segments that wait for those before them, at most
}

// Counters are events since New.
type Counters struct {
	Sent, Received uint64 // frames
	Bad            uint64 // frames that are no TCP segment
	Stray          uint64 // segments of no connection
	Opened         uint64
	Retransmitted  uint64 // SYN, FIN and requests
	Acks           uint64 // bare acknowledgments
	OutOfOrder     uint64 // segments that came before those before them
	Dropped        uint64 // of these, for want of room
	Duplicate      uint64 // segments with nothing new
	Resets         uint64 // connections that the server has reset or refused
	NoFrame        uint64 // segments that the device had no frame for
	PortsInUse     uint64 // connections that were not opened for want of a port or a place
	ChallengedACKs uint64 // acknowledgments of what was not sent
	Orphans        uint64 // connections that are ending, now
}

// State is a connection's.
type State uint8

// The states of RFC 9293, 3.3.2 that a client without TIME-WAIT has.
const (
	Closed State = iota
	SynSent
	Established
	CloseWait
	FinWait1
	FinWait2
	LastAck
)

const (
	hasTS  uint8 = 1 << iota // timestamps are on
	timing                   // a segment's round trip is being measured
	ackNow                   // an acknowledgment is owed at once
	listed                   // on the list of those that Flush looks at
	sackOK                   // the server understands SACK
	orphan                   // the caller has let go of it
)

// Conn is one connection.
type Conn struct {
	timedAt                           int64
	sndUna, sndNxt, rcvNxt, ackSent   wire.Seq
	timedSeq                          wire.Seq
	sndWnd, tsRecent                  uint32
	srtt, rttvar                      int32  // µs
	rtxAt, ackAt                      uint32 // ticks; 0: none
	ooo                               int32  // first segment that waits, or none
	port, source, mss                 uint16
	state                             State
	flags, sndScale, backoff, retries uint8
}

// Stack is the connections of one loop. It belongs to one goroutine.
type Stack struct {
	Counters Counters

	cfg     Config
	out     output
	conns   []Conn
	free    []int32
	ports   []int32 // by source and port: the connection
	span    int     // ports of a source
	cursor  int     // the place in ports that is tried next
	sources map[wire.Addr]int32
	wheel   *Wheel
	list    []int32 // connections that Flush looks at
	pkt     wire.Packet
	waiting segments

	header     wire.Header
	flowOf     wire.Flow
	options    wire.Options
	synOptions wire.Options
	headerLen  int
	wnd        uint16 // as advertised
	tsval      uint32
}

const (
	rcvScale         = 7
	minRTO           = 200_000   // µs, as Linux's
	firstRTO         = 1_000_000 // µs (RFC 6298, 2.1)
	maxRTO           = 60_000_000
	soonNanos        = 2_000_000
	delayNanos       = 40_000_000 // of an acknowledgment, as Linux's
	lingerNanos      = 1_000_000_000
	maxOrphanRetries = 4
)

// New returns a stack without connections. Its clock, in nanoseconds, begins at now and must not step back.
func New(cfg Config, now int64) (*Stack, error) {
	if len(cfg.Sources) == 0 || cfg.FirstPort == 0 || cfg.LastPort < cfg.FirstPort {
		return nil, fmt.Errorf("no source address or port")
	}
	s := &Stack{cfg: cfg, span: int(cfg.LastPort-cfg.FirstPort) + 1, sources: make(map[wire.Addr]int32)}
	for i, a := range cfg.Sources {
		if a.Is4() != cfg.Remote.Is4() {
			return nil, fmt.Errorf("source %s and server %s are of different families", a, cfg.Remote)
		}
		s.sources[a] = int32(i)
	}
	s.out.device = cfg.Device
	s.conns = make([]Conn, cfg.Conns)
	s.list = make([]int32, 0, cfg.Conns)
	s.free = make([]int32, cfg.Conns)
	for i := range s.free {
		s.free[i] = int32(cfg.Conns - 1 - i)
		s.conns[i].ooo = none
	}
	s.ports = make([]int32, s.span*len(cfg.Sources))
	for i := range s.ports {
		s.ports[i] = none
	}
	s.cursor = cfg.FirstPlace % len(s.ports)
	s.wheel = NewWheel(cfg.Conns, now)
	s.flowOf = wire.Flow{Remote: cfg.Remote, RemotePort: cfg.RemotePort, Local: cfg.Sources[0]}
	s.header = wire.Header{Src: cfg.LocalMAC, Dst: cfg.RemoteMAC, Flow: &s.flowOf}
	s.headerLen = s.header.HeaderLen()
	mss := cfg.MTU - (s.headerLen - wire.EthLen)
	if mss < 536 {
		return nil, fmt.Errorf("MTU %d is too small", cfg.MTU)
	}
	s.synOptions = wire.Options{
		HasMSS: true, MSS: uint16(mss), HasWScale: true, WScale: rcvScale, SACKPermitted: cfg.SACK, HasTS: cfg.Timestamps,
	}
	s.wnd = uint16(min(cfg.Window>>rcvScale, 0xffff))
	s.waiting = newSegments(cfg.Reassembly, mss)
	return s, nil
}

// Memory returns how many octets the tables of a stack take for conns connections from sources addresses with ports ports each.
func Memory(conns, sources, ports int) int {
	each := reflect.TypeFor[Conn]().Size() + reflect.TypeFor[node]().Size() + 2*4
	return conns*int(each) + sources*ports*4 + wheelSize*4
}

// flow returns the flow of c. It is valid until the next call.
func (s *Stack) flow(c *Conn) *wire.Flow {
	s.flowOf.Local = s.cfg.Sources[c.source]
	s.flowOf.LocalPort = c.port
	return &s.flowOf
}

func (s *Stack) find(f *wire.Flow) int32 {
	if f.Remote != s.cfg.Remote || f.RemotePort != s.cfg.RemotePort || f.LocalPort < s.cfg.FirstPort || f.LocalPort > s.cfg.LastPort {
		return none
	}
	source := int32(0)
	if f.Local != s.cfg.Sources[0] {
		var ok bool
		if source, ok = s.sources[f.Local]; !ok {
			return none
		}
	}
	return s.ports[int(source)*s.span+int(f.LocalPort-s.cfg.FirstPort)]
}

// SetTime tells the stack the time before a batch of calls.
func (s *Stack) SetTime(now int64) { s.tsval = uint32((s.cfg.Epoch + now) / 1_000_000) }

// Open sends a SYN for a new connection and returns its index, or ok is false while all ports or places are in use. An event
// with Opened or Reset will tell what became of it; it is up to the caller to give up.
func (s *Stack) Open(now int64) (k int32, ok bool) {
	if len(s.free) == 0 {
		s.Counters.PortsInUse++
		return none, false
	}
	place, ok := s.takePort()
	if !ok {
		s.Counters.PortsInUse++
		return none, false
	}
	k = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.ports[place] = k
	c := &s.conns[k]
	iss := wire.Seq((s.cfg.Epoch + now) >> 6) // as Linux's, every 64 ns; what a connection sends does not overtake it
	*c = Conn{
		state: SynSent, sndUna: iss, sndNxt: iss.Add(1), ooo: none, mss: 536, sndWnd: 1,
		source: uint16(place / s.span), port: s.cfg.FirstPort + uint16(place%s.span), flags: s.conns[k].flags & listed,
	}
	c.timedAt, c.timedSeq, c.flags = now, c.sndNxt, c.flags|timing
	s.Counters.Opened++
	s.segment(k, iss, wire.SYN, 0)
	s.arm(k, now)
	return k, true
}

// takePort returns the next place in ports that is free: round and round, so that a port rests as long as possible.
func (s *Stack) takePort() (place int, ok bool) {
	for range min(len(s.ports), 4096) {
		n := s.cursor
		if s.cursor++; s.cursor == len(s.ports) {
			s.cursor = 0
		}
		place = n%len(s.cfg.Sources)*s.span + n/len(s.cfg.Sources)
		if s.ports[place] == none {
			return place, true
		}
	}
	return 0, false
}

// State returns the state of connection k.
func (s *Stack) State(k int32) State { return s.conns[k].state }

// Unacked returns where the octets begin that the server has not acknowledged.
func (s *Stack) Unacked(k int32) wire.Seq { return s.conns[k].sndUna }

// Next returns the sequence number of the next octet that Request will send.
func (s *Stack) Next(k int32) wire.Seq { return s.conns[k].sndNxt }

// RequestMax returns how long a request may be.
func (s *Stack) RequestMax(k int32) int { return int(s.conns[k].mss) }

// Free returns how many more connections could be opened, ports permitting.
func (s *Stack) Free() int { return len(s.free) }

// Leave lets go of connection k, which the server is expected to close: what is to be done for that is done, and there are no more
// events of it.
func (s *Stack) Leave(k int32, now int64) {
	c := &s.conns[k]
	switch c.state {
	case Closed:
		return
	case SynSent:
		s.Abort(k)
		return
	case Established:
		s.orphan(c)
		if c.rtxAt == 0 {
			s.linger(k, now)
		}
	default:
		s.Close(k, now)
	}
}

// Close ends connection k in order and lets go of it.
func (s *Stack) Close(k int32, now int64) {
	c := &s.conns[k]
	s.orphan(c)
	switch c.state {
	case Established:
		c.state = FinWait1
	case CloseWait:
		c.state = LastAck
	default:
		s.Abort(k)
		return
	}
	seq := c.sndNxt
	c.sndNxt = seq.Add(1)
	s.segment(k, seq, wire.ACK|wire.FIN, 0)
	s.arm(k, now)
}

func (s *Stack) orphan(c *Conn) {
	if c.flags&orphan == 0 {
		c.flags |= orphan
		s.Counters.Orphans++
	}
}

func (s *Stack) forgetOrphan(c *Conn) {
	if c.flags&orphan != 0 {
		c.flags &^= orphan
		s.Counters.Orphans--
	}
}

// Abort resets connection k and forgets it.
func (s *Stack) Abort(k int32) {
	c := &s.conns[k]
	if c.state == Closed {
		return
	}
	if c.state != SynSent {
		s.segment(k, c.sndNxt, wire.RST|wire.ACK, 0)
	}
	s.forget(k)
}

func (s *Stack) forget(k int32) {
	c := &s.conns[k]
	s.dropWaiting(c)
	s.forgetOrphan(c)
	s.ports[int(c.source)*s.span+int(c.port-s.cfg.FirstPort)] = none
	s.wheel.Clear(k)
	c.state, c.rtxAt, c.ackAt = Closed, 0, 0
	s.free = append(s.free, k)
}

// Flush sends the acknowledgments that are owed, and everything that is queued.
func (s *Stack) Flush(now int64) {
	for _, k := range s.list {
		c := &s.conns[k]
		c.flags &^= listed
		if c.state == Closed || c.state == SynSent {
			continue
		}
		owed := c.rcvNxt.Sub(c.ackSent)
		switch {
		case c.flags&ackNow != 0 || owed >= 2*int32(c.mss): // RFC 9293, 3.8.6.3
			s.ack(k)
			c.ackAt = 0
		case owed > 0 && c.ackAt == 0:
			c.ackAt = tick(now+delayNanos) + 1
			s.schedule(k)
		}
	}
	s.list = s.list[:0]
	s.out.flush()
}

func (s *Stack) note(k int32) {
	if c := &s.conns[k]; c.flags&listed == 0 {
		c.flags |= listed
		s.list = append(s.list, k)
	}
}
