package dataplane

import (
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Segmenter sends segments that are longer than a packet, for the kernel or the card to cut (GSO, TSO). It is called by the loop's
// goroutine only.
type Segmenter interface {
	// Head is where a frame begins. It has room for the longest one, and is the loop's until Send has taken it.
	Head() []byte
	// Send sends the first n octets of Head and then rest, as one frame with headers octets in front of the payload, of which size
	// octets go into each packet. rest is not kept. If it was not sent, again says whether it may be offered again, or is lost,
	// as the next one would be.
	Send(n int, rest []byte, headers, size int) (sent, again bool)
}

// longest is what Segmenter's frames hold: an IP packet of 65,535 octets.
const longest = wire.EthLen + 65535

// row is segments of one connection that go by the Segmenter, as one: each goes on where the one before ends, and they differ in nothing else
// but that the last may be shorter.
type row struct {
	first   tcpstate.Transmit // with the flags of all
	next    wire.Seq
	payload int // octets; 0: there is no row
	ended   bool

	built   bool // Head is filled, and nothing else matters any more
	n       int  // octets in Head
	headers int
	rest    []byte
}

// emit sends the segment l.out of s in the current frame, or in a row.
func (l *Loop) emit(s *slot) {
	w, o := &l.row, &l.out
	switch {
	case w.takes(o):
	case w.payload > 0 && !l.depart(s): // the row has to wait; o, from another place of the stream, overtakes it
		l.put(s)
		return
	case !l.goesLong(s):
		l.put(s)
		return
	default:
		w.first, w.payload = *o, 0
	}
	w.payload += int(o.Len)
	w.next, w.ended = o.Seq.Add(o.Len), o.Len < w.first.Len || wire.MaxHeaders+w.payload+int(w.first.Len) > longest
	w.first.Flags |= o.Flags // whoever cuts gives PSH and FIN to the last packet only
	if w.ended {
		l.depart(s) // now: what comes next in the stream must not find that it has to wait
	}
}

// goesLong reports whether l.out, of s, begins a row: there is much to send, or it would overtake, past the kernel's queue, what has gone
// through it.
func (l *Loop) goesLong(s *slot) bool {
	o := &l.out
	if l.cfg.Segmenter == nil || o.Len == 0 {
		return false
	}
	return s.conn.WrittenOff()-o.Off >= uint32(l.cfg.LongFrom)*o.Len || s.flags&flagLong != 0 && o.Off != s.conn.AckedOff()
}

// takes reports whether o may be the next of the row.
func (w *row) takes(o *tcpstate.Transmit) bool {
	f := &w.first
	const own = wire.PSH | wire.FIN
	return w.payload > 0 && !w.ended && o.Len > 0 && o.Seq == w.next && o.Len <= f.Len && o.Ack == f.Ack && o.Wnd == f.Wnd && o.ECT == f.ECT &&
		o.Flags&^own == f.Flags&^own && o.Flags&wire.CWR == 0 && o.Options == f.Options
}

// depart sends the row, which is of s. It reports false if the row has to wait.
func (l *Loop) depart(s *slot) bool {
	w := &l.row
	if !w.built {
		l.build(s)
	}
	l.send() // what was queued before
	sent, again := l.cfg.Segmenter.Send(w.n, w.rest, w.headers, int(w.first.Len))
	switch {
	case again:
		return false
	case sent:
		l.count.TxLong++
	default:
		l.count.Drops[DropSegmenter]++
		l.cfg.Segmenter = nil // the client's acknowledgments tell what is missing, and it goes by other frames
	}
	w.payload, w.built, w.rest = 0, false, nil
	return true
}

// build makes a frame of the row of s. What lies in an object's memory as it is to be sent is not copied.
func (l *Loop) build(s *slot) {
	w, f := &l.row, &l.row.first
	h := wire.Header{Src: l.cfg.LocalMAC, Dst: s.peer, Flow: &s.flow, Seq: f.Seq, Ack: f.Ack, Flags: f.Flags, Wnd: f.Wnd, ECT: f.ECT, Options: &f.Options, Partial: true}
	head := l.cfg.Segmenter.Head()
	w.headers = h.HeaderLen()
	w.rest = l.work.direct(s, f.Off, uint32(w.payload))
	w.n = w.headers + w.payload - len(w.rest)
	l.work.read(s, head[w.headers:w.n], f.Off)
	h.Build(head, w.payload)
	w.built = true
	s.flags |= flagLong
}
