package dataplane

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/pieces"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Device moves frames between one queue of an interface and the loop. All its methods are called by the
// loop's goroutine only.
type Device interface {
	// Receive fills frames with received ones and returns how many. They are the loop's to read and to
	// change until the next Receive.
	Receive(frames [][]byte) int
	// Alloc lends empty frames for sending, each with its whole capacity; none while all are in flight.
	Alloc(frames [][]byte) int
	// Send queues frames from Alloc, cut to their length, as one batch. It takes them all back, sent or not.
	Send(frames [][]byte) int
	// Wait returns when frames have been received, or after d.
	Wait(d time.Duration)
}

// Handover gives connections to the kernel. The order of calls that keeps connections whole is Begin,
// Inject, Established; the reasons are in package redirect.
type Handover interface {
	// Begin announces that the next injected segment of flow, at h.Seq, shall become a socket.
	Begin(flow *wire.Flow, h *tcpstate.Handover) error
	// Inject gives frames to the kernel as if the interface had received them, in order.
	Inject(frames [][]byte) error
	// Established reports whether the kernel owns a socket for the flow, other than a listener.
	Established(flow *wire.Flow) bool
	// Cancel withdraws what Begin announced.
	Cancel(flow *wire.Flow)
}

// Store is where static objects come from. *filecache.Cache is one.
type Store interface {
	// Lookup returns the object that r asks for at the address local, or nil. It neither blocks nor allocates.
	Lookup(local [16]byte, r *httpwire.Request) *filecache.Object
	// Want notes that r was asked for at local and is missing, or stale. It does not block.
	Want(local [16]byte, r *httpwire.Request)
	// Filled returns how many objects were taken so far.
	Filled() uint64
}

// Config is what a Loop works with. Every field without a default must be set.
type Config struct {
	Device   Device
	Handover Handover
	Store    Store
	Listener *tcpstate.Listener
	// PartialChecksums says that the Device adds to the TCP checksums of what is sent all but the pseudo-header's sum.
	PartialChecksums bool
	// KernelAbove is the most octets of a response that is sent here: the kernel does better with longer ones. 0 is any number.
	KernelAbove uint64
	// Ours, if not nil, is told which connections are held here. All loops of an interface share one.
	Ours *Ours
	// Segmenter, if not nil, sends what is longer than LongFrom segments: worth while where the Device copies each frame. LongFrom is 3
	// by default.
	Segmenter Segmenter
	LongFrom  int
	// Control is the algorithm of congestion control.
	Control tcpstate.Control
	// Unix returns the wall-clock time in seconds, for the Date field. It is called once for a Step.
	Unix func() int64
	// Clock returns the time as Step's now. It is called for each received batch, because a frame may tell of an answer that
	// the steering program has given after Step began: with an earlier time, our timestamps would step back. Nil in virtual
	// time, where none passes within a Step.
	Clock func() tcpstate.Time
	// LocalMAC is the interface's address: frames to another are not ours. The zero value takes any.
	LocalMAC wire.MAC
	// MTU is the largest IP packet of the interface, octets. Default 1500.
	MTU int
	// MaxConns bounds the connections held here; those beyond go to the kernel at their first request.
	// Default 65,536. Each takes one slot of at most 256 octets, touched when used.
	MaxConns int
	// MaxBuffers bounds the connections that may hold an incomplete or waiting request, of
	// tcpstate.RecvBufSize octets each. Default 4,096.
	MaxBuffers int
	// HandoverTimeout is how long a hand-over is tried again when the server accepts no connections,
	// before the client gets a RST. Default 30 s; it must be less than the redirector keeps its records.
	HandoverTimeout time.Duration
	// Pieces, if not nil, is through what responses come whose octets are on disk; without it they are the server's behind. The
	// loop is its first user.
	Pieces *pieces.Pool
	// ReadTimeout is how long the disk may take for a piece before the client gets a RST, or the server behind the request if nothing was
	// sent. Default 60 s.
	ReadTimeout time.Duration
	// Hits, if not nil, is told of each response, for the access log. The loop is its producer.
	Hits *hits.Ring
	// Lending, if not nil, is how the steering program is given connections and answers. It needs Hits to be nil: nobody would tell
	// the access log.
	Lending *Lending
	// ReadyAfter is how often a request must have come within a second before its answer lies ready there, up to 65,535. Default 16.
	ReadyAfter int
	// Leaving, if not nil, is how the steering program is told to leave most new connections to the kernel where hardly one is ours. The
	// server behind must be the kernel's own listener.
	Leaving *Leaving
	// Limits are what clients may have.
	Limits Limits
}

const (
	batch      = 64 // frames for each Receive, Alloc and Send
	maxBatches = 16 // batches for each Step, before timers get their turn
	turn       = 32 // segments that one connection may send before the next one's turn
	longTurn   = 48 // the same, if they go as one
	maxWait    = 100 * time.Millisecond
	txWait     = 100 * time.Microsecond // when only the transmit ring holds us up
)

