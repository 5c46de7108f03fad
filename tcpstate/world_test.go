package tcpstate

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// A world is one connection and a peer that does as the test says. Sequence numbers in tests are relative,
// as tcpdump prints them: the peer's SYN and ours are 0. A world begins with a request of 100 octets, which
// is consumed: the peer's next octet is 101, ours is 1.
type world struct {
	t        *testing.T
	l        *Listener
	st       *Stack
	flow     wire.Flow
	c        Conn
	now      Time
	irs, iss wire.Seq
	ts       bool   // the peer sends timestamps
	tsVal    uint32 // of the peer's next segment; 0: its clock
	tsEcr    uint32 // what the peer echoes
	wnd      uint16 // of the peer's segments, unless they say otherwise
	last     Transmit
	paced    bool // otherwise nothing waits for its time
}

// setup is what a world is made with.
type setup struct {
	cfg   Config
	syn   wire.Options
	irs   wire.Seq
	wnd   uint16
	fresh bool // without the first request
	ecn   bool // the client offers ECN
	now   Time
	flow  wire.Flow
	stack StackConfig
}

var (
	flow4 = wire.Flow{Local: addr("192.0.2.1"), Remote: addr("198.51.100.7"), LocalPort: 80, RemotePort: 40000}
	flow6 = wire.Flow{Local: addr("2001:db8::1"), Remote: addr("2001:db8::7"), LocalPort: 80, RemotePort: 40000}
	key   = wire.Key{K0: 1, K1: 2}
)

func addr(s string) wire.Addr { return wire.AddrFrom(netip.MustParseAddr(s)) }

// start is a time that no test expects to be round.
const start = 1234*Hour + 567891234*Nanosecond

// open begins a connection. By default: MSS 1000, no other option, so that numbers are easy to read.
func open(t *testing.T, change ...func(*setup)) *world {
	t.Helper()
	s := setup{cfg: DefaultConfig(), syn: wire.Options{HasMSS: true, MSS: 1000}, irs: 7_000_000, wnd: 60000, now: start, flow: flow4,
		stack: StackConfig{Flights: 1, Runs: 3000}}
	s.cfg.MSS4 = 1000
	for _, f := range change {
		f(&s)
	}
	w := &world{t: t, st: NewStack(s.stack), l: NewListener(s.cfg, key), flow: s.flow, now: s.now, irs: s.irs, wnd: s.wnd}
	var out Transmit
	syn := wire.SYN
	if s.ecn {
		syn |= wire.ECE | wire.CWR
	}
	if v := w.l.OnSYN(&w.flow, &wire.Segment{Seq: s.irs, Flags: syn, Wnd: s.wnd, Options: s.syn}, w.now, &out); v != SYNReply {
		t.Fatalf("OnSYN: %v", v)
	}
	w.iss, w.ts, w.tsEcr = out.Seq, out.Options.HasTS, out.Options.TSVal
	w.now += 10 * Millisecond
	first := w.absolute(segment(seq(1), ack(1), fill(100)))
	if a := w.l.Accept(&w.flow, &first, w.now, &w.c); a != AcceptOpened {
		t.Fatalf("Accept: %v", a)
	}
	if s.fresh {
		return w
	}
	if in := w.c.OnSegment(w.st, &first, w.now); len(in.Data) != 100 || in.Off != 0 {
		t.Fatalf("first segment: %+v", in)
	}
	w.c.Received(100, nil)
	w.c.Consume(100)
	w.check()
	return w
}

func withSACK(s *setup) { s.syn.SACKPermitted = true }
func withTS(s *setup)   { s.syn.HasTS, s.syn.TSVal = true, uint32(s.now/Millisecond) }
func fresh(s *setup)    { s.fresh = true }
func offers(n uint16) func(*setup) {
	return func(s *setup) { s.wnd = n }
}
func with(k Control) func(*setup) {
	return func(s *setup) { s.stack.Control = k }
}
func scaled(peer uint8) func(*setup) {
	return func(s *setup) { s.syn.HasWScale, s.syn.WScale = true, peer }
}
func config(f func(*Config)) func(*setup) {
	return func(s *setup) { f(&s.cfg) }
}

