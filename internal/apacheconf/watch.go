package apacheconf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// every is how often a running Apache is looked at. It is a handful of system calls.
const every = 200 * time.Millisecond

// again is when after a change it is said once more: processes that still have the old configuration may have answered until
// then. Apache tells them to stop as soon as it has read the new one, before it makes others.
const again = 400 * time.Millisecond

// Watcher sees when the server that listens on a port may have read its configuration again, or is another.
//
// Nothing is asked by HTTP: at each restart, graceful or not, Apache makes the pipes anew by which it ends its children, and
// replaces its PID file, both after it has read its configuration.
type Watcher struct {
	port    uint16
	process *Process // nil: unknown
	pipes   string   // of the process, as last seen
	file    string   // its PID file, likewise
}

// NewWatcher looks at who listens now: changes count from here on.
func NewWatcher(port uint16) *Watcher {
	w := &Watcher{port: port}
	w.look("")
	return w
}

// Run calls changed after each change, and once more a moment later, until ctx ends. pidFile returns where Apache notes its
// process, "" if unknown.
func (w *Watcher) Run(ctx context.Context, pidFile func() string, changed func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var repeat time.Time
	for {
		switch differs := w.look(pidFile()); {
		case differs:
			changed()
			repeat = time.Now().Add(again)
		case !repeat.IsZero() && time.Now().After(repeat):
			changed()
			repeat = time.Time{}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look reports whether something differs from what was seen last. While nobody listens, what is known stays.
func (w *Watcher) look(pidFile string) (differs bool) {
	if w.process == nil || !w.process.alive() {
		p, err := Listening(w.port)
		if err != nil {
			return false
		}
		w.process, w.file = p, ""
	}
	pipes, file := w.process.pipes(), ""
	if pidFile != "" {
		file = w.process.identity(pidFile)
	}
	differs = pipes != w.pipes || file != w.file && file != "" && w.file != ""
	w.pipes = pipes
	if file != "" { // else it is about to end
		w.file = file
	}
	return differs
}

// alive reports whether it is still the same process, and no zombie.
func (p *Process) alive() bool {
	s, err := started(p.PID)
	if err != nil || s != p.Started {
		return false
	}
	_, err = os.Readlink(p.path("exe"))
	return err == nil
}

// pipes returns the process and its pipes, which differ after a restart.
func (p *Process) pipes() string {
	parts := []string{fmt.Sprint(p.PID), p.Started}
	dir := p.path("fd")
	fds, _ := os.ReadDir(dir) // one that has gone has none
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(to, "pipe:") {
			parts = append(parts, to)
		}
	}
	slices.Sort(parts[2:])
	return strings.Join(parts, " ")
}

// identity names a file as the process sees it, which may have a file system of its own; "" if there is none.
func (p *Process) identity(path string) string {
	info, err := os.Stat(p.path("root") + path)
	if errors.Is(err, os.ErrPermission) {
		info, err = os.Stat(path)
	}
	if err != nil {
		return ""
	}
	inode := uint64(0)
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprint(inode, info.ModTime().UnixNano(), info.Size())
}
