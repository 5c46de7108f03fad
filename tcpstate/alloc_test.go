package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// A request and its response, a gap with SACK blocks, and a handshake allocate nothing.
func TestNothingIsAllocated(t *testing.T) {
	w := open(t, withTS, withSACK, scaled(7))
	var out Transmit
	var buf RecvBuf
	var spans [3]wire.Span
	var fresh Conn
	payload := make([]byte, 100)
	syn := wire.Segment{Seq: 5, Flags: wire.SYN, Options: wire.Options{HasMSS: true, MSS: 1460, HasTS: true}}
	n := testing.AllocsPerRun(1000, func() {
		w.l.OnSYN(&w.flow, &syn, w.now, &out)
		first := wire.Segment{Seq: 6, Ack: out.Seq + 1, Flags: wire.ACK, Payload: payload}
		w.l.Accept(&w.flow, &first, w.now, &fresh)

		w.now += Millisecond
		c := &w.c
		ts := wire.Options{HasTS: true, TSVal: uint32(w.now / Millisecond), TSEcr: Millis(w.now) + c.tsOffset}
		gap := wire.Segment{Seq: c.rcv.nxt + 100, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: 60000, Payload: payload, Options: ts}
		in := c.OnSegment(w.st, &gap, w.now)
		buf.Insert(in.Off, in.Data)
		c.Received(uint32(len(buf.Contiguous())), buf.Spans(spans[:0], c.Boundary()))
		for c.PollTransmit(w.st, w.now, &out) {
		}
		seg := wire.Segment{Seq: c.rcv.nxt, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: 60000, Payload: payload, Options: ts}
		in = c.OnSegment(w.st, &seg, w.now)
		buf.Insert(in.Off, in.Data)
		c.Received(uint32(len(buf.Contiguous())), buf.Spans(spans[:0], c.Boundary()))
		c.Consume(200)
		buf.Consume(200)
		c.Write(3000)
		for c.WantsTransmit(w.st, w.now) && c.PollTransmit(w.st, w.now, &out) {
		}
		ack := wire.Segment{Seq: c.rcv.nxt, Ack: c.snd.nxt, Flags: wire.ACK, Wnd: 60000, Options: ts}
		c.OnSegment(w.st, &ack, w.now)
		if d := c.Deadline(w.st); d != 0 && d <= w.now {
			c.OnTimeout(w.st, w.now)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !w.c.Quiescent() || w.c.Pending() != 0 {
		t.Error("the exchange did not go as meant")
	}
}

// BenchmarkRequest is one request of one segment and its response of one segment.
func BenchmarkRequest(b *testing.B) {
	cfg := DefaultConfig()
	l := NewListener(cfg, key)
	now := Time(start)
	var out Transmit
	syn := wire.Segment{Seq: 5, Flags: wire.SYN, Options: wire.Options{HasMSS: true, MSS: 1460, HasTS: true, TSVal: 1, SACKPermitted: true, HasWScale: true, WScale: 7}}
	l.OnSYN(&flow4, &syn, now, &out)
	payload := make([]byte, 100)
	seg := wire.Segment{Seq: 6, Ack: out.Seq + 1, Flags: wire.ACK, Wnd: 500, Payload: payload, Options: wire.Options{HasTS: true, TSVal: 1, TSEcr: out.Options.TSVal}}
	var c Conn
	if l.Accept(&flow4, &seg, now, &c) != AcceptOpened {
		b.Fatal("not accepted")
	}
	w := &world{st: NewStack(StackConfig{Control: BBR, Flights: 1})}
	b.ReportAllocs()
	for b.Loop() {
		now += 10 * Microsecond
		seg.Seq, seg.Ack = c.rcv.nxt, c.snd.nxt
		in := c.OnSegment(w.st, &seg, now)
		c.Take(uint32(len(in.Data)))
		c.Write(1200)
		if !c.PollTransmit(w.st, now, &out) {
			b.Fatal("nothing to send")
		}
		c.Deadline(w.st)
	}
}
