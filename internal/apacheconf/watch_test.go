package apacheconf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// running is a private Apache that listens on loopback.
type running struct {
	*stock
	cmd  *exec.Cmd
	port uint16
}

func (s *stock) start(more ...string) *running {
	s.Helper()
	r := &running{stock: s, port: freePort(s.T)}
	s.must(os.WriteFile(s.conf("ports.conf"), fmt.Appendf(nil, "Listen 127.0.0.1:%d\n", r.port), 0o644))
	r.up(more...)
	s.Cleanup(r.down)
	return r
}

func (r *running) up(more ...string) {
	r.Helper()
	r.cmd = exec.Command("apache2", append([]string{"-d", r.conf(""), "-f", "apache2.conf", "-DFOREGROUND"}, more...)...)
	r.cmd.Env = r.env()
	// A killed one would leave its children; with prefork, it signals its whole group.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	r.must(r.cmd.Start())
	r.until("Apache has noted its process", func() bool { return exists(r.dir + "/run/pid") })
	r.until("Apache listens", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (r *running) down() {
	r.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	r.cmd.Wait()                          //nolint:errcheck // after a signal
}

func (s *stock) until(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("it is still not so that %s", what)
		}
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// TestFindsTheProcess reads the configuration of whoever listens, as it was started: other files and other definitions than
// the machine's own.
func TestFindsTheProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: Apache's user is another")
	}
	s := newStock(t, nil, "<IfDefine Closed>\n<Location /closed>\nRequire local\n</Location>\n</IfDefine>\n")
	r := s.start("-D", "Closed")
	p, err := Listening(r.port)
	s.must(err)
	if p.PID != r.cmd.Process.Pid || p.UID != 0 {
		t.Errorf("%+v, want process %d", p, r.cmd.Process.Pid)
	}
	c, err := Read(t.Context(), Options{Port: r.port, Served: r.port})
	s.must(err)
	if !slices.Contains(scopesOf(c), "/closed: Require local") {
		t.Errorf("%q (asked by %s)", scopesOf(c), c.Server)
	}
	if c.PidFile != filepath.Join(s.dir, "run/pid") {
		t.Errorf("PID file %s", c.PidFile)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer l.Close()
	if c, err := Read(t.Context(), Options{Port: uint16(l.Addr().(*net.TCPAddr).Port)}); err == nil {
		t.Errorf("this test was taken for Apache: %+v", c)
	}
}

// TestWatch restarts Apache in all ways, with each of the models of its processes.
func TestWatch(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: Apache's user is another")
	}
	for _, mpm := range []string{"event", "worker", "prefork"} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, PID file known: %v", mpm, known), func(t *testing.T) {
				t.Parallel()
				s := newStock(t, nil, "")
				for _, ext := range []string{".load", ".conf"} {
					s.must(os.Remove(s.conf("mods-enabled/mpm_event" + ext)))
					s.must(os.Symlink("../mods-available/mpm_"+mpm+ext, s.conf("mods-enabled/mpm_"+mpm+ext)))
				}
				watched(t, s.start(), known)
			})
		}
	}
}

// TestPIDFileAlone expects that a PID file that was replaced is seen, were it that Apache kept its pipes.
func TestPIDFileAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := filepath.Join(t.TempDir(), "pid")
	write := func(content string) {
		if err := errors.Join(os.WriteFile(name+".new", []byte(content), 0o600), os.Rename(name+".new", name)); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	w := NewWatcher(uint16(l.Addr().(*net.TCPAddr).Port))
	for range 2 {
		if w.look(name) {
			t.Error("nothing has changed")
		}
	}
	write("1")
	if !w.look(name) || w.look(name) {
		t.Error("it was not seen, or twice")
	}
	if err := os.Remove(name); err != nil || w.look(name) {
		t.Error("it has ended: there is nobody to ask")
	}
}

func watched(t *testing.T, r *running, known bool) {
	pidFile := func() string { return "" }
	if known {
		pidFile = func() string { return filepath.Join(r.dir, "run/pid") }
	}
	var changes atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	w := NewWatcher(r.port)
	go func() { w.Run(ctx, pidFile, func() { changes.Add(1) }); close(ended) }()
	defer func() { cancel(); <-ended }()
	calm := func(after string) {
		t.Helper()
		r.until("nothing changes any more after "+after, func() bool {
			before := changes.Load()
			time.Sleep(4 * every)
			return changes.Load() == before
		})
	}
	calm("the start")
	if n := changes.Load(); n != 0 {
		t.Errorf("%d changes although nothing has happened", n)
	}
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		before := changes.Load()
		r.must(r.cmd.Process.Signal(sig))
		r.until(sig.String()+" is seen, twice", func() bool { return changes.Load() >= before+2 })
		calm(sig.String())
	}
	r.down()
	before := changes.Load()
	calm("the end")
	if changes.Load() != before {
		t.Error("there is nobody to ask, and yet it is said that something has changed")
	}
	r.up()
	r.until("another Apache is seen", func() bool { return changes.Load() > before })
}
