package filecache

import (
	"io"
	"os"
	"strconv"
	"sync"
)

// file is a body that is too large for memory: the file itself, open for as long as somebody refers to it, so that a
// response goes on when its name is gone. The collector closes it.
type file struct {
	*os.File

	mu      sync.Mutex
	id      fileID // as it was last found to be the same
	path    string
	changed bool // once and for all
}

// Fate is what came of reading an object's file.
type Fate uint8

const (
	ReadWhole   Fate = iota
	ReadChanged      // it is no longer the file that was proven
	ReadFailed       // the system can't read it
)

// newFile takes f, which is the file id.
func newFile(f *os.File, id fileID) *file {
	return &file{File: f, id: id, path: pathOf(int(f.Fd()))}
}

// pathOf returns what the kernel calls an open file: another name, or "… (deleted)", tells of a rename.
func pathOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return ""
	}
	return path
}

// same reports whether the content is still what was proven: what was read before is then of that version, as the kernel
// sets a file's size and time before others can read what is written.
//
// The time of status (ctime) changes with a name, a link, an owner or a mode, too, and that does not end a response. When it has changed and
// nothing else has, somebody may have set the time of modification back.
func (f *file) same() bool {
	now, err := identify(int(f.Fd()))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || f.changed {
		return false
	}
	if now == f.id {
		return true
	}
	path := pathOf(int(f.Fd()))
	content := now.dev == f.id.dev && now.ino == f.id.ino && now.size == f.id.size && now.mtime == f.id.mtime
	explained := path != f.path || now.links != f.id.links || now.mode != f.id.mode || now.uid != f.id.uid || now.gid != f.id.gid
	if f.changed = !content || !explained; f.changed {
		return false
	}
	f.id, f.path = now, path
	return true
}

// ReadFileAt is ReadAt for a response that is OnDisk. It waits for the disk. If it does not report ReadWhole, dst is worth nothing.
// Any goroutine may call it.
func (o *Object) ReadFileAt(r *Response, dst []byte, off uint64) Fate {
	head := uint64(o.headLen(r))
	if off < head {
		var scratch [maxHead]byte
		n := copy(dst, o.head(scratch[:0], r)[off:])
		dst, off = dst[n:], off+uint64(n)
	}
	if len(dst) == 0 {
		return ReadWhole
	}
	n, err := o.readFile(r, dst, off-head)
	switch {
	case !o.file.same(), err == io.EOF, err == nil && n < len(dst):
		return ReadChanged
	case err != nil:
		return ReadFailed
	}
	return ReadWhole
}

// readFile reads the body of r from off on.
func (o *Object) readFile(r *Response, dst []byte, off uint64) (n int, err error) {
	from, to := uint64(0), o.size
	switch r.kind {
	case kindParts:
		m := o.multipart()
		return m.ReadFileAt(&r.parts, dst, uint32(off))
	case kind206:
		from, to = r.parts.Only()
	}
	off = min(from+off, to)
	dst = dst[:min(uint64(len(dst)), to-off)]
	if n, err = o.file.ReadAt(dst, int64(off)); n == len(dst) {
		err = nil // it may be io.EOF, with the last octets
	}
	return n, err
}