// segment builds what the peer sends: an ACK of everything, in order, unless fields say otherwise.
func segment(fields ...func(*draft)) draft {
	d := draft{Segment: wire.Segment{Flags: wire.ACK}}
	for _, f := range fields {
		f(&d)
	}
	return d
}

// draft is a segment with relative numbers.
type draft struct {
	wire.Segment
	hasSeq, hasAck, hasWnd, noTS bool
}

func seq(n uint32) func(*draft)       { return func(d *draft) { d.Seq, d.hasSeq = wire.Seq(n), true } }
func ack(n uint32) func(*draft)       { return func(d *draft) { d.Ack, d.hasAck = wire.Seq(n), true } }
func wnd(n uint16) func(*draft)       { return func(d *draft) { d.Wnd, d.hasWnd = n, true } }
func data(s string) func(*draft)      { return func(d *draft) { d.Payload = []byte(s) } }
func fill(n int) func(*draft)         { return func(d *draft) { d.Payload = make([]byte, n) } }
func flags(f wire.Flags) func(*draft) { return func(d *draft) { d.Flags = f } }
func fin(d *draft)                    { d.Flags |= wire.FIN }
func noTS(d *draft)                   { d.noTS = true }
func sack(lo, hi uint32) func(*draft) {
	return func(d *draft) {
		d.Options.SACK[d.Options.NSACK] = wire.Span{Lo: wire.Seq(lo), Hi: wire.Seq(hi)}
		d.Options.NSACK++
	}
}

func (w *world) absolute(d draft) wire.Segment {
	s := d.Segment
	if !d.hasSeq {
		s.Seq = w.c.rcv.nxt - w.irs
	}
	if !d.hasAck {
		s.Ack = w.c.snd.nxt - w.iss
	}
	if !d.hasWnd {
		s.Wnd = w.wnd
	}
	s.Seq += w.irs
	s.Ack += w.iss
	for i := range s.Options.SACK[:s.Options.NSACK] {
		b := &s.Options.SACK[i]
		b.Lo, b.Hi = b.Lo+w.iss, b.Hi+w.iss
	}
	if w.ts && !d.noTS {
		s.Options.HasTS, s.Options.TSVal, s.Options.TSEcr = true, uint32(w.now/Millisecond), w.tsEcr
		if w.tsVal != 0 {
			s.Options.TSVal = w.tsVal
		}
	}
	return s
}

// in delivers what segment builds.
func (w *world) in(fields ...func(*draft)) Input {
	w.t.Helper()
	s := w.absolute(segment(fields...))
	in := w.c.OnSegment(w.st, &s, w.now)
	w.check()
	return in
}

// take delivers, and receives all of the data in order.
func (w *world) take(fields ...func(*draft)) {
	w.t.Helper()
	in := w.in(fields...)
	if in.Off != w.c.Pending() {
		w.t.Fatalf("data at %d, pending %d", in.Off, w.c.Pending())
	}
	w.c.Received(in.Off+uint32(len(in.Data)), nil)
	w.check()
}

// drop delivers, and expects the segment to be refused for that reason.
func (w *world) drop(want Drop, fields ...func(*draft)) {
	w.t.Helper()
	if in := w.in(fields...); in.Drop != want || len(in.Data) != 0 || in.Fate != Alive {
		w.t.Fatalf("got %v %v with %d octets, want %v", in.Fate, in.Drop, len(in.Data), want)
	}
}

