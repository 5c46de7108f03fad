package dataplane

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// crowd is a device at whose other end are many clients, each with an address of its own in 10.0.0.0/8. It knows of each what
// it has received, and makes its frames when they are wanted.
type crowd struct {
	acks, stamps []uint32
	next, end    int // whose frames are to be sent
	seq          uint32
	flags        wire.Flags
	payload      string
	frames       [batch][]byte
	tx           [batch][]byte
	responses    int
	other        int
}

func newCrowd(n int) *crowd {
	c := &crowd{acks: make([]uint32, n), stamps: make([]uint32, n)}
	for k := range c.frames {
		c.frames[k], c.tx[k] = make([]byte, 2048), make([]byte, 2048)
	}
	for k := range c.acks { // touched before anything is measured
		c.acks[k], c.stamps[k] = 1, 1
	}
	return c
}

func (c *crowd) Receive(frames [][]byte) int {
	n := min(len(frames), c.end-c.next)
	for k := range n {
		frames[k] = c.make(c.frames[k], c.next)
		c.next++
	}
	return n
}

// make builds the frame of client k.
func (c *crowd) make(frame []byte, k int) []byte {
	flow := wire.Flow{Local: wire.Addr4(local.To4()), Remote: wire.Addr4([]byte{10, byte(k >> 16), byte(k >> 8), byte(k)}), LocalPort: 80, RemotePort: 5000}
	o := wire.Options{HasTS: true, TSVal: 1, TSEcr: c.stamps[k]}
	if c.flags.Has(wire.SYN) {
		o = wire.Options{HasMSS: true, MSS: 1460, HasTS: true, TSVal: 1, SACKPermitted: true, HasWScale: true, WScale: 7}
	}
	h := wire.Header{Src: wire.MAC(remoteMAC), Dst: wire.MAC(localMAC), Flow: &flow, Inbound: true, Seq: wire.Seq(c.seq), Ack: wire.Seq(c.acks[k]),
		Flags: c.flags, Wnd: 500, Options: &o, Partial: true}
	copy(frame[h.HeaderLen():], c.payload)
	return frame[:h.Build(frame, len(c.payload))]
}

func (c *crowd) Alloc(frames [][]byte) int {
	for k := range c.tx {
		c.tx[k] = c.tx[k][:2048]
	}
	return copy(frames, c.tx[:])
}

func (c *crowd) Send(frames [][]byte) int {
	for _, f := range frames {
		k := int(f[31])<<16 | int(f[32])<<8 | int(f[33])
		tcp := f[wire.EthLen+wire.IPv4Len:]
		head := int(tcp[12]>>4) * 4
		n := uint32(len(tcp) - head)
		if tcp[13]&byte(wire.SYN) != 0 {
			n++
		}
		switch {
		case strings.HasPrefix(string(tcp[head:min(head+15, len(tcp))]), "HTTP/1.1 200 OK"):
			c.responses++
		case tcp[13]&byte(wire.SYN) == 0:
			c.other++
		}
		c.acks[k] = binary.BigEndian.Uint32(tcp[4:]) + n
		at := wire.TCPLen + 4
		if tcp[13]&byte(wire.SYN) != 0 {
			at += 4
		}
		c.stamps[k] = binary.BigEndian.Uint32(tcp[at:])
	}
	return len(frames)
}

func (c *crowd) Wait(time.Duration) {}

// say lets the clients from one to another send a segment each.
func (c *crowd) say(l *Loop, now tcpstate.Time, from, to int, seq uint32, flags wire.Flags, payload string) {
	c.next, c.end, c.seq, c.flags, c.payload = from, to, seq, flags, payload
	for c.next < c.end {
		l.Step(now)
	}
}

// resident is what the process has in memory.
func resident(tb testing.TB) int {
	tb.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// holdIdle has n clients ask once, and then again, and returns the octets of memory that each idle connection takes: when no more
// than atOnce responses were ever on their way at the same time.
func holdIdle(tb testing.TB, n, atOnce int) float64 {
	s := newStage(tb, nil)
	c := newCrowd(n)
	before := resident(tb)
	cfg := s.loop.cfg
	cfg.Device, cfg.MaxConns = c, n+n/5 // beyond 7/8, idle ones would be closed
	l, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	now := s.now
	c.say(l, now, 0, n, 1000, wire.SYN, "")
	next := uint32(1001)
	ask := func() {
		now += tcpstate.Second
		c.responses, c.other = 0, 0
		after := next + uint32(len(browserGet))
		for from := 0; from < n; from += atOnce {
			to := min(from+atOnce, n)
			c.say(l, now, from, to, next, wire.ACK|wire.PSH, browserGet)
			c.say(l, now, from, to, after, wire.ACK, "")
		}
		next = after
		var count Counters
		l.Snapshot(&count)
		if c.responses != n || c.other != 0 || l.slots.used != n || l.work.usedWorks != 0 || count.Connections[tcpstate.Established] != uint64(n) {
			tb.Fatalf("%d clients: %d responses, %d other segments, %d slots, %d works in use", n, c.responses, c.other, l.slots.used, l.work.usedWorks)
		}
	}
	ask()
	each := float64(resident(tb)-before) / float64(n)
	ask()
	runtime.KeepAlive(l)
	return each
}

// Many idle connections: each takes its slot, its part of the flow table, and little else; and each is still served. In a process of
// its own: where the heap has been used before, Go clears what it lends again, and so touches what a loop would not.
func TestManyIdleConnections(t *testing.T) {
	const n, most = 50_000, 256 + 64
	if os.Getenv("DATAPLANE_ALONE") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "DATAPLANE_ALONE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if each := holdIdle(t, n, 1000); each > most {
		t.Errorf("%.0f octets of memory for each of %d idle connections, want at most %d", each, n, most)
	}
}

// BenchmarkMillion reports what each of a million connections takes: idle, and when all of them had a response on its way at once.
func BenchmarkMillion(b *testing.B) {
	for name, atOnce := range map[string]int{"idle": 1000, "peak": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.ReportMetric(holdIdle(b, 1_000_000, atOnce), "octets/connection")
			}
		})
	}
}
