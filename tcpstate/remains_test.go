package tcpstate

import (
	"testing"
	"unsafe"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// In TIME-WAIT, Remains say to each segment what the whole connection would say.
func TestRemainsSayTheSame(t *testing.T) {
	if n := unsafe.Sizeof(Remains{}); n > 20 {
		t.Errorf("Remains take %d octets", n)
	}
	for _, ts := range []bool{false, true} {
		for name, fields := range map[string][]func(*draft){
			"FIN again":              {seq(101), fin},
			"old text":               {seq(51), fill(50)},
			"text behind the FIN":    {seq(102), fill(10)},
			"text far away":          {seq(1 << 29), fill(10)},
			"bare ACK":               {},
			"RST":                    {seq(102), flags(wire.RST)},
			"RST elsewhere":          {seq(500), flags(wire.RST)},
			"SYN of long ago":        {seq(4294960000), flags(wire.SYN), func(d *draft) { d.Options.TSVal = 5 }},
			"SYN of another attempt": {seq(70_000), flags(wire.SYN)},
		} {
			w := open(t, func(s *setup) {
				if ts {
					withTS(s)
				}
			})
			w.c.Close()
			w.flood()
			w.in(ack(2), fin)
			w.state(TimeWait)
			w.flood()
			w.now += Second
			r := w.c.Remains()
			seg := w.absolute(segment(append([]func(*draft){ack(2)}, fields...)...))
			if ts && name == "SYN of long ago" {
				seg.Options.TSVal = 5
			}
			var ours Transmit
			verdict := r.OnSegment(&seg, w.now, &ours)
			in := w.c.OnSegment(w.st, &seg, w.now)
			var its Transmit
			answered := w.c.PollTransmit(w.st, w.now, &its)
			switch {
			case in.NewSYN != (verdict == LeftoverNewSYN), (in.Fate == Reset) != (verdict == LeftoverOver):
				t.Errorf("%s, timestamps %v: %v, the connection says %+v", name, ts, verdict, in)
			case answered != (verdict == LeftoverAnswered || verdict == LeftoverAgain):
				t.Errorf("%s, timestamps %v: %v, the connection answers: %v", name, ts, verdict, answered)
			case answered && (ours.Seq != its.Seq || ours.Ack != its.Ack || ours.Flags != its.Flags || ours.Options.HasTS != its.Options.HasTS || ours.Options.TSVal != its.Options.TSVal):
				t.Errorf("%s, timestamps %v: %+v, the connection says %+v", name, ts, ours, its)
			}
			if (verdict == LeftoverAgain) != (name == "FIN again") {
				t.Errorf("%s: %v", name, verdict)
			}
		}
	}
}
