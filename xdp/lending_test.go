package xdp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

const (
	testLendings = 32 // for each queue
	testDate     = "Sun, 06 Nov 1994 08:49:37 GMT"
)

// loan is a connection that is lent, and an answer that lies ready.
type loan struct {
	l       *lab
	flow    *wire.Flow
	is4, ts bool
	place   uint32
	lent    steerLent
	number  uint32
	ready   steerReady
	request []byte
	answer  []byte // with zeros for the date
}

// testHash is asked_hash(), again.
func testHash(local wire.Addr, request []byte) uint64 {
	h := binary.LittleEndian.Uint64(local[:]) ^ binary.LittleEndian.Uint64(local[8:])
	h += uint64(len(request))
	for k := 0; k < min(len(request)/8, 16); k++ {
		h = (h ^ binary.LittleEndian.Uint64(request[8*k:])) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// lend lends a connection with a request of so many octets, whose answer is so long.
func (l *lab) lend(is4, ts bool, asked, length, dateAt int) *loan {
	n := &loan{l: l, flow: l.flowOf(is4, 1234), is4: is4, ts: ts}
	n.request = []byte("GET /" + strings.Repeat("x", asked-5-len(" HTTP/1.1\r\nHost: h\r\n\r\n")) + " HTTP/1.1\r\nHost: h\r\n\r\n")
	n.answer = make([]byte, length)
	for k := range n.answer {
		n.answer[k] = byte(k*7 + k>>8)
	}
	clear(n.answer[dateAt : dateAt+len(testDate)])
	l.enter(n.flow, 1)
	hash := wire.Key{K0: testFlowKey[0], K1: testFlowKey[1]}.Short(n.flow)
	n.place = uint32(hash>>32) & (2*testLendings - 1)
	n.lent = steerLent{Owner: 1, Hash: uint32(hash), RcvNxt: 1000, SndNxt: 2000, TsRecent: 500, TsOffset: 77, Window: 501, Room: 1448, PeerScale: 0, Served: 3, Most: 0xffff}
	if ts {
		n.lent.With = 1
	}
	n.number = uint32(testHash(n.flow.Local, n.request)) & (ReadyAnswers - 1)
	local := n.flow.Local
	n.ready = steerReady{
		UntilNanos: uint64(monotonic(l.t, -time.Hour)), Hash: testHash(n.flow.Local, n.request), AskedLen: uint16(asked), Len: uint16(length), DateAt: uint16(dateAt), Most: 0xffff,
		AskedSum: bits.ReverseBytes16(wire.Sum(n.request, 0)), Sum: bits.ReverseBytes16(wire.Sum(n.answer, 0)),
	}
	n.ready.Local.Octets = local
	copy(n.ready.Asked[:], n.request)
	copy(n.ready.Octets[:], n.answer)
	var d steerDateTexts
	d.Current = 2
	copy(d.All[2].Text[:], testDate)
	d.All[2].Sum = bits.ReverseBytes16(wire.Sum([]byte(testDate), 0))
	n.must(l.program.objects.Dates.Put(uint32(0), &d))
	n.write()
	return n
}

func (n *loan) must(err error) {
	n.l.t.Helper()
	if err != nil {
		n.l.t.Fatal(err)
	}
}

// counts makes the answer say, at an offset, how many requests may follow on a connection that may carry so many.
func (n *loan) counts(at, most, served int) {
	digits := len(strconv.Itoa(most - served))
	n.lent.Most, n.lent.Served = uint16(most), uint16(served)
	n.ready.Most, n.ready.MaxAt, n.ready.MaxDigits = n.lent.Most, uint16(at), uint16(digits)
	n.number = uint32(n.ready.Hash+uint64(digits)) & (ReadyAnswers - 1)
	clear(n.answer[at : at+digits])
	copy(n.ready.Octets[:], n.answer)
	n.ready.Sum = bits.ReverseBytes16(wire.Sum(n.answer, 0))
	n.write()
}

// write puts the loan into the maps.
func (n *loan) write() {
	n.l.t.Helper()
	n.must(n.l.program.objects.Lents.Put(n.place, &n.lent))
	n.must(n.l.program.objects.Readies.Put(n.number, &n.ready))
}

// now is the loan as it stands in the map.
func (n *loan) now() (lent steerLent) {
	n.l.t.Helper()
	n.must(n.l.program.objects.Lents.Lookup(n.place, &lent))
	return lent
}

// timestamps is the option as clients write it.
func timestamps(val, ecr uint32) func(*segment) {
	return func(s *segment) {
		data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, val), ecr)
		s.tcp.Options = []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: data},
		}
	}
}

