package filecache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// root is the directory that everything is below, held open: renaming it does not lead us elsewhere.
type root struct {
	Root
	dir  *os.File // closed when the last walk that began with it has ended
	real string   // without symlinks
	id   fileID
	// strict applies kHTTPd's rules of who may see a file: there is no server behind that applies its own.
	strict bool
	above  string   // what identifies the access files above it
	access []string // names of files like .htaccess
	higher []string // those above it, by their paths
}

func openRoot(r Root, access []string) (*root, error) {
	real, err := filepath.Abs(r.Dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	dir, err := os.OpenFile(real, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	id, err := identify(int(dir.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open root %q: %w", r.Dir, err), dir.Close())
	}
	opened := &root{Root: r, dir: dir, real: real, id: id, access: access}
	opened.above, opened.higher = opened.lookAbove()
	return opened, nil
}

// lookAbove returns what identifies the access files in the directories above the root, whose rules Apache may apply, too, and their
// paths.
func (r *root) lookAbove() (ids string, paths []string) {
	for dir := r.real; dir != "/"; {
		dir = filepath.Dir(dir)
		for _, name := range r.access {
			var st unix.Stat_t
			if path := filepath.Join(dir, name); unix.Stat(path, &st) == nil {
				ids += fmt.Sprintf("%s %v;", path, identity(&st))
				paths = append(paths, path)
			}
		}
	}
	return ids, paths
}

// fileID is what changes when a file or a directory is no longer what it was.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
	links        uint64
	mode         uint32
	uid, gid     uint32
}

func identify(fd int) (fileID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fileID{}, fmt.Errorf("stat: %w", err)
	}
	return identity(&st), nil
}

func identity(st *unix.Stat_t) fileID {
	id := fileID{dev: st.Dev, ino: st.Ino, mode: st.Mode, uid: st.Uid, gid: st.Gid}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR { // a directory's size and times change with any of its entries
		id.size, id.mtime, id.ctime, id.links = st.Size, st.Mtim, st.Ctim, uint64(st.Nlink)
	}
	return id
}

// identifyAtRest identifies a file that nobody has open for writing. It reports false if somebody has: a file system may set
// the length first and the times when the writing or cutting is over, so that until then a change does not show. To know,
// it holds a lease (fcntl, F_SETLEASE) for the time of one look; who opens the file for writing meanwhile waits for that long. Where
// leases are not to be had, only the times tell: on some file systems, and for files of others without CAP_LEASE.
func identifyAtRest(fd int) (fileID, bool) {
	switch _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); {
	case errors.Is(err, unix.EAGAIN):
		return fileID{}, false
	case err == nil:
		defer unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) //nolint:errcheck // closing fd gives it back, too
	}
	id, err := identify(fd)
	return id, err == nil
}

// stamp is the identity of a file, of every directory on its way, and of each one's .htaccess. Two walks with the same stamp lead to
// the same content by the same rules.
type stamp struct {
	file fileID
	dirs string // identities, as text, to be compared only
	real string // the file's path without symlinks
}

// walked is an opened file and what was seen on the way.
type walked struct {
	fd    int
	name  string // the target that was walked to
	stamp stamp
	// names are the paths whose change may change the answer; dirs are the directories that hold them.
	names, dirs []string
	ends        []string // the file itself, by its name in each of the two last directories
	times       []int64  // Unix seconds when it, or one that may be given instead of it, was changed
	access      []string // files like .htaccess on the way
	// hidden says that the answer may also change by what happens elsewhere: through another hard link to the file,
	// or to a symlink that only another symlink leads to.
	hidden bool
}

// way is how a file was found.
type way struct {
	root  *root
	path  string // decoded; a directory if it ends in '/'
	index []string
	// beside says that one beside the file, compressed beforehand, may be given instead, now or later: who accepts that is asked for, too, or
	// the answer is good for everybody as long as there is none.
	beside bool
	walked
}

// walk goes the way, perhaps again.
func (w *way) walk() (walked, Refusal) {
	found, why := w.walkToFile()
	if why == Taken && w.beside {
		found.lookBeside()
	}
	return found, why
}

