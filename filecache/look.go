package filecache

import (
	"context"
	"math/rand/v2"
	"time"
)

// look is a second look that is due, or one again at an object that is held: then there is no proof.
type look struct {
	o *Object
	p *proof
}

// maxLooks is how many may wait. Their bodies may take a quarter of the budget besides.
const maxLooks = 2048

// park has o wait for its second look. It reports false if too much waits already.
func (c *Cache) park(o *Object, p *proof) bool {
	p.answers[kind200].body, p.answers[kind200].content = nil, nil // o has it
	size := int64(len(o.octets))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting > 0 && c.waiting+size > c.opts.Budget/4 {
		return false
	}
	select {
	case c.looks <- look{o, p}:
		c.waiting += size
		return true
	default:
		return false
	}
}

// unpark undoes park.
func (c *Cache) unpark(o *Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting -= int64(len(o.octets))
}

func (c *Cache) lookLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-c.looks:
			if l.p != nil {
				if !sleep(ctx, time.Until(l.p.due)) {
					return
				}
				c.unpark(l.o)
				key := l.o.key // it may become wide
				c.settle(key, c.finish(l.o, c.secondLook(ctx, l.p)))
			} else if c.allowed(ctx) {
				c.lookAgain(ctx, l.o)
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// renew has o proven again if that is due now. If nobody has asked for it in a long time, it is given up. The caller holds the lock.
func (c *Cache) renew(o *Object, now time.Time) {
	if c.opts.Backend == nil || o.life.renewing || now.Before(o.life.due) {
		return
	}
	if o.touched.Swap(false) {
		o.life.idle = 0
	} else if o.life.idle++; o.life.idle > maxIdle {
		c.drop(o)
		return
	}
	select {
	case c.looks <- look{o: o}:
		o.life.renewing = true
	default: // its turn comes
	}
}

// maxIdle is how often an object is proven again although nobody has asked for it.
const maxIdle = 10

// lookAgain drops o if the server behind says something else by now. If it can't be asked, o stays while it is fresh.
func (c *Cache) lookAgain(ctx context.Context, o *Object) {
	var again answer
	var why Refusal
	same := true
	for _, coding := range o.asked.codings() {
		again, why = c.askAgain(ctx, o, coding, o.kinds[kind200Head].text != "")
		if same = why == Taken && o.says(&again, fieldsClose); !same {
			break
		}
	}
	if same {
		o.refresh(&again)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	o.life.renewing = false
	c.schedule(o)
	switch {
	case same, !o.life.held:
		c.stats.Renewed++
	case why == NoBackend:
	default:
		c.stats.Changed++
		c.drop(o)
	}
}

// schedule sets when o shall be proven again: before it is no longer fresh. The caller holds the lock.
func (c *Cache) schedule(o *Object) {
	now := time.Now()
	in := c.opts.Reprove
	if left := o.freshUntil.Load() - now.Unix(); left < int64(in/time.Second)*5/4 {
		in = max(time.Second, time.Duration(left)*time.Second*4/5)
	}
	// Not all at once.
	o.life.due = now.Add(in - rand.N(in/8+1))
}
