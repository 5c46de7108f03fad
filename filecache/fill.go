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
			c.settle(key, c.fill(ctx, key))
		}
	}
}

// begin reports whether what is asked for by key shall be filled: not if it is there, is under way, or was refused a moment ago.
func (c *Cache) begin(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.objects[key]; o != nil {
		c.renew(o)
		return false
	}
	r, refused := c.refused[key]
	if c.filling[key] || refused && time.Now().Before(r.until) {
		return false
	}
	c.filling[key] = true
	return true
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
	delete(c.filling, key)
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
	key, ok := c.key(make([]byte, 0, maxKey), local, r)
	if !ok {
		return Missing
	}
	o, p, why := c.prove(ctx, string(key))
	if why == Taken && p != nil {
		time.Sleep(time.Until(p.due))
		why = c.secondLook(ctx, p)
	}
	return c.finish(o, why)
}

// fill takes an object in, or has it wait for its second look.
func (c *Cache) fill(ctx context.Context, key string) Refusal {
	o, p, why := c.prove(ctx, key)
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
func (c *Cache) prove(ctx context.Context, key string) (o *Object, p *proof, why Refusal) {
	o = &Object{key: key, asked: parseKey(key)}
	path, why := c.admit(&o.asked)
	if why != Taken {
		return o, nil, why
	}
	if o.life.ways, why = c.find(path, o.asked.coding != absentField); why != Taken {
		return o, nil, why
	}
	if why = c.note(o); why != Taken {
		return o, nil, why
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
	}
	return why
}

// match walks again, reads the files, and finds the one whose content the answer has. If there are several, all are watched:
// nobody knows which one it was. No answer: the builtin one, for the file.
func (c *Cache) match(o *Object, got *answer) Refusal {
	for k := range o.life.ways {
		w := &o.life.ways[k]
		id := w.stamp.file
		content, why := w.read()
		if why != Taken {
			return why
		}
		modified := time.Unix(id.mtime.Unix())
		if got == nil {
			if why := c.builtin(o, w.name, content, modified); why != Taken {
				return why
			}
			c.shareBody(o, bodyKey{file: id})
			return Taken
		}
		if o.modified != 0 && !slices.Contains(w.times, o.modified) {
			continue // the same content, but of another file
		}
		if !bytes.Equal(content, got.content) {
			if !w.coded {
				continue
			}
			plain, err := got.decoded(int64(len(content)))
			if err != nil || !bytes.Equal(content, plain) {
				continue
			}
		}
		c.shareBody(o, bodyKey{id, got.field("Content-Encoding"), got.chunked})
		return Taken
	}
	return ProofContent
}

// read walks the way again and reads the file.
func (w *way) read() ([]byte, Refusal) {
	again, why := w.walk()
	if why != Taken {
		return nil, why
	}
	f := os.NewFile(uintptr(again.fd), w.path)
	defer f.Close() //nolint:errcheck // only read
	if again.stamp != w.stamp {
		return nil, Changing
	}
	if id, ok := identifyAtRest(again.fd); !ok || id != w.stamp.file {
		return nil, Changing
	}
	content := make([]byte, w.stamp.file.size)
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, Changing
	}
	if n, _ := f.Read(make([]byte, 1)); n != 0 {
		return nil, Changing
	}
	if id, ok := identifyAtRest(again.fd); !ok || id != w.stamp.file {
		return nil, Changing
	}
	return content, Taken
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