// besides are the endings of files that hold others in compressed form.
var besides = [...]string{".gz", ".br", ".zst"}

// lookBeside notes the files that hold this one in compressed form: whether they are there, and what they are.
func (w *walked) lookBeside() {
	for _, end := range w.ends {
		for _, ending := range besides {
			w.names = append(w.names, end+ending)
			var st unix.Stat_t
			if unix.Lstat(end+ending, &st) == nil {
				w.stamp.dirs += fmt.Sprintf("%v;", identity(&st))
				w.times = append(w.times, st.Mtim.Sec)
			}
		}
	}
}

// walkToFile walks to the file; for a directory, to the first of the files that stand for it.
func (w *way) walkToFile() (walked, Refusal) {
	path, ok := w.root.under(w.path)
	if !ok {
		return walked{}, Missing
	}
	if !strings.HasSuffix(path, "/") {
		return w.root.walk(path)
	}
	var passed []string
	for _, name := range w.index {
		found, why := w.root.walk(path + name)
		switch why {
		case Taken:
			for _, other := range passed {
				for _, dir := range found.dirs {
					found.names = append(found.names, filepath.Join(dir, other))
				}
			}
			found.anyEntry()
			return found, Taken
		case Missing:
			passed = append(passed, name)
		default:
			return found, why
		}
	}
	return walked{}, Missing
}

// anyEntry makes everything that comes into the file's directory, or goes, a change: it may stand for the directory, too, by an access file or by a section
// of the server's configuration that has an order of its own.
func (w *walked) anyEntry() {
	for _, end := range w.ends {
		dir := filepath.Dir(end)
		w.names = append(w.names, entryOf(dir))
		var st unix.Stat_t
		if unix.Lstat(dir, &st) == nil {
			w.stamp.dirs += fmt.Sprintf("%v;", st.Mtim)
		}
	}
}

// entryOf names whatever comes into a directory.
func entryOf(dir string) string { return filepath.Join(dir, "*") }

// find returns the ways to all files that path may mean, below all roots.
func (c *Cache) find(path string) (ways []way, why Refusal) {
	c.mu.Lock()
	roots, index := append([]*root(nil), c.roots...), c.site.Index
	c.mu.Unlock()
	why = Missing
	for _, r := range roots {
		w := way{root: r, path: path, index: index, beside: c.opts.Backend != nil}
		var no Refusal
		if w.walked, no = w.walk(); no != Taken {
			if why == Missing {
				why = no
			}
			continue
		}
		closeFD(w.fd)
		switch {
		case w.stamp.file.size > c.opts.MaxFile:
			return nil, TooLarge
		case time.Since(time.Unix(w.stamp.file.mtime.Unix())) < youngest:
			return nil, TooYoung
		}
		ways = append(ways, w)
	}
	if len(ways) > 0 {
		why = Taken
	}
	return ways, why
}

// walk opens the file of target, which begins with '/', and judges everything on the way as a stranger would meet
// it. Both ways count: the one that the target names, along which Apache looks for .htaccess files, and the one
// without symlinks.
func (r *root) walk(target string) (walked, Refusal) {
	rel := strings.TrimPrefix(target, "/")
	fd, why := r.open(rel, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if why != Taken {
		return walked{}, why
	}
	w := walked{fd: fd, name: target}
	if why = r.judge(&w, rel); why != Taken {
		closeFD(fd)
		return walked{}, why
	}
	return w, Taken
}

func (r *root) judge(w *walked, rel string) Refusal {
	id, err := identify(w.fd)
	if err != nil {
		return Unreadable
	}
	if why := r.judgeFile(id.mode); why != Taken {
		return why
	}
	real, ok := r.realPath(w.fd)
	if !ok {
		return Missing // moved or deleted meanwhile
	}
	w.stamp.file, w.stamp.real, w.hidden = id, real, id.links > 1
	w.times = append(w.times, id.mtime.Sec)
	realRel, err := filepath.Rel(r.real, real)
	if err != nil {
		return Missing
	}
	var ids strings.Builder
	ways := []string{rel}
	if realRel != rel {
		ways = append(ways, realRel)
	}
	for _, way := range ways {
		if why := r.judgeDirs(w, way, &ids); why != Taken {
			return why
		}
	}
	w.stamp.dirs = ids.String()
	return Taken
}

// realPath returns the path of what fd is, which must be below the root.
func (r *root) realPath(fd int) (string, bool) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return path, err == nil && (path == r.real || strings.HasPrefix(path, strings.TrimSuffix(r.real, "/")+"/"))
}

