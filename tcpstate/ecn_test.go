package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// withECN offers ECN, and timestamps, without which it would not be remembered.
func withECN(s *setup) {
	s.ecn = true
	withTS(s)
}

// RFC 3168, 6.1.1: offered and accepted, or not.
func TestECNNegotiation(t *testing.T) {
	for name, c := range map[string]struct {
		on    bool
		flags wire.Flags
		want  bool
	}{
		"offered": {true, wire.ECE | wire.CWR, true}, "half offered": {true, wire.ECE, false}, "not offered": {true, 0, false},
		"off here": {false, wire.ECE | wire.CWR, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.ECN = c.on
			l := NewListener(cfg, key)
			var out Transmit
			l.OnSYN(&flow4, &wire.Segment{Seq: 5, Flags: wire.SYN | c.flags, Options: wire.Options{HasMSS: true, MSS: 1460, HasTS: true}}, start, &out)
			if got := out.Flags.Has(wire.ECE); got != c.want || out.Flags.Has(wire.CWR) {
				t.Errorf("SYN/ACK with flags %08b", out.Flags)
			}
			var conn Conn
			if a := l.Accept(&flow4, &wire.Segment{Seq: 6, Ack: out.Seq + 1, Flags: wire.ACK, Payload: []byte("G"), Options: wire.Options{HasTS: true, TSEcr: out.Options.TSVal}}, start, &conn); a != AcceptOpened || conn.Handover().ECNOK != c.want {
				t.Errorf("%v, ECN %v", a, conn.Handover().ECNOK)
			}
		})
	}
}

// RFC 3168, 6.1.2: ECE halves the window once for a round trip, the next new segment says CWR; 6.1.5: what is sent
// again, and what carries nothing, is not ECT.
func TestECESlowsDown(t *testing.T) {
	w := sending(t, 1<<20, withSACK, withECN)
	if !w.last.ECT {
		t.Error("new octets are not ECT")
	}
	w.in(ack(1977), flags(wire.ACK|wire.ECE))
	if w.window().ssthresh != 4940 {
		t.Fatalf("ssthresh %d", w.window().ssthresh)
	}
	w.in(ack(7905), flags(wire.ACK|wire.ECE)) // of the same round trip
	if w.window().ssthresh != 4940 {
		t.Fatalf("ssthresh %d", w.window().ssthresh)
	}
	cwr := 0
	for w.poll() != "" {
		if w.last.Flags.Has(wire.CWR) {
			cwr++
		}
	}
	if cwr != 1 {
		t.Errorf("%d segments with CWR", cwr)
	}
	w.in(ack(7905), sack(8893, 9881), sack(9881, 12845))
	if w.poll(); w.last.Off != 7904 || w.last.ECT {
		t.Errorf("sent again at %d, ECT %v", w.last.Off, w.last.ECT)
	}
	w.in(fill(10))
	w.c.Received(10, nil)
	w.waitTimer()
	if w.poll(); w.last.Len == 0 && w.last.ECT {
		t.Error("a bare acknowledgment is ECT")
	}
}

// RFC 3168, 6.1.3: each acknowledgment says ECE until CWR comes.
func TestCEIsEchoed(t *testing.T) {
	w := open(t, withECN)
	w.quiet()
	ce := func(d *draft) { d.CE = true }
	w.take(fill(10), ce)
	w.expect(". 1:1(0) ack 111")
	if !w.last.Flags.Has(wire.ECE) {
		t.Error("no ECE")
	}
	w.take(fill(10))
	w.waitTimer()
	if w.poll(); !w.last.Flags.Has(wire.ECE) {
		t.Error("ECE is not repeated")
	}
	w.take(fill(10), flags(wire.ACK|wire.CWR))
	w.waitTimer()
	if w.poll(); w.last.Flags.Has(wire.ECE) {
		t.Error("ECE after CWR")
	}
}

// Without negotiation nothing of this is sent or believed.
func TestNoECN(t *testing.T) {
	w := sending(t, 1<<20, withSACK)
	w.in(ack(2001), flags(wire.ACK|wire.ECE), func(d *draft) { d.CE = true })
	for w.poll() != "" {
		if w.last.ECT || w.last.Flags&(wire.ECE|wire.CWR) != 0 {
			t.Fatalf("flags %08b, ECT %v", w.last.Flags, w.last.ECT)
		}
	}
	if w.window().ssthresh != maxCwnd {
		t.Errorf("ssthresh %d", w.window().ssthresh)
	}
}
