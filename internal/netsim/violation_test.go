package netsim

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// wantFailure asserts that the run has failed with a message that contains want.
func wantFailure(t *testing.T, n *Net, want string) {
	t.Helper()
	err := n.Run(time.Second)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestDeviceSeesMisuse(t *testing.T) {
	one := func(n *Net) []byte {
		var f [1][]byte
		n.Device.Alloc(f[:])
		return f[0]
	}
	for _, c := range []struct {
		want string
		do   func(n *Net, d *Device, frame []byte) // frame is a good one, made of one that is lent
	}{
		{"sent twice", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{f}); d.Send([][]byte{f}) }},
		{"sent twice", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{f, f}) }},
		{"written to while it was being sent", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{f}); f[20]++ }},
		{"written to while it was in the pool", func(n *Net, d *Device, f []byte) {
			d.Send([][]byte{f})
			n.After(time.Millisecond, func() { f[20]++; one(n) })
		}},
		{"not the device's", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{append([]byte(nil), f...)}) }},
		{"not the device's", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{f[1:]}) }},
		{"Send of nothing", func(_ *Net, d *Device, _ []byte) { d.Send([][]byte{nil}) }},
		{"Send of 3 octets", func(_ *Net, d *Device, f []byte) { d.Send([][]byte{f[:3]}) }},
		{"Wait in virtual time", func(_ *Net, d *Device, _ []byte) { d.Wait(time.Second) }},
		{"bad frame", func(_ *Net, d *Device, f []byte) { f[40]++; d.Send([][]byte{f}) }},
	} {
		n := New(1, HostConfig{TxFrames: 1})
		p := n.Dial(ClientConfig{})
		frame := one(n)
		s := newSegment(p.remote, p.local)
		s.srcMAC, s.dstMAC, s.rst = hostMAC, clientMAC, true
		frame = frame[:copy(frame, s.encode())]
		c.do(n, n.Device, frame)
		wantFailure(t, n, c.want)
	}
}

func TestDeviceAccount(t *testing.T) {
	n := New(1, HostConfig{TxFrames: 3, RxFrames: 2})
	n.Serve(ServerFunc(func(int64) int64 { return 0 }), nil)
	var f [5][]byte
	if got := n.Device.Alloc(f[:]); got != 3 {
		t.Fatalf("%d frames", got)
	}
	if err := n.Device.Check(3); err != nil {
		t.Error(err)
	}
	if err := n.Device.Check(2); err == nil {
		t.Error("a frame that is kept was not missed")
	}
	for range 3 {
		n.Device.arrive(make([]byte, 60))
	}
	if s := n.Device.Stats(); s.Received != 2 || s.Overflowed != 1 {
		t.Errorf("%+v", s)
	}
	if err := n.Device.Check(3); err == nil {
		t.Error("frames that were not received were not missed")
	}
	if got := n.Device.Receive(f[:]); got != 2 || len(f[0]) != 60 || f[0][0] != 0 {
		t.Errorf("%d frames received", got)
	}
	held := f[0]
	if got := n.Device.Receive(f[:]); got != 0 || held[0] != poison {
		t.Error("a frame stays as it was although it is no longer ours")
	}
	if err := n.Device.Check(3); err != nil {
		t.Error(err)
	}
}

// talk returns a connection on which 1000 octets were sent and acknowledged, and the host's end of it.
func talk(t *testing.T, cfg ClientConfig) (*Net, *Client, *endpoint) {
	t.Helper()
	n := New(1, HostConfig{})
	m := newModelServer(n)
	cfg.Up.Delay, cfg.Down.Delay = time.Millisecond, time.Millisecond
	c := n.Dial(cfg)
	c.Send([]byte("1000\n"))
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if len(c.Received()) != 1000 {
		t.Fatalf("%d octets", len(c.Received()))
	}
	return n, c, m.conns[c.local]
}

var all = ClientConfig{MSS: 1460, Scale: 2, SACK: true, Timestamps: true, Policy: Policy{Buffer: 5000}}

