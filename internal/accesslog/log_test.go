package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

// teller is a loop's side: numbered responses to requests of about 150 octets.
type teller struct {
	ring *hits.Ring
	n    int
}

func (p *teller) begin() (id uint32) {
	request := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: %s\r\n\r\n", p.n, strings.Repeat("h", 100))
	if id, _ = p.ring.Begin(&hits.Begin{Status: 200, Body: 100, Len: 200}, []byte(request), 0); id != 0 {
		p.n++
	}
	return id
}

func (p *teller) tell(n int) {
	for range n {
		if id := p.begin(); id != 0 {
			p.ring.End(&hits.End{ID: id, Sent: 200})
		}
	}
	p.ring.Publish()
}

// journal is what the log says of itself.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) has(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), what)
}

// logTo opens a log of n loops that writes "/NUMBER hhh…".
func logTo(t *testing.T, path string, n int) (*Log, []*teller, *journal) {
	t.Helper()
	format, err := ParseFormat("%U %{Host}i")
	if err != nil {
		t.Fatal(err)
	}
	var tellers []*teller
	var rings []*hits.Ring
	for range n {
		tellers = append(tellers, &teller{ring: hits.NewRing(0, false)})
		rings = append(rings, tellers[len(tellers)-1].ring)
	}
	j := new(journal)
	l, err := Open(Options{
		File: path, Format: format, Monotonic: func() int64 { return 0 },
		Logger: slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, rings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.file.f.Close() })
	return l, tellers, j
}

// numbers reads what was written, and fails if a line is not whole.
func numbers(t *testing.T, paths ...string) (list []int) {
	t.Helper()
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var n int
			var host string
			if _, err := fmt.Sscanf(line, "/%d %s\n", &n, &host); err != nil || line != fmt.Sprintf("/%d %s\n", n, strings.Repeat("h", 100)) {
				t.Fatalf("%s has a line %q", path, line)
			}
			list = append(list, n)
		}
	}
	return list
}

func inOrder(t *testing.T, list []int, n int) {
	t.Helper()
	if len(list) != n {
		t.Fatalf("%d lines, want %d", len(list), n)
	}
	for k, number := range list {
		if number != k {
			t.Fatalf("line %d is that of response %d", k, number)
		}
	}
}

// Lines are appended to what is there, in a file that others may not read, and only when responses end.
func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, tellers, _ := logTo(t, path, 1)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, want 0640, %v", info.Mode(), err)
	}
	p := tellers[0]
	first := p.begin()
	p.tell(1)
	l.drain()
	if got := numbers(t, path); len(got) != 1 || got[0] != 1 {
		t.Errorf("lines of %v, want 1: the first response has not ended", got)
	}
	p.ring.End(&hits.End{ID: first})
	p.ring.Publish()
	l.drain()
	if got := numbers(t, path); len(got) != 2 || got[1] != 0 || l.Written() != 2 {
		t.Errorf("lines of %v, counted %d", got, l.Written())
	}
	if j := &l.loops[0]; len(j.pending) != 0 || j.held != 0 {
		t.Errorf("%d responses are waited for, with %d octets", len(j.pending), j.held)
	}
	again, tellers, _ := logTo(t, path, 1)
	tellers[0].tell(1)
	again.drain()
	if got := numbers(t, path); len(got) != 3 {
		t.Errorf("%d lines after a restart, want 3", len(got))
	}
}

// More responses under way than there is memory for are written at once.
func TestTooManyUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, tellers, _ := logTo(t, path, 1)
	l.loops[0].held = maxHeld - 200
	p := tellers[0]
	a, b := p.begin(), p.begin()
	p.ring.Publish()
	l.drain()
	if got := numbers(t, path); len(got) != 1 || got[0] != 1 {
		t.Errorf("lines of %v, want 1", got)
	}
	p.ring.End(&hits.End{ID: b})
	p.ring.End(&hits.End{ID: a})
	p.ring.Publish()
	l.drain()
	if got := numbers(t, path); len(got) != 2 || got[1] != 0 {
		t.Errorf("lines of %v, want 1 and 0", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, filepath.Join(dir, "none", "log")} {
		if _, err := Open(Options{File: path}, nil); err == nil || !strings.Contains(err.Error(), "open the access log") {
			t.Errorf("%s: %v, want an error", path, err)
		}
	}
}

// Files are renamed under load, with a signal, and without one: no line is lost, torn, or in a file twice.
func TestRotation(t *testing.T) {
	for _, signal := range []bool{true, false} {
		t.Run(fmt.Sprint("signal ", signal), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "log")
			l, tellers, _ := logTo(t, path, 2)
			ctx, cancel := context.WithCancel(t.Context())
			var done sync.WaitGroup
			done.Go(func() { l.Run(ctx) })
			var paths []string
			for k := range 3 {
				for range 20 {
					tellers[0].tell(20)
					runtime.Gosched()
				}
				old := fmt.Sprintf("%s.%d", path, k)
				if err := os.Rename(path, old); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, old)
				if !signal { // as logrotate does it
					f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o640)
					if err != nil {
						t.Fatal(err)
					}
					f.Close()
				} else {
					l.Reopen()
				}
				tellers[0].tell(20)
				until(t, "the new file is written", func() bool {
					tellers[0].tell(1)
					info, err := os.Stat(path)
					return err == nil && info.Size() > 0
				})
			}
			cancel()
			done.Wait()
			inOrder(t, numbers(t, append(paths, path)...), tellers[0].n)
			if l.Lost() != 0 || int(l.Written()) != tellers[0].n {
				t.Errorf("counted %d written and %d lost, of %d", l.Written(), l.Lost(), tellers[0].n)
			}
		})
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

