package filecache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Options say what a Cache holds. Root is required.
type Options struct {
	// Root is the directory that request targets are below.
	Root string
	// Budget is how many octets of bodies are held at most. Default 256 MiB. Objects that were dropped while
	// responses of theirs are under way stay in memory beyond it, until those are acknowledged.
	Budget int64
	// MaxObject is the largest body, octets. Default an eighth of Budget, at most 1 GiB.
	MaxObject int64
	// Backend, if not nil, proves each object before it is taken (prove.go).
	Backend Backend
	// Server is the value of the Server field when there is no Backend. Empty: no such field.
	Server string
	// KeepAliveTimeout and KeepAliveRequests are what the Keep-Alive field says; Apache's defaults are 5 s and
	// 100. Negative requests: any number.
	KeepAliveTimeout  time.Duration
	KeepAliveRequests int
	// Dynamic are substrings of targets that are never static. Default "cgi-bin", "..".
	Dynamic []string
	// MimeTypes is a file in the format of Apache's TypesConfig. Default /etc/mime.types.
	MimeTypes string
	// SloppyMime makes files of unknown types text/html, as kHTTPd's setting of that name. Only without Backend.
	SloppyMime bool
	// Logger gets what an administrator should know. Default slog.Default.
	Logger *slog.Logger
}

// Cache is the objects of one root. Lookup and Want may be called by any goroutine.
type Cache struct {
	opts  Options
	types mimeTypes
	table *table
	wants chan string

	mu      sync.Mutex // everything below; never held while a packet waits
	root    root
	objects map[string]*Object
	bytes   int64
	hand    []*Object // eviction's clock; dropped objects leave it when the hand comes by
	names   map[string]map[*Object]struct{}
	watch   *watcher
	refused map[string]refusal
	stats   Stats
}

// life is what the cache notes of an object.
type life struct {
	stamp   stamp
	names   []string // paths whose change ends the object
	dirs    []string // directories among them that are watched for it
	dead    bool     // dropped, or never to be taken
	held    bool     // in the table
	hidden  bool     // it may change without a change of its names
	watched bool     // the kernel reports every change of it
}

// refusal is a target that shall not be tried again before a time.
type refusal struct {
	why   Refusal
	until time.Time
}

const (
	maxWants    = 1024
	maxRefused  = 8192
	defaultSize = 256 << 20
)

// New opens the root and returns an empty cache. Run makes it work.
func New(opts Options) (*Cache, error) {
	if opts.Budget <= 0 {
		opts.Budget = defaultSize
	}
	if opts.MaxObject <= 0 {
		opts.MaxObject = opts.Budget / 8
	}
	opts.MaxObject = min(opts.MaxObject, opts.Budget-overhead, 1<<30)
	if opts.Dynamic == nil {
		opts.Dynamic = []string{"cgi-bin", ".."}
	}
	if opts.MimeTypes == "" {
		opts.MimeTypes = "/etc/mime.types"
	}
	if opts.KeepAliveTimeout <= 0 {
		opts.KeepAliveTimeout = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	c := &Cache{
		opts: opts, table: newTable(), wants: make(chan string, maxWants),
		objects: map[string]*Object{}, names: map[string]map[*Object]struct{}{}, refused: map[string]refusal{},
	}
	var err error
	if c.types, err = loadMimeTypes(opts.MimeTypes); err != nil {
		return nil, err
	}
	if c.root, err = openRoot(opts.Root); err != nil {
		return nil, err
	}
	return c, nil
}

// Lookup returns the object of a request target, or nil. It takes no lock and does not allocate.
func (c *Cache) Lookup(target []byte) *Object {
	o := c.table.get(target)
	if o != nil && !o.touched.Load() {
		o.touched.Store(true)
	}
	return o
}

// Want notes that target was asked for and is missing. If there is too much to do already, it is forgotten: the next
// request will ask again.
func (c *Cache) Want(target []byte) {
	if len(c.wants) < cap(c.wants) {
		select {
		case c.wants <- string(target):
		default:
		}
	}
}

// Run fills the cache with what is wanted and drops what has changed, until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	w, err := newWatcher()
	if err != nil {
		c.opts.Logger.Warn("no file events; changed files are found by looking at them once a second", "err", err)
	}
	c.mu.Lock()
	c.watch = w
	c.mu.Unlock()
	var tasks sync.WaitGroup
	for range fillers {
		tasks.Go(func() { c.fillLoop(ctx) })
	}
	tasks.Go(func() { c.sweepLoop(ctx) })
	if w != nil {
		tasks.Go(func() { c.eventLoop(ctx, w) })
	}
	<-ctx.Done()
	tasks.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropAll()
	c.watch = nil
	if w != nil {
		return errors.Join(w.Close())
	}
	return nil
}

// insert takes o, if nothing has happened to it since its names were noted, and makes room for it.
func (c *Cache) insert(o *Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.life.dead {
		return false
	}
	if old := c.objects[o.target]; old != nil {
		c.drop(old)
	}
	for c.bytes+cost(o) > c.opts.Budget && c.evict() {
	}
	c.objects[o.target] = o
	c.bytes += cost(o)
	c.hand = append(c.hand, o)
	c.table.set(o, len(c.objects))
	o.life.held = true
	c.stats.Filled++
	return true
}

// overhead is what an object counts against the budget besides its body: even an empty file is not free.
const overhead = 1024

func cost(o *Object) int64 { return int64(len(o.body)) + overhead }

// evict drops one object that was not looked up since the hand came by, and reports whether there was one.
func (c *Cache) evict() bool {
	for len(c.hand) > 0 {
		o := c.hand[0]
		c.hand = c.hand[1:]
		switch {
		case o.life.dead:
		case o.touched.Swap(false):
			c.hand = append(c.hand, o)
		default:
			c.drop(o)
			c.stats.Evicted++
			return true
		}
	}
	return false
}

// drop ends o: nobody finds it any more. The caller holds the lock.
func (c *Cache) drop(o *Object) {
	if o.life.dead {
		return
	}
	o.life.dead = true
	c.forget(o)
	if !o.life.held {
		return
	}
	o.life.held = false
	c.table.remove(o)
	delete(c.objects, o.target)
	c.bytes -= cost(o)
	if len(c.hand) > 2*len(c.objects)+64 {
		c.hand = compact(c.hand)
	}
}

func compact(hand []*Object) []*Object {
	var live []*Object
	for _, o := range hand {
		if !o.life.dead {
			live = append(live, o)
		}
	}
	return live
}

func (c *Cache) dropAll() {
	for _, o := range c.objects {
		c.drop(o)
	}
	// What is being filled has names, too.
	for _, set := range c.names {
		for o := range set {
			c.drop(o)
		}
	}
	clear(c.refused)
}

// Stats are a cache's counters and gauges.
type Stats struct {
	Objects  int   // gauge
	Bytes    int64 // gauge: of bodies, and 1 KiB for each object
	Filled   uint64
	Evicted  uint64 // for room
	Changed  uint64 // dropped because something had changed
	Refusals [NumRefusals]uint64
}

// Stats returns the present values.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Objects, s.Bytes = len(c.objects), c.bytes
	return s
}