// Each segment differs in one thing from one that would be in order.
func TestInspectorSees(t *testing.T) {
	bare := ClientConfig{Policy: Policy{Buffer: 5000}}
	for _, c := range []struct {
		want   string
		cfg    ClientConfig
		change func(e *endpoint, s *segment)
	}{
		{"", all, func(*endpoint, *segment) {}},
		{"", bare, func(*endpoint, *segment) {}},
		{"without ACK", all, func(_ *endpoint, s *segment) { s.isACK = false }},
		{"sends from", all, func(_ *endpoint, s *segment) { s.srcMAC[5] = 9 }},
		{"sends from", all, func(_ *endpoint, s *segment) { s.src = netip.AddrPortFrom(s.src.Addr(), 81) }},
		{"belongs on a SYN", all, func(_ *endpoint, s *segment) { s.mss = 1460 }},
		{"belongs on a SYN", all, func(_ *endpoint, s *segment) { s.wscale = 1 }},
		{"belongs on a SYN", all, func(_ *endpoint, s *segment) { s.sackOK = true }},
		{"sends timestamps: false", all, func(_ *endpoint, s *segment) { s.ts = false }},
		{"sends timestamps: true", bare, func(_ *endpoint, s *segment) { s.ts = true }},
		{"steps back", all, func(_ *endpoint, s *segment) { s.val -= 2000 }},
		{"echoes timestamp", all, func(_ *endpoint, s *segment) { s.ecr += 5000 }},
		{"echoes timestamp", all, func(_ *endpoint, s *segment) { s.ecr -= 5000 }},
		{"without leave", bare, func(e *endpoint, s *segment) { s.sack = [][2]uint32{{e.irs + 1, e.irs + 3}} }},
		{"did not arrive", all, func(e *endpoint, s *segment) { s.sack = [][2]uint32{{e.irs + 3, e.irs + 7}} }},
		{"MSS is 1460", all, func(_ *endpoint, s *segment) { s.payload = pattern(1449) }},
		{"MSS is 536", bare, func(_ *endpoint, s *segment) { s.payload = pattern(537) }},
		{"acknowledges 6 octets, 5 arrived", all, func(_ *endpoint, s *segment) { s.ack++ }},
		{"acknowledges 4 after 5", all, func(_ *endpoint, s *segment) { s.ack--; s.wnd += 100 }},
		{"takes its window back", all, func(_ *endpoint, s *segment) { s.wnd-- }},
		{"its stream ends at 1000", all, func(_ *endpoint, s *segment) { s.seq++ }},
		{"its stream ends at 1000", all, func(_ *endpoint, s *segment) { s.seq += 2; s.payload = nil }},
		{"other octets at 900", all, func(_ *endpoint, s *segment) { s.seq -= 100 }},
		{"sends more than a SYN/ACK", all, func(_ *endpoint, s *segment) { s.syn, s.seq, s.ack = true, s.seq-1001, s.ack-5 }},
		{"offers no MSS", all, func(_ *endpoint, s *segment) { s.syn, s.payload, s.ack = true, nil, s.ack-5 }},
		{"not offered", bare, func(_ *endpoint, s *segment) { s.syn, s.payload, s.ack, s.mss, s.wscale = true, nil, s.ack-5, 1, 1 }},
		{"with an ACK of", bare, func(_ *endpoint, s *segment) { s.syn, s.payload = true, nil }},
	} {
		n, _, e := talk(t, c.cfg)
		s := e.segment(e.nxt)
		s.payload = []byte("next")
		c.change(e, s)
		n.host.inspect(s.encode(), false)
		switch {
		case c.want != "":
			wantFailure(t, n, c.want)
		case n.failed != nil:
			t.Error(n.failed)
		}
	}
}

// The window's right edge holds to the octet.
func TestInspectorSeesTheEdge(t *testing.T) {
	for _, over := range []int64{0, 1} {
		cfg := all
		cfg.Never = true
		n, c, e := talk(t, cfg)
		for at := int64(1000); at < c.wndEdge; at += 1000 {
			s := e.segment(at)
			length := min(1000, c.wndEdge-at)
			if at+length == c.wndEdge {
				length += over
			}
			s.payload = pattern(int(length))
			n.host.inspect(s.encode(), false)
		}
		if over == 0 && n.failed != nil {
			t.Error(n.failed)
		}
		if over == 1 {
			wantFailure(t, n, "the window ends at")
		}
	}
}

func TestInspectorSeesTextBehindFIN(t *testing.T) {
	for _, change := range []func(*segment){
		func(s *segment) { s.payload = []byte("x") },
		func(s *segment) { s.seq++; s.fin = true },
	} {
		n, _, e := talk(t, all)
		s := e.segment(e.nxt)
		s.fin = true
		n.host.inspect(s.encode(), false)
		n.host.inspect(s.encode(), false)
		if n.failed != nil {
			t.Fatal(n.failed)
		}
		s.fin = false
		change(s)
		n.host.inspect(s.encode(), false)
		wantFailure(t, n, "behind its FIN")
	}
}

// handover is what talk's host would hand over.
func handover(e *endpoint) (wire.Flow, tcpstate.Handover) {
	flow := wire.Flow{
		Local: wire.AddrFrom(e.local.Addr()), LocalPort: e.local.Port(),
		Remote: wire.AddrFrom(e.remote.Addr()), RemotePort: e.remote.Port(),
	}
	return flow, tcpstate.Handover{
		Seq: wire.Seq(e.irs + 1 + uint32(e.rcvNxt)), Ack: wire.Seq(e.iss + 1 + uint32(e.nxt)), MSS: uint16(e.mss),
		RcvWScale: e.rcvShift, SndWScale: e.sndShift, WScaleOK: true, SACKOK: true, TimestampsOK: true,
		TSOffset: e.tsOffset, TSRecent: e.tsRecent, Wnd: 1000,
	}
}

func TestHandoverRules(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(n *Net, e *endpoint, h *tcpstate.Handover)
	}{
		{"", func(*Net, *endpoint, *tcpstate.Handover) {}},
		{"hands over at 999", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.Ack-- }},
		{"hands over at 1001", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.Ack++ }},
		{"hands over at 6 of the client's", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.Seq++ }},
		{"with MSS", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.MSS++ }},
		{"with MSS", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.MSS = 500 }},
		{"with window scales", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.WScaleOK = false }},
		{"with window scales", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.RcvWScale++ }},
		{"with window scales", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.SndWScale++ }},
		{"with options", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.SACKOK = false }},
		{"with options", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.TimestampsOK = false }},
		{"with timestamps", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.TSOffset -= 2000 }},
		{"with timestamps", func(_ *Net, _ *endpoint, h *tcpstate.Handover) { h.TSRecent += 2000 }},
		{"hands over at", func(_ *Net, e *endpoint, _ *tcpstate.Handover) { e.Send([]byte("x")) }},
		{"behind its FIN", func(_ *Net, e *endpoint, _ *tcpstate.Handover) { e.Close() }},
	} {
		n, _, e := talk(t, all)
		flow, h := handover(e)
		c.change(n, e, &h)
		if err := n.RunUntil(10*time.Microsecond, func() bool { return false }); n.failed != nil {
			t.Fatal(err)
		}
		if err := n.Kernel.Begin(&flow, &h); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want != "":
			wantFailure(t, n, c.want)
		case n.failed != nil:
			t.Error(n.failed)
		}
	}
}
