package filecache

import (
	"context"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// fillers is how many targets are filled at the same time.
const fillers = 2

// youngest is the age below which a file is not taken: Apache makes its entity tag weak for a second, and a clock
// that ticks slowly may hide a change.
const youngest = 2 * time.Second

func (c *Cache) fillLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case target := <-c.wants:
			c.tryFill(ctx, target)
		}
	}
}

// tryFill fills target unless it is there, or was refused a moment ago.
func (c *Cache) tryFill(ctx context.Context, target string) {
	c.mu.Lock()
	r, refused := c.refused[target]
	skip := c.objects[target] != nil || refused && time.Now().Before(r.until)
	c.mu.Unlock()
	if skip {
		return
	}
	why := c.fill(ctx, target)
	if why == Taken {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Refusals[why]++
	if len(c.refused) >= maxRefused {
		clear(c.refused)
	}
	c.refused[target] = refusal{why, time.Now().Add(why.pause())}
}

// Fill does now what Want leaves to Run. It is for tests and for warming up.
func (c *Cache) Fill(ctx context.Context, target string) Refusal { return c.fill(ctx, target) }

// fill takes one object in. The order matters: what is to be watched is watched before the file is read, and the
// way is walked again after that, so that no change is missed.
func (c *Cache) fill(ctx context.Context, target string) Refusal {
	mime, why := c.judgeTarget(target)
	if why != Taken {
		return why
	}
	c.mu.Lock()
	root := c.root
	c.mu.Unlock()
	first, why := root.walk(target)
	if why != Taken {
		return why
	}
	closeFD(first.fd)
	o := &Object{target: target, life: life{names: first.names, dirs: first.dirs, hidden: first.hidden}}
	if !c.note(o) {
		c.abandon(o)
		return Unwatched
	}
	done, why := c.read(ctx, &root, o, mime)
	if why != Taken {
		c.abandon(o)
		return why
	}
	if c.adopt(o, done); !c.insert(done) {
		c.abandon(done)
		return Changing
	}
	return Taken
}

// judgeTarget decides what can be decided without looking at the file. httpwire has refused the rest.
func (c *Cache) judgeTarget(target string) (mime string, _ Refusal) {
	for _, s := range c.opts.Dynamic {
		if s != "" && strings.Contains(target, s) {
			return "", Dynamic
		}
	}
	switch {
	case !strings.HasPrefix(target, "/") || strings.ContainsRune(target, 0) || len(target) > 4096:
		return "", Missing
	case strings.HasSuffix(target, "/"):
		return "", Directory
	case strings.Contains(target, "/."), path.Clean(target) != target:
		return "", HiddenName
	}
	mime, ok := c.types.of(path.Base(target))
	if !ok && c.opts.SloppyMime && c.opts.Backend == nil {
		return "text/html", Taken
	}
	if !ok {
		return "", UnknownType
	}
	return mime, Taken
}

// read walks again, reads the file, and has the server behind prove it. o is only a note until now; the object
// that read returns is made once everything of it is known.
func (c *Cache) read(ctx context.Context, root *root, o *Object, mime string) (*Object, Refusal) {
	w, why := root.walk(o.target)
	if why != Taken {
		return nil, why
	}
	f := os.NewFile(uintptr(w.fd), o.target)
	defer f.Close() //nolint:errcheck // only read
	if !equal(w.names, o.life.names) || w.hidden != o.life.hidden {
		return nil, Changing
	}
	id := w.stamp.file
	modified := time.Unix(id.mtime.Unix())
	switch {
	case id.size > c.opts.MaxObject:
		return nil, TooLarge
	case time.Since(modified) < youngest:
		return nil, TooYoung
	}
	body := make([]byte, id.size)
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, Changing
	}
	if n, _ := f.Read(make([]byte, 1)); n != 0 {
		return nil, Changing
	}
	if after, ok := identifyAtRest(w.fd); !ok || after != id {
		return nil, Changing
	}
	f2 := facts{server: c.opts.Server, mime: mime, keepAlive: c.opts.KeepAliveTimeout, modified: modified}
	done, why := c.prove(ctx, o.target, body, f2)
	if why != Taken {
		return nil, why
	}
	done.life.stamp = w.stamp
	return done, Taken
}

func equal(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }
