package redirect

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// What a tcx program may say to the packet, <linux/bpf.h>.
const (
	tcxNext     = ^uint32(0)
	tcxDrop     = 2
	tcxRedirect = 7
)

const (
	testMark       = 0x1234
	injectedSource = "\x02xhttp" // xdp/bpf/injected.h
)

// programs loads the programs without attaching them.
func programs(t testing.TB, cfg Config) *Redirector {
	t.Helper()
	cfg.Mark = testMark
	cfg.setDefaults()
	r := &Redirector{lifetime: cfg.Lifetime, mark: cfg.Mark}
	must(t, "load", r.load(&cfg))
	t.Cleanup(func() { must(t, "close", r.objects.Close()) })
	return r
}

// context is struct __sk_buff as far as it can be set (net/bpf/test_run.c).
type context struct {
	_, _, Mark uint32
	_          [7]uint32
	Ifindex    uint32
	_          [200]byte
}

// run runs a program on a frame, checks what it says and counts, and that it changes no octet
// but the source address of an injected frame.
func (r *Redirector) run(t *testing.T, prog *ebpf.Program, frame []byte, ctx context, want Verdict, action uint32) context {
	t.Helper()
	before, err := r.Counters()
	must(t, "counters", err)
	out := make([]byte, len(frame)+256)
	var ctxOut context
	opts := ebpf.RunOptions{Data: frame, DataOut: out, Context: ctx, ContextOut: &ctxOut, Repeat: 1}
	got, err := prog.Run(&opts)
	must(t, "run", err)
	if got != action {
		t.Errorf("action %d, want %d", int32(got), int32(action))
	}
	expect := bytes.Clone(frame)
	if want == Injected {
		copy(expect[6:12], injectedSource)
	}
	if !bytes.Equal(opts.DataOut, expect) {
		t.Errorf("frame is\n%x, want\n%x", opts.DataOut, expect)
	}
	after, err := r.Counters()
	must(t, "counters", err)
	before[want]++
	if after != before {
		t.Errorf("counted %v, want %v once more: %v", after, want, before)
	}
	return ctxOut
}

func testFlow(l *lab) wire.Flow {
	return wire.Flow{
		Local: wire.AddrFrom(l.server.IPv4), LocalPort: 80,
		Remote: wire.AddrFrom(l.remote4), RemotePort: 40000,
	}
}

func testHandover() tcpstate.Handover {
	return tcpstate.Handover{Seq: 1000, Ack: 2000, MSS: 1460, SndWScale: 7, RcvWScale: 7, WScaleOK: true, SACKOK: true, TimestampsOK: true}
}

// build builds the segment that testHandover waits for, with changes.
func build(flow wire.Flow, change func(h *wire.Header)) []byte {
	h := wire.Header{
		Dst: wire.MAC{2, 0, 0, 0, 0, 1}, Src: wire.MAC{2, 0, 0, 0, 0, 2}, Flow: &flow, Inbound: true,
		Seq: 1000, Ack: 2000, Flags: wire.ACK | wire.PSH, Wnd: 500,
	}
	if change != nil {
		change(&h)
	}
	frame := make([]byte, h.HeaderLen()+len(get))
	copy(frame[h.HeaderLen():], get)
	h.Build(frame, len(get))
	wire.Finish(frame)
	return frame
}

// put writes a record as Begin would.
func (r *Redirector) put(t testing.TB, flow wire.Flow, change func(rec *bpfRecord)) bpfFlow {
	t.Helper()
	h := testHandover()
	var key bpfFlow
	var rec bpfRecord
	key.set(&flow)
	rec.set(&h, monotonic()+uint64(r.lifetime))
	if change != nil {
		change(&rec)
	}
	must(t, "put record", r.objects.Records.Put(&key, &rec))
	return key
}

func (r *Redirector) has(key bpfFlow) bool {
	var rec bpfRecord
	return r.objects.Records.Lookup(&key, &rec) == nil
}

