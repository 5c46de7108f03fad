package xdp

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// BenchmarkEcho sends frames through a veth pair to a socket that echoes them; both ends are AF_XDP. An operation is one frame
// there and back. Compare figures of one run only: the two ends share the machine with everything else.
func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct {
		name string
		size int // of the payload
		spin time.Duration
	}{
		{"small/poll", 10, -1},
		{"small/spin", 10, DefaultSpin},
		{"full/poll", 1400, -1},
		{"full/spin", 1400, DefaultSpin},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkEcho(b, c.size, c.spin) })
	}
}

// BenchmarkSteer runs the program alone, by test runs. "ours" is in the table of flows, so that the kernel is not asked.
func BenchmarkSteer(b *testing.B) {
	for _, mtu := range []int{1500, 9000} {
		b.Run(fmt.Sprintf("MTU=%d", mtu), func(b *testing.B) { benchmarkSteer(b, mtu) })
	}
}

func benchmarkSteer(b *testing.B, mtu int) {
	l := newLab(b, nstest.Options{MTU: mtu}, false)
	l.open(SocketConfig{})
	l.program.loads[0].Taken = 1 << 62 // a test run puts nothing into the ring
	l.enter(l.flowOf(true, 1235), 7)   // the last place of the bucket
	if err := l.program.Beat(monotonic(b, -time.Hour)); err != nil {
		b.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"redirected": l.segment(true),
		"ours":       l.segment(true, from(1235)),
		"odd-flags":  l.segment(true, func(s *segment) { s.tcp.ACK = false }),
		"other-port": l.segment(true, func(s *segment) { s.tcp.DstPort = 443 }),
	} {
		b.Run(name, func(b *testing.B) {
			l.server.Do(func() {
				_, took, err := l.program.objects.Steer.Benchmark(frame, b.N, func() {})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(took.Nanoseconds()), "ns/packet")
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}

// BenchmarkSteerLent runs the program on segments of a connection that is lent. Where another one is behind them, it is lent anew for
// each: what reading the clock costs, and caches that others have used, is in the figures.
func BenchmarkSteerLent(b *testing.B) {
	l := newLab(b, nstest.Options{}, false)
	l.open(SocketConfig{})
	l.program.loads[0].Taken = 1 << 62 // a test run puts nothing into the ring
	if err := l.program.Beat(monotonic(b, -time.Hour)); err != nil {
		b.Fatal(err)
	}
	answer := l.lend(true, true, 400, 1000, 40)
	counts := l.lend(true, true, 400, 1000, 40)
	counts.counts(100, 100, 50)
	strange := l.lend(true, true, 400, 1000, 40)
	strange.ready.Hash++
	for _, c := range []struct {
		name  string
		loan  *loan
		frame []byte
		same  bool // nothing is changed
	}{
		{"answered", answer, answer.ask(), false},
		{"answered, with a number", counts, counts.ask(), false},
		{"acknowledged", answer, answer.ack(), false},
		{"not ready", strange, strange.ask(), true},
		{"old ACK", answer, answer.ack(func(s *segment) { s.tcp.Seq-- }), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			var sum time.Duration
			runs, each := b.N, 1
			if c.same {
				runs, each = 1, b.N
			}
			l.server.Do(func() {
				for range runs {
					c.loan.write()
					_, took, err := l.program.objects.Steer.Benchmark(c.frame, each, func() {})
					if err != nil {
						b.Fatal(err)
					}
					sum += took
				}
			})
			b.ReportMetric(float64(sum.Nanoseconds())/float64(runs), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func benchmarkEcho(b *testing.B, size int, spin time.Duration) {
	l := newLab(b, nstest.Options{WireLike: true}, false)
	if err := l.program.Beat(monotonic(b, -time.Hour)); err != nil {
		b.Fatal(err)
	}
	server := l.open(SocketConfig{Spin: spin})
	client := l.generator(b)
	frame := l.segment(true, payload(pattern(1, size)))

	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		rx, tx := make([][]byte, 64), make([][]byte, 64)
		for !stop.Load() {
			if echo(server, rx, tx) == 0 {
				server.Wait(time.Millisecond)
			}
		}
	}()
	rx, tx := make([][]byte, 64), make([][]byte, 64)
	b.ReportAllocs()
	b.ResetTimer()
	const window = 512 // frames on the way
	for sent, got := 0, 0; got < b.N; {
		if n := min(len(tx), b.N-sent, window-(sent-got)); n > 0 {
			n = client.Alloc(tx[:n])
			for i := range tx[:n] {
				tx[i] = tx[i][:copy(tx[i], frame)]
			}
			sent += client.Send(tx[:n])
		}
		n := client.Receive(rx)
		if got += n; n == 0 {
			client.Wait(time.Millisecond)
		}
	}
	b.StopTimer()
	stop.Store(true)
	<-done
	mustBeAccounted(b, server)
	mustBeAccounted(b, client)
}

// generator opens a socket at the client's end, to which the same program steers the answers.
func (l *lab) generator(b *testing.B) *Socket {
	b.Helper()
	var s *Socket
	l.client.Do(func() {
		program, err := Open(Config{Interface: l.client.Interface, Port: 1234, Addresses: []netip.Addr{client4}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { program.Close() })
		if s, err = OpenSocket(SocketConfig{Interface: l.client.Interface}); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		if err := program.Register(0, s); err != nil {
			b.Fatal(err)
		}
		if err := program.Beat(monotonic(b, -time.Hour)); err != nil {
			b.Fatal(err)
		}
	})
	return s
}
