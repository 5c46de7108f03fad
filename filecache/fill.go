package filecache

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// fillers is how many targets are filled at the same time, and how many second looks are made.
const fillers = 2

// youngest is the age below which a file is not taken: Apache makes its entity tag weak for a second, and a clock
// that ticks slowly may hide a change.
const youngest = 2 * time.Second

// sortLoop drops what is wanted twice, so that the queue of what is to be filled holds each key once.
func (c *Cache) sortLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-c.wants:
			if !c.begin(key) {
				continue
			}
			select {
			case c.todo <- key:
			default:
				c.settle(key, Busy)
			}
		}
	}
}

func (c *Cache) fillLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-c.todo:
			c.settle(key, c.fill(ctx, key, c.opts.MaxObject))
		}
	}
}

// largeLoop fills what is too large for memory, one after the other, so that nobody else waits for it. As each takes the whole file to
// be read and sent, and clients may name it in many ways, it rests for restsFor times as long as the last one took.
func (c *Cache) largeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-c.large:
			begin := time.Now()
			c.settle(key, c.fill(ctx, key, c.opts.MaxFile))
			if !sleep(ctx, restsFor*time.Since(begin)) {
				return
			}
		}
	}
}

const restsFor = 3

// begin reports whether what is asked for by key shall be filled: not if it is there, is under way, or was refused a moment ago.
func (c *Cache) begin(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range []string{wide(key), key} {
		if o := c.objects[k]; o != nil {
			c.renew(o, time.Now())
			return false
		}
		if by := c.filling[k]; by != "" {
			if behind := c.behind[k]; by != key && len(behind) < maxBehind && !slices.Contains(behind, key) {
				c.behind[k] = append(behind, key)
			}
			return false
		}
	}
	if r, refused := c.refused[key]; refused && time.Now().Before(r.until) {
		return false
	}
	c.filling[wide(key)] = key
	return true
}

// narrow lets the same target be filled for another Accept-Encoding while it is filled for that of key.
func (c *Cache) narrow(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := wide(key); c.filling[w] == key {
		c.release(w)
		c.filling[key] = key
	}
}

// release ends that something is filled by key k, and lets those have their turn that came meanwhile. The caller holds the lock.
func (c *Cache) release(k string) {
	delete(c.filling, k)
	for _, key := range c.behind[k] {
		select {
		case c.wants <- key:
		default:
			c.missed.Add(1)
		}
	}
	delete(c.behind, k)
}

// allowed waits until the server behind may be asked about a further target. It reports false if ctx ends before.
func (c *Cache) allowed(ctx context.Context) bool {
	return c.proofs.Wait(ctx) == nil
}

// settle notes what came of filling, unless the second look has yet to come.
func (c *Cache) settle(key string, why Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if why == parked {
		return
	}
	for _, k := range []string{wide(key), key} {
		if c.filling[k] == key {
			c.release(k)
		}
	}
	if why == Taken {
		return
	}
	c.stats.Refusals[why]++
	q := parseKey(key)
	c.opts.Logger.Debug("not taken", "why", why.String(), "target", q.target, "host", q.host, "coding", q.coding)
	if len(c.refused) >= maxRefused {
		clear(c.refused)
	}
	c.refused[key] = refusal{why, time.Now().Add(why.pause())}
}

// Fill does now what Want leaves to Run. It is for tests and for warming up.
func (c *Cache) Fill(ctx context.Context, local [16]byte, r *httpwire.Request) Refusal {
	start, ok := c.keyStart(make([]byte, 0, maxKey), local, r)
	if !ok {
		return Missing
	}
	o, p, why := c.prove(ctx, string(c.key(start, r)), c.opts.MaxFile)
	if why == Taken && p != nil {
		time.Sleep(time.Until(p.due))
		why = c.secondLook(ctx, p)
	}
	return c.finish(o, why)
}

// fill takes an object of at most limit octets in, or has it wait for its second look, or for largeLoop.
func (c *Cache) fill(ctx context.Context, key string, limit int64) Refusal {
	o, p, why := c.prove(ctx, key, limit)
	if why == TooLarge && o.life.ways != nil && limit < o.life.ways[0].stamp.file.size {
		select {
		case c.large <- key:
			return parked
		default:
			return Busy
		}
	}
	if why == Taken && p != nil {
		if c.park(o, p) {
			return parked
		}
		why = Busy
	}
	return c.finish(o, why)
}

