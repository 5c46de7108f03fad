package tcpstate

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

func synAck(t *testing.T, l *Listener, flow *wire.Flow, irs wire.Seq, o wire.Options, now Time) Transmit {
	t.Helper()
	var out Transmit
	if v := l.OnSYN(flow, &wire.Segment{Seq: irs, Flags: wire.SYN, Wnd: 1000, Options: o}, now, &out); v != SYNReply {
		t.Fatalf("OnSYN(%+v): %v", o, v)
	}
	return out
}

// Every combination of what a SYN can offer is answered with what was offered and configured, and comes
// back out of the cookie. RFC 4987, 3.6; RFC 7323, 2.2 and 3.2; RFC 2018, 2.
func TestCookieCarriesEveryCombinationOfOptions(t *testing.T) {
	const irs = wire.Seq(0xffffffff) // so that the first octet's number is 0
	for n := range 2 * 2 * 2 * 2 * 17 * 9 {
		bit := func() bool { b := n&1 != 0; n >>= 1; return b }
		flow, on, offerTS, offerSACK := flow4, bit(), bit(), bit()
		if bit() {
			flow = flow6
		}
		wscale, mss := n%17, []uint16{0, 1220, 1280, 1337, 1452, 1459, 1460, 9000, 65535}[n/17%9]
		cfg := DefaultConfig()
		cfg.MSS4, cfg.MSS6 = 8960, 8940
		cfg.Timestamps, cfg.SACK, cfg.WindowScaling = on, on, on
		l := NewListener(cfg, key)
		o := wire.Options{HasTS: offerTS, TSVal: 77, SACKPermitted: offerSACK, HasMSS: mss != 0, MSS: mss, HasWScale: wscale != 16, WScale: uint8(wscale)}
		name := fmt.Sprintf("%v on=%v %+v", flow, on, o)

		out := synAck(t, l, &flow, irs, o, start)
		ts, sack, ws := on && offerTS, on && offerSACK, on && wscale != 16
		if !ts && (wscale == 1 || wscale >= 3 && wscale <= 5 || wscale > 10) {
			ws = false // a cookie has no room for it
		}
		if g := out.Options; g.HasTS != ts || g.SACKPermitted != sack || g.HasWScale != ws || !g.HasMSS {
			t.Fatalf("%s: answered with %+v", name, g)
		}
		if ts && out.Options.TSEcr != 77 || ws && out.Options.WScale != 7 || out.Ack != 0 || out.Flags != wire.SYN|wire.ACK || out.Wnd != 64000 || out.Len != 0 {
			t.Fatalf("%s: answered with %+v", name, out)
		}

		var c Conn
		seg := wire.Segment{Seq: 0, Ack: out.Seq + 1, Flags: wire.ACK, Wnd: 500, Payload: []byte("G"),
			Options: wire.Options{HasTS: ts, TSVal: 78, TSEcr: out.Options.TSVal}}
		if a := l.Accept(&flow, &seg, start+Second, &c); a != AcceptOpened {
			t.Fatalf("%s: Accept: %v", name, a)
		}
		h := c.Handover()
		offered := mss
		if mss == 0 {
			offered = 536
			if !flow.Is4() {
				offered = 1220
			}
		}
		if h.TimestampsOK != ts || h.SACKOK != sack || h.WScaleOK != ws || h.MSS > offered || h.MSS+100 < min(offered, 1460) || h.Seq != 0 || h.Ack != out.Seq+1 {
			t.Fatalf("%s: opened with %+v", name, h)
		}
		if ws && (h.SndWScale != uint8(min(wscale, 14)) || h.RcvWScale != 7) {
			t.Fatalf("%s: scales %d and %d", name, h.SndWScale, h.RcvWScale)
		}
		if ts && (h.TSRecent != 78 || h.TSOffset != out.Options.TSVal-Millis(start)) {
			t.Fatalf("%s: timestamps %+v", name, h)
		}
	}
}

