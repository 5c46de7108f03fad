package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// meaning is o without what has none: a SACK block beyond NSACK, a value without its Has.
func meaning(o Options) Options {
	if !o.HasMSS {
		o.MSS = 0
	}
	if !o.HasWScale {
		o.WScale = 0
	}
	if !o.HasTS {
		o.TSVal, o.TSEcr = 0, 0
	}
	clear(o.SACK[o.NSACK:])
	return o
}

// within reports whether part is a piece of whole's memory, by its capacity.
func within(part, whole []byte) bool {
	if cap(part) > cap(whole) {
		return false
	}
	at := cap(whole) - cap(part)
	return len(part) == 0 || &whole[:cap(whole)][at] == &part[0] && at+len(part) <= len(whole)
}

// What Parse takes, Build gives back, but for options that nobody knows and fields that nobody reads.
func FuzzParse(f *testing.F) {
	for _, flow := range []Flow{flow4, flow6} {
		for _, o := range []Options{{}, {HasTS: true}, {HasMSS: true, HasWScale: true, SACKPermitted: true, HasTS: true}, {NSACK: 4}} {
			d := newDraft(&flow)
			d.payload = []byte("GET / HTTP/1.1\r\n\r\n")
			d.tcp.Options = oracleOptions(&o)
			frame := d.frame(f)
			f.Add(frame, uint8(0))
			partial := bytes.Clone(frame)
			makePartial(partial)
			f.Add(partial, uint8(6))
		}
		f.Add(ambiguous(f, &flow), uint8(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, padding uint8) {
		repair(in)
		in = in[:len(in):len(in)]
		before := bytes.Clone(in)
		var p Packet
		problem := Parse(in, &p)
		if !bytes.Equal(in, before) {
			t.Fatal("Parse has changed the frame")
		}
		if problem != OK {
			return
		}
		if !within(p.Frame, in) || !within(p.Segment.Payload, p.Frame) {
			t.Fatal("the payload lies outside of the frame")
		}
		// Whatever stands behind the IP packet makes no difference.
		var q Packet
		if got := Parse(append(bytes.Clone(p.Frame), make([]byte, padding)...), &q); got != OK || !bytes.Equal(q.Frame, p.Frame) {
			t.Fatalf("with %d octets of padding: %v", padding, got)
		}
		p.Complete()
		if got := Parse(p.Frame, &q); got != OK {
			t.Fatalf("completed: %v", got)
		}
		complete(t, &q)
		rebuild(t, &p)
	})
}

// complete fails if q's checksum does not cover all of its segment. It may be the pseudo-header's sum nevertheless: of
// 65,536 segments, one adds up to what makes both the same.
func complete(t *testing.T, q *Packet) {
	t.Helper()
	tcp, addrs := tcpOf(q.Frame)
	if slowSum(tcp, pseudoSum(addrs, protoTCP, len(tcp))) != 0xffff {
		t.Fatalf("completed: the checksum is wrong, partial %v", q.Partial)
	}
	if before := bytes.Clone(q.Frame); q.Partial {
		q.Complete()
		if !bytes.Equal(q.Frame, before) {
			t.Fatal("what was complete has been completed to something else")
		}
	}
}

// ambiguous is a frame whose whole checksum is the pseudo-header's sum, too.
func ambiguous(f *testing.F, flow *Flow) []byte {
	f.Helper()
	d := newDraft(flow)
	d.payload = make([]byte, 2)
	for i := range 1 << 16 {
		binary.BigEndian.PutUint16(d.payload, uint16(i))
		var p Packet
		if frame := d.frame(f); Parse(frame, &p) == OK && p.Partial {
			return frame
		}
	}
	f.Fatal("no payload makes the sums equal")
	return nil
}

// repair makes the checksums of a frame good, if there is anything like them: mutations would hardly ever
// pass otherwise. Every fourth frame stays as it is.
func repair(frame []byte) {
	if len(frame) < EthLen+IPv4Len+TCPLen || frame[0]&3 == 3 {
		return
	}
	if frame[12] == 0x08 && frame[13] == 0 {
		frame[24], frame[25] = 0, 0
		s := ^slowSum(frame[EthLen:EthLen+IPv4Len], 0)
		frame[24], frame[25] = byte(s>>8), byte(s)
		if total := int(frame[16])<<8 | int(frame[17]); total >= IPv4Len+TCPLen && EthLen+total <= len(frame) {
			Finish(frame[:EthLen+total])
		}
	}
	if total := IPv6Len + int(frame[18])<<8 + int(frame[19]); frame[12] == 0x86 && total >= IPv6Len+TCPLen && EthLen+total <= len(frame) {
		Finish(frame[:EthLen+total])
	}
}

func rebuild(t *testing.T, p *Packet) {
	t.Helper()
	s := &p.Segment
	h := Header{
		Src: p.Src, Dst: p.Dst, Flow: &p.Flow, Inbound: true,
		Seq: s.Seq, Ack: s.Ack, Flags: s.Flags, Wnd: s.Wnd, Options: &s.Options,
	}
	frame := build(t, &h, s.Payload)
	decode(t, frame)
	var q Packet
	if got := Parse(frame, &q); got != OK {
		t.Fatalf("rebuilt: %v", got)
	}
	complete(t, &q)
	want, got := p.Segment, q.Segment
	want.Options, got.Options = meaning(fitting(&want.Options)), meaning(got.Options)
	same := q.Flow == p.Flow && q.Src == p.Src && q.Dst == p.Dst && got.Seq == want.Seq && got.Ack == want.Ack &&
		got.Wnd == want.Wnd && got.Flags == want.Flags && got.Options == want.Options && bytes.Equal(got.Payload, want.Payload)
	if !same {
		t.Fatalf("rebuilt as %+v, was %+v", got, want)
	}
}

// What parse makes of any octets fits into put's, and comes back the same.
func FuzzOptions(f *testing.F) {
	f.Add([]byte{1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6})
	f.Add([]byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1, 3, 3, 7})
	f.Add([]byte{5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 3, 0, 2, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		in = in[:min(len(in), 40):min(len(in), 40)]
		var o, again Options
		o.parse(in)
		if o.NSACK > MaxSACK {
			t.Fatalf("%d SACK blocks", o.NSACK)
		}
		var out [40]byte
		n := o.put(out[:])
		if n%4 != 0 || n != o.Len() {
			t.Fatalf("%d octets, Len says %d", n, o.Len())
		}
		again.parse(out[:n:n])
		if meaning(again) != meaning(fitting(&o)) {
			t.Fatalf("%+v became %+v", o, again)
		}
	})
}
