// Package echo sends frames back, by several means: what the kernel and AF_XDP cost when nothing is done with a packet. It is the floor that bench/compare sets
// xhttpd beside, and sets our own rings beside github.com/asavie/xdp, beside plain C, and beside XDP_TX:
//
//	sudo go test ./bench/echo -run '^$' -bench Echo -count 5
package echo

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	asavie "github.com/asavie/xdp"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/cores"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/xdp"
)

const (
	batch  = 64
	served = 80
)

// generated is an address that no kernel owns, so that none answers for it.
var generated = netip.MustParseAddr("192.0.2.9")

// Engine sends back the frames that come to the served port. Open makes it ready on the interface of ns, until the test ends; what it returns works until stop is set, on the core that it is
// called on.
type Engine struct {
	Name string
	Open func(t testing.TB, ns *nstest.NS) func(stop *atomic.Bool)
}

// Engines are all of them.
var Engines = []Engine{{"own", ownEcho}, {"asavie", asavieEcho}, {"C", cEcho}, {"XDP_TX", kernelEcho}}

// Counts are what came back, and what it took.
type Counts struct {
	Frames, Lost int
	Seconds      float64
	CPU          float64 // of the server's core, seconds
}

// Run opens an engine on a pair of namespaces of its own, with or without a wire between that has each receive on its own core, and keeps frames with size octets of payload under way from the client's core until more says
// that it is enough. The generator is the same for all engines.
func Run(t testing.TB, e *Engine, wired bool, size, underWay int, more func(sent int) bool) Counts {
	t.Helper()
	opts := nstest.Options{WireLike: true}
	if wired {
		opts.Wire = nstest.Cores{{cores.Client}, {cores.Server}}
	}
	client, server := nstest.Pair(t, opts)
	run := e.Open(t, server)
	socket, done := openOwn(t, client, generated)
	defer done()
	g := &generator{socket: socket, frame: segment(t, client, server, size), underWay: underWay, more: more}
	var stop atomic.Bool
	serving, sending := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(serving)
		unpin, err := cores.Pin(cores.Server)
		if err != nil {
			t.Error(err)
			return
		}
		defer unpin()
		run(&stop)
	}()
	go func() {
		defer close(sending)
		unpin, err := cores.Pin(cores.Client)
		if err != nil {
			t.Error(err)
			return
		}
		defer unpin()
		g.run()
	}()
	<-sending
	stop.Store(true)
	<-serving
	if g.err != nil {
		t.Fatal(g.err)
	}
	return g.counts
}

type generator struct {
	socket   *xdp.Socket
	frame    []byte
	underWay int
	more     func(sent int) bool
	counts   Counts
	err      error
}

// run counts as lost what was under way when nothing has come for 100 ms.
func (g *generator) run() {
	before, err := cores.Look()
	if g.err = err; err != nil {
		return
	}
	rx, tx := make([][]byte, batch), make([][]byte, batch)
	for sent, got, idle, more := 0, 0, 0, true; more || got < sent; {
		more = more && g.more(sent)
		if n := min(len(tx), g.underWay-(sent-got)); n > 0 && more {
			n = g.socket.Alloc(tx[:n])
			for k := range tx[:n] {
				tx[k] = tx[k][:copy(tx[k], g.frame)]
			}
			sent += g.socket.Send(tx[:n])
		}
		n := g.socket.Receive(rx)
		if got += n; n > 0 {
			g.counts.Frames += n
			idle = 0
			continue
		}
		if idle++; idle > 100 {
			g.counts.Lost += sent - got
			got, idle = sent, 0
		}
		g.socket.Wait(time.Millisecond)
	}
	after, err := cores.Look()
	if g.err = err; err != nil {
		return
	}
	busy, _ := after.Since(&before, cores.Server)
	g.counts.Seconds = after.Elapsed(&before)
	g.counts.CPU = busy * g.counts.Seconds
}

// segment returns a frame to the served port, with an ACK of no connection.
func segment(t testing.TB, client, server *nstest.NS, size int) []byte {
	flow := wire.Flow{Local: wire.AddrFrom(server.IPv4), Remote: wire.AddrFrom(generated), LocalPort: served, RemotePort: 1234}
	h := wire.Header{Src: mac(t, client), Dst: mac(t, server), Flow: &flow, Inbound: true, Flags: wire.ACK, Wnd: 1000}
	frame := make([]byte, 2048)
	n := h.Build(frame, size)
	wire.Finish(frame[:n])
	return frame[:n]
}