// A file that is gone for a moment is being rotated; one that is gone for longer is made again.
func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _, _ := logTo(t, path, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if l.file.moved() {
		t.Error("missing at the first look, the file would be made in logrotate's way")
	}
	if !l.file.moved() {
		t.Error("missing at the second look, the file would not be made")
	}
	l.goOn()
	if _, err := os.Stat(path); err != nil || l.file.moved() || l.file.moved() {
		t.Errorf("after that: %v", err)
	}
}

// The directory is gone: the old file goes on, and that is said once.
func TestReopenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, tellers, j := logTo(t, filepath.Join(dir, "log"), 1)
	if err := os.Rename(dir, dir+"-old"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.goOn()
		tellers[0].tell(1)
		l.drain()
	}
	inOrder(t, numbers(t, dir+"-old/log"), 3)
	if n := j.has("goes on in the old file"); n != 1 {
		t.Errorf("it was said %d times, want 1", n)
	}
}

// The disk fills up in the middle of a line, stays full, and has room again: what was written are whole lines, what was lost
// is counted, and it is said twice: that, and that it is over.
func TestFullDisk(t *testing.T) {
	nstest.Require(t)
	dir := t.TempDir()
	done := make(chan struct{})
	go func() { // a thread with a mount namespace of its own, that ends with it
		defer close(done)
		runtime.LockOSThread()
		for _, err := range []error{
			unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"),
		} {
			if err != nil {
				t.Error(err)
				return
			}
		}
		fillDisk(t, dir)
	}()
	<-done
}

func fillDisk(t *testing.T, dir string) {
	path, filler := filepath.Join(dir, "log"), filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 20000), 0o600); err != nil {
		t.Error(err)
		return
	}
	l, tellers, j := logTo(t, path, 1)
	p := tellers[0]
	for range 20 {
		p.tell(100)
		l.drain()
	}
	if l.Lost() == 0 || l.Written() == 0 || l.file.torn == 0 {
		t.Errorf("%d lines lost, %d written, %d octets torn: the disk was not filled in the middle of a line", l.Lost(), l.Written(), l.file.torn)
	}
	if err := os.Remove(filler); err != nil {
		t.Error(err)
	}
	p.tell(10)
	l.drain()
	list := numbers(t, path)
	if int(l.Written()) != len(list) || int(l.Written()+l.Lost()) != p.n || list[len(list)-1] != p.n-1 {
		t.Errorf("%d lines, the last of response %d; counted %d written and %d lost of %d", len(list), list[len(list)-1], l.Written(), l.Lost(), p.n)
	}
	if j.has("cannot be written") != 1 || j.has("written again") != 1 {
		t.Errorf("said:\n%s", &j.b)
	}
}

// Nobody reads the pipe that a container has for a log, and then somebody does.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	l, tellers, _ := logTo(t, pipe, 1)
	for l.Lost() == 0 {
		tellers[0].tell(100)
		l.drain()
	}
	path := filepath.Join(dir, "read")
	var got []byte
	for end := false; ; {
		part := make([]byte, 1<<20)
		if err := reader.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _ := reader.Read(part)
		got = append(got, part[:n]...)
		if n == 0 && end {
			break
		} else if n == 0 {
			end = true
			tellers[0].tell(1)
			l.drain()
		}
	}
	if err := os.WriteFile(path, got, 0o600); err != nil {
		t.Fatal(err)
	}
	list := numbers(t, path)
	if len(list) != int(l.Written()) || int(l.Written()+l.Lost()) != tellers[0].n || list[len(list)-1] != tellers[0].n-1 {
		t.Errorf("%d lines, the last of %d; counted %d written and %d lost of %d", len(list), list[len(list)-1], l.Written(), l.Lost(), tellers[0].n)
	}
}

// A torn line is not carried into a new file.
func TestTornLineIsNotMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, tellers, _ := logTo(t, path, 1)
	l.file.buf, l.file.torn = append(l.file.buf[:0], "rest\n"...), 5
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.goOn()
	tellers[0].tell(2)
	l.drain()
	inOrder(t, numbers(t, path), 2)
	if l.Lost() != 1 {
		t.Errorf("counted %d lost, want 1", l.Lost())
	}
}

// What a slow response began with is kept while the ring goes round.
func TestSlowResponse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, tellers, _ := logTo(t, path, 1)
	p := tellers[0]
	first := p.begin()
	for range 10 {
		p.tell(200)
		l.drain()
	}
	p.ring.End(&hits.End{ID: first})
	p.ring.Publish()
	l.drain()
	if got := numbers(t, path); len(got) != 2001 || got[2000] != 0 {
		t.Errorf("%d lines, the last of response %d, want 2001 and 0", len(got), got[len(got)-1])
	}
}