// TestAssign takes every exit that a test run can reach. In a test run the packet is not at tc ingress, so that the
// kernel refuses each assignment; QueueFull and Assigned are in TestAcceptQueueFull and TestHandOver.
func TestAssign(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16)
	r := programs(t, Config{})
	dst := func(b []byte, at int, octets ...byte) []byte { copy(b[at:], octets); return b }
	flow := testFlow(l)
	flow6 := flow
	flow6.Local, flow6.Remote = wire.AddrFrom(l.server.IPv6), wire.AddrFrom(l.remote6)
	closed := flow
	closed.LocalPort = 81
	plain := func(f wire.Flow) []byte { return build(f, nil) }
	for name, c := range map[string]struct {
		frame  []byte
		flow   wire.Flow
		record func(rec *bpfRecord)
		want   Verdict
		action uint32
		gone   bool // the record is deleted
	}{
		"ARP":                 {dst(plain(flow), 12, 0x08, 0x06), flow, nil, Foreign, tcxNext, false},
		"UDP":                 {dst(plain(flow), 14+9, 17), flow, nil, Foreign, tcxNext, false},
		"fragment":            {dst(plain(flow), 14+6, 0x20), flow, nil, Foreign, tcxNext, false},
		"IP options":          {dst(plain(flow), 14, 0x46), flow, nil, Foreign, tcxNext, false},
		"IPv6 fragment":       {dst(plain(flow6), 14+6, 44), flow6, nil, Foreign, tcxNext, false},
		"VLAN tag":            {dst(plain(flow), 12, 0x81, 0x00), flow, nil, Foreign, tcxNext, false},
		"cut in TCP":          {plain(flow)[:50], flow, nil, Foreign, tcxNext, false},
		"another flow":        {plain(closed), flow, nil, NoRecord, tcxNext, false},
		"expired":             {plain(flow), flow, func(rec *bpfRecord) { rec.Expires = monotonic() }, Expired, tcxNext, true},
		"SYN":                 {build(flow, func(h *wire.Header) { h.Flags = wire.SYN }), flow, nil, NotAssignable, tcxNext, false},
		"SYN and ACK":         {build(flow, func(h *wire.Header) { h.Flags = wire.SYN | wire.ACK }), flow, nil, NotAssignable, tcxNext, false},
		"RST":                 {build(flow, func(h *wire.Header) { h.Flags = wire.RST }), flow, nil, NotAssignable, tcxNext, false},
		"RST and ACK":         {build(flow, func(h *wire.Header) { h.Flags = wire.RST | wire.ACK }), flow, nil, NotAssignable, tcxNext, false},
		"no ACK":              {build(flow, func(h *wire.Header) { h.Flags = wire.PSH }), flow, nil, NotAssignable, tcxNext, false},
		"seq one more":        {build(flow, func(h *wire.Header) { h.Seq++ }), flow, nil, OutOfOrder, tcxDrop, false},
		"seq one less":        {build(flow, func(h *wire.Header) { h.Seq-- }), flow, nil, OutOfOrder, tcxDrop, false},
		"ack one more":        {build(flow, func(h *wire.Header) { h.Ack++ }), flow, nil, OutOfOrder, tcxDrop, false},
		"ack one less":        {build(flow, func(h *wire.Header) { h.Ack-- }), flow, nil, OutOfOrder, tcxDrop, false},
		"spent":               {plain(flow), flow, func(rec *bpfRecord) { rec.State = 1 }, Spent, tcxDrop, false},
		"no listener":         {plain(closed), closed, nil, NoListener, tcxNext, false},
		"no listener on IPv6": {plain(flow6), flow6, nil, NoListener, tcxNext, false},
		"refused":             {plain(flow), flow, nil, AssignRefused, tcxDrop, false},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, l.server)
			key := r.put(t, c.flow, c.record)
			r.run(t, r.objects.Assign, c.frame, context{}, c.want, c.action)
			if gone := !r.has(key); gone != c.gone {
				t.Errorf("record gone: %v, want %v", gone, c.gone)
			}
			must(t, "delete record", ignoreAbsent(r.objects.Records.Delete(&key)))
		})
	}
}

// TestAssignSeesTheSocket: whatever comes, an existing socket ends the record.
func TestAssignSeesTheSocket(t *testing.T) {
	l := newLab(t, wireLike)
	r := programs(t, Config{})
	flow := l.connection(t)
	for name, flags := range map[string]wire.Flags{"ACK": wire.ACK, "SYN": wire.SYN, "RST": wire.RST, "FIN": wire.FIN | wire.ACK} {
		t.Run(name, func(t *testing.T) {
			enter(t, l.server)
			key := r.put(t, flow, nil)
			frame := build(flow, func(h *wire.Header) { h.Flags = flags })
			r.run(t, r.objects.Assign, frame, context{}, Established, tcxNext)
			if r.has(key) {
				t.Error("the record is still there")
			}
		})
	}
}

