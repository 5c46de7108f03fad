package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// file is where whole lines go, by one write for many: with O_APPEND each stands behind what others, such as Apache, have
// appended, and in one piece. One goroutine uses it.
type file struct {
	path string
	f    *os.File
	buf  []byte
	// torn is how many octets at the beginning of buf are the rest of a line whose beginning is in the file: when the disk
	// is full, a write ends anywhere. They go first when there is room.
	torn    int
	missing bool // the name was gone when last looked
}

const (
	flushAt  = 64 << 10    // where a buffer is full
	patience = time.Second // with the reader of a pipe
)

func openFile(path string) (*file, error) {
	f, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	return &file{path: path, f: f, buf: make([]byte, 0, 2*flushAt)}, nil
}

func openAppend(path string) (*os.File, error) {
	// Nonblocking, for what is a pipe, such as a container's /dev/stdout: without a reader it shall fail, and not wait.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the access log: %w", err)
	}
	return f, nil
}

// flush writes what is buffered. It returns how many lines are written and how many are lost, and why; a line of which a part was
// written is neither yet.
func (o *file) flush() (written, lost int, err error) {
	_ = o.f.SetWriteDeadline(time.Now().Add(patience)) // a file has none
	n, err := o.f.Write(o.buf)
	if err == nil {
		written = lines(o.buf)
		o.buf, o.torn = o.buf[:0], 0
		return written, 0, nil
	}
	keep := o.torn // its beginning was written at some earlier time
	if n > o.torn {
		keep = n
		if o.buf[n-1] != '\n' {
			keep += bytes.IndexByte(o.buf[n:], '\n') + 1
		}
	}
	written, lost = lines(o.buf[:n]), lines(o.buf[keep:])
	o.torn = copy(o.buf, o.buf[n:keep])
	o.buf = o.buf[:o.torn]
	return written, lost, err
}

func lines(b []byte) int { return bytes.Count(b, []byte{'\n'}) }

// reopen goes on in whatever has the file's name now, or makes it. What was buffered must have been flushed; a torn line is
// lost, as it cannot be told whether the old file will ever have room. If it fails, the old file stays in use.
func (o *file) reopen() (lost int, err error) {
	f, err := openAppend(o.path)
	if err != nil {
		return 0, err
	}
	o.f.Close()
	if o.torn > 0 {
		lost = 1
	}
	o.f, o.buf, o.torn, o.missing = f, o.buf[:0], 0, false
	return lost, nil
}

// moved reports whether another file has the name now. Between logrotate's renaming and creating nothing has it: so it has to
// be gone for two looks.
func (o *file) moved() bool {
	is, err := os.Stat(o.path)
	if err != nil {
		was := o.missing
		o.missing = errors.Is(err, fs.ErrNotExist)
		return was && o.missing
	}
	o.missing = false
	was, err := o.f.Stat()
	return err == nil && !os.SameFile(is, was)
}
