package netsim

import (
	"bytes"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// modelServer is a server of endpoints behind a Device: a request is a number and a newline, the response as
// many octets of pattern. Everything it gets is kept.
type modelServer struct {
	n     *Net
	conns map[netip.AddrPort]*endpoint
	syns  map[netip.AddrPort]*segment
	queue [][]byte // encoded, to be sent when there are frames
}

func newModelServer(n *Net) *modelServer {
	m := &modelServer{n: n, conns: map[netip.AddrPort]*endpoint{}, syns: map[netip.AddrPort]*segment{}}
	n.Serve(m, nil)
	return m
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func (m *modelServer) Step(int64) int64 {
	var rx [8][]byte
	for k := m.n.Device.Receive(rx[:]); k > 0; k = m.n.Device.Receive(rx[:]) {
		for _, frame := range rx[:k] {
			m.receive(frame)
		}
	}
	for len(m.queue) > 0 {
		var tx [4][]byte
		k := m.n.Device.Alloc(tx[:min(len(tx), len(m.queue))])
		if k == 0 {
			return m.n.now + int64(10*time.Microsecond)
		}
		for i := range k {
			tx[i] = tx[i][:copy(tx[i], m.queue[i])]
		}
		m.queue = m.queue[k:]
		m.n.Device.Send(tx[:k])
	}
	return 0
}

func (m *modelServer) receive(frame []byte) {
	s, err := decode(bytes.Clone(frame))
	if err != nil {
		if s = decodePartial(frame); s == nil {
			return
		}
	}
	e := m.conns[s.src]
	switch {
	case e == nil && s.syn:
		m.accept(s)
	case e != nil && s.syn:
		m.synack(e)
	case e != nil:
		e.input(s)
	}
}

func (m *modelServer) accept(s *segment) {
	e := &endpoint{name: "model", mss: 536, tsOffset: 77, iss: 0xfffffff0, irs: s.seq, pol: Policy{Flight: 20000, Buffer: 60000}}
	e.init(m.n)
	e.pol.setDefaults(false)
	e.local, e.remote, e.localMAC, e.remoteMAC = s.dst, s.src, hostMAC, clientMAC
	if s.mss > 0 {
		e.mss = s.mss
	} else if s.src.Addr().Is6() {
		e.mss = 1220
	}
	if s.wscale >= 0 {
		e.sndShift, e.rcvShift = uint8(s.wscale), 3
	}
	e.sackOK, e.tsOK, e.tsRecent, e.wndEdge = s.sackOK, s.ts, s.val, 60000
	e.emit = func(s *segment) {
		m.queue = append(m.queue, s.encode())
		m.n.Wake()
	}
	answered := 0
	e.changed = func() {
		for !e.gone {
			line, _, complete := bytes.Cut(e.in[answered:e.got.end()], []byte("\n"))
			if !complete {
				break
			}
			answered += len(line) + 1
			if size, err := strconv.Atoi(string(line)); err == nil {
				e.Send(pattern(size))
			}
		}
		if !e.gone && e.peerFIN >= 0 && e.rcvNxt > e.peerFIN && !e.closing {
			e.Close()
		}
	}
	m.conns[s.src], m.syns[s.src] = e, s
	m.synack(e)
}

func (m *modelServer) synack(e *endpoint) {
	s := e.segment(-1)
	s.syn, s.mss, s.sackOK, s.wnd = true, 1460, e.sackOK, 60000
	s.ack = e.irs + 1
	if m.syns[e.remote].wscale >= 0 {
		s.wscale = int(e.rcvShift)
	}
	e.emit(s)
}

// fetch runs a network in which a client asks for the sizes one after the other, and closes.
func fetch(t *testing.T, seed uint64, host HostConfig, cfg ClientConfig, sizes ...int) (*Net, *Client) {
	t.Helper()
	n := New(seed, host)
	newModelServer(n)
	c := n.Dial(cfg)
	var want []byte
	for _, size := range sizes {
		c.Send([]byte(strconv.Itoa(size) + "\n"))
		want = append(want, pattern(size)...)
	}
	if err := n.RunUntil(10*time.Minute, func() bool { return len(c.Received()) == len(want) }); err != nil {
		t.Fatalf("%d octets of %d: %v", len(c.Received()), len(want), err)
	}
	if !bytes.Equal(c.Received(), want) {
		t.Fatal("other octets arrived than were sent")
	}
	c.Close()
	if err := n.RunUntil(time.Minute, c.Over); err != nil {
		t.Fatal(err)
	}
	if err := n.Run(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := n.Device.Check(0); err != nil {
		t.Fatal(err)
	}
	return n, c
}
