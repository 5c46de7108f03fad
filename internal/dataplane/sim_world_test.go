package dataplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

const ms = time.Millisecond

// simWorld is a loop on a simulated network, with the real cache behind it. After each of its steps its books are
// audited (sim_audit_test.go).
type simWorld struct {
	*netsim.Net
	t      *testing.T
	loop   *Loop
	tcp    tcpstate.Config
	states map[uint32]simState // of the slots after the last step
	talks  []*simTalk
	hits   simHits
	disk   *simDisk // that reads what the loop asks for, or nil
}

// simSizes are the static objects: /0.txt has no octet, /1.txt has one, and so on.
var simSizes = []int{0, 1, 100, 1400, 10_000, 100_000, 600_000, 2_000_000, 20_000_000}

var simOctets = sync.OnceValue(func() []byte {
	b := make([]byte, simSizes[len(simSizes)-1])
	for i := range b {
		b[i] = byte(i*11 + i>>8*7 + i>>16)
	}
	return b
})

func simBody(size int) []byte { return simOctets()[:size] }

// simIdle is how long connections of most worlds may be idle: more than any client there needs to repair a loss.
const simIdle = 30 * time.Second

// simStore is one cache for all worlds; simShortStore is another, whose connections may make 5 requests after the first; those of
// simPatientStore are not given up for losses alone.
var (
	simStore        = sync.OnceValues(func() (*filecache.Cache, error) { return newSimStore(-1, simIdle, 0) })
	simShortStore   = sync.OnceValues(func() (*filecache.Cache, error) { return newSimStore(5, simIdle, 0) })
	simPatientStore = sync.OnceValues(func() (*filecache.Cache, error) { return newSimStore(-1, time.Hour/2, 0) })
)

// newSimStore returns what keeps connections for so many requests, and so long. Objects larger than memory are on disk, if that is not 0.
func newSimStore(requests int, idle time.Duration, memory int64) (*filecache.Cache, error) {
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what was filled stays in memory, or open
	types, root := filepath.Join(dir, "types"), filepath.Join(dir, "root")
	if err := os.WriteFile(types, []byte("text/plain txt\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // must be world-readable
		return nil, err
	}
	opts := filecache.Options{Site: filecache.Site{Roots: []filecache.Root{{Prefix: "/", Dir: root}}}, MimeTypes: types, KeepAliveRequests: requests, KeepAliveTimeout: idle, MaxObject: memory}
	if memory > 0 {
		opts.MaxFile = 1 << 30
	}
	cache, err := filecache.New(opts)
	if err != nil {
		return nil, err
	}
	old := time.Now().Add(-time.Hour)
	for _, size := range simSizes {
		name := fmt.Sprintf("%d.txt", size)
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, simBody(size), 0o644); err != nil { //nolint:gosec // must be world-readable
			return nil, err
		}
		if err := os.Chtimes(path, old, old); err != nil {
			return nil, err
		}
		if why := cache.Fill(context.Background(), [16]byte{}, requestOf("/"+name)); why != filecache.Taken {
			return nil, fmt.Errorf("fill %s: %v", name, why)
		}
	}
	return cache, nil
}

// simSetup is what a world is made of.
type simSetup struct {
	host netsim.HostConfig
	tcp  tcpstate.Config
	loop Config
}

