package filecache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// stage is a cache over a directory of the test's.
type stage struct {
	testing.TB
	*Cache
	root string
}

func newStage(t testing.TB, change func(*Options)) *stage {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	types := filepath.Join(dir, "types")
	s := &stage{TB: t, root: root}
	s.must(os.Mkdir(root, 0o755))
	s.must(os.WriteFile(types, []byte("text/plain txt text\nimage/png png\napplication/gzip gz\n"), 0o600))
	opts := Options{Site: Site{Roots: []Root{{"/", root}}}, MimeTypes: types, KeepAliveRequests: 100}
	if change != nil {
		change(&opts)
	}
	var err error
	s.Cache, err = New(opts)
	s.must(err)
	return s
}

// plain is a request for a target without fields.
func plain(target string) *httpwire.Request {
	path, _, _ := strings.Cut(target, "?")
	return &httpwire.Request{Target: []byte(target), Path: []byte(path), Host: []byte("test")}
}

// address is where the stage's clients ask.
var address = netip.MustParseAddr("127.0.0.1").As16()

func (s *stage) want(target string)         { s.Want(address, plain(target)) }
func (s *stage) look(target string) *Object { return s.Lookup(address, plain(target)) }
func (s *stage) fill(target string) Refusal { return s.Fill(s.Context(), address, plain(target)) }

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// put writes a file that is an hour old.
func (s *stage) put(name, body string) {
	s.Helper()
	path := filepath.Join(s.root, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	s.must(os.WriteFile(path, []byte(body), 0o644))
	s.age(path)
}

// modified is when a file was.
func (s *stage) modified(name string) time.Time {
	s.Helper()
	info, err := os.Stat(filepath.Join(s.root, name))
	s.must(err)
	return info.ModTime()
}

func (s *stage) age(path string) {
	s.Helper()
	old := time.Now().Add(-time.Hour).Add(-time.Duration(rand.IntN(1e9)))
	s.must(os.Chtimes(path, old, old))
}

// run starts the cache until the test ends.
func (s *stage) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := s.Cache.Run(ctx); err != nil {
			s.Error(err)
		}
	})
	s.Cleanup(func() { cancel(); tasks.Wait() })
}

// events starts only what the kernel's events drop objects by, until the test ends.
func (s *stage) events() {
	s.Helper()
	w, err := newWatcher()
	s.must(err)
	s.mu.Lock()
	s.watch = w
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { s.eventLoop(ctx, w) })
	s.Cleanup(func() { cancel(); tasks.Wait(); w.Close() })
}

// until waits until ok, and fails the test if it takes long.
func (s *stage) until(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("it is still not so that %s", what)
		}
	}
}

// hundreds returns a stage with n objects, a hundred in each directory, of whose changes the kernel tells.
func hundreds(t testing.TB, n int) *stage {
	s := newStage(t, nil)
	s.events()
	name := func(k int) string { return fmt.Sprintf("d/%d/%d.txt", k/100, k) }
	for k := range n {
		s.put(name(k), "x")
	}
	for k := range n {
		s.until(name(k)+" is taken", func() bool { return s.fill("/"+name(k)) == Taken })
	}
	return s
}

func (s *stage) filled(target string) {
	s.Helper()
	s.until(target+" is filled", func() bool {
		s.want(target)
		return s.look(target) != nil
	})
}