// ask is a segment with the request.
func (n *loan) ask(edits ...func(*segment)) []byte {
	all := []func(*segment){flags("AP"), payload(n.request)}
	if n.ts {
		all = append(all, timestamps(501, 9))
	}
	return n.l.segment(n.is4, append(all, edits...)...)
}

// ambiguous is a segment with the request, whose checksum is whole and the pseudo-header's sum.
func (n *loan) ambiguous(t *testing.T) []byte {
	t.Helper()
	at := 14 + 40 + 16
	if n.is4 {
		at = 14 + 20 + 16
	}
	whole := n.ask(timestamps(1<<16, 9))
	left := bytes.Clone(whole)
	leavePseudoSum(left, n.is4)
	// What must be added to the data, in one's complement, so that the one becomes the other.
	x := uint32(binary.BigEndian.Uint16(whole[at:])) + uint32(^binary.BigEndian.Uint16(left[at:]))
	x = x&0xffff + x>>16
	whole = n.ask(timestamps(1<<16+x, 9))
	var p wire.Packet
	if problem := wire.Parse(whole, &p); problem != wire.OK || !p.Partial {
		t.Fatalf("%v, partial %t", problem, p.Partial)
	}
	wire.Finish(whole)
	if !bytes.Equal(whole[at:at+2], left[at:at+2]) {
		t.Fatal("the checksum is not whole")
	}
	return whole
}

// want is the frame of the answer, with a TSval.
func (n *loan) want(tsval, tsecr uint32, partial bool) []byte {
	var o wire.Options
	if n.ts {
		o = wire.Options{HasTS: true, TSVal: tsval, TSEcr: tsecr}
	}
	h := wire.Header{
		Src: wire.MAC(n.l.server.MAC), Dst: wire.MAC(n.l.client.MAC), Flow: n.flow, Seq: 2000, Ack: wire.Seq(1000 + len(n.request)),
		Flags: wire.ACK | wire.PSH, Wnd: 501, Options: &o,
	}
	frame := make([]byte, 2048)
	copy(frame[h.HeaderLen():], n.answer)
	copy(frame[h.HeaderLen()+int(n.ready.DateAt):], testDate)
	if n.ready.MaxDigits > 0 {
		copy(frame[h.HeaderLen()+int(n.ready.MaxAt):], strconv.Itoa(int(n.lent.Most-n.lent.Served)))
	}
	frame = frame[:h.Build(frame, len(n.answer))]
	wire.Finish(frame)
	if partial {
		leavePseudoSum(frame, n.flow.Is4())
	}
	return frame
}

// The answer is what the loop would send, octet for octet, and the loan tells of it.
func TestAnswerIsTheLoops(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	l.open(SocketConfig{})
	r := rand.New(rand.NewPCG(5, 6))
	const counts = 120 // the last ones of them count down to 1
	for k := range 60 + counts {
		l.beat()
		is4, ts, partial := k%2 == 0, k%3 > 0, k%5 == 0
		length := 29 + r.IntN(1448-29+1)
		n := l.lend(is4, ts, 32+r.IntN(512-31), length, r.IntN(length-28))
		switch left := 60 + counts - k; {
		case left <= 100:
			n = l.lend(is4, ts, 400, 1000+k%2, 40)
			n.counts(100+k%3, 100, 100-left)
		case k >= 60:
			n = l.lend(is4, ts, 400, 1000+k%2, 40+k%2)
			n.counts(100+r.IntN(800), 0xfffe, r.IntN(0xfffe))
		}
		frame := n.ask()
		if partial {
			leavePseudoSum(frame, n.flow.Is4())
		}
		before := tcpstate.Millis(tcpstate.Time(monotonic(t, 0)))
		l.send(frame)
		got := bytes.Clone(l.next(make([]byte, 2048)))
		after := tcpstate.Millis(tcpstate.Time(monotonic(t, 0)))
		var p wire.Packet
		if problem := wire.Parse(got, &p); problem != wire.OK {
			t.Fatalf("%d: the answer: %v", k, problem)
		}
		tsval := p.Segment.Options.TSVal
		if ts && (tsval-77-before > after-before) {
			t.Errorf("%d: TSval %d is not of %d to %d", k, tsval, before+77, after+77)
		}
		if want := n.want(tsval, 501, partial); !bytes.Equal(got, want) {
			t.Fatalf("%d: IPv4 %t, timestamps %t, partial %t:\n got %x\nwant %x", k, is4, ts, partial, got, want)
		}
		was, is := n.lent, n.now()
		was.RcvNxt += uint32(len(n.request))
		was.SndNxt += uint32(len(n.answer))
		was.PeerWindow, was.Answered, was.Answer = 64000, 1, uint16(n.number)
		was.With |= 2 << 1
		was.FirstNanos, was.LastNanos = is.FirstNanos, is.LastNanos
		if ts {
			was.TsRecent = 501
		}
		if is != was || is.FirstNanos != is.LastNanos || tcpstate.Millis(tcpstate.Time(is.LastNanos))-before > after-before {
			t.Errorf("%d: the loan is\n%+v, want\n%+v", k, is, was)
		}
	}
	if c := l.counters(); c[Answered] != 60+counts {
		t.Errorf("%d requests are counted as answered", c[Answered])
	}
}

