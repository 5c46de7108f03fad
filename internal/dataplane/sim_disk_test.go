package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/internal/pieces"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// simDisk reads what a loop asks for, in virtual time.
type simDisk struct {
	w    *simWorld
	pool *pieces.Pool
	// take is how long job n takes, negative for ever; fate is what comes of it, if not what is true.
	take func(n int) time.Duration
	fate func(n int) filecache.Fate
	jobs int
}

// look takes what the loop has asked for.
func (d *simDisk) look() {
	if d == nil {
		return
	}
	var j pieces.Job
	for d.pool.Next(&j) {
		n := d.jobs
		d.jobs++
		took := d.take(n)
		if took < 0 {
			continue
		}
		job := j
		d.w.After(took, func() {
			a := d.pool.Do(&job)
			if d.fate != nil && d.fate(n) != filecache.ReadWhole {
				a.Fate = d.fate(n)
				clear(d.pool.Octets(job.Piece))
			}
			d.pool.Answer(a)
		})
	}
}

// simDiskStore has the objects of more than 100,000 octets on disk.
var simDiskStore = sync.OnceValues(func() (*filecache.Cache, error) { return newSimStore(-1, simIdle, 100_000) })

// newDiskSim returns a world whose large objects come through n pieces, each after what take says.
func newDiskSim(t *testing.T, seed uint64, path simPath, n int64, take func(n int) time.Duration, changes ...func(*simSetup)) *simWorld {
	t.Helper()
	cache, err := simDiskStore()
	if err != nil {
		t.Fatal(err)
	}
	pool := pieces.New(n * pieces.Size)
	w := newSim(t, seed, path, append([]func(*simSetup){func(s *simSetup) {
		s.loop.Store, s.loop.Pieces = &fakeStore{cache: cache}, pool
	}}, changes...)...)
	w.disk = &simDisk{w: w, pool: pool, take: take}
	return w
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// auditDisk: a piece is free, held by one reader in the order of its octets, or asked for; and no reader is without.
func (w *simWorld) auditDisk() {
	d := w.loop.work.disk
	if d == nil {
		return
	}
	held, starved := 0, 0
	w.loop.slots.each(func(i uint32) {
		s := w.loop.slots.at(i)
		r := w.loop.work.reads(s)
		if r == nil {
			return
		}
		n, last, next := 0, uint32(0), uint64(0)
		for p := r.first; p != 0 && n <= d.pool.Len(); p = d.pieces[p].next {
			if n > 0 && d.pieces[p].off != next || d.pieces[p].reader != w.loop.work.at(s.work).reader {
				w.Failf("slot %d: piece %d is out of order", i, p)
			}
			n, last, next = n+1, p, d.pieces[p].off+uint64(d.pieces[p].n)
		}
		if r.slot != i || n != r.held || last != r.last || r.held > d.most || r.pos > r.written || r.begun && r.held > 0 && (d.pieces[r.first].off > r.pos || next != r.written) {
			w.Failf("slot %d: %d pieces up to %d: %+v", i, n, next, *r)
		}
		before := held
		if held += n; r.asked != 0 {
			held++
		}
		if held == before && r.next < r.length && s.conn.State() != tcpstate.StateClosed {
			w.Failf("slot %d has no piece, and waits for none: %+v", i, *r)
		}
		if r.starved {
			starved++
		}
	})
	if d.head != 0 && d.plenty() {
		w.Failf("a reader waits for a piece while %d are free", d.pool.Free())
	}
	if taken := d.pool.Len() - d.pool.Free(); held > taken || starved != d.starved {
		w.Failf("%d pieces of %d held, %d of %d wait", held, taken, starved, d.starved)
	}
}

// Responses from disk come through whole over any path, from one piece or from many, alone and among others, whole and in ranges.
func TestSimDisk(t *testing.T) {
	head, last := static(600_000), static(600_000)
	head.method, last.fields = "HEAD", "Connection: close\r\n"
	several := ranges(600_000, [2]int{300_000, 400_000}, [2]int{0, 1}, [2]int{599_000, 600_000}, [2]int{10, 290_000})
	overPaths(t, 60, func(t *testing.T, p simPath, seed uint64) {
		for k, n := range []int64{1, 16} {
			w := newDiskSim(t, seed, p, n, nil)
			w.disk.take = func(int) time.Duration { return time.Duration(w.Rand.IntN(20)) * ms }
			talk := w.talk(p.client, static(600_000), static(1400), head, ranges(600_000, [2]int{5, 300_000}), several, static(100_000), static(600_000))
			talk.pipelined = k%2 == 0
			w.converse(talk)
			w.wantCounted()
			w.wantHandovers("")
			w = newDiskSim(t, seed, p, n, always(ms))
			talk = w.talk(p.client, static(100), last)
			w.finish(talk)
			w.until(time.Minute, talk.c.PeerClosed)
			w.close(talk)
			w.end()
		}
	})
}

// 20 MB through 16 pieces, with 5 % lost and 5 % out of order in both directions: what is sent again is still there.
func TestSimDiskTwentyMegabytes(t *testing.T) {
	bad := netsim.Link{Delay: 5 * ms, Loss: 0.05, Reorder: 0.05}
	w := newDiskSim(t, netsim.Seed(t, 61), simPaths[0], 16, always(5*ms))
	k := w.talk(way(modern, bad), static(20_000_000), post(20_000))
	w.converse(k)
	w.wantCounted()
	if c := w.counters(); c.PiecesRead != (20_000_000+300)/pieces.Size+1 {
		t.Errorf("%d pieces were read", c.PiecesRead)
	}
}

// Sixty clients over a few pieces: those for whom there is room get all that they have asked for, the others are the server's behind, and
// those that do not read keep nobody from going on.
func TestSimDiskManyReaders(t *testing.T) {
	for _, n := range []int64{1, 3, 8, 20} {
		w := newDiskSim(t, netsim.Seed(t, 62), simPaths[0], n, always(2*ms))
		var idle []*netsim.Client
		for range n / 3 { // they take no octet of what they have asked for
			cfg := way(modern, near)
			cfg.Policy = netsim.Policy{Buffer: 3000, ReadEvery: 100 * time.Hour, ReadSize: 1}
			c := w.Dial(cfg)
			c.Send(static(2_000_000).octets())
			idle = append(idle, c)
		}
		w.run(time.Second)
		for k := range 60 {
			p := simPaths[k%4]
			talk := w.talk(p.client, static(2_000_000), static(1400), static(2_000_000))
			talk.mayHand = true
		}
		w.finish(w.talks...)
		w.close(w.talks...)
		c := w.counters()
		if c.Responses[0] < 2*uint64(n)/3 || int(c.Handovers[ReasonPieces]) != w.Kernel.Stats().Taken {
			t.Errorf("%d pieces: %d answers, %d handed over, the kernel took %d", n, c.Responses[0], c.Handovers[ReasonPieces], w.Kernel.Stats().Taken)
		}
		if n > 3 && c.PieceWaits == 0 {
			t.Errorf("%d pieces: nobody waited for a further one", n)
		}
		for _, c := range idle {
			c.Reset()
		}
		w.end()
	}
}

// received are the octets of the body that a client has got so far.
func received(c *netsim.Client) []byte {
	_, body, _ := bytes.Cut(c.Received(), []byte("\r\n\r\n"))
	return body
}

// A disk that cannot read what comes first leaves the request to the server behind; later, the client gets a RST behind octets that are right.
func TestSimDiskFails(t *testing.T) {
	for fate, want := range map[filecache.Fate]Shed{filecache.ReadFailed: ShedFileFailed, filecache.ReadChanged: ShedFileChanged} {
		for bad := range 4 {
			w := newDiskSim(t, 63, simPaths[1], 8, always(ms))
			w.disk.fate = func(n int) filecache.Fate {
				if n == bad {
					return fate
				}
				return filecache.ReadWhole
			}
			other := w.talk(simPaths[1].client, static(100_000), static(1400))
			k := w.talk(simPaths[1].client, static(2_000_000))
			k.mayHand = true
			if bad == 0 {
				w.converse(other, k)
				w.wantHandovers("disk 1")
				continue
			}
			k.ask()
			w.until(time.Minute, k.c.WasReset)
			if got := received(k.c); len(got) > bad*pieces.Size || !bytes.Equal(got, simBody(len(got))) {
				t.Errorf("%d octets came, which are right: %v", len(got), bytes.Equal(got, simBody(len(got))))
			}
			w.converse(other)
			if c := w.counters(); c.Shed[want] != 1 {
				t.Errorf("piece %d: shed %v, want %v", bad, c.Shed, want)
			}
		}
	}
}

// A disk that hangs keeps nobody from going on but those that wait for it, and those not for ever.
func TestSimDiskHangs(t *testing.T) {
	for bad := range 3 {
		w := newDiskSim(t, 64, simPaths[1], 8, func(n int) time.Duration {
			if n >= bad {
				return -1
			}
			return ms
		}, func(s *simSetup) { s.tcp.HeadTimeout = 20 * tcpstate.Second })
		k := w.talk(simPaths[1].client, static(2_000_000))
		k.mayHand = true
		k.ask()
		w.run(15 * time.Second)
		other := w.talk(simPaths[1].client, static(100_000), static(1400))
		w.finish(other)
		w.close(other)
		begin := w.Now()
		if bad == 0 {
			w.until(6*time.Second, k.done)
			w.wantHandovers("disk 1")
			continue
		}
		w.until(50*time.Second, k.c.WasReset)
		if c := w.counters(); c.Shed[ShedFileSlow] != 1 {
			t.Errorf("piece %d: shed %v after %d ms", bad, c.Shed, (w.Now()-begin)/1e6)
		}
	}
}

// A slow disk is not the client's fault: neither that it took nothing for so long, nor how fast it reads.
func TestSimDiskIsSlow(t *testing.T) {
	for _, p := range []simPath{simPaths[1], simPaths[len(simPaths)-1]} { // in no time, and while timers run
		w := newDiskSim(t, 65, p, 8, func(n int) time.Duration {
			if n == 0 {
				return ms
			}
			return 59 * time.Second
		}, func(s *simSetup) {
			s.tcp.StallTimeout = 20 * tcpstate.Second
			s.tcp.KeepAliveTimeout = 5 * tcpstate.Second
			s.loop.Limits.MinRate, s.loop.Limits.MinRatePeriod = 100_000, time.Second
		})
		w.converse(w.talk(p.client, static(2_000_000)))
		w.wantHandovers("")
		if c := w.counters(); c.Shed != [NumSheds]uint64{} || c.DiskWaits < 7 {
			t.Errorf("shed %v, %d waits", c.Shed, c.DiskWaits)
		}
	}
}

// But who does not read is ended, however slow the disk.
func TestSimDiskAndNobodyReads(t *testing.T) {
	w := newDiskSim(t, 66, simPaths[1], 8, always(ms))
	cfg := way(modern, near)
	cfg.Policy = netsim.Policy{Buffer: 3000, ReadEvery: 100 * time.Hour, ReadSize: 1}
	c := w.Dial(cfg)
	c.Send(static(2_000_000).octets())
	w.run(61 * time.Second)
	w.end()
	if n := w.counters().Shed[ShedStalled]; n != 1 {
		t.Errorf("%d were given up", n)
	}
}

// fileStore returns a cache that has a file on disk, which write makes.
func fileStore(t *testing.T, name string, write func(path string) error) (path string, cache *filecache.Cache) {
	t.Helper()
	root, types := t.TempDir(), filepath.Join(t.TempDir(), "types")
	path = filepath.Join(root, name)
	old := time.Now().Add(-time.Hour)
	for _, err := range []error{
		os.Chmod(root, 0o755), //nolint:gosec // must be world-readable
		os.WriteFile(types, []byte("text/plain txt\n"), 0o600), write(path), os.Chtimes(path, old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cache, err := filecache.New(filecache.Options{
		Site: filecache.Site{Roots: []filecache.Root{{Prefix: "/", Dir: root}}}, MimeTypes: types, KeepAliveRequests: -1, MaxObject: 1000, MaxFile: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	if why := cache.Fill(t.Context(), [16]byte{}, requestOf("/"+name)); why != filecache.Taken {
		t.Fatal(why)
	}
	return path, cache
}

// A file that is written while it is sent ends its response; one that is renamed or deleted does not.
func TestSimFileChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		whole  bool
	}{
		"deleted":   {os.Remove, true},
		"renamed":   {func(path string) error { return os.Rename(path, path+"2") }, true},
		"truncated": {func(path string) error { return os.Truncate(path, 1_500_000) }, false},
		"written": {func(path string) error {
			return os.WriteFile(path, make([]byte, 2_000_000), 0o644) //nolint:gosec // must be world-readable
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path, cache := fileStore(t, "2000000.txt", func(path string) error {
				return os.WriteFile(path, simBody(2_000_000), 0o644) //nolint:gosec // must be world-readable
			})
			w := newDiskSim(t, 67, simPaths[1], 2, always(ms), func(s *simSetup) { s.loop.Store = &fakeStore{cache: cache} })
			k := w.talk(way(modern, near), static(2_000_000))
			k.ask()
			w.until(time.Minute, func() bool { return len(received(k.c)) > 300_000 })
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			if c.whole {
				w.converse(k)
				return
			}
			w.until(time.Minute, k.c.WasReset)
			if got := received(k.c); len(got) < 300_000 || !bytes.Equal(got, simBody(len(got))) {
				t.Errorf("%d octets came, which are right: %v", len(got), bytes.Equal(got, simBody(len(got))))
			}
			w.end()
			if n := w.counters().Shed[ShedFileChanged]; n != 1 {
				t.Errorf("%d were ended for it", n)
			}
		})
	}
}

// Drain, and the end of the process, in the middle of it.
func TestSimDiskDrain(t *testing.T) {
	w := newDiskSim(t, 68, simPaths[1], 8, always(ms))
	k := w.talk(simPaths[1].client, static(2_000_000), static(100))
	k.mayHand = true
	k.ask()
	w.until(time.Minute, func() bool { return len(received(k.c)) > 300_000 })
	waits := w.talk(simPaths[1].client, static(2_000_000))
	waits.mayHand = true
	w.disk.take = always(10 * time.Second)
	waits.ask()
	w.run(10 * ms)
	w.loop.Drain()
	w.disk.take = always(ms)
	w.converse(k, waits)
	w.wantHandovers("shutdown 2")
}

// A piece costs no allocation, and neither does the octets' way into frames.
func TestDiskAllocatesNothing(t *testing.T) {
	pool := pieces.New(8 * pieces.Size)
	cache, err := simDiskStore()
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, func(c *Config) { c.Pieces, c.Store = pool, &fakeStore{cache: cache} })
	frames := make([][]byte, batch)
	for k := range frames {
		frames[k] = make([]byte, 2048)
	}
	c := s.client()
	c.connect()
	s.loop.cfg.Device = &sameFrames{fakeDevice: s.device, frames: frames}
	c.say("GET /20000000.txt HTTP/1.1\r\nHost: h\r\n\r\n")
	s.run(0)
	conn, d := &s.loop.slots.at(1).conn, s.loop.work.disk
	c.acknowledge()
	frame, first := s.device.in, c.ack
	frame[0] = frame[0][:wire.EthLen+wire.IPv4Len+wire.TCPLen] // without padding
	var job pieces.Job
	var acked uint32
	n := testing.AllocsPerRun(200, func() {
		for pool.Next(&job) {
			pool.Answer(pieces.Answer{Piece: job.Piece})
		}
		acked = conn.SentOff()
		binary.BigEndian.PutUint32(frame[0][wire.EthLen+wire.IPv4Len+8:], first+acked)
		clear(frame[0][wire.EthLen+wire.IPv4Len+16:][:2])
		wire.Finish(frame[0])
		s.device.in = frame
		s.run(ms)
	})
	if n != 0 || d.read < 20 || conn.AckedOff() != acked {
		t.Errorf("%v allocations; %d pieces were read, %d octets acknowledged", n, d.read, conn.AckedOff())
	}
}

// sameFrames is a device that lends the same frames again, and forgets what is sent.
type sameFrames struct {
	*fakeDevice
	frames [][]byte
}

func (d *sameFrames) Alloc(frames [][]byte) int { return copy(frames, d.frames) }
func (d *sameFrames) Send(frames [][]byte) int  { return len(frames) }

// Ranges on both sides of what 32 bits hold, of a file with more.
func TestSimBeyond32Bits(t *testing.T) {
	const size, from, n = 5 << 30, 1<<32 - 700_000, 1_500_000
	_, cache := fileStore(t, "huge.txt", func(path string) error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(simBody(n), from)
		return errors.Join(err, f.Truncate(size), f.Close())
	})
	w := newDiskSim(t, netsim.Seed(t, 69), simPaths[2], 5, always(ms), func(s *simSetup) { s.loop.Store = &fakeStore{cache: cache} })
	c := w.Dial(simPaths[2].client)
	c.Send(fmt.Appendf(nil, "GET /huge.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=%d-%d\r\n\r\n", from, from+n-1))
	w.until(time.Minute, func() bool { return len(received(c)) == n })
	head, _, _ := strings.Cut(string(c.Received()), "\r\n\r\n")
	if !bytes.Equal(received(c), simBody(n)) || !strings.Contains(head, fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n", from, from+n-1, size, n)) &&
		!strings.Contains(head, fmt.Sprintf("Content-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n", n, from, from+n-1, size)) {
		t.Errorf("other octets, or %q", head)
	}
	c.Close()
	w.end()
}
