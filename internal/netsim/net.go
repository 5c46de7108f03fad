package netsim

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Net is a simulated network with one host. Times are nanoseconds of a clock that begins at Start and moves
// from event to event.
type Net struct {
	// Device and Kernel are the host's: give them to the server under test.
	Device *Device
	Kernel *Kernel
	// Rand decides everything that is left to chance. Tests may draw from it too.
	Rand *rand.Rand

	host   host
	now    int64
	events events
	serial uint64
	failed error
	digest hash.Hash64
	tail   [25]note // of a ring: the last things that happened to frames
	notes  int
}

// Start is where the clock begins: a time that is round in no unit.
const Start = int64(1234*time.Hour + 567891234*time.Nanosecond)

// HostConfig is what the host is made of. The zero value is a good one.
type HostConfig struct {
	// RxFrames and TxFrames are how many frames the device has for each direction. Default 512.
	RxFrames, TxFrames int
	// TxTime is how long the device takes to send a frame. Default 1 µs.
	TxTime time.Duration
	// FrameSize is how many octets a frame holds. Default 2048.
	FrameSize int
}

// New returns a network whose chances are decided by seed.
func New(seed uint64, cfg HostConfig) *Net {
	n := &Net{now: Start, Rand: rand.New(rand.NewPCG(seed, 0x6e657473696d)), digest: fnv.New64a()}
	n.Device = newDevice(n, cfg)
	n.Kernel = newKernel(n)
	n.host.init(n)
	return n
}

// Seed returns the seed of a test: NETSIM_SEED if the environment has it, or else def. It is logged, so that
// a failure says how to repeat it.
func Seed(tb testing.TB, def uint64) uint64 {
	tb.Helper()
	if s, err := strconv.ParseUint(os.Getenv("NETSIM_SEED"), 10, 64); err == nil {
		def = s
	}
	tb.Logf("NETSIM_SEED=%d", def)
	return def
}

// Now returns the time.
func (n *Net) Now() int64 { return n.now }

// After calls f when d has passed.
func (n *Net) After(d time.Duration, f func()) {
	n.serial++
	heap.Push(&n.events, event{n.now + int64(max(d, 0)), n.serial, f})
}

// Run lets d pass, or less if something fails. The error is the first failure, with the last frames before it.
func (n *Net) Run(d time.Duration) error {
	end := n.now + int64(d)
	n.until(end, func() bool { return false })
	if n.failed == nil {
		n.now = end
	}
	return n.failed
}

// ErrNotDone is what RunUntil returns if done was not reported in time.
var ErrNotDone = errors.New("not done in time")

// RunUntil lets time pass until done, which is asked after each event, but at most d. The error is the first
// failure, or ErrNotDone, with the last frames before it.
func (n *Net) RunUntil(d time.Duration, done func() bool) error {
	if !n.until(n.now+int64(d), done) && n.failed == nil {
		return fmt.Errorf("%w: %v%s", ErrNotDone, d, n.history())
	}
	return n.failed
}

func (n *Net) until(end int64, done func() bool) bool {
	for n.failed == nil {
		if done() {
			return true
		}
		if len(n.events) == 0 || n.events[0].at > end {
			return false
		}
		e := heap.Pop(&n.events).(event)
		n.now = e.at
		e.do()
	}
	return false
}

// Failf ends the run: something is not as it should be. Only the first failure counts.
func (n *Net) Failf(format string, args ...any) {
	if n.failed == nil {
		n.failed = fmt.Errorf("at %s: %s%s", n.clock(n.now), fmt.Sprintf(format, args...), n.history())
	}
}

// Digest names the run so far: two runs with the same digest saw the same frames at the same times.
func (n *Net) Digest() uint64 { return n.digest.Sum64() }

// note is something that happened to a frame.
type note struct {
	at    int64
	what  string
	frame []byte
}

// note records what happens to frame, for Digest and for the history of a failure. frame must not change.
func (n *Net) note(what string, frame []byte) {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(n.now))
	n.digest.Write(at[:])
	n.digest.Write([]byte(what))
	n.digest.Write(frame)
	n.tail[n.notes%len(n.tail)] = note{n.now, what, frame}
	n.notes++
}

// history is the last notes, a line for each.
func (n *Net) history() string {
	var b strings.Builder
	for i := max(0, n.notes-len(n.tail)); i < n.notes; i++ {
		e := n.tail[i%len(n.tail)]
		fmt.Fprintf(&b, "\n\t%s %-12s %s", n.clock(e.at), e.what, describe(e.frame))
	}
	return b.String()
}

func (n *Net) clock(at int64) string { return fmt.Sprintf("%.6f", float64(at-Start)/1e9) }

// chance reports true with probability p.
func (n *Net) chance(p float64) bool { return p > 0 && n.Rand.Float64() < p }

// between returns a random duration below d, or 0.
func (n *Net) between(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(n.Rand.Int64N(int64(d)))
}

// timer is something that happens once, unless it is set anew or stopped before.
type timer struct {
	net   *Net
	round uint64
	set   bool
}

func (t *timer) start(d time.Duration, f func()) {
	t.round++
	t.set = true
	round := t.round
	t.net.After(d, func() {
		if t.round == round {
			t.set = false
			f()
		}
	})
}

func (t *timer) stop() {
	t.round++
	t.set = false
}

// events is a queue by time and, for equal times, by order of arrival.
type events []event

type event struct {
	at     int64
	serial uint64
	do     func()
}

func (q events) Len() int      { return len(q) }
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q events) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].serial < q[j].serial
}

// Push is for package heap.
func (q *events) Push(x any) { *q = append(*q, x.(event)) }

// Pop is for package heap.
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}