// testSteerLending: whatever is not the request of a lent connection, in every respect, goes to the loop as it came, and the loan
// stays as it was.
func testSteerLending(t *testing.T) {
	l := newBench(t)
	for _, is4 := range []bool{true, false} {
		n := l.lend(is4, true, 100, 1000, 40)
		tcpAt := 14 + 40
		if is4 {
			tcpAt = 14 + 20
		}
		type edit = func(*segment)
		ask := func(e ...edit) []byte { return n.ask(e...) }
		change := func(f func()) func() []byte {
			return func() []byte { f(); n.write(); return n.ask() }
		}
		whole := n.ask()
		for _, c := range []struct {
			name  string
			frame func() []byte
		}{
			{"not lent", change(func() { n.lent.Owner = 0 })},
			{"taken by another CPU", change(func() { n.lent.Owner = 2 })},
			{"another flow's place", change(func() { n.lent.Hash++ })},
			{"another sequence number", func() []byte { return ask(func(s *segment) { s.tcp.Seq-- }) }},
			{"an answer before is not acknowledged", func() []byte { return ask(func(s *segment) { s.tcp.Ack-- }) }},
			{"FIN", func() []byte { return ask(flags("APF")) }},
			{"URG", func() []byte { return ask(flags("APU")) }},
			{"ECE", func() []byte { return ask(flags("APE")) }},
			{"CWR", func() []byte { return ask(flags("APC")) }},
			{"no timestamps", func() []byte { return ask(func(s *segment) { s.tcp.Options = nil }) }},
			{"timestamps that were not negotiated", change(func() { n.lent.With = 0 })},
			{"a timestamp from before", func() []byte { return ask(timestamps(499, 9)) }},
			{"another option of the length", func() []byte {
				return ask(func(s *segment) { s.tcp.Options[2].OptionType = layers.TCPOptionKindSACK })
			}},
			{"one octet more", func() []byte { return ask(payload(append(bytes.Clone(n.request), 'G'))) }},
			{"one octet less", func() []byte { return ask(payload(n.request[:99])) }},
			{"nothing", func() []byte { return ask(payload(nil)) }},
			{"no answer", change(func() { n.ready.Hash++ })},
			{"not any more", change(func() { n.ready.UntilNanos = uint64(monotonic(t, 0)) })},
			{"asked of another address", change(func() { n.ready.Local.Octets[15]++ })},
			{"no room in a segment", change(func() { n.lent.Room = 999 })},
			{"no room in the window", func() []byte { return ask(func(s *segment) { s.tcp.Window = 999 }) }},
			{"the last request of the connection", change(func() { n.ready.Most, n.lent.Most = 3, 3 })},
			{"not the last one, by the answer", change(func() { n.ready.Most = 5 })},
			{"not the last one, by the connection", change(func() { n.lent.Most = 5 })},
			{"an answer that counts, on a connection without a limit", change(func() { n.ready.MaxDigits = 1 })},
			{"too many to count", change(func() { n.lent.Answered = 0x7fff })},
			{"a wrong checksum", func() []byte { return patch(whole, tcpAt+16, whole[tcpAt+16]+1) }},
			{"a checksum that is whole, and looks as if the device were to finish it", func() []byte { return n.ambiguous(t) }},
			{"for another station", func() []byte { return patch(whole, 0, 2, 9, 9, 9, 9, 9) }},
		} {
			was := *n
			frame := c.frame()
			l.expect(t, frame, Ours)
			if is := n.now(); is != n.lent {
				t.Errorf("%s: the loan is\n%+v, was\n%+v", c.name, is, n.lent)
			}
			*n = was
			n.write()
			// But for that it is answered.
			if verdict, reason, _ := l.runOut(whole, 0); verdict != xdpPass || reason != Answered {
				t.Fatalf("behind %s: verdict %d, %s", c.name, verdict, reason)
			}
			n.write()
		}
		// The same hash, so that the octets are looked at: each of those that are not hashed, changed.
		long := l.lend(is4, false, 509, 1000, 41)
		for k := 128; k < len(long.request); k++ {
			long.ready.Asked[k] ^= 1
			long.write()
			l.expect(t, long.ask(), Ours)
			long.ready.Asked[k] ^= 1
		}
		if is4 {
			long.write()
			l.expect(t, patch(long.ask(), 14+8, 63), Ours) // IPv4's own checksum
		}
		long.write()
		verdict, reason, _ := l.runOut(long.ask(), 0)
		if verdict != xdpPass || reason != Answered {
			t.Errorf("unchanged: verdict %d, %s", verdict, reason)
		}
		long.lent.Served, long.lent.Most, long.ready.Most = 2, 3, 3
		long.write()
		if _, reason, _ := l.runOut(long.ask(), 0); reason != Answered {
			t.Errorf("the last but one request: %s", reason)
		}
		testSteerCounting(t, l, is4)
		covered[Answered] = true
		// There is no room for the mark.
		long.write()
		l.spoil(t, long.ask())
	}
}

