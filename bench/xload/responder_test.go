package xload_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/xdp"
)

// responder is a server that nobody is slower than: it answers each request in a segment of its own, from the segment alone,
// without state, recovery or limits, on the server's core.
type responder struct {
	socket *xdp.Socket
	pkt    wire.Packet
	answer []byte
	tx     [64][]byte
	used   int
	have   int
}

func startResponder(t testing.TB, ns *nstest.NS, length int) {
	t.Helper()
	r := &responder{answer: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: responder\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"+
		"Content-Type: text/html\r\nContent-Length: %d\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: keep-alive\r\n"+
		"ETag: \"0-400\"\r\nAccept-Ranges: bytes\r\n\r\n%s", length, bytes.Repeat([]byte{'x'}, length))}
	var program *xdp.Program
	ns.Do(func() {
		var err error
		if program, err = xdp.Open(xdp.Config{Interface: ns.Interface, Port: 80, Addresses: []netip.Addr{ns.IPv4}}); err != nil {
			t.Fatal(err)
		}
		if r.socket, err = xdp.OpenSocket(xdp.SocketConfig{Interface: ns.Interface}); err != nil {
			t.Fatal(err)
		}
		if err = program.Register(0, r.socket); err != nil {
			t.Fatal(err)
		}
		var ts unix.Timespec
		if err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		if err = program.Beat(ts.Nano() + int64(time.Hour)); err != nil { // one that lasts
			t.Fatal(err)
		}
	})
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		unpin, err := cores.Pin(cores.Server)
		if err != nil {
			t.Error(err)
			return
		}
		defer unpin()
		rx := make([][]byte, 64)
		for !stop.Load() {
			n := r.socket.Receive(rx)
			for _, frame := range rx[:n] {
				r.take(frame)
			}
			r.flush()
			if n == 0 {
				r.socket.Wait(time.Millisecond)
			}
		}
	}()
	t.Cleanup(func() {
		stop.Store(true)
		<-ended
		program.Close()
		r.socket.Close()
	})
}

func (r *responder) take(frame []byte) {
	if wire.Parse(frame, &r.pkt) != wire.OK {
		return
	}
	seg := &r.pkt.Segment
	switch {
	case seg.Flags.Has(wire.RST):
	case seg.Flags.Has(wire.SYN):
		r.say(wire.SYN|wire.ACK, 0, seg.Seq.Add(1), &wire.Options{HasMSS: true, MSS: 1460, HasWScale: true, WScale: 7}, nil)
	case len(seg.Payload) > 0:
		n := bytes.Count(seg.Payload, []byte("\r\n\r\n"))
		seq, ack := seg.Ack, seg.Seq.Add(seg.Len())
		for range n {
			r.say(wire.ACK|wire.PSH, seq, ack, nil, r.answer)
			seq = seq.Add(uint32(len(r.answer)))
		}
	case seg.Flags.Has(wire.FIN):
		r.say(wire.ACK|wire.FIN, seg.Ack, seg.Seq.Add(1), nil, nil)
	}
}

func (r *responder) say(flags wire.Flags, seq, ack wire.Seq, o *wire.Options, payload []byte) {
	if r.used == r.have {
		r.flush()
		for r.have == 0 {
			r.have = r.socket.Alloc(r.tx[:])
		}
	}
	frame := r.tx[r.used]
	h := wire.Header{Src: r.pkt.Dst, Dst: r.pkt.Src, Flow: &r.pkt.Flow, Seq: seq, Ack: ack, Flags: flags, Wnd: 500, Options: o}
	copy(frame[h.HeaderLen():], payload)
	n := h.Build(frame, len(payload))
	wire.Finish(frame[:n])
	r.tx[r.used] = frame[:n]
	r.used++
}

func (r *responder) flush() {
	r.socket.Send(r.tx[:r.used])
	r.have = copy(r.tx[:], r.tx[r.used:r.have])
	r.used = 0
}
