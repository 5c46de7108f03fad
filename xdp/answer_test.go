package xdp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// answerOf is what the loop sends in answer to a SYN at a time, nil if it leaves it to the kernel.
func answerOf(t *testing.T, listener *tcpstate.Listener, frame []byte, now tcpstate.Time) []byte {
	t.Helper()
	var p wire.Packet
	if problem := wire.Parse(frame, &p); problem != wire.OK {
		t.Fatalf("parse: %v", problem)
	}
	var out tcpstate.Transmit
	if listener.OnSYN(&p.Flow, &p.Segment, now, &out) != tcpstate.SYNReply {
		return nil
	}
	h := wire.Header{Src: p.Dst, Dst: p.Src, Flow: &p.Flow, Seq: out.Seq, Ack: out.Ack, Flags: out.Flags, Wnd: out.Wnd, Options: &out.Options}
	answer := make([]byte, wire.MaxHeaders)
	answer = answer[:h.Build(answer, 0)]
	wire.Finish(answer)
	return answer
}

// randomOptions are those of a SYN: plausible ones, in any order, some odd, some twice, or anything.
func randomOptions(r *rand.Rand) (raw []byte) {
	if r.IntN(8) == 0 {
		raw = make([]byte, 4*r.IntN(11))
		for k := range raw {
			raw[k] = byte(r.IntN(256)) >> r.IntN(8)
		}
		return raw
	}
	for range r.IntN(7) {
		options := [][]byte{
			{2, 4, byte(r.IntN(8)), byte(r.IntN(256))}, {2, 4, 5, 180}, {3, 3, byte(r.IntN(20))}, {4, 2}, {1}, {1, 1}, {0}, {5, 2}, {2, 3, 9}, {254, 6, 1, 2, 3, 4}, {3, 0},
			{8, 10, byte(r.IntN(256)), 2, 3, byte(r.IntN(256)), 0, 0, 0, 0},
		}
		if o := options[r.IntN(len(options))]; len(raw)+len(o) <= 40 {
			raw = append(raw, o...)
		}
	}
	for len(raw)%4 != 0 {
		raw = append(raw, byte(r.IntN(2)))
	}
	return raw
}

// withOptions puts raw options behind the TCP header of a SYN.
func withOptions(frame, raw []byte, is4 bool) []byte {
	at := 14 + 40
	frame = insert(frame, len(frame), raw...)
	if is4 {
		at = 14 + 20
		frame[14+3] += byte(len(raw))
		frame[14+10], frame[14+11] = 0, 0
		sum := ^wire.Sum(frame[14:at], 0)
		frame[14+10], frame[14+11] = byte(sum>>8), byte(sum)
	} else {
		frame[14+5] += byte(len(raw))
	}
	frame[at+12] += byte(len(raw) / 4 << 4)
	wire.Finish(frame)
	return frame
}

// testSteerAnswers: the answer to a SYN is the loop's, octet for octet, for all that a SYN may offer, and whatever of it
// is switched on here.
func testSteerAnswers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 7))
	answered := 0
	for k, change := range []func(*tcpstate.Config){
		func(*tcpstate.Config) {},
		func(c *tcpstate.Config) { c.Timestamps, c.MSS4, c.MSS6 = false, 1400, 1380 },
		func(c *tcpstate.Config) { c.SACK, c.WScale, c.Window = false, 3, 32000 },
		func(c *tcpstate.Config) { c.WindowScaling, c.ECN, c.MSS4, c.MSS6 = false, false, 3786, 3766 },
	} {
		cfg := tcpstate.DefaultConfig()
		change(&cfg)
		listener := tcpstate.NewListener(cfg, wire.Key{K0: testCookieKey[0], K1: testCookieKey[1]})
		l := newBenchOf(t, listener, []int{1500, 9000}[k%2])
		l.waiting(crowdedForSYNs + 1)
		for k := range 300 {
			l.beat()
			is4 := k%2 == 0
			frame := withOptions(l.segment(is4, syn, from(1+r.IntN(65535)), func(s *segment) {
				s.tcp.Seq, s.tcp.Window = r.Uint32(), 1000
				s.tcp.ECE, s.tcp.CWR = r.IntN(2) == 0, r.IntN(3) > 0
			}), randomOptions(r), is4)
			if r.IntN(4) == 0 {
				frame = append(frame, make([]byte, 6)...) // padding
			}
			before := tcpstate.Time(monotonic(t, 0))
			want := answerOf(t, listener, frame, before)
			verdict, reason, got := l.runOut(frame, 0)
			if reason == CrowdSYN {
				got = got[8:] // bounce's mark
			}
			if want == nil {
				if verdict != xdpPass || reason != CrowdOddSYN || !bytes.Equal(got, frame) {
					t.Fatalf("SYN %x: verdict %d, %s; want it passed unchanged", frame, verdict, reason)
				}
				continue
			}
			if verdict != xdpPass || reason != CrowdSYN {
				t.Fatalf("SYN %x: verdict %d, %s", frame, verdict, reason)
			}
			after := tcpstate.Time(monotonic(t, 0))
			for now := before; !bytes.Equal(got, want); now += tcpstate.Millisecond { // it was made at one of these
				if want = answerOf(t, listener, frame, min(now, after)); now > after && !bytes.Equal(got, want) {
					t.Fatalf("SYN %x:\n got %x\nwant %x", frame, got, want)
				}
			}
			answered++
		}
		covered[CrowdSYN] = true
		// To another station's address it is not ours to answer.
		other := patch(l.segment(true, syn), 0, 2, 9, 9, 9, 9, 9)
		l.expect(t, other, CrowdOddSYN)
	}
	if answered < 600 {
		t.Errorf("only %d of 1200 SYNs were answered", answered)
	}
}

// The answer comes back to the client, in native and in generic mode, and its connection is the loop's.
func TestSYNIsAnsweredWithoutUserSpace(t *testing.T) {
	for _, generic := range []bool{false, true} {
		l := newLab(t, nstest.Options{}, generic)
		l.open(SocketConfig{})
		l.waiting(crowdedForSYNs + 1)
		for _, is4 := range []bool{true, false} {
			l.send(l.segment(is4, syn))
			var p wire.Packet
			if problem := wire.Parse(l.next(make([]byte, 2048)), &p); problem != wire.OK {
				t.Fatalf("generic %t, IPv4 %t: answer: %v", generic, is4, problem)
			}
			first := wire.Segment{Seq: 1001, Ack: p.Segment.Seq + 1, Flags: wire.ACK, Payload: []byte("G")}
			var c tcpstate.Conn
			if p.Segment.Ack != 1001 {
				t.Errorf("generic %t, IPv4 %t: it acknowledges %d", generic, is4, p.Segment.Ack)
			}
			flow := wire.Flow{Local: p.Flow.Remote, LocalPort: p.Flow.RemotePort, Remote: p.Flow.Local, RemotePort: p.Flow.LocalPort}
			if a := testListener().Accept(&flow, &first, tcpstate.Time(monotonic(t, 0)), &c); a != tcpstate.AcceptOpened {
				t.Errorf("generic %t, IPv4 %t: the connection is %v", generic, is4, a)
			}
		}
		if n := l.counters()[CrowdSYN]; n != 2 {
			t.Errorf("generic %t: %d SYNs counted as answered", generic, n)
		}
	}
}