// testSteerCounting: an answer with a number is one for numbers of as many digits.
func testSteerCounting(t *testing.T, l *lab, is4 bool) {
	n := l.lend(is4, true, 200, 1000, 41)
	n.ready.UntilNanos = 0
	n.write() // it lies where one without a number does, and is over
	n.ready.UntilNanos = uint64(monotonic(t, -time.Hour))
	n.counts(300, 100, 90)
	for served, want := range map[int]Reason{0: Ours, 1: Answered, 90: Answered, 91: Ours, 99: Ours, 100: Ours, 101: Ours} {
		n.lent.Served = uint16(served)
		n.write()
		if _, reason, _ := l.runOut(n.ask(), 0); reason != want {
			t.Errorf("request %d of 101: %s, want %s", served+1, reason, want)
		}
	}
	n.lent.Served, n.ready.MaxDigits = 50, 1
	n.write()
	l.expect(t, n.ask(), Ours)
	// One that is over does not hide another, which has no number.
	n.ready.MaxDigits, n.ready.UntilNanos = 2, 0
	n.write()
	l.expect(t, n.ask(), Ours)
	plain := l.lend(is4, true, 200, 1000, 41)
	plain.lent.Served, plain.lent.Most, plain.ready.Most = 50, 100, 100
	plain.write()
	if _, reason, _ := l.runOut(plain.ask(), 0); reason != Answered || plain.now().Answer != uint16(plain.number) {
		t.Errorf("without a number: %s, answer %d of %d", reason, plain.now().Answer, plain.number)
	}
}

// ack is a bare ACK of all that was sent.
func (n *loan) ack(edits ...func(*segment)) []byte {
	var all []func(*segment)
	if n.ts {
		all = append(all, timestamps(501, 9))
	}
	return n.l.segment(n.is4, append(all, edits...)...)
}

