package dataplane

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

const (
	getSmall = "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
	getLarge = "GET /large.txt HTTP/1.1\r\nHost: x\r\n\r\n"
	getNone  = "GET /none.txt HTTP/1.1\r\nHost: x\r\n\r\n"
	postHead = "POST /cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
)

// A peer costs nothing before its first request octet, and one request one response.
func TestStaticAnswered(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	s.idle()
	c.say(getSmall)
	s.run(0)
	got, seg := c.receive()
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+small) {
		t.Errorf("response %q", got)
	}
	if seg.Ack != c.seq {
		t.Errorf("the response acknowledges %d, want %d: the request's ACK rides on it", seg.Ack, c.seq)
	}
	if n := s.counters().Responses[0]; n != 1 {
		t.Errorf("counted %d responses, want 1", n)
	}
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
	c.seq++
	s.run(0)
	if _, seg := c.receive(); seg == nil || !seg.FIN {
		t.Fatalf("answer to FIN: %+v", seg)
	}
	c.acknowledge()
	s.run(0)
	s.idle()
}

func TestRequestInEveryCut(t *testing.T) {
	for cut := 1; cut < len(getSmall); cut++ {
		s := newStage(t, nil)
		c := s.client()
		c.connect()
		c.say(getSmall[:cut])
		s.run(0)
		if got, _ := c.receive(); got != "" {
			t.Fatalf("cut at %d: answered half a request with %q", cut, got)
		}
		c.say(getSmall[cut:])
		s.run(0)
		if got, _ := c.receive(); !strings.HasSuffix(got, small) {
			t.Fatalf("cut at %d: response %q", cut, got)
		}
	}
}

// More pipelined requests than may be under way at once, small and large ones in turn: all are answered in order.
func TestPipelineInOrder(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	const n = 3 * window
	c.say(strings.Repeat(getSmall+getLarge, n))
	var got strings.Builder
	for range 2000 {
		s.run(time.Millisecond)
		octets, _ := c.receive()
		got.WriteString(octets)
		c.acknowledge()
	}
	responses := bufio.NewReader(strings.NewReader(got.String()))
	for k := range 2 * n {
		r, err := http.ReadResponse(responses, nil)
		if err != nil {
			t.Fatalf("response %d: %v", k, err)
		}
		body, err := io.ReadAll(r.Body)
		want := small
		if k%2 == 1 {
			want = large
		}
		if err != nil || string(body) != want {
			t.Fatalf("response %d: %d octets that are not those of its object, %v", k, len(body), err)
		}
	}
	if n := s.loop.work.usedWorks; n != 0 {
		t.Errorf("%d works in use when everything is acknowledged, want 0", n)
	}
}

// What is not acknowledged is sent again, the same octets.
func TestRetransmission(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	first := s.take()
	s.run(2 * time.Second) // the first RTO is 1 s (RFC 6298, 2.1)
	again := s.take()
	if len(first) != 1 || len(again) != 1 {
		t.Fatalf("sent %d segments, then %d; want 1 and 1", len(first), len(again))
	}
	if again[0].Seq != first[0].Seq || string(again[0].Payload) != string(first[0].Payload) {
		t.Errorf("sent again: seq %d %q, first: %d %q", again[0].Seq, again[0].Payload, first[0].Seq, first[0].Payload)
	}
}

// A miss: the record before the injection, the client's own octets, then nothing is held.
func TestMissHandedOver(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getNone)
	s.run(0)
	if got := strings.Join(s.kernel.calls, " "); got != "begin inject established" {
		t.Errorf("calls %q", got)
	}
	checkInjected(t, s, c, getNone)
	if n := s.counters().Handovers[ReasonMiss]; n != 1 {
		t.Errorf("counted %d misses, want 1", n)
	}
	if len(s.store.wanted) != 1 || s.store.wanted[0] != "/none.txt" {
		t.Errorf("wanted %q", s.store.wanted)
	}
	if got := s.take(); len(got) != 0 {
		t.Errorf("sent %d segments beside the hand-over", len(got))
	}
	s.idle()
}