// newSim returns a world with path's host.
func newSim(t *testing.T, seed uint64, path simPath, changes ...func(*simSetup)) *simWorld {
	t.Helper()
	cache, err := simStore()
	if err != nil {
		t.Fatal(err)
	}
	s := simSetup{host: path.host, tcp: tcpstate.DefaultConfig()}
	s.tcp.KeepAliveTimeout = tcpstate.Time(simIdle)
	s.tcp.StallTimeout = 60 * tcpstate.Second
	s.loop = Config{
		Store: &fakeStore{cache: cache}, Unix: func() int64 { return 1.7e9 },
		LocalMAC: netsim.HostMAC(), MaxConns: 200, MaxBuffers: 150,
		Control: tcpstate.Control(seed % uint64(tcpstate.NumControls)),
	}
	for _, change := range changes {
		change(&s)
	}
	w := &simWorld{Net: netsim.New(seed, s.host), t: t, tcp: s.tcp, states: map[uint32]simState{}}
	s.loop.Device, s.loop.Handover = w.Device, w.Kernel
	if seed%3 > 0 { // the others send all in frames of the device
		busy := int(seed%7) + 3
		s.loop.Segmenter = w.NewSegmenter(func() bool { return seed%3 == 2 && w.Rand.IntN(busy) == 0 })
	}
	if s.loop.Lending == nil {
		s.loop.Hits = hits.NewRing(0, true)
	}
	s.loop.Ours = newOurs(t, 256) // of which no bucket will be full
	s.loop.Listener = tcpstate.NewListener(s.tcp, wire.Key{K0: seed, K1: 2})
	if w.loop, err = New(s.loop); err != nil {
		t.Fatal(err)
	}
	w.lendTo()
	w.Serve(netsim.ServerFunc(func(now int64) int64 {
		next := w.loop.Step(tcpstate.Time(now))
		w.disk.look()
		return int64(next)
	}), w.audit)
	return w
}

func (w *simWorld) counters() (c Counters) {
	w.loop.Snapshot(&c)
	return c
}

// run lets d pass.
func (w *simWorld) run(d time.Duration) {
	w.t.Helper()
	if err := w.Run(d); err != nil {
		w.t.Fatal(err)
	}
}

// until lets time pass until done, at most d.
func (w *simWorld) until(d time.Duration, done func() bool) {
	w.t.Helper()
	if err := w.RunUntil(d, done); err != nil {
		w.t.Fatal(err)
	}
}

// empty reports whether no connection is left.
func (w *simWorld) empty() bool { return w.loop.slots.used == 0 }

// end lets all time-outs pass, and asserts that nothing is left of anything.
func (w *simWorld) end() {
	w.t.Helper()
	w.run(5 * time.Minute)
	l, c := w.loop, w.counters()
	flights, runs := l.st.InUse()
	if l.slots.used != 0 || l.work.usedWorks != 0 || l.wheel.held != 0 || c.Live() != 0 || c.Buffers != 0 || flights != 0 || runs != 0 {
		w.t.Errorf("left: %d slots, %d works, %d timers, %d live, %d buffers, %d flights, %d runs",
			l.slots.used, l.work.usedWorks, l.wheel.held, c.Live(), c.Buffers, flights, runs)
	}
	if d := l.work.disk; d != nil && (d.running != 0 || d.starved != 0 || d.head != 0 || d.pool.Free() != d.pool.Len()) {
		w.t.Errorf("left: %d readers, %d that wait, %d pieces of %d", d.running, d.starved, d.pool.Len()-d.pool.Free(), d.pool.Len())
	}
	for _, o := range l.work.objects {
		if o != nil {
			w.t.Error("an object is still referred to")
		}
	}
	if n := len(w.hits.open); n != 0 {
		w.t.Errorf("the access log was told of %d responses that have not ended", n)
	}
	if err := w.Device.Check(batch); err != nil {
		w.t.Error(err)
	}
	if n := w.Kernel.Records(); n != 0 {
		w.t.Errorf("%d records are left", n)
	}
}

// handovers lists the reasons that were counted, with their numbers.
func (w *simWorld) handovers() string {
	var list []string
	c := w.counters()
	for r, n := range c.Handovers {
		if n > 0 {
			list = append(list, fmt.Sprintf("%v %d", Reason(r), n))
		}
	}
	return strings.Join(list, ", ")
}

// wantHandovers asserts what handovers lists.
func (w *simWorld) wantHandovers(want string) {
	w.t.Helper()
	if got := w.handovers(); got != want {
		w.t.Errorf("handed over: %q, want %q", got, want)
	}
}

// wantDrop asserts that why was counted n times.
func (w *simWorld) wantDrop(why Drop, n uint64) {
	w.t.Helper()
	if c := w.counters(); c.Drops[why] != n {
		w.t.Errorf("%v was counted %d times, want %d", why, c.Drops[why], n)
	}
}