// judgeFile refuses what is no file. If strict, it applies kHTTPd's perm_required and perm_forbid: world-readable, and no sticky bit, nor
// any execute bit.
func (r *root) judgeFile(mode uint32) Refusal {
	switch {
	case mode&unix.S_IFMT != unix.S_IFREG:
		return NotRegular
	case r.strict && (mode&0o004 == 0 || mode&(unix.S_ISVTX|0o111) != 0):
		return Permissions
	}
	return Taken
}

// judgeDirs looks at every directory of the way to the file rel, the root first.
func (r *root) judgeDirs(w *walked, rel string, ids *strings.Builder) Refusal {
	parts := strings.Split(rel, "/")
	for k := range parts {
		dir := strings.Join(parts[:k], "/")
		// path is the one without symlinks: an inode has one watch, however many names lead to it.
		path, id, rules, why := r.judgeDir(dir, w)
		if why != Taken {
			return why
		}
		if k > 0 && !straight(w.dirs[len(w.dirs)-1], parts[k-1], path) {
			w.hidden = true
		}
		fmt.Fprintf(ids, "%v;%v;", id, rules)
		w.dirs = append(w.dirs, path)
		w.names = append(w.names, path, filepath.Join(path, parts[k]))
		for _, name := range r.access {
			w.names = append(w.names, filepath.Join(path, name))
		}
	}
	w.ends = append(w.ends, filepath.Join(w.dirs[len(w.dirs)-1], parts[len(parts)-1]))
	if !straight(w.dirs[len(w.dirs)-1], parts[len(parts)-1], w.stamp.real) {
		w.hidden = true
	}
	return Taken
}

// straight reports whether name in dir is end itself, or a symlink that leads there without another symlink. dir and
// end are free of symlinks.
func straight(dir, name, end string) bool {
	if filepath.Join(dir, name) == end {
		return true
	}
	to, err := os.Readlink(filepath.Join(dir, name))
	return err == nil && filepath.Clean(to) == to && filepath.Join(dir, to) == end
}

// judgeDir returns the path of a directory without symlinks, what identifies it, and what identifies its access files, which
// it notes in w.
func (r *root) judgeDir(rel string, w *walked) (path string, id fileID, rules string, _ Refusal) {
	if rel == "" {
		rel = "."
	}
	fd, why := r.open(rel, unix.O_PATH|unix.O_DIRECTORY)
	if why != Taken {
		return "", id, rules, why
	}
	defer closeFD(fd)
	id, err := identify(fd)
	if err != nil {
		return "", id, rules, Unreadable
	}
	path, ok := r.realPath(fd)
	if !ok {
		return "", id, rules, Missing
	}
	if r.strict && id.mode&0o001 == 0 {
		return path, id, rules, Permissions
	}
	for _, name := range r.access {
		var st unix.Stat_t
		switch err := unix.Fstatat(fd, name, &st, 0); {
		case errors.Is(err, unix.ENOENT):
			// What a link leads to may come elsewhere.
			w.hidden = w.hidden || unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil
			continue
		case err != nil:
			return path, id, rules, Unreadable
		case r.strict:
			return path, id, rules, Htaccess
		}
		rules += fmt.Sprint(name, identity(&st))
		w.access = append(w.access, filepath.Join(path, name))
	}
	return path, id, rules, Taken
}

// open opens rel below the root; the kernel itself sees to it that no symlink and no ".." leads out of it.
func (r *root) open(rel string, flags int) (int, Refusal) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), rel, &how)
		switch {
		case err == nil:
			return fd, Taken
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // a rename was under way
			continue
		case errors.Is(err, unix.EXDEV):
			return -1, LeavesRoot
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG):
			return -1, Missing
		}
		return -1, Unreadable
	}
}