// checkInjected asserts that what the kernel was given is want, from the request boundary on.
func checkInjected(t *testing.T, s *stage, c *client, want string) {
	t.Helper()
	next := uint32(s.kernel.begun.Seq)
	var got string
	for _, frame := range s.kernel.injected {
		tcp := decode(t, frame)
		if tcp.SrcPort != c.port || tcp.Seq != next || tcp.Ack != uint32(s.kernel.begun.Ack) {
			t.Fatalf("injected seq %d ack %d from port %d, want %d, %d, %d", tcp.Seq, tcp.Ack, tcp.SrcPort, next, s.kernel.begun.Ack, c.port)
		}
		next += uint32(len(tcp.Payload))
		got += string(tcp.Payload)
	}
	if got != want {
		t.Errorf("injected %q, want %q", got, want)
	}
}

// decode reads a frame with gopacket, which also checks its checksum: over a whole valid segment it is 0.
func decode(t testing.TB, frame []byte) *layers.TCP {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatalf("malformed frame: %v", p.ErrorLayer().Error())
	}
	tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
		t.Fatal(err)
	}
	if sum, err := tcp.ComputeChecksum(); err != nil || sum != 0 {
		t.Fatalf("bad checksum: %#x %v", sum, err)
	}
	return tcp
}

// A POST behind a response waits until that is acknowledged: the kernel would never send it again (SND.UNA == SND.NXT).
func TestHandoverWaitsForAcknowledgement(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getSmall + postHead)
	s.run(0)
	if len(s.kernel.calls) != 0 {
		t.Fatalf("calls %q while a response is under way", s.kernel.calls)
	}
	c.receive()
	c.say("12345")
	s.run(0)
	if got := strings.Join(s.kernel.calls, " "); got != "begin inject established" {
		t.Fatalf("calls %q", got)
	}
	checkInjected(t, s, c, postHead+"12345")
	s.idle()
}

// A late double of an earlier connection's first segment does not keep the client's next connection from being served.
func TestGhostGivesWay(t *testing.T) {
	s := newStage(t, nil)
	old := s.client()
	old.connect()
	again := &client{stage: s, port: old.port, seq: old.seq + 100_000}
	again.connect()
	old.say(getSmall)
	s.run(0)
	again.take()
	again.say(getSmall)
	s.run(0)
	got, seg := again.receive()
	if !strings.HasSuffix(got, small) || seg.Ack != again.seq {
		t.Errorf("the new connection gets %q, %+v", got, seg)
	}
	old.say(getSmall) // and does not come back
	again.say(getSmall)
	s.run(0)
	if got, _ := again.receive(); !strings.HasSuffix(got, small) {
		t.Errorf("behind an old duplicate, the new connection gets %q", got)
	}
}

// A body in the same batch of frames as its head follows it to the kernel, also on a new connection.
func TestHandoverOfBatch(t *testing.T) {
	for _, before := range []string{"", getSmall} {
		s := newStage(t, nil)
		c := s.client()
		c.connect()
		if before != "" {
			c.say(before)
			s.run(0)
			c.receive()
		}
		c.say(postHead)
		c.say("123")
		c.say("45")
		s.run(0)
		checkInjected(t, s, c, postHead+"12345")
		s.idle()
	}
}

// A body that overtook its head is injected in order.
func TestHandoverOfReorderedBody(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	c.receive()
	head := uint32(len(postHead))
	c.give(layers.TCP{Seq: c.seq + head, Ack: c.ack, ACK: true}, "12345")
	s.run(0)
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true}, postHead)
	s.run(0)
	checkInjected(t, s, c, postHead+"12345")
	s.idle()
}