func mac(t testing.TB, ns *nstest.NS) (m wire.MAC) {
	ns.Do(func() {
		i, err := net.InterfaceByName(ns.Interface)
		if err != nil {
			t.Fatal(err)
		}
		copy(m[:], i.HardwareAddr)
	})
	return m
}

// turn makes a received frame one to its sender: ends are swapped, which leaves the checksums right.
func turn(frame []byte) {
	for _, s := range [...]struct{ a, b, n int }{{0, 6, 6}, {26, 30, 4}, {34, 36, 2}} {
		for k := range s.n {
			frame[s.a+k], frame[s.b+k] = frame[s.b+k], frame[s.a+k]
		}
	}
}

// openOwn opens our program and socket in ns. The program serves the port, or for the generator its own.
func openOwn(t testing.TB, ns *nstest.NS, address netip.Addr) (*xdp.Socket, func()) {
	t.Helper()
	port := uint16(served)
	if address == generated {
		port = 1234
	}
	var socket *xdp.Socket
	var program *xdp.Program
	ns.Do(func() {
		var err error
		if program, err = xdp.Open(xdp.Config{Interface: ns.Interface, Port: port, Addresses: []netip.Addr{address}}); err != nil {
			t.Fatal(err)
		}
		if socket, err = xdp.OpenSocket(xdp.SocketConfig{Interface: ns.Interface, Spin: -1}); err != nil {
			t.Fatal(err)
		}
		if err = program.Register(0, socket); err != nil {
			t.Fatal(err)
		}
		// A heartbeat that lasts: in the future.
		var ts unix.Timespec
		if err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		if err = program.Beat(ts.Nano() + int64(time.Hour)); err != nil {
			t.Fatal(err)
		}
	})
	return socket, func() {
		if err := program.Close(); err != nil {
			t.Error(err)
		}
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
	}
}

func ownEcho(t testing.TB, ns *nstest.NS) func(*atomic.Bool) {
	socket, done := openOwn(t, ns, ns.IPv4)
	t.Cleanup(done)
	return func(stop *atomic.Bool) {
		rx, tx := make([][]byte, batch), make([][]byte, batch)
		for !stop.Load() {
			n := socket.Receive(rx)
			if n == 0 {
				socket.Wait(time.Millisecond)
				continue
			}
			lent := 0
			for lent < n {
				lent += socket.Alloc(tx[lent:n])
			}
			for k, frame := range rx[:n] {
				tx[k] = tx[k][:copy(tx[k], frame)]
				turn(tx[k])
			}
			socket.Send(tx[:n])
		}
	}
}

// asavieEcho sends the frames back in place, as that package's own example does.
func asavieEcho(t testing.TB, ns *nstest.NS) func(*atomic.Bool) {
	var socket *asavie.Socket
	ns.Do(func() {
		program, err := asavie.NewProgram(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Attach(ns.Index); err != nil {
			t.Fatal(err)
		}
		// The namespace goes with the test, and the netlink attachment with it.
		options := &asavie.SocketOptions{
			NumFrames: 4096, FrameSize: 2048, FillRingNumDescs: 2048, CompletionRingNumDescs: 2048, RxRingNumDescs: 2048, TxRingNumDescs: 2048,
		}
		if socket, err = asavie.NewSocket(ns.Index, 0, options); err != nil {
			t.Fatal(err)
		}
		if err := program.Register(0, socket.FD()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ns.Do(func() {
				if err := program.Detach(ns.Index); err != nil {
					t.Error(err)
				}
			})
			if err := program.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	socket.Fill(socket.GetDescs(socket.NumFreeFillSlots())) // or the first frames find no room
	return func(stop *atomic.Bool) {
		for !stop.Load() {
			if n := socket.NumFreeFillSlots(); n > 0 {
				socket.Fill(socket.GetDescs(n))
			}
			n, _, err := socket.Poll(1)
			if err != nil {
				t.Error(err)
				return
			}
			if n > 0 {
				descs := socket.Receive(n)
				for _, d := range descs {
					turn(socket.GetFrame(d))
				}
				socket.Transmit(descs)
			}
		}
	}
}