// The peer's segment size is never exceeded, and used in full if it is ours too. RFC 9293, 3.7.1.
func TestMSSIsNeverAboveTheOffer(t *testing.T) {
	for _, own := range []uint16{600, 1460, 3466, 8960} {
		cfg := DefaultConfig()
		cfg.MSS4 = own
		l := NewListener(cfg, key)
		for offered := uint16(536); offered < 9100; offered++ {
			i := mssIndex(&l.mss4, offered)
			if i < 0 || l.mss4[i] > min(offered, own) || offered >= own && l.mss4[i] != own {
				t.Fatalf("own %d, offered %d: index %d", own, offered, i)
			}
		}
	}
}

// What could not be handed over is the kernel's from the start.
func TestTinyMSSIsTheKernels(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	var out Transmit
	for _, c := range []struct {
		flow wire.Flow
		mss  uint16
		want SYNVerdict
	}{{flow4, 535, SYNKernel}, {flow4, 536, SYNReply}, {flow6, 1219, SYNKernel}, {flow6, 1220, SYNReply}, {flow4, 0, SYNKernel}} {
		seg := wire.Segment{Flags: wire.SYN, Options: wire.Options{HasMSS: true, MSS: c.mss}}
		if v := l.OnSYN(&c.flow, &seg, start, &out); v != c.want {
			t.Errorf("%v MSS %d: %v, want %v", c.flow, c.mss, v, c.want)
		}
	}
}

// RFC 9293, 3.10.7.2: RST is ignored, ACK is answered with RST, by the kernel. ECN bits are not understood.
func TestSYNWithOtherFlags(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	var out Transmit
	for f, want := range map[wire.Flags]SYNVerdict{
		wire.SYN: SYNReply, wire.SYN | wire.ECE | wire.CWR: SYNReply, wire.SYN | wire.PSH | wire.URG: SYNReply,
		wire.SYN | wire.RST: SYNDrop, wire.SYN | wire.FIN: SYNDrop, wire.SYN | wire.FIN | wire.ACK: SYNDrop, wire.SYN | wire.ACK: SYNKernel,
	} {
		if v := l.OnSYN(&flow4, &wire.Segment{Flags: f}, start, &out); v != want {
			t.Errorf("flags %#x: %v, want %v", f, v, want)
		}
	}
}

// A handshake's segments, and what is none.
func TestAccept(t *testing.T) {
	const irs = wire.Seq(5000)
	l := NewListener(DefaultConfig(), key)
	iss := synAck(t, l, &flow4, irs, wire.Options{}, start).Seq
	other := flow4
	other.RemotePort++
	for _, c := range []struct {
		name string
		flow wire.Flow
		seg  wire.Segment
		want Acceptance
	}{
		{"bare ACK", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK}, AcceptHandshake},
		{"data", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("G")}, AcceptOpened},
		{"FIN", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK | wire.FIN}, AcceptOpened},
		{"second segment first", flow4, wire.Segment{Seq: irs + 1001, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("T")}, AcceptEarly},
		{"bare ACK behind lost data", flow4, wire.Segment{Seq: irs + 1001, Ack: iss + 1, Flags: wire.ACK}, AcceptEarly},
		{"no ACK", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1, Payload: []byte("G")}, AcceptUnknown},
		{"RST", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK | wire.RST}, AcceptUnknown},
		{"another flow", other, wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("G")}, AcceptUnknown},
		{"a far acknowledgment", flow4, wire.Segment{Seq: irs + 1, Ack: iss + 1 + 1<<29, Flags: wire.ACK, Payload: []byte("G")}, AcceptUnknown},
	} {
		var conn Conn
		if a := l.Accept(&c.flow, &c.seg, start+Second, &conn); a != c.want {
			t.Errorf("%s: %v, want %v", c.name, a, c.want)
		}
	}
	if a := NewListener(DefaultConfig(), wire.Key{K0: 9}).Accept(&flow4, &wire.Segment{Seq: irs + 1, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("G")}, start, &Conn{}); a == AcceptOpened {
		t.Error("another key's cookie opened a connection")
	}
}