// Octets behind a gap go along: the client may believe that they have arrived, since it was told so (SACK).
func TestHandoverWithGap(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	head := uint32(len(postHead))
	c.give(layers.TCP{Seq: c.seq + head + 3, Ack: c.ack, ACK: true}, "45")
	s.run(0)
	c.say(postHead)
	s.run(0)
	// The first segment of a connection must come first: what overtook it was dropped.
	checkInjected(t, s, c, postHead)

	s = newStage(t, nil)
	c = s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	c.receive()
	c.give(layers.TCP{Seq: c.seq + head + 3, Ack: c.ack, ACK: true}, "45")
	s.run(0)
	c.say(postHead)
	s.run(0)
	if len(s.kernel.injected) != 2 {
		t.Fatalf("injected %d frames, want 2", len(s.kernel.injected))
	}
	tcp := decode(t, s.kernel.injected[1])
	if tcp.Seq != c.seq+3 || string(tcp.Payload) != "45" {
		t.Errorf("injected %q at %d, want 45 at %d", tcp.Payload, tcp.Seq, c.seq+3)
	}
}

// The kernel takes the TSval of the first injected segment as TS.Recent; a TSval that steps back would be dropped.
func TestHandoverWithTimestamps(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.tsval = 7000
	c.connect()
	c.tsval += 5
	c.say("GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	s.run(5 * time.Millisecond)
	c.receive()
	c.tsval += 5
	c.say("POST /cgi HTTP/1.1\r\nContent-Length: 3000\r\n\r\n" + strings.Repeat("z", 1000))
	s.run(5 * time.Millisecond)
	h := s.kernel.begun
	if !h.TimestampsOK || h.TSRecent != c.tsval {
		t.Fatalf("handed over with timestamps %v, TS.Recent %d, want %d", h.TimestampsOK, h.TSRecent, c.tsval)
	}
	for _, frame := range s.kernel.injected {
		opts := decode(t, frame).Options
		if len(opts) == 0 || opts[len(opts)-1].OptionType != layers.TCPOptionKindTimestamps {
			t.Fatalf("injected without timestamps: %v", opts)
		}
		data := opts[len(opts)-1].OptionData
		if v := binary.BigEndian.Uint32(data); v != h.TSRecent {
			t.Errorf("injected with TSval %d, want %d", v, h.TSRecent)
		}
		if e := binary.BigEndian.Uint32(data[4:]); e != tcpstate.Millis(s.now)+h.TSOffset {
			t.Errorf("injected with TSecr %d, want %d", e, tcpstate.Millis(s.now)+h.TSOffset)
		}
	}
}

// The server's accept queue is full: the hand-over is tried again, with the same octets, and what the client sends
// meanwhile goes to the kernel.
func TestHandoverTriedAgain(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 3
	c := s.client()
	c.connect()
	c.say(getNone)
	s.run(0)
	if n := s.counters().Handing; n != 1 {
		t.Fatalf("%d are being handed over, want 1", n)
	}
	for range 100 {
		s.run(20 * time.Millisecond)
	}
	if n := s.counters().Handovers[ReasonMiss]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	if len(s.kernel.injected) != 4 {
		t.Errorf("injected %d times, want 4", len(s.kernel.injected))
	}
	for _, frame := range s.kernel.injected {
		if tcp := decode(t, frame); string(tcp.Payload) != getNone || tcp.Seq != uint32(s.kernel.begun.Seq) {
			t.Errorf("injected %q at %d", tcp.Payload, tcp.Seq)
		}
	}
	s.idle()
}

// What comes during a hand-over goes to the kernel at once, as it came.
func TestSegmentsDuringHandover(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(postHead)
	s.run(0)
	c.say("12345")
	s.run(0)
	checkInjected(t, s, c, postHead+"12345")
}

func TestHandoverGivenUp(t *testing.T) {
	s := newStage(t, func(cfg *Config) { cfg.HandoverTimeout = time.Second })
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(getNone)
	for range 200 {
		s.run(20 * time.Millisecond)
	}
	segs := s.take()
	if len(segs) != 1 || !segs[0].RST || segs[0].Seq != c.ack {
		t.Errorf("sent %+v, want one RST at %d", segs, c.ack)
	}
	if n := s.counters().Drops[DropHandoverTimeout]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	if last := s.kernel.calls[len(s.kernel.calls)-1]; last != "cancel" {
		t.Errorf("last call %q, want cancel", last)
	}
	s.idle()
}

func TestHandoverRefused(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.beginErr = errFull
	c := s.client()
	c.connect()
	c.say(getNone)
	s.run(0)
	if segs := s.take(); len(segs) != 1 || !segs[0].RST {
		t.Errorf("sent %+v, want one RST", segs)
	}
	if n := s.counters().Drops[DropHandoverRefused]; n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	s.idle()
}

// A double of the first SYN during a hand-over must not become a connection of its own.
func TestLateSYNDuringHandover(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(getNone)
	s.run(0)
	n := len(s.kernel.injected)
	c.give(layers.TCP{Seq: 1000, SYN: true}, "")
	s.run(0)
	if len(s.kernel.injected) != n {
		t.Error("the kernel was given the SYN")
	}
}

// A client that goes while the server is busy must not come to life as a ghost.
func TestResetCancelsHandover(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(getNone)
	s.run(0)
	c.give(layers.TCP{Seq: c.seq, RST: true}, "")
	s.run(0)
	if last := s.kernel.calls[len(s.kernel.calls)-1]; last != "cancel" {
		t.Errorf("calls %q, want cancel at the end", s.kernel.calls)
	}
	s.idle()
}

// Nor one that has sent more since, of which only the kernel knows: it is asked, and answers where we are.
func TestResetBehindABodyCancelsHandover(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(postHead)
	s.run(0)
	held := c.seq
	c.say("12345")
	c.give(layers.TCP{Seq: c.seq, RST: true}, "")
	s.run(0)
	segs := s.take()
	if len(segs) == 0 || segs[len(segs)-1].Ack != held || segs[len(segs)-1].RST {
		t.Fatalf("sent %+v, want a challenge at %d", segs, held)
	}
	c.give(layers.TCP{Seq: held, RST: true}, "")
	s.run(0)
	if last := s.kernel.calls[len(s.kernel.calls)-1]; last != "cancel" {
		t.Errorf("calls %q, want cancel at the end", s.kernel.calls)
	}
	s.idle()
}

// A handshake may be answered by the steering program while a Step is under way: the loop's timestamps go on from there.
func TestClockIsReadForEachBatch(t *testing.T) {
	var s *stage
	const later = 3 * tcpstate.Millisecond
	s = newStage(t, func(c *Config) { c.Clock = func() tcpstate.Time { return s.now + later } })
	c := s.client()
	c.tsval = 1
	syn := wire.Segment{Seq: wire.Seq(c.seq), Flags: wire.SYN, Options: wire.Options{HasMSS: true, MSS: 1460, HasTS: true, TSVal: 1}}
	var out tcpstate.Transmit
	flow := wire.Flow{Local: wire.Addr4(local.To4()), Remote: wire.Addr4(remote.To4()), LocalPort: 80, RemotePort: uint16(c.port)}
	s.loop.cfg.Listener.OnSYN(&flow, &syn, s.now+later, &out)
	c.seq, c.ack, c.tsecr = c.seq+1, uint32(out.Seq)+1, out.Options.TSVal
	c.say(getSmall)
	s.run(0)
	if got, seg := c.receive(); seg == nil || !strings.HasSuffix(got, small) || int32(c.tsecr-out.Options.TSVal) < 0 {
		t.Errorf("answer %q with timestamp %d after %d", got, c.tsecr, out.Options.TSVal)
	}
}
