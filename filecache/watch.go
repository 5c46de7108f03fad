package filecache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Two things tell of changes: the kernel's events, at once, and a sweep that walks the way to each object again. The
// sweep finds what makes no event (writing through a mapping, network file systems, a full event queue). Objects
// that only the sweep protects are swept whole every second and may be sweepLimit at most; the others take turns.
const (
	sweepEvery = 500 * time.Millisecond
	sweepLimit = 1000 // objects for each sweep
)

// watcher counts who needs which directory watched.
type watcher struct {
	*fsnotify.Watcher
	users map[string]int
}

func newWatcher() (*watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(4096)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return &watcher{w, map[string]int{}}, nil
}

// note registers the names of o, before its file is read. It reports false if the kernel does not tell of their
// changes and there are too many such objects already.
func (c *Cache) note(o *Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range o.life.names {
		if c.names[name] == nil {
			c.names[name] = map[*Object]struct{}{}
		}
		c.names[name][o] = struct{}{}
	}
	o.life.watched = c.watch != nil && !o.life.hidden
	dirs := o.life.dirs
	o.life.dirs = nil
	for _, dir := range dirs {
		if c.watch == nil || c.watch.users[dir] == 0 && (remote(dir) || c.watch.Add(dir) != nil) {
			o.life.watched = false
			continue
		}
		c.watch.users[dir]++
		o.life.dirs = append(o.life.dirs, dir)
	}
	if o.life.watched {
		return true
	}
	n := 0
	for _, other := range c.objects {
		if !other.life.watched {
			n++
		}
	}
	return n < sweepLimit
}

// remote reports whether dir is on a file system whose changes may be made elsewhere, without events here.
func remote(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return true
	}
	switch uint64(st.Type) & 0xffffffff {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.V9FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC:
		return true
	}
	return false
}

// adopt moves the notes of o to done, in one step, so that no event falls between them.
func (c *Cache) adopt(o, done *Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := done.life.stamp
	done.life = o.life
	done.life.stamp = st
	for _, name := range o.life.names {
		if set := c.names[name]; set != nil && !o.life.dead {
			delete(set, o)
			set[done] = struct{}{}
		}
	}
}

// abandon ends an object that was never taken.
func (c *Cache) abandon(o *Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(o)
}

// forget undoes note. The caller holds the lock.
func (c *Cache) forget(o *Object) {
	for _, name := range o.life.names {
		if set := c.names[name]; set != nil {
			if delete(set, o); len(set) == 0 {
				delete(c.names, name)
			}
		}
	}
	for _, dir := range o.life.dirs {
		if c.watch == nil {
			break
		}
		if c.watch.users[dir]--; c.watch.users[dir] <= 0 {
			delete(c.watch.users, dir)
			c.watch.Remove(dir) //nolint:errcheck // gone already if the directory is
		}
	}
}

func (c *Cache) eventLoop(ctx context.Context, w *watcher) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.Events:
			c.mu.Lock()
			c.changed(e.Name)
			c.mu.Unlock()
		case err := <-w.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				c.opts.Logger.Warn("more files change than can be followed; starting with an empty cache")
				c.mu.Lock()
				c.dropAll()
				c.mu.Unlock()
			}
		}
	}
}

// changed drops every object that depends on the path name. The caller holds the lock.
func (c *Cache) changed(name string) {
	for o := range c.names[filepath.Clean(name)] {
		if o.life.held {
			c.stats.Changed++
		}
		c.drop(o)
	}
}

func (c *Cache) sweepLoop(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var turn []*Object
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			turn = c.sweep(turn)
		}
	}
}

// sweep walks the way to the objects that nothing else protects, and to the next of the others. It returns those
// whose turn has not come.
func (c *Cache) sweep(turn []*Object) []*Object {
	c.reopenRoot()
	var now []*Object
	c.mu.Lock()
	root := c.root
	if len(turn) == 0 {
		for _, o := range c.objects {
			if o.life.watched {
				turn = append(turn, o)
			}
		}
	}
	for _, o := range c.objects {
		if !o.life.watched {
			now = append(now, o)
		}
	}
	c.mu.Unlock()
	n := min(len(turn), max(0, sweepLimit-len(now)))
	now = append(now, turn[:n]...)
	for _, o := range now {
		c.check(&root, o)
	}
	return turn[n:]
}

// check drops o if a walk to its file finds another one, or another way.
func (c *Cache) check(root *root, o *Object) {
	w, why := root.walk(o.target)
	if why == Taken {
		closeFD(w.fd)
		if w.stamp == o.life.stamp {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.life.held {
		c.stats.Changed++
		c.drop(o)
	}
}

// reopenRoot follows the root's path to another directory: some sites are published by renaming, or by moving a
// symlink.
func (c *Cache) reopenRoot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var st unix.Stat_t
	if err := unix.Stat(c.root.path, &st); err == nil && st.Ino == c.root.id.ino && st.Dev == c.root.id.dev {
		// The same directory may have moved, with a symlink in its old place.
		if now, ok := c.root.realPath(int(c.root.dir.Fd())); ok && now == c.root.real {
			return
		}
	}
	if len(c.objects) > 0 {
		c.dropAll()
	}
	next, err := openRoot(c.root.path)
	if err != nil {
		return // gone: its files are missing, until it comes back
	}
	c.opts.Logger.Info("the root is another directory now", "root", next.path, "real", next.real)
	c.root = next
}

func closeFD(fd int) {
	unix.Close(fd) //nolint:errcheck // only read
}
