package xdp

import (
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

var testCookieKey = [2]uint64{0x1716151413121110, 0x1f1e1d1c1b1a1918}

func testListener() *tcpstate.Listener {
	return tcpstate.NewListener(tcpstate.DefaultConfig(), wire.Key{K0: testCookieKey[0], K1: testCookieKey[1]})
}

// waiting makes the program believe that n packets wait in the ring of queue 0.
func (l *lab) waiting(n int) {
	load := &l.program.loads[0]
	load.Given = load.Taken + uint64(n)
}

// The numbers of bpf/crowd.h.
const crowdedForSYNs, crowdedForOthers = 256, 512

// testSteerCrowded: while too much waits in the ring, only who is known gets in, or who proves to have shaken hands.
func testSteerCrowded(t *testing.T) {
	l := newBench(t)
	rst, fin := flags("RA"), flags("FA")
	get := payload([]byte("GET / HTTP/1.1\r\n\r\n"))
	for _, is4 := range []bool{true, false} {
		for _, c := range []struct {
			waiting int
			want    [6]Reason // of SYN, ACK, RST, FIN, data, too big
		}{
			{0, [6]Reason{Redirected, Redirected, Redirected, Redirected, Redirected, TooBig}},
			{-1, [6]Reason{Redirected, Redirected, Redirected, Redirected, Redirected, TooBig}},
			{crowdedForSYNs, [6]Reason{Redirected, Redirected, Redirected, Redirected, Redirected, TooBig}},
			{crowdedForSYNs + 1, [6]Reason{CrowdOddSYN, Redirected, Redirected, Redirected, Redirected, CrowdTooBig}},
			{crowdedForOthers, [6]Reason{CrowdOddSYN, Redirected, Redirected, Redirected, Redirected, CrowdTooBig}},
			{crowdedForOthers + 1, [6]Reason{CrowdOddSYN, CrowdHello, CrowdHello, CrowdStray, CrowdStray, CrowdTooBig}},
			{1 << 20, [6]Reason{CrowdOddSYN, CrowdHello, CrowdHello, CrowdStray, CrowdStray, CrowdTooBig}},
		} {
			odd := func(s *segment) { // only the kernel can answer so small an offer
				s.tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{1, 0}}}
			}
			frames := [6][]byte{l.segment(is4, syn, odd), l.segment(is4), l.segment(is4, rst), l.segment(is4, fin), l.segment(is4, get), l.tooBig(is4)}
			l.waiting(c.waiting)
			for k, frame := range frames {
				l.expect(t, frame, c.want[k])
			}
			entry := l.enter(l.flowOf(is4, 1234), 3)
			for k, frame := range frames {
				if k < 5 {
					l.expect(t, frame, Ours)
				} else {
					l.expect(t, frame, TooBig)
				}
			}
			*entry = 0
		}
	}
}

// testSteerByCookie: a segment with octets passes if and only if tcpstate would open a connection by it.
func testSteerByCookie(t *testing.T) {
	l := newBench(t)
	l.waiting(crowdedForOthers + 1)
	listener := testListener()
	valid := 0
	for k := range 400 { // many flows and numbers, so that the hash of C is seen to be that of Go
		l.beat()
		is4, stamps := k%2 == 0, k%4 < 2
		remotePort := 1 + k*163
		irs := uint32(k) * 0x9e3779b9
		flow := l.flowOf(is4, uint16(remotePort))
		now := tcpstate.Time(monotonic(t, 0))
		seg := wire.Segment{Seq: wire.Seq(irs), Flags: wire.SYN, Options: wire.Options{
			HasMSS: true, MSS: uint16(1220 + k), HasTS: stamps, TSVal: 7, SACKPermitted: k%3 == 0, HasWScale: k%5 == 0, WScale: 7}}
		var out tcpstate.Transmit
		sent := now - tcpstate.Time(k%6)*40*tcpstate.Second // up to 200 s ago: some are too old
		if v := listener.OnSYN(flow, &seg, sent, &out); v != tcpstate.SYNReply {
			t.Fatalf("SYN: %v", v)
		}
		for n, change := range []struct{ seq, ack uint32 }{{0, 0}, {1, 0}, {0, 1}, {0, 1 << 26}, {0, 1 << 31}, {^uint32(0), 0}} {
			first := wire.Segment{Seq: wire.Seq(irs + 1 + change.seq), Ack: out.Seq + 1 + wire.Seq(change.ack), Flags: wire.ACK, Payload: []byte("G")}
			first.Options.HasTS, first.Options.TSVal, first.Options.TSEcr = stamps, 8, out.Options.TSVal
			var c tcpstate.Conn
			want := CrowdStray
			opened := listener.Accept(flow, &first, now, &c) == tcpstate.AcceptOpened
			if n == 2 && !opened && stamps {
				continue // data that only those without timestamps may have: user space looks at that
			}
			if opened {
				want = CrowdCookie
				valid++
			}
			l.expect(t, l.segment(is4, from(remotePort), payload(first.Payload), func(s *segment) {
				s.tcp.Seq, s.tcp.Ack = uint32(first.Seq), uint32(first.Ack)
			}), want)
		}
	}
	if valid < 200 || valid > 800 {
		t.Errorf("%d of the segments were valid: too few or too many to tell much", valid)
	}
}

// A socket that is read keeps its ring from being taken for crowded, however many packets come in all, and also after some
// were lost.
func TestRingLoad(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{FillRing: 128, RXRing: 128})
	const burst = 40
	frame := l.segment(true, payload([]byte("x")))
	for round := range 3 * crowdedForOthers / burst {
		for range burst {
			l.send(frame)
		}
		if got := len(receive(t, s, burst)); got != burst {
			t.Fatalf("round %d: %d frames", round, got)
		}
	}
	for range 2 * crowdedForOthers { // more than the ring holds, and than may wait
		l.send(frame)
	}
	l.until(t, CrowdStray)
	for frames := make([][]byte, 64); s.Receive(frames) > 0; { // until it finds the ring empty
	}
	l.send(frame)
	receive(t, s, 1)
}

// until waits until the program has counted a reason.
func (l *lab) until(t *testing.T, want Reason) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); l.counters()[want] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s was never counted", want)
		}
	}
}
