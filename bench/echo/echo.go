package bench

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
	onWay  = 512 // frames that the generator keeps under way
	served = 80
)

// generated is an address that no kernel owns, so that none answers for it.
var generated = netip.MustParseAddr("192.0.2.9")

// BenchmarkEcho sends frames through a veth pair to a server that sends them back. An operation is one frame there and
// back; the generator is the same for all, and has a core of its own. cpu-ns/op is what the other core spends for an operation.
func BenchmarkEcho(b *testing.B) {
	nstest.Require(b)
	for _, size := range []int{10, 1024} {
		for _, engine := range []struct {
			name string
			open func(*testing.B, *nstest.NS) func(stop *atomic.Bool)
		}{{"own", ownEcho}, {"asavie", asavieEcho}, {"C", cEcho}, {"XDP_TX", kernelEcho}} {
			b.Run(engine.name+"/"+map[int]string{10: "64B", 1024: "1KiB"}[size], func(b *testing.B) {
				client, server := nstest.Pair(b, nstest.Options{WireLike: true})
				run := engine.open(b, server)
				generate(b, client, server, size, run)
			})
		}
	}
}

// generate keeps frames under way until b.N have come back from run, or are lost: then it says how many.
func generate(b *testing.B, client, server *nstest.NS, size int, run func(stop *atomic.Bool)) {
	socket, done := openOwn(b, client, generated)
	defer done()
	frame := segment(b, client, server, size)
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cores.Pin(cores.Server); err != nil {
			b.Error(err)
		}
		run(&stop)
	}()
	defer func() { stop.Store(true); <-ended }()
	rx, tx := make([][]byte, batch), make([][]byte, batch)
	if err := cores.Pin(cores.Client); err != nil {
		b.Fatal(err)
	}
	client.Steer(cores.Client)
	server.Steer(cores.Server)
	before, err := cores.Look()
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	lost := 0
	for sent, got, idle := 0, 0, 0; got < b.N; {
		if n := min(len(tx), b.N-sent, onWay-(sent-got)); n > 0 {
			n = socket.Alloc(tx[:n])
			for k := range tx[:n] {
				tx[k] = tx[k][:copy(tx[k], frame)]
			}
			sent += socket.Send(tx[:n])
		}
		n := socket.Receive(rx)
		if got += n; n > 0 {
			idle = 0
			continue
		}
		if idle++; idle > 100 {
			lost += sent - got
			got = sent
		}
		socket.Wait(time.Millisecond)
	}
	b.StopTimer()
	after, err := cores.Look()
	if err != nil {
		b.Fatal(err)
	}
	busy, _ := after.Since(&before, cores.Server)
	b.ReportMetric(busy*after.Elapsed(&before)/float64(b.N)*1e9, "cpu-ns/op")
	b.ReportMetric(float64(lost)/float64(b.N), "lost/op")
}

// segment returns a frame to the served port, with an ACK of no connection.
func segment(b *testing.B, client, server *nstest.NS, size int) []byte {
	flow := wire.Flow{Local: wire.AddrFrom(server.IPv4), Remote: wire.AddrFrom(generated), LocalPort: served, RemotePort: 1234}
	h := wire.Header{Src: mac(b, client), Dst: mac(b, server), Flow: &flow, Inbound: true, Flags: wire.ACK, Wnd: 1000}
	frame := make([]byte, 2048)
	n := h.Build(frame, size)
	wire.Finish(frame[:n])
	return frame[:n]
}

func mac(b *testing.B, ns *nstest.NS) (m wire.MAC) {
	ns.Do(func() {
		i, err := net.InterfaceByName(ns.Interface)
		if err != nil {
			b.Fatal(err)
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
func openOwn(b *testing.B, ns *nstest.NS, address netip.Addr) (*xdp.Socket, func()) {
	b.Helper()
	port := uint16(served)
	if address == generated {
		port = 1234
	}
	var socket *xdp.Socket
	var program *xdp.Program
	ns.Do(func() {
		var err error
		if program, err = xdp.Open(xdp.Config{Interface: ns.Interface, Port: port, Addresses: []netip.Addr{address}}); err != nil {
			b.Fatal(err)
		}
		if socket, err = xdp.OpenSocket(xdp.SocketConfig{Interface: ns.Interface, Spin: -1}); err != nil {
			b.Fatal(err)
		}
		if err = program.Register(0, socket); err != nil {
			b.Fatal(err)
		}
		// A heartbeat that lasts: in the future.
		var ts unix.Timespec
		if err = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			b.Fatal(err)
		}
		if err = program.Beat(ts.Nano() + int64(time.Hour)); err != nil {
			b.Fatal(err)
		}
	})
	return socket, func() {
		if err := program.Close(); err != nil {
			b.Error(err)
		}
		if err := socket.Close(); err != nil {
			b.Error(err)
		}
	}
}

func ownEcho(b *testing.B, ns *nstest.NS) func(*atomic.Bool) {
	socket, done := openOwn(b, ns, ns.IPv4)
	b.Cleanup(done)
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
func asavieEcho(b *testing.B, ns *nstest.NS) func(*atomic.Bool) {
	var socket *asavie.Socket
	ns.Do(func() {
		program, err := asavie.NewProgram(1)
		if err != nil {
			b.Fatal(err)
		}
		if err := program.Attach(ns.Index); err != nil {
			b.Fatal(err)
		}
		// The namespace goes with the test, and the netlink attachment with it.
		options := &asavie.SocketOptions{
			NumFrames: 4096, FrameSize: 2048, FillRingNumDescs: 2048, CompletionRingNumDescs: 2048, RxRingNumDescs: 2048, TxRingNumDescs: 2048,
		}
		if socket, err = asavie.NewSocket(ns.Index, 0, options); err != nil {
			b.Fatal(err)
		}
		if err := program.Register(0, socket.FD()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ns.Do(func() {
				if err := program.Detach(ns.Index); err != nil {
					b.Error(err)
				}
			})
			if err := program.Close(); err != nil {
				b.Error(err)
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
				b.Error(err)
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