// prove does the first part of filling. The order matters: what is to be watched is watched before the server behind is asked, and
// the way is walked again after that, so that no change is missed. p is nil if no second look is needed.
func (c *Cache) prove(ctx context.Context, key string, limit int64) (o *Object, p *proof, why Refusal) {
	o = &Object{key: key, asked: parseKey(key)}
	c.mu.Lock()
	o.life.site = c.site
	c.mu.Unlock()
	path, why := c.admit(&o.asked)
	if why != Taken {
		return o, nil, why
	}
	if o.life.ways, why = c.find(path); why != Taken {
		return o, nil, why
	}
	size := o.life.ways[0].stamp.file.size
	if size > limit {
		return o, nil, TooLarge
	}
	why, reason, coding := o.life.site.judge(&o.asked, o.life.ways)
	if why != Taken {
		c.opts.Logger.Debug("left to the server behind", "target", o.asked.target, "host", o.asked.host, "why", reason)
		return o, nil, why
	}
	if coding != "" {
		c.opts.Logger.Debug("for one Accept-Encoding only", "target", o.asked.target, "host", o.asked.host, "why", coding)
		o.life.narrow = true
		c.narrow(key)
	}
	if why = c.note(o); why != Taken {
		return o, nil, why
	}
	if size > c.opts.MaxObject {
		if why = o.open(); why != Taken {
			return o, nil, why
		}
	}
	if c.opts.Backend == nil {
		return o, nil, c.match(o, nil)
	}
	if !c.allowed(ctx) {
		return o, nil, NoBackend
	}
	if p, why = c.firstLook(ctx, o); why != Taken {
		return o, nil, why
	}
	if p.answers[kind200].coded() {
		c.narrow(key)
	}
	return o, p, c.match(o, &p.answers[kind200])
}

// finish takes o in if why is Taken and nothing has happened meanwhile, and forgets it otherwise.
func (c *Cache) finish(o *Object, why Refusal) Refusal {
	if why == Taken && !c.unchanged(o) {
		why = Changing
	}
	if why == Taken && !c.insert(o) {
		why = Changing
	}
	if why != Taken {
		c.abandon(o)
		if o.file != nil {
			o.file.Close() //nolint:errcheck // only read; nobody has seen it
		}
	}
	return why
}

// match walks again, reads the files, and finds one whose content the answer has. If there are several, all are watched:
// nobody knows which one it was. No answer: the builtin one, for the file.
func (c *Cache) match(o *Object, got *answer) Refusal {
	for k := range o.life.ways {
		w := &o.life.ways[k]
		f, why := w.open()
		if why != Taken {
			return why
		}
		same := false
		switch {
		case got == nil:
			why, same = c.builtin(o, w, f), true
		case o.file != nil: // each octet was compared
			same = o.file.same() && w.fits(o)
		default:
			same = w.holds(f, o, got)
		}
		id, rest := identifyAtRest(int(f.Fd()))
		f.Close() //nolint:errcheck // only read
		switch {
		case !rest || id != w.stamp.file:
			return Changing
		case why != Taken:
			return why
		case same && got == nil:
			c.shareBody(o, bodyKey{file: id})
			return Taken
		case same:
			c.shareBody(o, bodyKey{id, got.field("Content-Encoding"), got.chunked})
			return Taken
		}
	}
	return ProofContent
}

// open walks the way again and opens the file, which must be what it was, and at rest.
func (w *way) open() (*os.File, Refusal) {
	again, why := w.walk()
	if why != Taken {
		return nil, why
	}
	f := os.NewFile(uintptr(again.fd), again.name)
	if id, ok := identifyAtRest(again.fd); !ok || id != w.stamp.file || again.stamp != w.stamp {
		f.Close() //nolint:errcheck // only read
		return nil, Changing
	}
	return f, Taken
}

// holds reports whether the content of f is that of the answer, as it is or without its coding, and of the same time.
func (w *way) holds(f *os.File, o *Object, got *answer) bool {
	if !w.fits(o) {
		return false // the same content, perhaps, but of another file
	}
	file := func() io.Reader { return io.NewSectionReader(f, 0, w.stamp.file.size+1) }
	if same(file(), bytes.NewReader(got.content)) {
		return true
	}
	if o.asked.coding == absentField {
		return false
	}
	plain, err := got.decoded()
	return err == nil && same(file(), plain)
}

// fits reports whether what the answer said of the time may be said of the file.
func (w *way) fits(o *Object) bool {
	return o.validators.Modified == 0 || slices.Contains(w.times, o.validators.Modified)
}

// open opens the file of an object that is too large for memory. It must be the only one that may be meant.
func (o *Object) open() Refusal {
	if len(o.life.ways) > 1 {
		return TooLarge
	}
	w := &o.life.ways[0]
	f, why := w.open()
	if why == Taken {
		o.file = newFile(f, w.stamp.file)
	}
	return why
}

// same reports whether two readers give the same octets, to the end.
func same(a, b io.Reader) bool {
	var one, other [32 << 10]byte
	for {
		n, err := readFull(a, one[:])
		m, err2 := readFull(b, other[:])
		switch {
		case !bytes.Equal(one[:n], other[:m]), err != nil && err != io.EOF, err2 != nil && err2 != io.EOF:
			return false
		case err == io.EOF && err2 == io.EOF:
			return true
		}
	}
}

// readFull reads until b is full. Unlike io.ReadFull, it returns the reader's own error: a torn stream is not the end.
func readFull(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

// unchanged walks the ways to the file again.
func (c *Cache) unchanged(o *Object) bool {
	for k := range o.life.ways {
		w := &o.life.ways[k]
		again, why := w.walk()
		if why != Taken {
			return false
		}
		closeFD(again.fd)
		if again.stamp != w.stamp {
			return false
		}
	}
	return true
}
