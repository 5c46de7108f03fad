package pieces

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// object returns one of three pieces on disk, and the response that is all of it.
func object(t *testing.T) (*filecache.Object, filecache.Response, []byte) {
	t.Helper()
	root, types := t.TempDir(), filepath.Join(t.TempDir(), "types")
	body, old := make([]byte, 3*Size), time.Now().Add(-time.Hour)
	for k := range body {
		body[k] = byte(rand.Uint32())
	}
	path := filepath.Join(root, "a.txt")
	for _, err := range []error{
		os.Chmod(root, 0o755),           //nolint:gosec // must be world-readable
		os.WriteFile(path, body, 0o644), //nolint:gosec // likewise
		os.Chtimes(path, old, old),      //
		os.WriteFile(types, []byte("text/plain txt\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cache, err := filecache.New(filecache.Options{Site: filecache.Site{Roots: []filecache.Root{{Prefix: "/", Dir: root}}}, MimeTypes: types, MaxObject: 1000, MaxFile: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	r := &httpwire.Request{Target: []byte("/a.txt"), Path: []byte("/a.txt")}
	if why := cache.Fill(t.Context(), [16]byte{}, r); why != filecache.Taken {
		t.Fatal(why)
	}
	o := cache.Lookup([16]byte{}, r)
	resp, ok := o.Respond(r, 0, 1795000000)
	if !ok || !resp.OnDisk() {
		t.Fatal("it is not on disk")
	}
	return o, resp, body
}

// A loop that asks, sleeps and forgets as it likes gets an answer for each piece that it has asked for, once, with the right octets; the readers
// are woken whenever they sleep.
func TestRun(t *testing.T) {
	o, resp, body := object(t)
	head := uint64(o.HeadLen(resp))
	p := New(5*Size + 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(done)
	}()
	type question struct {
		off    uint64
		n      uint32
		forgot bool
	}
	asked := map[uint32]question{}
	var a Answer
	rounds := 0
	for rounds < 3000 || len(asked) > 0 {
		if rounds < 3000 && p.Free() > 0 && rand.IntN(3) > 0 {
			q := question{off: head + uint64(rand.IntN(2*Size)), n: uint32(1 + rand.IntN(1000))}
			j := Job{Object: o, Response: resp, Off: q.off, N: q.n, Piece: p.Take()}
			p.Ask(&j)
			if q.forgot = rand.IntN(10) == 0; q.forgot {
				p.Forget(j.Piece)
			}
			asked[j.Piece] = q
			rounds++
		}
		p.Publish()
		if rand.IntN(50) == 0 {
			time.Sleep(100 * time.Microsecond) // they go to sleep meanwhile
		}
		for p.Answered(&a) {
			q, ok := asked[a.Piece]
			if !ok {
				t.Fatalf("piece %d was not asked for", a.Piece)
			}
			delete(asked, a.Piece)
			if got := string(p.Octets(a.Piece)[:q.n]); !q.forgot && (a.Fate != filecache.ReadWhole || got != string(body[q.off-head:][:q.n])) {
				t.Fatalf("%+v: fate %d, or other octets", q, a.Fate)
			}
			p.Give(a.Piece)
		}
		runtime.Gosched()
	}
	if p.Free() != p.Len() || p.Len() != 5 {
		t.Errorf("%d of %d pieces are free", p.Free(), p.Len())
	}
	cancel()
	<-done
}

// What nobody waits for is not read.
func TestForget(t *testing.T) {
	o, resp, _ := object(t)
	p := New(1)
	j := Job{Object: o, Response: resp, N: 100, Piece: p.Take()}
	p.Ask(&j)
	p.Forget(j.Piece)
	p.Publish()
	var got Job
	if !p.Next(&got) || p.Next(&got) {
		t.Fatal("not one job")
	}
	if a := p.Do(&got); a.Fate == filecache.ReadWhole || a.Piece != j.Piece {
		t.Errorf("%+v", a)
	}
}

// What was asked for while the readers were about to sleep wakes them, too.
func TestSleep(t *testing.T) {
	o, resp, _ := object(t)
	p := New(1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if p.sleep(ended) {
		t.Error("there is something to do, or the end was not noticed")
	}
	p.asleep.Store(false)
	j := Job{Object: o, Response: resp, N: 100, Piece: p.Take()}
	p.Ask(&j)
	p.Publish()
	if !p.sleep(ended) {
		t.Error("they sleep although there is something to do")
	}
}