// Loop is one queue's loop. Only Drain, Stop, Snapshot and Progress may be called by other goroutines.
type Loop struct {
	cfg    Config
	now    tcpstate.Time
	unix   uint32
	st     *tcpstate.Stack
	slots  arena
	waits  timeWaits
	work   workArena
	wheel  wheel
	ready  readyList
	lender *lender // or nil
	leaver *leaver // or nil
	firsts firsts

	queues    [numClasses]queue
	prefixes  prefixes
	slowHeads allowance
	strays    allowance

	rx     [batch][]byte
	tx     [batch][]byte // tx[txUsed:txHave] are lent and empty, tx[:txUsed] are filled
	txUsed int
	txHave int
	row    row
	inject [batch][]byte // received frames that the kernel shall have
	nInj   int
	pkt    wire.Packet
	out    tcpstate.Transmit
	fresh  tcpstate.Conn // where Accept puts a connection before it has a slot
	give   giver
	given  recent
	// Here, because what goes to an interface may stay there, and would move to the heap:
	hand    tcpstate.Handover
	request httpwire.Request

	count    counters
	draining bool
	drain    atomic.Bool
	stop     atomic.Bool
	progress atomic.Uint64
}

// New returns a loop for cfg.
func New(cfg Config) (*Loop, error) {
	if cfg.Device == nil || cfg.Handover == nil || cfg.Store == nil || cfg.Listener == nil || cfg.Unix == nil {
		return nil, errors.New("dataplane: Device, Handover, Store, Listener and Unix are required")
	}
	setDefault(&cfg.MTU, 1500)
	setDefault(&cfg.MaxConns, 65536)
	setDefault(&cfg.MaxBuffers, 4096)
	setDefault(&cfg.LongFrom, 3)
	setDefault(&cfg.ReadyAfter, 16)
	setDefault(&cfg.HandoverTimeout, 30*time.Second)
	setDefault(&cfg.ReadTimeout, time.Minute)
	if cfg.KernelAbove == 0 {
		cfg.KernelAbove = math.MaxUint64
	}
	cfg.Limits.setDefaults(cfg.MaxConns)
	l := &Loop{cfg: cfg, st: tcpstate.NewStack(tcpstate.StackConfig{Control: cfg.Control, Flights: cfg.MaxConns})}
	l.slots.init(cfg.MaxConns)
	l.waits.init(cfg.MaxConns, cfg.Listener.TimeWait())
	l.work.init(cfg.MaxConns, cfg.MaxBuffers)
	l.work.hits, l.work.disk = cfg.Hits, newDisk(cfg.Pieces)
	l.give.init(cfg.MTU)
	if cfg.Hits == nil {
		var err error
		if l.lender, err = newLender(cfg.Lending, cfg.ReadyAfter); err != nil {
			return nil, err
		}
	}
	l.leaver = newLeaver(cfg.Leaving)
	l.prefixes.init(cfg.MaxConns, &cfg.Limits)
	l.slowHeads.rate, l.strays.rate = cfg.Limits.SlowHeads, cfg.Limits.Strays
	return l, nil
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Step does everything that can be done at now and returns when it wants to be called again even if nothing
// is received: now if there is more to do at once, or to be tried again soon because no frame could be had
// for sending; 0 if it waits for nothing but frames.
func (l *Loop) Step(now tcpstate.Time) tcpstate.Time {
	l.now, l.unix = now, uint32(l.cfg.Unix())
	l.work.now = now
	l.wheel.begin(now)
	if l.drain.Load() && !l.draining {
		l.beginDrain()
	}
	if l.lender != nil {
		l.lender.tick(l)
	}
	if l.leaver != nil {
		l.leaver.tick(l)
	}
	more := true
	for n := 0; more && n < maxBatches; n++ {
		more = l.receive()
		l.transmit()
	}
	if l.work.disk != nil {
		l.takePieces()
	}
	l.expire()
	l.waits.expire(now)
	l.transmit()
	l.publish()
	l.progress.Add(1)
	switch {
	case more:
		return now
	case l.ready.head != 0 || l.txUsed > 0:
		return now + tcpstate.Time(txWait)
	}
	next := l.wheel.next()
	earlier := func(at tcpstate.Time) {
		if next == 0 || at < next {
			next = at
		}
	}
	if d := l.work.disk; d != nil && d.starved > 0 {
		earlier(now + d.wait(now))
	}
	if n := l.lender; n != nil && n.look != 0 {
		earlier(n.look)
	}
	if n := l.leaver; n != nil && n.stage != leaveNobody {
		earlier(n.last + leaveLook)
	}
	return next
}

// Run steps until Stop, sleeping in Device.Wait. Config.Clock, CLOCK_MONOTONIC in nanoseconds, must be set. The caller
// locks its goroutine to a thread if it wants to. When it returns, the connections that were left have been
// reset.
func (l *Loop) Run() {
	clock := l.cfg.Clock
	for !l.stop.Load() {
		next := l.Step(clock())
		wait := maxWait
		if next != 0 {
			wait = min(wait, time.Duration(next-clock()))
		}
		if wait > 0 {
			l.cfg.Device.Wait(wait)
		}
	}
	l.abortAll(clock())
}

// Stop makes Run return soon.
func (l *Loop) Stop() { l.stop.Store(true) }

// Drain makes the loop hand each of its connections to the kernel as soon as it stands at a request
// boundary, and each new one at its first request.
func (l *Loop) Drain() { l.drain.Store(true) }

// Progress is a number that grows with every Step: while it does, the loop is not stuck.
func (l *Loop) Progress() uint64 { return l.progress.Load() }

func (l *Loop) beginDrain() {
	l.draining = true
	l.slots.each(func(i uint32) { l.wantHandover(i, ReasonShutdown) })
}

// abortAll resets whatever is left.
func (l *Loop) abortAll(now tcpstate.Time) {
	l.now, l.work.now = now, now
	l.slots.each(func(i uint32) {
		s := l.slots.at(i)
		if s.flags&flagHanding != 0 {
			l.release(i) // the kernel may have it by now, and its record will expire
			return
		}
		l.reclaim(i)
		s.conn.Abort()
		l.markReady(i)
	})
	l.transmit()
	l.slots.each(l.release) // for those there was no frame
	l.publish()
}

// publish lets others see what this step has counted and told.
func (l *Loop) publish() {
	l.count.Buffers = l.work.buffersInUse()
	l.count.Connections[tcpstate.TimeWait] += l.waits.news()
	if d := l.work.disk; d != nil {
		d.grant(l.now)
		d.pool.Publish()
		l.count.PiecesRead, l.count.PieceWaits, l.count.DiskWaits = d.read, d.waits, d.stalls
		l.count.Pieces, l.count.Readers = uint64(d.pool.Len()-d.pool.Free()), uint64(d.running)
	}
	l.count.publish()
	if l.cfg.Hits != nil {
		l.cfg.Hits.Publish()
	}
}

// expire runs the timers that are due.
func (l *Loop) expire() {
	for i := l.wheel.pop(l.slots.all, l.now); i != 0; i = l.wheel.pop(l.slots.all, l.now) {
		l.onTimer(i)
	}
}

func (l *Loop) onTimer(i uint32) {
	s := l.slots.at(i)
	if s.flags&flagHanding != 0 {
		l.retryHandover(i)
		return
	}
	lent := s.flags&flagLent != 0
	l.reclaim(i)
	if l.diskHangs(i, s) {
		return
	}
	if l.readsTooSlowly(s) {
		l.abort(i, ShedSlowReader)
		return
	}
	if d := s.conn.Deadline(l.st); d == 0 || d > l.now {
		if lent {
			l.lend(i)
		}
		l.work.settle(s)
		l.schedule(i)
		return
	}
	switch s.conn.OnTimeout(l.st, l.now) {
	case tcpstate.Closed, tcpstate.Reset:
		l.release(i)
		return
	case tcpstate.IdleExpired:
		s.conn.Close()
	case tcpstate.TimedOut:
		l.count.Shed[ShedStalled]++
	case tcpstate.HeadExpired:
		if l.work.reads(s) != nil { // the disk's fault
			l.giveUpReading(i)
			return
		}
		if !l.slowHeads.take(l.now) {
			l.abort(i, ShedSlowHead)
			return
		}
		l.wantHandover(i, ReasonSlowHead)
		if s = l.live(i); s == nil {
			return
		}
	}
	l.markReady(i)
	l.schedule(i)
}

// abort resets the connection in slot i as soon as there is a frame for it.
func (l *Loop) abort(i uint32, why Shed) {
	l.count.Shed[why]++
	l.reclaim(i)
	l.slots.at(i).conn.Abort()
	l.markReady(i)
	l.schedule(i)
}

// live returns slot i, or nil if it was released meanwhile.
func (l *Loop) live(i uint32) *slot {
	if s := l.slots.at(i); s.flags&flagUsed != 0 {
		return s
	}
	return nil
}

// schedule puts the connection's earliest deadline into the wheel.
func (l *Loop) schedule(i uint32) {
	s := l.slots.at(i)
	l.noteState(s)
	l.feed(s)
	l.classify(i, s)
	d := s.conn.Deadline(l.st)
	if at := l.diskDeadline(s); at != 0 && (d == 0 || at < d) {
		d = at
	}
	switch {
	case s.flags&flagHanding != 0:
		d = l.work.at(s.work).retryAt
	case s.flags&flagLent != 0 && (d == 0 || d > l.now+lentFor):
		d = l.now + lentFor
	}
	l.wheel.set(l.slots.all, i, d)
}
