package filecache

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Two things tell of changes: the kernel's events, at once, and a sweep, which finds what makes no event.
//
// Objects of whose changes the kernel does not tell (network file systems, further hard links) have only the sweep, which walks the way to
// each of them again, every time: some thirty system calls. There may be maxUnwatched.
//
// With the others, what makes no event is writing through a mapping, and mounting something over a part of the way. Both show in the status of the files
// themselves, their signs: one system call for each file, however many objects are of it, and for maxSigns each time, in turn.
const (
	sweepEvery   = 500 * time.Millisecond
	maxUnwatched = 1000
	maxSigns     = 500
	maxRenewals  = 1000 // objects for each sweep that are asked whether they are due, in turn
)

// sign is a file that may change without an event.
type sign struct {
	path  string // absolute, with a NUL
	flags int    // of fstatat(2)
	id    fileID // as it was before the last walk of every object that has the sign
	users int    // objects that have it
}

func (s *sign) name() string { return s.path[:len(s.path)-1] }
func (s *sign) key() signKey { return signKey{s.name(), s.flags} }

// signKey keeps a symlink, which is looked at beside a file, apart from what it leads to.
type signKey struct {
	name  string
	flags int
}

// signs is what is looked at in turn. What is of this sweep belongs to the goroutine that sweeps, all else is under the cache's lock.
type signs struct {
	stat  func(path string, st *unix.Stat_t, flags int) bool
	named map[signKey]*sign
	ring  []*sign // all, and some that nobody has any more; looked at in this order, so that each has its turn after the same time
	next  int     // in ring

	now []*sign // to be looked at in this sweep
	st  unix.Stat_t
}

func newSigns() signs { return signs{stat: fstatat, named: map[signKey]*sign{}} }

// of returns the signs of an object that is found by ways: its files, and what is there of access files and of those that hold it compressed. What is not there can't
// be written, and makes an event when it comes. A walk must follow, so that no change before it is missed. It reports false if the files are not what the
// ways say.
func (s *signs) of(ways []way) (all []*sign, ok bool) {
	ok = true
	for k := range ways {
		w := &ways[k]
		for _, end := range w.ends {
			n := s.get(end, 0)
			if n == nil || n.id != w.stamp.file {
				ok = false
			}
			all = append(all, n)
			if !w.beside {
				continue
			}
			for _, ending := range besides {
				all = append(all, s.get(end+ending, unix.AT_SYMLINK_NOFOLLOW))
			}
		}
		for _, name := range w.access {
			all = append(all, s.get(name, 0))
		}
	}
	all = slices.DeleteFunc(all, func(n *sign) bool { return n == nil })
	for _, n := range all {
		n.users++
	}
	return all, ok
}

// get returns the sign of name, or nil if there is no such file.
func (s *signs) get(name string, flags int) *sign {
	if n := s.named[signKey{name, flags}]; n != nil {
		return n
	}
	n := &sign{path: name + "\x00", flags: flags}
	var st unix.Stat_t
	if !s.stat(n.path, &st, flags) {
		return nil
	}
	n.id = identity(&st)
	s.named[n.key()] = n
	s.ring = append(s.ring, n)
	return n
}

// leave undoes of.
func (s *signs) leave(all []*sign) {
	for _, n := range all {
		if n.users--; n.users == 0 {
			delete(s.named, n.key())
		}
	}
}

func (c *Cache) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.sweep()
		}
	}
}

// choose sets what is looked at in this sweep.
func (s *signs) choose() {
	s.now = s.now[:0]
	for len(s.now) < min(maxSigns, len(s.ring)) {
		if s.next >= len(s.ring) {
			s.next = 0
		}
		n := s.ring[s.next]
		if n.users > 0 {
			s.now = append(s.now, n)
			s.next++
			continue
		}
		last := len(s.ring) - 1
		s.ring[s.next], s.ring[last] = s.ring[last], nil
		s.ring = s.ring[:last]
	}
}

// sweep looks for changes that the kernel does not tell of. It also has the objects proven again that are due.
func (c *Cache) sweep() {
	c.reopenRoots()
	c.mu.Lock()
	c.renewSome(time.Now())
	c.signs.choose()
	unwatched := make([]*Object, 0, len(c.unwatched))
	for o := range c.unwatched {
		unwatched = append(unwatched, o)
	}
	c.mu.Unlock()
	s := &c.signs
	for _, n := range s.now {
		if !s.stat(n.path, &s.st, n.flags) || identity(&s.st) != n.id {
			c.mu.Lock()
			c.changed(n.name())
			c.mu.Unlock()
		}
	}
	for _, o := range unwatched {
		c.check(o)
	}
}

// renewSome renews the next objects in turn. The caller holds the lock.
func (c *Cache) renewSome(now time.Time) {
	for n := min(maxRenewals, len(c.hand)); n > 0 && len(c.hand) > 0; n-- {
		c.renewed++
		if o := c.hand[c.renewed%uint(len(c.hand))]; o.life.held {
			c.renew(o, now) // it may be dropped, and the hand be shorter
		}
	}
}

// check drops o if a walk to its file finds another one, or another way.
func (c *Cache) check(o *Object) {
	if c.unchanged(o) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.life.held {
		c.stats.Changed++
		c.drop(o)
	}
}
