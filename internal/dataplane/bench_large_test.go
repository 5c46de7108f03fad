package dataplane

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// readers is a device at whose other end each connection reads responses of many segments: it acknowledges every second one, as
// kernels do, and asks again with what acknowledges the last.
type readers struct {
	*peers
	acks   [][]byte // of each
	got    []uint32 // octets of the response, of each
	length uint32   // of a response
	done   int      // responses
}

// newReaders are those of p, with requests for target.
func newReaders(p *peers, target string) *readers {
	r := &readers{peers: p, got: make([]uint32, len(p.requests))}
	text := strings.Replace(browserGet, "/kilo.txt", target, 1)
	for k, f := range p.requests {
		head := f[:len(f)-len(browserGet)]
		r.acks = append(r.acks, withLength(head))
		r.requests[k] = withLength(append(bytes.Clone(head), text...))
	}
	r.in = make([][]byte, 0, 64*len(r.acks))
	return r
}

// withLength corrects the IPv4 header of a frame that was cut or grew.
func withLength(f []byte) []byte {
	f = bytes.Clone(f)
	ip := f[wire.EthLen:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^wire.Sum(ip[:wire.IPv4Len], 0))
	return f
}

func (r *readers) Receive(frames [][]byte) int {
	n := copy(frames, r.in)
	r.in = r.in[:copy(r.in, r.in[n:])]
	return n
}

func (r *readers) Send(frames [][]byte) int {
	for _, f := range frames {
		tcp := f[wire.EthLen+wire.IPv4Len:]
		k := binary.BigEndian.Uint16(tcp[2:]) - peerPort
		before := r.got[k]
		r.got[k] += uint32(len(tcp) - int(tcp[12]>>4)*4)
		r.take(f) // changes the next request
		switch {
		case r.got[k] == r.length:
			r.got[k] = 0
			r.done++
			r.give(r.requests[k])
		case before/mtu%2 == 1:
			at := wire.EthLen + wire.IPv4Len
			copy(r.acks[k][at:], r.requests[k][at:])
			r.give(r.acks[k])
		}
		r.pool[r.free] = f[:cap(f)]
		r.free++
	}
	r.sent += uint64(len(frames))
	return len(frames)
}

func (r *readers) give(f []byte) {
	wire.Finish(f)
	r.in = append(r.in, f)
}

// readLarge returns a loop whose peers read responses of 100,000 octets.
func readLarge(tb testing.TB, n int) (*Loop, *readers, *tcpstate.Time) {
	l, p, now := benchLoop(tb, n)
	r := newReaders(p, "/large.txt")
	l.cfg.Device = r
	r.length = uint32(len(large)) + 1<<20
	r.give(r.requests[0])
	for range 1000 { // the first tells the length
		*now += 100 * tcpstate.Microsecond
		l.Step(*now)
	}
	r.length = r.got[0]
	if r.length < uint32(len(large)) || r.length > uint32(len(large))+500 {
		tb.Fatalf("a response of %d octets", r.length)
	}
	r.got[0] = 0
	for k := range r.requests {
		r.give(r.requests[k])
	}
	return l, r, now
}

// BenchmarkLarge is the whole of the loop for a response of 100,000 octets, 70 segments and their acknowledgments; the peers' part
// included.
func BenchmarkLarge(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			l, r, now := readLarge(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			r.done, r.sent = 0, 0
			rx := l.count.RxPackets
			steps := 0
			for r.done < b.N {
				*now += 20 * tcpstate.Microsecond
				l.Step(*now)
				steps++
			}
			b.ReportMetric(float64(r.sent)/float64(r.done), "sent/op")
			b.ReportMetric(float64(l.count.RxPackets-rx)/float64(r.done), "received/op")
			b.ReportMetric(float64(steps)/float64(r.done), "steps/op")
		})
	}
}
