package filecache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// watcher counts who needs which directory watched.
type watcher struct {
	*fsnotify.Watcher
	dirs   map[string]*watchedDir
	inodes map[inode]string // which directory it is
}

type watchedDir struct {
	inode
	users int
}

type inode struct{ dev, ino uint64 }

func newWatcher() (*watcher, error) {
	w, err := fsnotify.NewBufferedWatcher(4096)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return &watcher{w, map[string]*watchedDir{}, map[inode]string{}}, nil
}

// use has the kernel tell of what happens in dir. It reports false if it can't. Of a directory that is mounted in two places, it tells under one name
// only: an inode has one watch.
func (w *watcher) use(dir string) bool {
	d := w.dirs[dir]
	if d == nil {
		var st unix.Stat_t
		if remote(dir) || unix.Stat(dir, &st) != nil {
			return false
		}
		d = &watchedDir{inode: inode{st.Dev, st.Ino}}
		if w.inodes[d.inode] != "" || w.Add(dir) != nil {
			return false
		}
		w.dirs[dir], w.inodes[d.inode] = d, dir
	}
	d.users++
	return true
}

// leave undoes use.
func (w *watcher) leave(dir string) {
	d := w.dirs[dir]
	if d.users--; d.users > 0 {
		return
	}
	delete(w.dirs, dir)
	delete(w.inodes, d.inode)
	w.Remove(dir) //nolint:errcheck // gone already if the directory is
}

// note registers the names of o, before the server behind is asked and the file is read. It refuses what would be one too many: of the
// names that clients invent, or of the objects of whose changes the kernel does not tell.
func (c *Cache) note(o *Object) Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	file := o.life.ways[0].stamp.real
	if why := c.bounded(&o.asked, file); why != Taken {
		return why
	}
	o.life.noted = true
	c.named.count(&o.asked, file, 1)
	o.life.watched = c.watch != nil
	for k := range o.life.ways {
		w := &o.life.ways[k]
		for _, name := range w.names {
			if c.names[name] == nil {
				c.names[name] = map[*Object]struct{}{}
			}
			c.names[name][o] = struct{}{}
		}
		o.life.watched = o.life.watched && !w.hidden
		for _, dir := range w.dirs {
			if c.watch == nil || !c.watch.use(dir) {
				o.life.watched = false
				continue
			}
			o.life.dirs = append(o.life.dirs, dir)
		}
	}
	if o.life.watched {
		o.life.signs, o.life.watched = c.signs.of(o.life.ways)
	}
	if o.life.watched {
		return Taken
	}
	if len(c.unwatched) >= maxUnwatched {
		return Unwatched
	}
	return Taken
}

// remote reports whether dir is on a file system whose changes may be made elsewhere, without events here.
func remote(dir string) bool {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return true
	}
	switch uint64(st.Type) & 0xffffffff {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC:
		return true
	}
	return false
}

// abandon ends an object that was never taken.
func (c *Cache) abandon(o *Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(o)
}

// forget undoes note. The caller holds the lock.
func (c *Cache) forget(o *Object) {
	if !o.life.noted {
		return
	}
	o.life.noted = false
	c.named.count(&o.asked, o.life.ways[0].stamp.real, -1)
	for _, w := range o.life.ways {
		for _, name := range w.names {
			if set := c.names[name]; set != nil {
				if delete(set, o); len(set) == 0 {
					delete(c.names, name)
				}
			}
		}
	}
	c.signs.leave(o.life.signs)
	for _, dir := range o.life.dirs {
		if c.watch == nil {
			break
		}
		c.watch.leave(dir)
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
			if e.Has(fsnotify.Create) {
				c.changed(entryOf(filepath.Dir(e.Name)))
			}
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

// reopenRoots follows the roots' paths to other directories: some sites are published by renaming, or by moving a
// symlink. It also finds what has changed in the .htaccess files above.
func (c *Cache) reopenRoots() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, r := range c.roots {
		var st unix.Stat_t
		if err := unix.Stat(r.Dir, &st); err == nil && st.Ino == r.id.ino && st.Dev == r.id.dev {
			// The same directory may have moved, with a symlink in its old place.
			now, ok := r.realPath(int(r.dir.Fd()))
			if above, _ := r.lookAbove(); ok && now == r.real && above == r.above {
				continue
			}
		}
		if len(c.objects) > 0 {
			c.dropAll()
		}
		next, err := openRoot(r.Root, r.access)
		if err != nil {
			continue // gone: its files are missing, until it comes back
		}
		c.opts.Logger.Info("the root is another directory now, or has other rules above it", "root", next.Dir, "real", next.real)
		next.strict = r.strict
		c.roots[k] = next
	}
}

func closeFD(fd int) {
	unix.Close(fd) //nolint:errcheck // only read
}
