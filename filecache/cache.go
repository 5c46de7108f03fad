package filecache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// Options say what a Cache holds. Site is required.
type Options struct {
	// Site is what is known of the sites in the beginning.
	Site
	// Budget is how many octets of bodies are held at most. Default 256 MiB. Objects that were dropped while
	// responses of theirs are under way stay in memory beyond it, until those are acknowledged.
	Budget int64
	// MaxObject is the largest body, octets. Default an eighth of Budget, at most 1 GiB.
	MaxObject int64
	// MaxFile, if larger than MaxObject, is the largest file whose octets are read anew for each response (Object.ReadFileAt); of its body
	// nothing is held, but an open file counts as 256 KiB. Default 0: none is.
	MaxFile int64
	// Backend, if not nil, is asked for each object before it is taken (prove.go).
	Backend Backend
	// QueryIgnored are prefixes of paths for which a query does not matter.
	QueryIgnored []string
	// Dynamic are substrings of targets that are never static. Default "cgi-bin".
	Dynamic []string
	// Reprove is how long an object is taken for true without asking again. Default a minute.
	Reprove time.Duration
	// ProofRate is about how many targets in a second the server behind is asked at most. Default 200.
	ProofRate int
	// Logger gets what an administrator should know. Default slog.Default.
	Logger *slog.Logger

	// What follows matters only without Backend.

	// Server is the value of the Server field. Empty: no such field.
	Server string
	// KeepAliveTimeout is how long a connection may be idle, in whole seconds. Default 5 s.
	KeepAliveTimeout time.Duration
	// KeepAliveRequests is how many further requests a connection may make; negative: any number.
	KeepAliveRequests int
	// MimeTypes is a file in the format of Apache's TypesConfig. Default /etc/mime.types.
	MimeTypes string
	// SloppyMime makes files of unknown types text/html, as kHTTPd's setting of that name.
	SloppyMime bool
}

// Cache is the objects of some sites. Lookup and Want may be called by any goroutine.
type Cache struct {
	opts   Options
	types  mimeTypes
	table  *table
	wants  chan string // keys, as they are asked for
	todo   chan string // keys to be filled
	large  chan string // keys to be filled by largeLoop
	looks  chan look
	proofs *rate.Limiter
	missed atomic.Uint64 // wants that were forgotten
	filled atomic.Uint64 // objects that were taken
	agents atomic.Pointer[agents]

	mu        sync.Mutex // everything below; never held while a packet waits
	site      *Site
	sites     map[string]bool // by Site.Hosts
	roots     []*root
	objects   map[string]*Object   // by key
	unwatched map[*Object]struct{} // of those, the ones of whose changes the kernel does not tell
	bodies    map[bodyKey]*body
	filling   map[string]string   // the key of what is being filled: by its wide key while it may be good for that, or by the key itself
	behind    map[string][]string // keys that are wanted, too, by the wide key of filling
	waiting   int64               // octets of bodies that wait for a second look
	bytes     int64
	hand      []*Object // eviction's clock; dropped objects leave it when the hand comes by
	renewed   uint      // of hand, in turn
	names     map[string]map[*Object]struct{}
	named     names
	watch     *watcher
	refused   map[string]refusal
	stats     Stats
	signs     signs
}

// life is what the cache notes of an object.
type life struct {
	site     *Site // that it was begun for
	ways     []way
	dirs     []string  // directories that are watched for it
	signs    []*sign   // by which a sweep sees what makes no event
	due      time.Time // to be proven again
	idle     uint8     // how often that was done since somebody asked
	renewing bool      // that is under way
	noted    bool      // its names are in Cache.names
	dead     bool      // dropped, or never to be taken
	held     bool      // in the table
	watched  bool      // the kernel reports every change of it
	narrow   bool      // the site says that it is for one Accept-Encoding only
}

// refusal is a key that shall not be tried again before a time.
type refusal struct {
	why   Refusal
	until time.Time
}

const (
	maxWants    = 1024
	maxTodo     = 8192
	maxLarge    = 64
	maxRefused  = 8192
	maxBehind   = 4 // keys behind one that is being filled
	defaultSize = 256 << 20
)