// poll returns the next segment as text, or "".
func (w *world) poll() string {
	w.t.Helper()
	if f := w.st.of(&w.c); f != nil && !w.paced {
		f.win.rate = 0
	}
	wants := w.c.WantsTransmit(w.st, w.now)
	var out Transmit
	got := w.c.PollTransmit(w.st, w.now, &out)
	if got != wants {
		w.t.Fatalf("WantsTransmit says %v, PollTransmit %v", wants, got)
	}
	if !got {
		return ""
	}
	w.check()
	w.last = out
	if out.Options.HasTS {
		w.tsEcr = out.Options.TSVal
	}
	if out.Off != uint32(out.Seq-w.iss-1) {
		w.t.Fatalf("Off %d for Seq %d", out.Off, out.Seq-w.iss)
	}
	return w.text(&out)
}

// text prints a segment as packetdrill does: flags, seq:end(len), ack, SACK blocks.
func (w *world) text(o *Transmit) string {
	var b strings.Builder
	for _, f := range []struct {
		bit  wire.Flags
		name byte
	}{{wire.FIN, 'F'}, {wire.SYN, 'S'}, {wire.RST, 'R'}, {wire.PSH, 'P'}, {wire.ACK, '.'}} {
		if o.Flags.Has(f.bit) {
			b.WriteByte(f.name)
		}
	}
	at := int32(o.Seq - w.iss)
	fmt.Fprintf(&b, " %d:%d(%d) ack %d", at, at+int32(o.Len), o.Len, o.Ack-w.irs)
	for _, s := range o.Options.SACK[:o.Options.NSACK] {
		fmt.Fprintf(&b, " sack %d:%d", s.Lo-w.irs, s.Hi-w.irs)
	}
	return b.String()
}