func TestRefusals(t *testing.T) {
	s := newStage(t, func(o *Options) { o.MaxObject, o.Index = 1000, []string{"index.htm", "index.txt"} })
	outside := filepath.Join(filepath.Dir(s.root), "root-old")
	s.must(os.Mkdir(outside, 0o755))
	s.must(os.WriteFile(filepath.Join(outside, "x.txt"), []byte("secret"), 0o644))
	s.must(os.WriteFile(filepath.Join(s.root, "young.txt"), []byte("x"), 0o644))
	for _, name := range []string{"a.txt", "unknown.zzz", "none", "two.png.gz", "lang.de.txt", "page.min.txt", "cgi-bin/a.txt", "secret/a.txt", "ht/a.txt",
		"ht/sub/a.txt", "real/a.txt", "unreadable.txt", "exec.txt", "sticky.txt", ".hidden.txt", "dir.txt/a", "index/index.txt"} {
		s.put(name, "x")
	}
	s.put("large.txt", strings.Repeat("x", 1001))
	s.put("ht/.htaccess", "")
	for name, mode := range map[string]os.FileMode{"unreadable.txt": 0o640, "exec.txt": 0o754, "sticky.txt": 0o644 | os.ModeSticky, "secret": 0o750} {
		s.must(os.Chmod(filepath.Join(s.root, name), mode))
	}
	for from, to := range map[string]string{"in.txt": "a.txt", "inside": "real", "out.txt": "../root-old/x.txt", "outside": "../root-old", "abs.txt": outside + "/x.txt",
		"proc.txt": "/proc/self/environ", "loop.txt": "loop.txt", "toht": "ht/sub"} {
		s.must(os.Symlink(to, filepath.Join(s.root, from)))
	}
	for target, want := range map[string]Refusal{
		"/a.txt": Taken, "/page.min.txt": Taken, "/in.txt": Taken, "/inside/a.txt": Taken,
		"/missing.txt": Missing, "/a.txt/b.txt": Missing, "-old/x.txt": Missing, "a.txt": Missing, "/a\x00.txt": Missing,
		"/": Missing, "/real/": Missing, "/dir.txt": NotRegular, "/index/": Taken, "/index/.": Taken, "/index": NotRegular,
		"/.hidden.txt": HiddenName, "/x/../a.txt": Taken, "/./a.txt": Taken, "//a.txt": Taken, "/%61.txt": Taken, "/../a.txt": Missing,
		"/a%2ftxt": Missing, "/a.txt%00": Missing, "/%2e%2e/a.txt": Missing, "/in%63luded": Missing, "/a.txt?x": Missing,
		"/unknown.zzz": UnknownType, "/none": UnknownType, "/two.png.gz": UnknownType, "/lang.de.txt": UnknownType,
		"/cgi-bin/a.txt": Dynamic, "/unreadable.txt": Permissions, "/exec.txt": Permissions, "/sticky.txt": Permissions, "/secret/a.txt": Permissions,
		"/ht/a.txt": Htaccess, "/ht/sub/a.txt": Htaccess, "/toht/a.txt": Htaccess,
		"/out.txt": LeavesRoot, "/outside/x.txt": LeavesRoot, "/abs.txt": LeavesRoot, "/proc.txt": LeavesRoot, "/loop.txt": Unreadable,
		"/large.txt": TooLarge, "/young.txt": TooYoung,
	} {
		if got := s.fill(target); got != want {
			t.Errorf("%q: %v, want %v", target, got, want)
		}
		if o := s.look(target); (o != nil) != (want == Taken) {
			t.Errorf("%q: in the cache %v", target, o != nil)
		}
	}
}

// Whatever happens to a file, or on its way, the object is gone soon; with the kernel's events, and without them.
func TestChangesDrop(t *testing.T) {
	for name, change := range map[string]func(s *stage){
		"written in place": func(s *stage) { s.put("d/a.txt", "other") },
		"truncated":        func(s *stage) { s.must(os.Truncate(s.root+"/d/a.txt", 1)) },
		"replaced":         func(s *stage) { s.put("d/b.txt", "other"); s.must(os.Rename(s.root+"/d/b.txt", s.root+"/d/a.txt")) },
		"deleted":          func(s *stage) { s.must(os.Remove(s.root + "/d/a.txt")) },
		"forbidden":        func(s *stage) { s.must(os.Chmod(s.root+"/d/a.txt", 0o600)) },
		"directory closed": func(s *stage) { s.must(os.Chmod(s.root+"/d", 0o700)) },
		"directory moved":  func(s *stage) { s.must(os.Rename(s.root+"/d", s.root+"/e")) },
		".htaccess":        func(s *stage) { s.must(os.WriteFile(s.root+"/d/.htaccess", nil, 0o600)) },
		"root's .htaccess": func(s *stage) { s.must(os.WriteFile(s.root+"/.htaccess", nil, 0o600)) },
		"root moved":       func(s *stage) { s.must(os.Rename(s.root, s.root+"-old")); s.must(os.Mkdir(s.root, 0o755)) },
	} {
		for _, events := range []bool{true, false} {
			t.Run(name+map[bool]string{true: "", false: ", without events"}[events], func(t *testing.T) {
				s := newStage(t, nil)
				s.put("d/a.txt", "content")
				if events {
					s.run()
					s.filled("/d/a.txt")
				} else if why := s.fill("/d/a.txt"); why != Taken {
					t.Fatal(why)
				}
				o := s.look("/d/a.txt")
				change(s)
				s.until("the object is gone", func() bool {
					if !events {
						s.sweep()
					}
					return s.look("/d/a.txt") != o
				})
				if string(o.octets) != "content" {
					t.Error("what was given out has changed")
				}
			})
		}
	}
}