// connection makes an ordinary connection between the namespaces, and returns it as the server sees it.
func (l *lab) connection(t testing.TB) wire.Flow {
	t.Helper()
	ln := listen(t, 16)
	var c net.Conn
	l.client.Do(func() {
		var err error
		c, err = net.Dial("tcp", net.JoinHostPort(l.server.IPv4.String(), "80"))
		must(t, "dial", err)
	})
	t.Cleanup(func() { c.Close() })
	accept(t, ln, 5*time.Second)
	client := c.LocalAddr().(*net.TCPAddr).AddrPort()
	return wire.Flow{
		Local: wire.AddrFrom(l.server.IPv4), LocalPort: 80,
		Remote: wire.AddrFrom(client.Addr()), RemotePort: client.Port(),
	}
}

// TestAssignElsewhere: with settings for a listener, only that one counts.
func TestAssignElsewhere(t *testing.T) {
	l := newLab(t, wireLike)
	listen(t, 16) // on *:80
	flow := testFlow(l)
	other := flow
	other.LocalPort = 8080
	for name, c := range map[string]struct {
		cfg  Config
		flow wire.Flow
		want Verdict
		does uint32
	}{
		"the packet's own":            {Config{}, flow, AssignRefused, tcxDrop},
		"client on another port":      {backend("0.0.0.0:80", ""), other, AssignRefused, tcxDrop},
		"address":                     {backend("127.0.0.1:80", ""), other, AssignRefused, tcxDrop},
		"address, the packet's port":  {backend("127.0.0.1:0", ""), flow, AssignRefused, tcxDrop},
		"nobody on that port":         {backend("0.0.0.0:81", ""), flow, NoListener, tcxNext},
		"not an address of this host": {backend("10.1.2.3:80", ""), flow, AssignRefused, tcxDrop}, // *:80 takes any
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, l.server)
			r := programs(t, c.cfg)
			r.put(t, c.flow, nil)
			r.run(t, r.objects.Assign, build(c.flow, nil), context{}, c.want, c.does)
		})
	}
}

func TestInjectProgram(t *testing.T) {
	l := newLab(t, wireLike)
	r := programs(t, Config{})
	for name, c := range map[string]struct {
		mark   uint32
		want   Verdict
		action uint32
		left   uint32
	}{
		"no mark":        {0, NotMarked, tcxNext, 0},
		"another's mark": {testMark + 1, NotMarked, tcxNext, testMark + 1},
		"our mark":       {testMark, Injected, tcxRedirect, 0},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, l.server)
			out := r.run(t, r.objects.Inject, build(testFlow(l), nil), context{Mark: c.mark}, c.want, c.action)
			if out.Mark != c.left {
				t.Errorf("mark %#x, want %#x", out.Mark, c.left)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	l := newLab(t, wireLike)
	r := programs(t, Config{})
	there := l.connection(t)
	listening := testFlow(l)
	unknown := listening
	unknown.LocalPort = 81
	unknown6 := unknown
	unknown6.Local, unknown6.Remote = wire.AddrFrom(l.server.IPv6), wire.AddrFrom(l.remote6)
	for name, c := range map[string]struct {
		flow   wire.Flow
		record bool
		done   bool
	}{
		"established":               {there, true, true},
		"established and no record": {there, false, true},
		"listener":                  {listening, true, false},
		"nothing":                   {unknown, true, false},
		"nothing, IPv6":             {unknown6, true, false},
		"was established":           {unknown, false, true},
		"was established, IPv6":     {unknown6, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			enter(t, l.server)
			key := r.put(t, c.flow, nil)
			if !c.record {
				must(t, "delete record", r.objects.Records.Delete(&key))
			}
			var p prober
			p.init(r.objects.Verify.FD(), l.server.Index)
			p.flow().set(&c.flow)
			done, err := p.run()
			must(t, "run", err)
			if done != c.done {
				t.Errorf("done %v, want %v", done, c.done)
			}
			if has := r.has(key); has != !c.done {
				t.Errorf("has record: %v", has)
			}
		})
	}
	t.Run("cut short", func(t *testing.T) {
		state, err := r.objects.Verify.Run(&ebpf.RunOptions{Data: make([]byte, 40)})
		if err != nil || state != 0 {
			t.Errorf("state %d, error %v", state, err)
		}
	})
}

// TestVerifyInTheWrongNamespace: there it would say that no connection exists.
func TestVerifyInTheWrongNamespace(t *testing.T) {
	l := newLab(t, wireLike)
	r, _ := l.open(Config{})
	elsewhere := nstest.New(t, "elsewhere")
	elsewhere.Do(func() {
		if _, err := r.Injector(); err == nil {
			t.Error("no error")
		} else {
			t.Log(err)
		}
	})
}

func ignoreAbsent(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
