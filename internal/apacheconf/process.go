package apacheconf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is the one that owns a listening socket, and of several the one that has made the others.
type Process struct {
	PID      int
	Program  string // path of its program
	UID, GID uint32
	Started  string // when, in the kernel's words: with the PID, it names the process for ever
}

// ErrNobody says that no process listens.
var ErrNobody = errors.New("nobody listens")

// Listening returns the process that listens on a TCP port in our network namespace.
func Listening(port uint16) (*Process, error) {
	sockets, err := listeningSockets(port)
	if err != nil {
		return nil, err
	}
	if len(sockets) == 0 {
		return nil, fmt.Errorf("%w on port %d", ErrNobody, port)
	}
	owners := map[int]bool{}
	dirs, err := filepath.Glob("/proc/[0-9]*/fd")
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // it has gone, or is none of our business
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && slices.Contains(sockets, to) {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
				owners[pid] = true
				break
			}
		}
	}
	for pid := range owners {
		p, parent, err := newProcess(pid)
		if err == nil && !owners[parent] {
			return p, nil
		}
	}
	return nil, fmt.Errorf("find who listens on port %d: no process that may be looked at does", port)
}

// listeningSockets returns the sockets as links in /proc/PID/fd show them.
func listeningSockets(port uint16) (links []string, _ error) {
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if name == "tcp6" && errors.Is(err, os.ErrNotExist) {
			break // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("find who listens: %w", err)
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the headline
		for lines.Scan() {
			// "   0: 00000000:0050 00000000:0000 0A … inode"; listeners (0A) come first, before perhaps a million others.
			word := strings.Fields(lines.Text())
			if len(word) < 10 || word[3] != "0A" {
				break
			}
			if _, hex, _ := strings.Cut(word[1], ":"); hex == fmt.Sprintf("%04X", port) {
				links = append(links, "socket:["+word[9]+"]")
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("find who listens: %w", err)
		}
	}
	return links, nil
}

func newProcess(pid int) (p *Process, parent int, err error) {
	p = &Process{PID: pid}
	if p.Program, err = os.Readlink(p.path("exe")); err != nil {
		return nil, 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	p.Program = strings.TrimSuffix(p.Program, " (deleted)") // by an upgrade; there is a new one
	status, err := os.ReadFile(p.path("status"))
	if err != nil {
		return nil, 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		word := strings.Fields(line)
		if len(word) < 2 {
			continue
		}
		n, _ := strconv.Atoi(word[1])
		switch word[0] {
		case "PPid:":
			parent = n
		case "Uid:":
			p.UID = uint32(n)
		case "Gid:":
			p.GID = uint32(n)
		}
	}
	if p.Started, err = started(pid); err != nil {
		return nil, 0, err
	}
	return p, parent, nil
}

// started returns the start time of a process: field 22 of proc_pid_stat(5), the 20th behind the name in parentheses.
func started(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	word := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(word) < 20 {
		return "", fmt.Errorf("look at process %d: %q is not understood", pid, stat)
	}
	return word[19], nil
}

func (p *Process) path(name string) string { return fmt.Sprintf("/proc/%d/%s", p.PID, name) }

// read returns what is separated by NUL in a file of the process.
func (p *Process) read(name string) ([]string, error) {
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		return nil, fmt.Errorf("look at process %d: %w", p.PID, err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
}

// modules returns the directory of the modules that the process has loaded, or "".
func (p *Process) modules() string {
	maps, err := os.ReadFile(p.path("maps"))
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(maps), "\n") {
		if k := strings.IndexByte(line, '/'); k >= 0 && strings.HasPrefix(filepath.Base(line[k:]), "mod_") {
			return filepath.Dir(line[k:])
		}
	}
	return ""
}