func TestSymlinkTurned(t *testing.T) {
	s := newStage(t, nil)
	s.put("one/a.txt", "one")
	s.put("two/a.txt", "two")
	s.must(os.Symlink("one", s.root+"/now"))
	s.run()
	s.filled("/now/a.txt")
	s.must(os.Symlink("two", s.root+"/next"))
	s.must(os.Rename(s.root+"/next", s.root+"/now"))
	s.until("the other is served", func() bool {
		s.want("/now/a.txt")
		o := s.look("/now/a.txt")
		return o != nil && string(o.octets) == "two"
	})
}

// The budget holds, and what is asked for stays.
func TestEviction(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Budget = 20 * 2048; o.MaxObject = 2048 })
	s.put("hot.txt", strings.Repeat("x", 1024))
	if why := s.fill("/hot.txt"); why != Taken {
		t.Fatal(why)
	}
	for k := range 100 {
		name := strings.Repeat("y", k+1) + ".txt"
		s.put(name, strings.Repeat("x", 1024))
		s.look("/hot.txt")
		if why := s.fill("/" + name); why != Taken {
			t.Fatal(why)
		}
		if st := s.Stats(); st.Bytes > 20*2048 || st.Objects > 20 {
			t.Fatalf("%d octets in %d objects", st.Bytes, st.Objects)
		}
	}
	if s.look("/hot.txt") == nil {
		t.Error("what was asked for all the time is gone")
	}
	if st := s.Stats(); st.Evicted != 81 {
		t.Errorf("evicted %d, want 81", st.Evicted)
	}
}

// The table against a map, with readers beside it.
func TestTableAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	tab := newTable()
	want := map[string]*Object{}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for k := 0; ; k++ {
			select {
			case <-stop:
				return
			default:
			}
			key := strings.Repeat("k", 1+k%500)
			if o := tab.get([]byte(key)); o != nil && o.key != key {
				t.Errorf("looked for %d, found %d", len(key), len(o.key))
			}
		}
	})
	for range 50000 {
		key := strings.Repeat("k", 1+rnd.IntN(2000))
		if o := want[key]; o != nil && rnd.IntN(2) == 0 {
			tab.remove(o)
			delete(want, key)
		} else {
			want[key] = &Object{key: key}
			tab.set(want[key], len(want))
		}
		key = strings.Repeat("k", 1+rnd.IntN(2000))
		if got := tab.get([]byte(key)); got != want[key] {
			t.Fatalf("get(%d) = %p, want %p", len(key), got, want[key])
		}
	}
	close(stop)
	readers.Wait()
}

// Whatever the target, nothing outside of the root gets in.
func FuzzFill(f *testing.F) {
	for _, target := range []string{"/a.txt", "/../root-old/x.txt", "-old/x.txt", "/out/x.txt", "/in/../../root-old/x.txt", "//a.txt", "/."} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		s := newStage(t, func(o *Options) { o.Dynamic = []string{} })
		outside := s.root + "-old"
		s.must(os.Mkdir(outside, 0o755))
		s.must(os.WriteFile(outside+"/x.txt", []byte("secret"), 0o644))
		s.age(outside + "/x.txt")
		s.put("a.txt", "public")
		s.put("in/a.txt", "public")
		s.must(os.Symlink(outside, s.root+"/out"))
		s.fill(target)
		if o := s.look(target); o != nil && string(o.octets) != "public" {
			t.Fatalf("%q gives %q", target, o.octets)
		}
	})
}