// expect polls until nothing more comes, and compares.
func (w *world) expect(want ...string) {
	w.t.Helper()
	var got []string
	for s := w.poll(); s != ""; s = w.poll() {
		if got = append(got, s); len(got) > 1000 {
			w.t.Fatal("PollTransmit does not end")
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Fatalf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// flood polls until nothing more comes and returns how many segments there were, and their octets.
func (w *world) flood() (segments int, octets uint32) {
	w.t.Helper()
	for w.poll() != "" {
		segments++
		octets += w.last.Len
	}
	return segments, octets
}

// wait lets time go by, and returns what OnTimeout says at the end of it if a timer is due.
func (w *world) wait(d Time) Fate {
	w.t.Helper()
	w.now += d
	if at := w.c.Deadline(w.st); at == 0 || at > w.now {
		return Alive
	}
	f := w.c.OnTimeout(w.st, w.now)
	w.check()
	if at := w.c.Deadline(w.st); at != 0 && at <= w.now {
		w.t.Fatalf("after OnTimeout the deadline lies %d ms back", (w.now-at)/Millisecond)
	}
	return f
}

// quiet lets the delayed ACK go out.
func (w *world) quiet() {
	w.t.Helper()
	w.wait(50 * Millisecond)
	w.expect(". 1:1(0) ack 101")
}

// waitTimer jumps to the deadline.
func (w *world) waitTimer() (Fate, Time) {
	w.t.Helper()
	at := w.c.Deadline(w.st)
	if at == 0 {
		w.t.Fatal("no timer runs")
	}
	d := max(at-w.now, 0)
	return w.wait(d), d
}

// flight is what the connection has borrowed from its Stack.
func (w *world) flight() *flight { return w.st.of(&w.c) }

func (w *world) mode() mode {
	if f := w.flight(); f != nil {
		return f.rec.mode
	}
	return modeOpen
}

func (w *world) window() window {
	if f := w.flight(); f != nil {
		return f.win
	}
	return window{cwnd: w.c.mem.cwnd, ssthresh: w.c.mem.ssthresh}
}

func (w *world) state(want State) {
	w.t.Helper()
	if got := w.c.State(); got != want {
		w.t.Fatalf("state %v, want %v", got, want)
	}
}

func (w *world) check() {
	w.t.Helper()
	if err := invariants(w.st, &w.c); err != nil {
		w.t.Fatal(err)
	}
}

// invariants returns what is wrong with c, whatever has happened to it.
func invariants(st *Stack, c *Conn) error {
	s := &c.snd
	past := s.end
	if c.state.ourFIN() {
		past++
	}
	lossTimer := c.tmr.kind == timerRTO || c.tmr.kind == timerProbe || c.tmr.kind == timerReorder
	switch {
	case c.state >= NumStates || c.state == SynReceived:
		return fmt.Errorf("state %d", c.state)
	case c.state == StateClosed:
		if c.Deadline(st) != 0 || c.tmr.kind != timerNone {
			return fmt.Errorf("a timer runs in CLOSED")
		}
		return nil
	case s.nxt.Less(s.una):
		return fmt.Errorf("SND.UNA %d is behind SND.NXT %d", s.una-s.iss, s.nxt-s.iss)
	case c.has(flagMore) && (s.end.Less(s.nxt) || c.Quiescent()):
		return fmt.Errorf("a FIN was sent, or nothing is missing, before what was promised has come")
	case past.Less(s.nxt):
		return fmt.Errorf("SND.NXT %d is behind the end of the stream %d", s.nxt-s.iss, past-s.iss)
	case s.una != s.nxt && !lossTimer:
		return fmt.Errorf("octets in flight with timer %d", c.tmr.kind)
	case c.state == FinWait2 && c.tmr.kind != timerLinger, c.state == TimeWait && c.tmr.kind != timerTimeWait:
		return fmt.Errorf("%v with timer %d", c.state, c.tmr.kind)
	case s.una == s.nxt && (c.state == Established || c.state == CloseWait) && s.nxt != s.end && s.window() == 0 && c.tmr.kind != timerPersist:
		return fmt.Errorf("a closed window without a persist timer")
	case c.rcv.unacked > 0 && !c.has(flagAckTimer|flagAckNow):
		return fmt.Errorf("%d octets unacknowledged without a timer", c.rcv.unacked)
	case c.has(flagDiscard) && c.rcv.pending > 0:
		return fmt.Errorf("pending octets while discarding")
	case c.flight == 0 && s.una != s.nxt:
		return fmt.Errorf("octets in flight without a flight")
	case c.flight != 0:
		return st.of(c).invariants(st, c)
	}
	return nil
}

func (f *flight) invariants(st *Stack, c *Conn) error {
	s := &c.snd
	if f.win.cwnd == 0 && f.rec.mode == modeOpen {
		return fmt.Errorf("no window")
	}
	// One that began with the acknowledgment of all that was sent ends with the next one.
	if f.rec.mode != modeOpen && f.rec.recover.Less(s.una) && s.una != s.nxt {
		return fmt.Errorf("in recovery with everything acknowledged")
	}
	begin, sacked, lost, n, last := s.una, uint32(0), uint32(0), uint32(0), uint32(0)
	for i := f.head; i != 0; i = st.runs[i].next {
		r := &st.runs[i]
		if !begin.Less(r.end) {
			return fmt.Errorf("run %d ends at %d, begins at %d", n, r.end-s.iss, begin-s.iss)
		}
		if r.has(runSACKed) {
			sacked += uint32(r.end - begin)
		}
		if r.has(runLost) {
			lost += uint32(r.end - begin)
		}
		if r.has(runSACKed) && r.has(runLost) {
			return fmt.Errorf("run %d has arrived and is lost", n)
		}
		begin, last = r.end, i
		n++
	}
	switch {
	case begin != s.nxt && n > 0:
		return fmt.Errorf("runs end at %d, SND.NXT is %d", begin-s.iss, s.nxt-s.iss)
	case sacked != f.sacked || lost != f.lost || n != f.nRuns || last != f.tail:
		return fmt.Errorf("%d SACKed, %d lost, %d runs; counted %d, %d, %d", sacked, lost, n, f.sacked, f.lost, f.nRuns)
	case int(n) != st.usedRuns && len(st.flights) == 2:
		return fmt.Errorf("%d runs are taken, %d are in use", st.usedRuns, n)
	}
	return nil
}
