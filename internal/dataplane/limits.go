package dataplane

import (
	"math/bits"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Limits are what one client, or all that are hostile together, can have. The zero value of each field means its default,
// a negative one that there is no such limit.
type Limits struct {
	// MaxPerPrefix bounds the connections of one prefix of addresses, while more than half of MaxConns are in use: as long
	// as there is room, nobody is short of anything. Those that are over count for neither. Default an eighth of MaxConns, but
	// at least 64: more than an office behind one address has within the 5 s of a keep-alive.
	MaxPerPrefix int
	// Prefix4 and Prefix6 are the lengths of such prefixes, bits. Default 32 and 64: one customer.
	Prefix4, Prefix6 int
	// MinRate is the least that a client must take of what there is for it, octets in a second over MinRatePeriod, or its
	// connection is reset: the counterpart of Apache's RequestReadTimeout MinRate. Default 128, over 5 minutes: a player that
	// pauses is not cut off earlier than by Apache's Timeout, and when slots run short slow readers go earlier anyway.
	MinRate       int
	MinRatePeriod time.Duration
	// SlowHeads bounds how many connections with an incomplete request go to the server in a second, because the rest did
	// not come in time, or for want of a buffer. Each can take one of its workers for as long as it has patience. Others are
	// reset, or have to wait for a buffer. Default 2.
	SlowHeads int
	// Strays bounds how many segments of unknown connections go to the kernel in a second, for it to answer them with RST.
	// Others are dropped, as a lost segment would be. Default 10,000: some 3 % of a processor.
	Strays int
}

func (m *Limits) setDefaults(maxConns int) {
	for v, def := range map[*int]int{
		&m.MaxPerPrefix: max(maxConns/8, 64), &m.Prefix4: 32, &m.Prefix6: 64, &m.MinRate: 128, &m.SlowHeads: 2, &m.Strays: 10000,
	} {
		if *v == 0 {
			*v = def
		}
	}
	setDefault(&m.MinRatePeriod, 5*time.Minute)
}

// allowance lets rate things happen in a second, and as many at once after a second without any. A negative rate is no limit.
type allowance struct {
	rate int
	next tcpstate.Time // when the next one may happen, if nothing was saved up
}

func (a *allowance) take(now tcpstate.Time) bool {
	if a.rate < 0 {
		return true
	}
	a.next = max(a.next, now-tcpstate.Second+1)
	if a.next > now {
		return false
	}
	a.next += tcpstate.Second / tcpstate.Time(a.rate)
	return true
}

// prefixes counts the connections of each prefix in a count-min sketch (Cormode and Muthukrishnan, 2005): a few cells
// of each row belong to more than one prefix, and the least of a prefix's cells is its count, or little more. It neither
// grows nor needs to be cleaned up, and as nobody knows the key, nobody can aim for another's cells.
type prefixes struct {
	rows         [sketchRows][]uint32
	key          wire.Key
	mask4, mask6 wire.Addr
}

const (
	sketchRows = 4
	sketchBits = 64 / sketchRows // of the hash, for each row
)

func (p *prefixes) init(maxConns int, m *Limits) {
	p.key = wire.NewKey()
	p.mask4, p.mask6 = prefixMask(96+m.Prefix4), prefixMask(m.Prefix6)
	width := 1 << min(bits.Len(uint(maxConns)), sketchBits)
	for k := range p.rows {
		p.rows[k] = make([]uint32, width)
	}
}

func prefixMask(n int) (m wire.Addr) {
	for k := range m {
		m[k] = byte(uint(0xff00) >> min(max(n-8*k, 0), 8))
	}
	return m
}

// cells returns the cells of the flow's remote prefix.
func (p *prefixes) cells(f *wire.Flow) (c [sketchRows]*uint32) {
	mask := &p.mask6
	if f.Is4() {
		mask = &p.mask4
	}
	var prefix wire.Flow
	for k := range prefix.Remote {
		prefix.Remote[k] = f.Remote[k] & mask[k]
	}
	h := p.key.Hash(&prefix, 0, 0)
	for k := range c {
		row := p.rows[k]
		c[k] = &row[h&uint64(len(row)-1)]
		h >>= sketchBits
	}
	return c
}

func (p *prefixes) add(f *wire.Flow) {
	for _, cell := range p.cells(f) {
		*cell++
	}
}

func (p *prefixes) remove(f *wire.Flow) {
	for _, cell := range p.cells(f) {
		*cell--
	}
}

func (p *prefixes) count(f *wire.Flow) int {
	least := ^uint32(0)
	for _, cell := range p.cells(f) {
		least = min(least, *cell)
	}
	return int(least)
}

// discount takes the connection of s from what its prefix has, as soon as it is over or forgotten: an office behind one address
// may leave many in FIN-WAIT-2.
func (l *Loop) discount(s *slot) {
	if s.flags&flagCounted != 0 {
		s.flags &^= flagCounted
		l.prefixes.remove(&s.flow)
	}
}

// tooMany reports whether the peer of a new connection has as many as it may have.
func (l *Loop) tooMany(f *wire.Flow) bool {
	most := l.cfg.Limits.MaxPerPrefix
	return most >= 0 && l.alive() > l.cfg.MaxConns/2 && l.prefixes.count(f) >= most
}

// resetUnheld answers l.pkt, of a connection that is not held, with a RST (RFC 9293, 3.5.2, group 1: it has an ACK).
func (l *Loop) resetUnheld() {
	l.out = tcpstate.Transmit{Seq: l.pkt.Segment.Ack, Flags: wire.RST}
	l.reply()
}

// stray gives a segment of an unknown connection to the kernel, within measure.
func (l *Loop) stray() {
	if !l.strays.take(l.now) {
		l.count.Drops[DropStrayLimit]++
		return
	}
	l.toKernel()
}

// measure begins to measure how fast the client of s reads.
func (l *Loop) measure(s *slot) {
	if s.work != 0 {
		w := l.work.at(s.work)
		w.since, w.from = l.now, s.conn.AckedOff()
	}
}

// hasAll reports whether the client of s has all that there is of a response that is not whole yet.
func (l *Loop) hasAll(s *slot) bool {
	return s.conn.Promised() && s.conn.AckedOff() == s.conn.WrittenOff()
}

// readsTooSlowly reports whether the client of s has not read enough in a period. As soon as it has, the next period begins. It
// needs no timer of its own: while something is in flight, one runs, and fires at least once in a turn of the wheel.
func (l *Loop) readsTooSlowly(s *slot) bool {
	m := &l.cfg.Limits
	if s.class != classBusy || s.work == 0 || m.MinRate < 0 {
		return false
	}
	if l.hasAll(s) {
		l.measure(s)
		return false
	}
	w, period := l.work.at(s.work), tcpstate.Time(m.MinRatePeriod)
	if tcpstate.Time(s.conn.AckedOff()-w.from) >= tcpstate.Time(m.MinRate)*period/perSecond {
		l.measure(s)
		return false
	}
	return l.now-w.since >= period
}
