package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// Listener answers SYNs without keeping state and recognises the connections that come of them. It is
// immutable and may be copied and shared.
type Listener struct {
	cfg Config
	key wire.Key
	// mss4 and mss6 are the segment sizes that a cookie can hold, ascending. The last is our own: more than
	// that we never send, and peers on the same link, of whatever MTU, usually have the same.
	mss4, mss6 [8]uint16
}

// Sizes that are common in the Internet: the defaults and minima of RFC 9293, 3.7.1, tunnels, PPPoE, Ethernet.
// The kernel takes no connection over whose MSS is below the first of its family.
var (
	commonMSS4 = [7]uint16{536, 1220, 1300, 1360, 1400, 1440, 1460}
	commonMSS6 = [7]uint16{1220, 1280, 1340, 1380, 1400, 1420, 1440}
)

const defaultMSS4, defaultMSS6 = 536, 1220 // RFC 9293, 3.7.1

// NewListener returns a listener for cfg whose cookies are made with key. They are recognised by every
// listener with the same key and configuration.
func NewListener(cfg Config, key wire.Key) *Listener {
	cfg.Window = min(cfg.Window, MaxWindow)
	cfg.WScale = min(cfg.WScale, maxWScale)
	return &Listener{cfg: cfg, key: key, mss4: mssTable(commonMSS4, cfg.MSS4), mss6: mssTable(commonMSS6, cfg.MSS6)}
}

func mssTable(common [7]uint16, own uint16) (t [8]uint16) {
	for i, m := range common {
		t[i] = min(m, own)
	}
	t[7] = own
	return t
}

// TimeWait returns Config.TimeWait, for who holds Remains.
func (l *Listener) TimeWait() Time { return l.cfg.TimeWait }

// Answers is how a listener answers SYNs, for who does so in its place, with the same key.
type Answers struct {
	MSS4, MSS6                           [8]uint16 // that a cookie has numbers for; the last is advertised
	Window                               uint16
	WScale                               uint8
	Timestamps, SACK, WindowScaling, ECN bool
}

// Answers returns how l answers.
func (l *Listener) Answers() Answers {
	c := &l.cfg
	return Answers{
		MSS4: l.mss4, MSS6: l.mss6, Window: uint16(c.Window), WScale: c.WScale,
		Timestamps: c.Timestamps, SACK: c.SACK, WindowScaling: c.WindowScaling, ECN: c.ECN,
	}
}

// SYNVerdict says what shall be done with a SYN.
type SYNVerdict uint8

const (
	// SYNReply: send the SYN/ACK.
	SYNReply SYNVerdict = iota
	// SYNDrop: ignore it.
	SYNDrop
	// SYNKernel: give it to the kernel, which answers it.
	SYNKernel
)

// Acceptance says what a segment of an unknown flow is.
type Acceptance uint8

const (
	// AcceptUnknown: nothing of ours. Give it to the kernel, which owns it or answers it with RST.
	AcceptUnknown Acceptance = iota
	// AcceptHandshake: an ACK that completes a handshake of ours and carries nothing. Ignore it.
	AcceptHandshake
	// AcceptEarly: it seems to belong to a handshake of ours, but the octets before it are missing. Drop
	// it: the client sends it again. The kernel would answer it with RST.
	AcceptEarly
	// AcceptOpened: the connection was initialised. Give it the same segment.
	AcceptOpened
)

// OnSYN answers the SYN seg of flow. If the verdict is SYNReply, out is the segment to send.
func (l *Listener) OnSYN(flow *wire.Flow, seg *wire.Segment, now Time, out *Transmit) SYNVerdict {
	switch {
	// RFC 9293, 3.10.7.2, first: an incoming RST is ignored. A FIN beside a SYN comes from scanners only;
	// Linux ignores it too.
	case seg.Flags&(wire.RST|wire.FIN) != 0:
		return SYNDrop
	// RFC 9293, 3.10.7.2, second: an ACK is bad on a LISTEN; the kernel sends the RST.
	case seg.Flags.Has(wire.ACK):
		return SYNKernel
	}
	table, own := l.family(flow)
	o := &seg.Options
	index := mssIndex(table, offeredMSS(flow, o))
	if index < 0 {
		return SYNKernel // a size that could not be handed over
	}
	stamps := l.cfg.Timestamps && o.HasTS
	wscale := uint8(noWScale)
	if l.cfg.WindowScaling && o.HasWScale {
		wscale = min(o.WScale, maxWScale)
		if !stamps {
			wscale = scaleWithoutTimestamps(wscale)
		}
	}
	sack := l.cfg.SACK && o.SACKPermitted
	// RFC 3168, 6.1.1.
	ecn := l.cfg.ECN && stamps && seg.Flags.Has(wire.ECE|wire.CWR)
	d := newCookie(index, wscale, sack, ecn)
	data := uint32(0)
	if !stamps {
		data = d.data() + 1
	}
	*out = Transmit{
		Seq:   l.iss(flow, seg.Seq, now, data),
		Ack:   seg.Seq.Add(1),
		Flags: wire.SYN | wire.ACK,
		// RFC 7323, 2.2: the window of a SYN is never scaled.
		Wnd: uint16(l.cfg.Window),
		Options: wire.Options{
			HasMSS: true, MSS: own,
			HasWScale: wscale != noWScale, WScale: l.cfg.WScale,
			SACKPermitted: sack,
		},
	}
	if ecn {
		out.Flags |= wire.ECE
	}
	if stamps {
		out.Options.HasTS = true
		out.Options.TSVal = Millis(now) + l.tsOffset(flow, d)
		out.Options.TSEcr = o.TSVal
	}
	return SYNReply
}

