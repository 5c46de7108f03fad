package netsim

import (
	"bytes"
	"net/netip"
	"time"
)

// endpoint is one end of a TCP connection, in the obvious way: whole streams are kept, positions are int64
// offsets from the first octet after the SYN, and what was lost is found by a timer alone.
type endpoint struct {
	net  *Net
	name string
	pol  Policy
	emit func(s *segment)
	// changed is called when octets or a FIN were received in order, or everything sent was acknowledged.
	changed func()

	local, remote       netip.AddrPort
	localMAC, remoteMAC [6]byte

	// What the handshake has settled.
	iss, irs           uint32
	mss                int // of what we send, options included
	sndShift, rcvShift uint8
	sackOK, tsOK       bool
	tsOffset           uint32

	// Sending. out[:una] is acknowledged, out[una:nxt] in flight; a FIN counts as one octet more.
	out     []byte
	una     int64
	nxt     int64
	edge    int64 // of the peer's window
	closing bool  // a FIN follows out
	held    bool  // nothing new is sent for now
	rto     timer
	tries   int

	// Receiving. in[:rcvNxt] is in order.
	in       []byte
	got      spans
	recent   []span // for SACK: what was received last comes first
	rcvNxt   int64
	peerFIN  int64 // where the peer's FIN stands, or -1
	readTo   int64
	wndEdge  int64 // that we have advertised
	tsRecent uint32
	lastAck  int64
	unacked  int // segments since then
	ackTimer timer

	gone bool // reset by either side
}

// Policy is how an endpoint behaves. The zero value takes all it can and acknowledges each segment.
type Policy struct {
	// Buffer is how many octets may lie unread; the window is what is left of it. Default 65,535 without
	// window scaling, 1 MiB with it.
	Buffer int
	// ReadEvery and ReadSize are how the application reads: so much, so often. By default it reads at
	// once. Never lets it read only when Read is called.
	ReadEvery time.Duration
	ReadSize  int
	Never     bool
	// AckEvery acknowledges every n-th segment only, the others after AckDelay (default 40 ms). What comes
	// out of order is acknowledged at once.
	AckEvery int
	AckDelay time.Duration
	// Cut, if not nil, returns the length of the next segment to be sent; it is limited by all that limits.
	Cut func() int
	// Flight is how many octets are in flight at most. Default 64 KiB.
	Flight int
	// RTO is the first retransmission time-out; it doubles. Default 300 ms.
	RTO time.Duration
}

func (p *Policy) setDefaults(scaled bool) {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&p.Buffer, 65535)
	if scaled && p.Buffer == 65535 {
		p.Buffer = 1 << 20
	}
	set(&p.AckEvery, 1)
	set(&p.Flight, 1<<16)
	if p.AckDelay == 0 {
		p.AckDelay = 40 * time.Millisecond
	}
	if p.RTO == 0 {
		p.RTO = 300 * time.Millisecond
	}
}

func (e *endpoint) init(n *Net) {
	e.net = n
	e.peerFIN = -1
	e.rto.net, e.ackTimer.net = n, n
}

// offset is how far seq lies behind the first octet after base's SYN, for a point near to near.
func offset(seq, base uint32, near int64) int64 {
	return near + int64(int32(seq-(base+1+uint32(near))))
}

// end is how far the stream that we send goes, the FIN included.
func (e *endpoint) end() int64 {
	if e.closing {
		return int64(len(e.out)) + 1
	}
	return int64(len(e.out))
}

// over reports whether both sides have closed and acknowledged all.
func (e *endpoint) over() bool {
	return e.gone || e.closing && e.una == e.end() && e.peerFIN >= 0 && e.rcvNxt > e.peerFIN
}

func (e *endpoint) clock() uint32 { return uint32(e.net.now/1e6) + e.tsOffset }

// input takes a segment in.
func (e *endpoint) input(s *segment) {
	if e.gone {
		return
	}
	off := offset(s.seq, e.irs, e.rcvNxt)
	if s.rst {
		e.onReset(off)
		return
	}
	if s.syn || !s.isACK {
		e.acknowledge()
		return
	}
	if e.tsOK && s.ts {
		if int32(s.val-e.tsRecent) < 0 { // RFC 7323, 5.3: an old duplicate
			e.acknowledge()
			return
		}
		if off <= e.lastAck {
			e.tsRecent = s.val
		}
	}
	// RFC 9293, 3.10.7.4, first: what lies outside of the window is answered and dropped.
	length := int64(len(s.payload))
	if s.fin {
		length++
	}
	if off > e.wndEdge || off+length < e.rcvNxt || off < e.rcvNxt && off+length == e.rcvNxt {
		e.acknowledge()
		return
	}
	before := e.rcvNxt
	e.onAck(s)
	e.take(s, off)
	if e.rcvNxt != before || e.una == e.end() {
		e.changed()
	}
	e.push()
}