// testSteerAcknowledged: a bare ACK of a lent connection is taken in, and the loan tells of it; whatever says more or something else
// is the loop's, and so is a second one.
func testSteerAcknowledged(t *testing.T) {
	l := newBench(t)
	for k := range 8 {
		is4, ts, partial := k&1 == 0, k&2 == 0, k&4 == 0
		n := l.lend(is4, ts, 100, 1000, 40)
		frame := n.ack()
		if partial {
			leavePseudoSum(frame, n.flow.Is4())
		}
		frame = append(frame, make([]byte, 6)...) // padding
		want := n.lent
		want.PeerWindow, want.Acked = 64000, 1
		if ts {
			want.TsRecent = 501
		}
		before := uint64(monotonic(t, 0))
		l.expect(t, frame, Acked)
		is := n.now()
		if want.FirstNanos = is.FirstNanos; is != want || is.FirstNanos < before || is.FirstNanos > uint64(monotonic(t, 0)) {
			t.Errorf("IPv4 %t, timestamps %t, partial %t, at %d: the loan is\n%+v, want\n%+v", is4, ts, partial, before, is, want)
		}
		l.expect(t, frame, Ours) // once more
		// The request behind it, and its own acknowledgment.
		first := is.FirstNanos
		if _, reason, _ := l.runOut(n.ask(), 0); reason != Answered {
			t.Fatalf("the request: %s", reason)
		}
		if is = n.now(); is.FirstNanos != first || is.Acked != 0 || is.LastNanos <= first {
			t.Errorf("behind the request: %+v", is)
		}
		l.expect(t, frame, Ours) // the one before
		frame = n.ack(func(s *segment) { s.tcp.Seq, s.tcp.Ack, s.tcp.Window = s.tcp.Seq+100, s.tcp.Ack+1000, 17 })
		last := is.LastNanos
		l.expect(t, frame, Acked)
		after := uint64(monotonic(t, 0))
		want, is = is, n.now()
		want.PeerWindow, want.Acked = 17, is.Acked
		if is != want || is.Acked == 0 || uint64(is.Acked-1)<<10 > after-last {
			t.Errorf("IPv4 %t, timestamps %t, %d ns later at most: the loan is\n%+v, want\n%+v", is4, ts, after-last, is, want)
		}
	}
	for _, is4 := range []bool{true, false} {
		n := l.lend(is4, true, 100, 1000, 40)
		tcpAt := 14 + 40
		if is4 {
			tcpAt = 14 + 20
		}
		type edit = func(*segment)
		ack := func(e ...edit) func() []byte { return func() []byte { return n.ack(e...) } }
		change := func(f func()) func() []byte {
			return func() []byte { f(); n.write(); return n.ack() }
		}
		whole := n.ack()
		sack := layers.TCPOption{OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: make([]byte, 8)}
		for _, c := range []struct {
			name  string
			frame func() []byte
		}{
			{"not lent", change(func() { n.lent.Owner = 0 })},
			{"taken by another CPU", change(func() { n.lent.Owner = 2 })},
			{"another flow's place", change(func() { n.lent.Hash++ })},
			{"acknowledged before", change(func() { n.lent.Acked = 9 })},
			{"a probe of an idle peer", ack(func(s *segment) { s.tcp.Seq-- })},
			{"from beyond a gap", ack(func(s *segment) { s.tcp.Seq++ })},
			{"not all is acknowledged", ack(func(s *segment) { s.tcp.Ack-- })},
			{"more than all is", ack(func(s *segment) { s.tcp.Ack++ })},
			{"PSH", ack(flags("AP"))},
			{"FIN", ack(flags("AF"))},
			{"RST", ack(flags("AR"))},
			{"URG", ack(flags("AU"))},
			{"ECE", ack(flags("AE"))},
			{"CWR", ack(flags("AC"))},
			{"an octet", ack(payload([]byte("G")))},
			{"no timestamps", ack(func(s *segment) { s.tcp.Options = nil })},
			{"timestamps that were not negotiated", change(func() { n.lent.With = 0 })},
			{"a timestamp from before", ack(timestamps(499, 9))},
			{"another option of the length", ack(func(s *segment) { s.tcp.Options[2].OptionType = layers.TCPOptionKindSACK })},
			{"SACK", ack(func(s *segment) { s.tcp.Options = append(s.tcp.Options, s.tcp.Options[0], s.tcp.Options[0], sack) })},
			{"a wrong checksum", func() []byte { return patch(whole, tcpAt+16, whole[tcpAt+16]+1) }},
			{"another window than was summed", func() []byte { return patch(whole, tcpAt+14, whole[tcpAt+14]+1) }},
			{"a checksum that is whole, and looks as if the device were to finish it", func() []byte { return n.ambiguous(t) }},
			{"for another station", func() []byte { return patch(whole, 0, 2, 9, 9, 9, 9, 9) }},
			{"IPv4's own checksum, or not", func() []byte {
				if is4 {
					return patch(whole, 14+8, 63)
				}
				return patch(whole, tcpAt+16, whole[tcpAt+16]+1)
			}},
		} {
			was := *n
			l.expect(t, c.frame(), Ours)
			if is := n.now(); is != n.lent {
				t.Errorf("%s: the loan is\n%+v, was\n%+v", c.name, is, n.lent)
			}
			*n = was
			n.write()
			l.expect(t, whole, Acked) // but for that
			n.write()
		}
	}
}

// spoil runs a packet before which there is so much metadata that there is no room for more.
func (l *lab) spoil(t *testing.T, frame []byte) {
	t.Helper()
	const meta = 212 // of 216
	data := append(make([]byte, meta), frame...)
	before := l.counters()[Spoiled]
	var verdict uint32
	l.server.Do(func() {
		var err error
		verdict, err = l.program.objects.Steer.Run(&ebpf.RunOptions{
			Data: data, Context: xdpMD{Data: meta, DataEnd: uint32(len(data)), IngressIfindex: uint32(l.server.Index)},
		})
		if err != nil {
			t.Fatalf("run: %v", err)
		}
	})
	if n := l.counters()[Spoiled] - before; n != 1 || verdict != xdpDrop {
		t.Errorf("without room for a mark: verdict %d, %d spoiled", verdict, n)
	}
	covered[Spoiled] = true
}