// A connection that ended lately has the same count in its acknowledgments; its timestamps tell it from one
// that begins.
func TestEarlyNeedsAFreshEcho(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	out := synAck(t, l, &flow4, 1, wire.Options{HasTS: true}, start)
	seg := wire.Segment{Seq: 5000, Ack: out.Seq + 1000, Flags: wire.ACK, Options: wire.Options{HasTS: true, TSEcr: out.Options.TSVal}}
	if a := l.Accept(&flow4, &seg, start+Second, &Conn{}); a != AcceptEarly {
		t.Errorf("after 1 s: %v", a)
	}
	if a := l.Accept(&flow4, &seg, start+61*Second, &Conn{}); a != AcceptUnknown {
		t.Errorf("after 61 s: %v", a)
	}
}

// Cookies are taken for two to three periods, also where the count of 6 bits rolls over.
func TestCookieExpires(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	for _, made := range []Time{0, start, 63 * countPeriod, 64*countPeriod - 1, 64 * countPeriod, 127*countPeriod + Second} {
		iss := synAck(t, l, &flow4, 99, wire.Options{}, made).Seq
		for _, c := range []struct {
			at   Time
			want bool
		}{{0, true}, {Second, true}, {2 * countPeriod, true}, {3 * countPeriod, false}, {30 * countPeriod, false}, {64 * countPeriod, false}} {
			seg := wire.Segment{Seq: 100, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("G")}
			a := l.Accept(&flow4, &seg, made+c.at, &Conn{})
			if (a == AcceptOpened) != c.want {
				t.Errorf("made at %d s, used %d s later: %v", made/Second, c.at/Second, a)
			}
		}
	}
}

// Who can't read cookies opens a connection by chance only. Printed: how often, of 2²⁰ guesses.
func TestForgedCookies(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	r := random(t, 1)
	opened, early := 0, 0
	const guesses = 1 << 20
	for range guesses {
		seg := wire.Segment{Seq: wire.Seq(r.Uint32()), Ack: wire.Seq(r.Uint32()), Flags: wire.ACK, Payload: []byte("G")}
		switch l.Accept(&flow4, &seg, start, &Conn{}) {
		case AcceptOpened:
			opened++
		case AcceptEarly:
			early++
		}
	}
	t.Logf("opened %d, early %d of %d", opened, early, guesses)
	if opened > 4 || early > guesses*6/100 { // expected: 0.01 and 4.7 %
		t.Errorf("opened %d, early %d of %d guesses", opened, early, guesses)
	}
}

// RFC 6528, 3: to outsiders, initial sequence numbers of different flows are unrelated: each bit is as
// often 1 as 0, and neighbours differ in half of the bits.
func TestISSDistribution(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	const n = 1 << 14
	var ones [32]int
	differ := 0
	var last wire.Seq
	for i := range n {
		f := flow4
		f.RemotePort = uint16(i)
		iss := synAck(t, l, &f, wire.Seq(i), wire.Options{}, start).Seq
		for b := range ones {
			ones[b] += int(iss >> b & 1)
		}
		differ += bits.OnesCount32(uint32(iss ^ last))
		last = iss
	}
	for b, k := range ones {
		if k < n*46/100 || k > n*54/100 {
			t.Errorf("bit %d is set in %d of %d", b, k, n)
		}
	}
	if differ < n*15 || differ > n*17 {
		t.Errorf("neighbours differ in %d of 32 bits", differ/n)
	}
}

// RFC 6528, 3: a flow's next incarnation begins beyond the one before: after a period, the number has grown
// by between 0 and 2 steps of 2²⁶, around the whole circle.
func TestISSGrowsWithTime(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	last := synAck(t, l, &flow4, 1, wire.Options{}, 0).Seq
	for i := Time(1); i < 600; i++ {
		iss := synAck(t, l, &flow4, wire.Seq(i), wire.Options{}, i*countPeriod).Seq
		if d := iss.Sub(last); d <= 0 || d >= 2<<26 {
			t.Fatalf("period %d: grown by %d", i, d)
		}
		last = iss
	}
}