func (e *endpoint) onReset(off int64) {
	switch {
	case off == e.rcvNxt: // RFC 5961, 3.2
		e.stop()
	case off > e.rcvNxt && off < e.wndEdge:
		e.acknowledge()
	}
}

func (e *endpoint) stop() {
	e.gone = true
	e.rto.stop()
	e.ackTimer.stop()
	e.changed()
}

// onAck takes in what s says of our octets.
func (e *endpoint) onAck(s *segment) {
	ack := offset(s.ack, e.iss, e.una)
	if ack > e.nxt {
		e.net.Failf("%s: octets up to %d are acknowledged, %d were sent", e.name, ack, e.nxt)
		return
	}
	if ack < e.una {
		return
	}
	e.edge = max(e.edge, ack+int64(s.wnd)<<e.sndShift)
	if ack > e.una {
		e.una = ack
		e.tries = 0
		e.rto.stop()
	}
}

// take takes in what s carries, from offset off on.
func (e *endpoint) take(s *segment, off int64) {
	if len(s.payload) == 0 && !s.fin {
		return
	}
	end := off + int64(len(s.payload))
	if end > e.wndEdge && off < end {
		e.net.Failf("%s: octets up to %d, but the window ends at %d", e.name, end, e.wndEdge)
		return
	}
	inOrder := off == e.rcvNxt && len(e.got) <= 1
	e.store(off, s.payload)
	if s.fin {
		e.peerFIN = end
	}
	e.rcvNxt = e.got.end()
	fin := e.peerFIN >= 0 && e.rcvNxt == e.peerFIN
	if fin {
		e.rcvNxt++
	}
	e.remember(off, end)
	e.read()
	e.unacked++
	switch {
	case !inOrder || fin || e.unacked >= e.pol.AckEvery:
		e.acknowledge()
	case !e.ackTimer.set:
		e.ackTimer.start(e.pol.AckDelay, e.acknowledge)
	}
}

// store enters octets, which must be what was there before if anything was.
func (e *endpoint) store(off int64, data []byte) {
	end := off + int64(len(data))
	if grow := end - int64(len(e.in)); grow > 0 {
		e.in = append(e.in, make([]byte, grow)...)
	}
	for _, p := range e.got {
		lo, hi := max(p.lo, off), min(p.hi, end)
		if lo < hi && !bytes.Equal(e.in[lo:hi], data[lo-off:hi-off]) {
			e.net.Failf("%s: octets %d to %d differ from those received before", e.name, lo, hi)
		}
	}
	copy(e.in[off:], data)
	e.got.add(off, end)
}

// remember keeps what SACK blocks are made of (RFC 2018, 4).
func (e *endpoint) remember(off, end int64) {
	for _, p := range e.got {
		if p.lo <= off && end <= p.hi {
			off, end = p.lo, p.hi
		}
	}
	kept := []span{}
	if off > e.rcvNxt && off < end {
		kept = append(kept, span{off, end})
	}
	for _, r := range e.recent {
		if r.lo > e.rcvNxt && (r.hi < off || end < r.lo) {
			kept = append(kept, r)
		}
	}
	e.recent = kept
}

// read lets the application read if it reads at once.
func (e *endpoint) read() {
	if !e.pol.Never && e.pol.ReadEvery == 0 {
		e.readTo = min(e.rcvNxt, int64(len(e.in)))
	}
}

// Read lets the application read up to n octets of those that were received in order, and tells the other
// side if that has opened the window by enough (RFC 9293, 3.8.6.2.2).
func (e *endpoint) Read(n int) {
	have := min(e.rcvNxt, int64(len(e.in)))
	e.readTo = min(have, e.readTo+int64(n))
	if e.gone {
		return
	}
	room := e.readTo + int64(e.pol.Buffer)
	if room-e.wndEdge >= int64(min(e.mss, e.pol.Buffer/2)) {
		e.acknowledge()
	}
}

// readSlowly reads ReadSize octets every ReadEvery.
func (e *endpoint) readSlowly() {
	e.net.After(e.pol.ReadEvery, func() {
		e.Read(e.pol.ReadSize)
		if !e.gone && !(e.over() && e.readTo == int64(len(e.in))) {
			e.readSlowly()
		}
	})
}
