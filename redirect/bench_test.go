package redirect

import (
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// BenchmarkHandOver is Begin, Inject of a request in one segment, Established; taking the connection out of the
// accept queue is not timed.
func BenchmarkHandOver(b *testing.B) {
	l := newLab(b, nstest.Options{})
	ln := listen(b, 4096)
	_, i := l.open(Config{})
	template := l.peer(i, shape{})
	template.close()
	frames := make([][]byte, 1)
	n := 0
	for b.Loop() {
		p := *template
		p.flow.RemotePort = uint16(1024 + n%60000)
		b.StopTimer()
		frames[0] = p.segment(p.sndNxt, wire.ACK, []byte(get))
		b.StartTimer()
		_ = i.Begin(&p.flow, &p.state)
		_ = i.Inject(frames)
		if !i.Established(&p.flow) {
			b.Fatal("not established")
		}
		b.StopTimer()
		n++
		must(b, "close", accept(b, ln, time.Second).Close())
		b.StartTimer()
	}
}

// BenchmarkParts times each step for itself.
func BenchmarkParts(b *testing.B) {
	l := newLab(b, nstest.Options{})
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	p.close()
	p.begin()
	frames := make([][]byte, batch)
	for k := range frames { // dropped by assign: the price of the way there
		frames[k] = p.segment(p.sndNxt+1, wire.ACK, make([]byte, 1000))
	}
	b.Run("Begin", func(b *testing.B) {
		for b.Loop() {
			_ = i.Begin(&p.flow, &p.state)
		}
	})
	b.Run("Inject 1", func(b *testing.B) {
		for b.Loop() {
			_ = i.Inject(frames[:1])
		}
	})
	b.Run("Inject 32", func(b *testing.B) {
		for b.Loop() {
			_ = i.Inject(frames)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/frame")
	})
	b.Run("Established", func(b *testing.B) {
		enter(b, l.server)
		for b.Loop() {
			_ = i.Established(&p.flow)
		}
	})
}

// BenchmarkAssign times the program in the kernel: what each received packet of the interface pays.
func BenchmarkAssign(b *testing.B) {
	l := newLab(b, nstest.Options{})
	r := programs(b, Config{})
	flow := l.connection(b)
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"no record", func() {}},
		{"out of order", func() { r.put(b, testFlow(l), nil) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			enter(b, l.server)
			c.change()
			frame := build(flow, nil)
			if c.name != "no record" {
				frame = build(testFlow(l), func(h *wire.Header) { h.Seq++ })
			}
			_, per, err := r.objects.Assign.Benchmark(frame, b.N+1000, nil)
			must(b, "run", err)
			b.ReportMetric(float64(per.Nanoseconds()), "ns/packet")
		})
	}
}