// RFC 7323, 3.2: a timestamp that was not negotiated is ignored, and not answered.
func TestTimestampWithoutNegotiationIsIgnored(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	iss := synAck(t, l, &flow4, 99, wire.Options{}, start).Seq
	var c Conn
	seg := wire.Segment{Seq: 100, Ack: iss + 1, Flags: wire.ACK, Payload: []byte("G"), Options: wire.Options{HasTS: true, TSVal: 5, TSEcr: 12345}}
	if a := l.Accept(&flow4, &seg, start, &c); a != AcceptOpened || c.Handover().TimestampsOK {
		t.Errorf("%v, timestamps %v", a, c.Handover().TimestampsOK)
	}
}

// A cookie of another initial number of the peer is not taken: an overtaking segment must not pass for the
// first one. By chance it does, once in 2¹⁹ cases, and with timestamps in 2²⁶.
func TestOvertakingSegmentIsNotTheFirst(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	for _, stamps := range []bool{false, true} {
		taken, n := 0, wire.Seq(1<<22)
		if testing.Short() {
			n = 1 << 16
		}
		out := synAck(t, l, &flow4, 0, wire.Options{HasTS: stamps, TSVal: 1}, start)
		for off := wire.Seq(1); off < n; off++ {
			seg := wire.Segment{Seq: 1 + off, Ack: out.Seq + 1, Flags: wire.ACK, Payload: []byte("T"), Options: wire.Options{HasTS: stamps, TSVal: 1, TSEcr: out.Options.TSVal}}
			switch a := l.Accept(&flow4, &seg, start, &Conn{}); a {
			case AcceptOpened:
				taken++
			case AcceptEarly:
			default:
				t.Fatalf("%d octets ahead: %v", off, a)
			}
		}
		t.Logf("timestamps %v: %d of %d pass", stamps, taken, n)
		if most := map[bool]int{false: 24, true: 2}[stamps]; taken > most { // expected: 8 and 0.06
			t.Errorf("timestamps %v: %d of %d pass, at most %d are chance", stamps, taken, n, most)
		}
	}
}

func random(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	seed = seedOr(seed)
	t.Logf("seed %d; set TCPSTATE_SEED for another", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Who answers a SYN in another's place may have looked at the clock a little later than who gets the first segment.
func TestCookieIsAheadOfTheClock(t *testing.T) {
	l := NewListener(DefaultConfig(), key)
	boundary := Time(start) / countPeriod * countPeriod
	for _, stamps := range []bool{true, false} {
		for _, c := range []struct {
			now, ahead Time
			want       Acceptance
		}{
			{start, 0, AcceptOpened},
			{start, Millisecond, AcceptOpened},
			{start, ahead - Millisecond, AcceptOpened},
			{boundary - Millisecond, 2 * Millisecond, AcceptOpened}, // of the next count
			{boundary, 2 * Millisecond, AcceptOpened},
			{boundary - Second, 2 * Second, AcceptUnknown},
		} {
			out := synAck(t, l, &flow4, 7, wire.Options{HasTS: stamps, TSVal: 1}, c.now+c.ahead)
			seg := wire.Segment{Seq: 8, Ack: out.Seq + 1, Flags: wire.ACK, Payload: []byte("G")}
			seg.Options = wire.Options{HasTS: stamps, TSVal: 1, TSEcr: out.Options.TSVal}
			if got := l.Accept(&flow4, &seg, c.now, &Conn{}); got != c.want {
				t.Errorf("timestamps %t, %d ms ahead of %d: %v, want %v", stamps, c.ahead/Millisecond, c.now, got, c.want)
			}
		}
	}
}
