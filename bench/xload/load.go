package xload

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
)

// Load says how requests are made. Open and New read it.
type Load struct {
	Host    string   // for the field of that name
	Fields  []string // further fields, as NAME: VALUE
	Targets []Target // drawn by weight
	Status  int      // that every response must have. Default 200
	Sum     bool     // check bodies, too

	Connections    int           // at once. Default 64
	Pipeline       int           // requests under way on each. Default 1
	NewConnections bool          // one for each request
	PerConnection  int           // requests on a connection, before the client ends it; 0: any
	InTurn         bool          // a connection asks for the targets in their order, from the first one; else they are drawn
	Think          time.Duration // of a closed loop: from the last response to the next request
	Timeout        time.Duration // of a request. Default 10 s
	OpenRate       int           // new connections in a second when the load begins. Default 50,000
	Poisson        bool          // arrivals of an open loop are random, not evenly spaced
	Seed           uint64
}

func (c *Load) setDefaults() {
	for v, def := range map[*int]int{&c.Status: 200, &c.Connections: 64, &c.Pipeline: 1, &c.OpenRate: 50_000} {
		if *v == 0 {
			*v = def
		}
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.NewConnections {
		c.Pipeline = 1
	}
	if c.PerConnection > 0 || c.InTurn { // they count by connection
		c.Pipeline = 1
	}
}

// brief reports whether many connections are ending at a time.
func (c *Load) brief() bool { return c.NewConnections || c.PerConnection > 0 }

// receiveBatch is how many frames are taken at once.
const receiveBatch = 256

// maxPipeline bounds the ring of requests under way.
const maxPipeline = 256

// user is one of the clients that are simulated: it has a connection, or none, and requests under way.
type user struct {
	reader
	conn     int32  // or none
	first    uint16 // in its ring: the oldest request under way
	count    uint16 // of them
	sent     uint16 // of these, sent on this connection: the oldest ones
	up       bool   // the connection is open
	thinking bool
	waiting  bool   // it must not connect again yet
	dirty    bool   // on the list of those that have something to do
	answered uint32 // on this connection
	since    int64  // when its connection was asked for
}

// pending is a request under way.
type pending struct {
	intended int64 // when it should have been sent: latency counts from here
	begun    int64 // when a user took it
	seq      uint32
	target   int32
	tries    uint8
}

// Memory returns how many octets the tables for n connections take, with a pipeline of one, from so many sources with so many
// ports each.
func Memory(n, sources, ports int) int {
	return tcpclient.Memory(conns(n, false), sources, ports) + n*perUser(1) + conns(n, false)*4
}

// perUser is what a user takes, with its ring, its timer and its places in queues.
func perUser(pipeline int) int {
	return int(reflect.TypeFor[user]().Size()) + tcpclient.TimerSize() + 4 + pipeline*(int(reflect.TypeFor[pending]().Size())+4)
}

// conns is how many connections the stack has room for: the users', and those that are ending.
func conns(users int, fresh bool) int {
	if fresh {
		return users + 65536
	}
	return users + users/16 + 64
}

// Generator makes the requests. It belongs to one goroutine; only Stop may be called from others.
type Generator struct {
	cfg      Load
	device   tcpclient.Device
	clock    func() int64
	stack    *tcpclient.Stack
	users    []user
	ring     []pending // Pipeline of them for each user
	owners   []int32   // of the connections: the user
	wheel    *tcpclient.Wheel
	heads    *heads
	targets  []target
	classes  []string
	draw     alias
	rnd      *rand.PCG
	frames   [receiveBatch][]byte
	dirty    []int32
	now      int64
	opened   int     // users that have had their first connection asked for
	openedAt int64   // since when they are
	underway int     // requests
	idle     queue   // open loop: users that can take a request, one entry for each that they can
	backlog  backlog // open loop: requests that no user can take
	schedule schedule
	meter    meter
	stop     stopper
}

// New makes a generator that sends by stack, whose Device and clock it is given, too.
func New(cfg Load, stack *tcpclient.Stack, device tcpclient.Device, clock func() int64) (*Generator, error) {
	cfg.setDefaults()
	if cfg.Pipeline > maxPipeline {
		return nil, fmt.Errorf("pipeline of %d is longer than %d", cfg.Pipeline, maxPipeline)
	}
	now := clock()
	g := &Generator{
		cfg: cfg, device: device, clock: clock, stack: stack, now: now,
		users: make([]user, cfg.Connections), ring: make([]pending, cfg.Connections*cfg.Pipeline),
		owners: make([]int32, stack.Free()), wheel: tcpclient.NewWheel(cfg.Connections, now),
		heads: newHeads(min(cfg.Connections, 1024)), rnd: rand.NewPCG(cfg.Seed, 2),
		dirty: make([]int32, 0, cfg.Connections), idle: newQueue(cfg.Connections * cfg.Pipeline), backlog: newBacklog(),
	}
	for i := range g.owners {
		g.owners[i] = none
	}
	for i := range g.users {
		g.users[i] = user{conn: none, reader: reader{buffer: none}}
	}
	if err := g.setTargets(); err != nil {
		return nil, err
	}
	g.meter.init(g.classes)
	return g, nil
}

func (g *Generator) setTargets() error {
	var weights []float64
	index := map[string]int{}
	for _, t := range g.cfg.Targets {
		text, err := request(g.cfg.Host, t.Path, g.cfg.Fields, g.cfg.NewConnections)
		if err != nil {
			return err
		}
		if len(text) > 1200 {
			return fmt.Errorf("request for %.60q is longer than a segment", t.Path)
		}
		if _, ok := index[t.Class]; !ok {
			index[t.Class] = len(g.classes)
			g.classes = append(g.classes, t.Class)
		}
		g.targets = append(g.targets, target{text: text, length: t.Length, sum: t.Sum, summed: t.HasSum, class: index[t.Class],
			head: known{text: make([]byte, 0, knownMax)}})
		weights = append(weights, t.Weight)
	}
	if len(weights) == 0 {
		return fmt.Errorf("nothing to ask for")
	}
	g.draw = newAlias(weights)
	return nil
}

// Stop ends the run that is under way, or the next one. It may be called from any goroutine.
func (g *Generator) Stop() { g.stop.set() }

// turn does all that there is to do, and reports whether there was anything.
func (g *Generator) turn() (worked bool) {
	n := g.device.Receive(g.frames[:])
	g.now = g.clock()
	g.stack.SetTime(g.now)
	for _, frame := range g.frames[:n] {
		e := g.stack.Input(frame, g.now)
		if e.Conn < 0 {
			continue
		}
		conn := e.Conn
		g.event(&e)
		for more := true; more; {
			if e, more = g.stack.More(conn, g.now); more && e.Conn >= 0 {
				g.event(&e)
			}
		}
	}
	g.meter.batch(n)
	g.timers()
	g.begin()
	if g.schedule.open {
		g.arrivals()
	}
	worked = n > 0 || len(g.dirty) > 0
	for i := 0; i < len(g.dirty); i++ {
		u := g.dirty[i]
		g.users[u].dirty = false
		g.serve(u)
	}
	g.dirty = g.dirty[:0]
	g.stack.Flush(g.now)
	return worked
}

// begin has users connect for the first time, at OpenRate.
func (g *Generator) begin() {
	if g.opened == len(g.users) || g.schedule.draining {
		return
	}
	due := int(float64(g.now-g.openedAt) * float64(g.cfg.OpenRate) / 1e9)
	due = min(due+1, len(g.users), g.opened+64)
	for ; g.opened < due; g.opened++ {
		u := int32(g.opened)
		if g.schedule.open {
			for range g.cfg.Pipeline {
				g.release(u)
			}
			if g.users[u].conn == none && !g.cfg.NewConnections {
				g.connect(u)
			}
		}
		g.mark(u)
	}
}

// mark puts a user on the list of those that have something to do.
func (g *Generator) mark(u int32) {
	if x := &g.users[u]; !x.dirty {
		x.dirty = true
		g.dirty = append(g.dirty, u)
	}
}

// timers does what is due: time-outs, thoughts that are over, retransmissions.
func (g *Generator) timers() {
	for {
		u, ok := g.wheel.Due(g.now)
		if !ok {
			break
		}
		x := &g.users[u]
		switch {
		case x.thinking || x.waiting:
			x.thinking, x.waiting = false, false
			if x.count > 0 {
				g.wheel.Set(u, g.pending(u, 0).begun+int64(g.cfg.Timeout))
			}
			g.mark(u)
		case x.count > 0:
			if p := g.pending(u, 0); g.now-p.begun < int64(g.cfg.Timeout) {
				g.wheel.Set(u, p.begun+int64(g.cfg.Timeout))
			} else {
				g.fail(u, Timeout)
				g.abandon(u)
			}
		}
	}
	for {
		e, ok := g.stack.Expire(g.now)
		if !ok {
			return
		}
		g.resend(&e)
	}
}

// pending returns the k-th oldest request of user u.
func (g *Generator) pending(u int32, k int) *pending {
	x := &g.users[u]
	at := int(x.first) + k
	if at >= g.cfg.Pipeline {
		at -= g.cfg.Pipeline
	}
	return &g.ring[int(u)*g.cfg.Pipeline+at]
}

// quit resets all connections, so that the server does not keep them: not so many at once that a queue on the way overflows.
func (g *Generator) quit() {
	open := 0
	for conn := range int32(len(g.owners)) {
		if g.stack.State(conn) == tcpclient.Closed {
			continue
		}
		g.stack.Abort(conn)
		if open++; open%64 == 0 {
			g.stack.Flush(g.clock())
			g.device.Wait(time.Millisecond / 2)
		}
	}
	g.stack.Flush(g.clock())
}