// Accept looks at seg, which has no SYN and belongs to no known connection. If it opens one, c is
// initialised in ESTABLISHED, and the caller gives it the same segment next.
func (l *Listener) Accept(flow *wire.Flow, seg *wire.Segment, now Time, c *Conn) Acceptance {
	if seg.Flags&(wire.SYN|wire.RST|wire.ACK) != wire.ACK {
		return AcceptUnknown
	}
	d, age, stamps, proof := l.check(flow, seg, now)
	switch {
	case proof == proofNone:
		return AcceptUnknown
	case proof == proofCount && !l.plausibleEarly(seg, age, stamps):
		return AcceptUnknown
	case proof == proofCount:
		return AcceptEarly
	case len(seg.Payload) == 0 && !seg.Flags.Has(wire.FIN):
		return AcceptHandshake
	}
	l.open(flow, seg, now, d, c)
	if stamps {
		c.flags |= flagTS
		c.tsOffset = l.tsOffset(flow, d)
		c.rcv.tsRecent = seg.Options.TSVal
		c.rcv.tsAge = c.hours()
		c.rtt.firstSample(age)
	}
	c.mem.init(c.payloadMSS())
	return AcceptOpened
}

// open makes c the connection whose handshake d describes and whose first segment is seg.
func (l *Listener) open(flow *wire.Flow, seg *wire.Segment, now Time, d cookie, c *Conn) {
	table, _ := l.family(flow)
	*c = Conn{state: Established, lim: l.cfg.limits()}
	c.setNow(now)
	c.tmr.mark = c.tick()
	c.snd.init(seg.Ack, table[d.mssIndex()], d.wscale())
	c.rcv.init(seg.Seq, uint16(l.cfg.Window), l.cfg.WScale)
	if d.wscale() == noWScale {
		c.rcv.wscale = noWScale
	}
	// Older than any segment of the connection, so that this one sets the window (RFC 9293, 3.10.7.4).
	c.snd.wl1 = seg.Seq.Add(^uint32(0))
	if d.sack() {
		c.flags |= flagSACK
	}
	if d.ecn() {
		c.flags |= flagECN
	}
	if !flow.Is4() {
		c.flags |= flagIPv6
	}
}

// plausibleEarly reports whether seg may be of a handshake of ours if only its cookie's count speaks for
// it. A connection that is long over has the same count for a while; its timestamps give it away sooner.
func (l *Listener) plausibleEarly(seg *wire.Segment, age uint32, stamps bool) bool {
	return !l.cfg.Timestamps || !seg.Options.HasTS || stamps && age <= uint32(Minute/Millisecond)
}

// family returns the segment sizes of the flow's address family: those in cookies, and our own.
func (l *Listener) family(flow *wire.Flow) (*[8]uint16, uint16) {
	if flow.Is4() {
		return &l.mss4, l.cfg.MSS4
	}
	return &l.mss6, l.cfg.MSS6
}

// offeredMSS returns the segment size that the SYN's options o offer, or the default of RFC 9293, 3.7.1.
func offeredMSS(flow *wire.Flow, o *wire.Options) uint16 {
	switch {
	case o.HasMSS:
		return o.MSS
	case flow.Is4():
		return defaultMSS4
	}
	return defaultMSS6
}

// mssIndex returns the index of the largest size that is not above offered, or -1.
func mssIndex(table *[8]uint16, offered uint16) int {
	i := len(table) - 1
	for i >= 0 && table[i] > offered {
		i--
	}
	return i
}