// New opens the roots and returns an empty cache. Run makes it work.
func New(opts Options) (*Cache, error) {
	setDefaults(&opts)
	c := &Cache{
		opts: opts, table: newTable(), wants: make(chan string, maxWants), todo: make(chan string, maxTodo), looks: make(chan look, maxLooks),
		large:   make(chan string, maxLarge),
		proofs:  rate.NewLimiter(rate.Limit(opts.ProofRate), opts.ProofRate),
		objects: map[string]*Object{}, unwatched: map[*Object]struct{}{}, bodies: map[bodyKey]*body{}, filling: map[string]string{}, behind: map[string][]string{},
		names: map[string]map[*Object]struct{}{}, named: newNames(), refused: map[string]refusal{}, signs: newSigns(),
	}
	if opts.Backend == nil {
		var err error
		if c.types, err = loadMimeTypes(opts.MimeTypes); err != nil {
			return nil, err
		}
	}
	if err := c.SetSite(opts.Site); err != nil {
		return nil, err
	}
	return c, nil
}

func setDefaults(opts *Options) {
	if opts.Budget <= 0 {
		opts.Budget = defaultSize
	}
	if opts.MaxObject <= 0 {
		opts.MaxObject = opts.Budget / 8
	}
	opts.MaxObject = min(opts.MaxObject, opts.Budget-overhead, 1<<30)
	if opts.MaxFile <= opts.MaxObject || opts.MaxFile <= 0 {
		opts.MaxFile = opts.MaxObject
	}
	opts.MaxFile = min(opts.MaxFile, precondition.MaxLength)
	if opts.Dynamic == nil {
		opts.Dynamic = []string{"cgi-bin"}
	}
	if opts.Reprove <= 0 {
		opts.Reprove = time.Minute
	}
	if opts.ProofRate <= 0 {
		opts.ProofRate = 200
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
}

// Lookup returns the object that r asks for at address local (IPv4 as ::ffff:a.b.c.d), or nil. It takes no lock and does not allocate.
func (c *Cache) Lookup(local [16]byte, r *httpwire.Request) *Object {
	var scratch [maxKey]byte
	start, ok := c.keyStart(scratch[:0], local, r)
	if !ok {
		return nil
	}
	o := c.table.get(append(start, anyCoding...))
	if o == nil {
		o = c.table.get(c.key(start, r))
	}
	if o != nil && !o.touched.Load() {
		o.touched.Store(true)
	}
	return o
}

// Want notes that r was asked for at address local and is missing, or was no longer fresh. If there is too much to do already, it is
// forgotten: the next request will ask again.
func (c *Cache) Want(local [16]byte, r *httpwire.Request) {
	if len(c.wants) == cap(c.wants) {
		c.missed.Add(1)
		return
	}
	var scratch [maxKey]byte
	start, ok := c.keyStart(scratch[:0], local, r)
	if !ok {
		return
	}
	select {
	case c.wants <- string(c.key(start, r)):
	default:
		c.missed.Add(1)
	}
}

// Filled returns how many objects were taken so far.
func (c *Cache) Filled() uint64 { return c.filled.Load() }

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
		tasks.Go(func() { c.lookLoop(ctx) })
	}
	tasks.Go(func() { c.largeLoop(ctx) })
	tasks.Go(func() { c.sortLoop(ctx) })
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
	if o.life.dead || o.life.site != c.site {
		return false
	}
	if old := c.objects[o.key]; old != nil {
		c.drop(old)
	}
	for c.bytes+c.cost(o) > c.opts.Budget {
		if !c.evict() {
			return false
		}
	}
	c.objects[o.key] = o
	c.bytes += o.overhead()
	c.use(o.body)
	c.hand = append(c.hand, o)
	c.table.set(o, len(c.objects))
	o.life.held = true
	if !o.life.watched {
		c.unwatched[o] = struct{}{}
	}
	c.schedule(o)
	c.filled.Add(1)
	return true
}

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
	c.leaveBody(o)
	if !o.life.held {
		return
	}
	o.life.held = false
	c.table.remove(o)
	delete(c.objects, o.key)
	delete(c.unwatched, o)
	c.bytes -= o.overhead()
	c.unuse(o.body)
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
	Objects   int   // gauge
	Bytes     int64 // gauge: of bodies, and 1 KiB or more for each object
	Filled    uint64
	Evicted   uint64 // for room
	Changed   uint64 // dropped because something had changed
	Renewed   uint64 // proven again
	Forgotten uint64 // not looked at: there was too much to do
	Refusals  [NumRefusals]uint64
}

// Stats returns the present values.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Objects, s.Bytes, s.Filled, s.Forgotten = len(c.objects), c.bytes, c.filled.Load(), c.missed.Load()
	return s
}
