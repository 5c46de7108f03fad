package filecache

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// The kernel's events tell nothing of these; the sweep must find them in its next round, however many objects there
// are.
func TestSweepFindsAtOnce(t *testing.T) {
	for name, c := range map[string]struct{ before, change func(s *stage) }{
		"written through another hard link": {
			func(s *stage) {
				s.put("x/b.txt", "content")
				s.must(os.Remove(s.root + "/d/a.txt"))
				s.must(os.Link(s.root+"/x/b.txt", s.root+"/d/a.txt"))
			},
			func(s *stage) { s.must(os.WriteFile(s.root+"/x/b.txt", []byte("another"), 0o644)) },
		},
		"symlink behind a symlink turned": {
			func(s *stage) {
				s.put("x/other.txt", "other")
				s.must(os.Rename(s.root+"/d/a.txt", s.root+"/x/a.txt"))
				s.must(os.MkdirAll(s.root+"/l", 0o755))
				s.must(os.Symlink("../l/mid.txt", s.root+"/d/a.txt"))
				s.must(os.Symlink("../x/a.txt", s.root+"/l/mid.txt"))
			},
			func(s *stage) {
				s.must(os.Symlink("../x/other.txt", s.root+"/l/new"))
				s.must(os.Rename(s.root+"/l/new", s.root+"/l/mid.txt"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			s.put("d/a.txt", "content")
			c.before(s)
			s.run()
			s.filled("/d/a.txt")
			o := s.look("/d/a.txt")
			s.mu.Lock()
			watched := o.life.watched
			s.mu.Unlock()
			if watched {
				t.Error("the cache relies on the kernel's events")
			}
			c.change(s)
			s.until("the object is gone", func() bool { return s.look("/d/a.txt") != o })
		})
	}
}

// Writing through a mapping makes no event.
func TestWrittenThroughMapping(t *testing.T) {
	s := newStage(t, nil)
	s.put("a.txt", "content")
	s.run()
	s.filled("/a.txt")
	o := s.look("/a.txt")
	f, err := os.OpenFile(s.root+"/a.txt", os.O_RDWR, 0)
	s.must(err)
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.must(err)
	defer unix.Munmap(mapped) //nolint:errcheck // a test
	mapped[0] = 'C'
	s.must(unix.Msync(mapped, unix.MS_SYNC))
	s.until("the object is gone", func() bool { return s.look("/a.txt") != o })
}

// When events are lost, all objects are.
func TestOverflowDropsAll(t *testing.T) {
	s := newStage(t, nil)
	for k := range 20 {
		s.put(fmt.Sprintf("d/%d.txt", k), "x")
	}
	s.run()
	var old []*Object
	for k := range 20 {
		target := fmt.Sprintf("/d/%d.txt", k)
		s.filled(target)
		old = append(old, s.look(target))
	}
	s.mu.Lock()
	w := s.watch
	s.mu.Unlock()
	w.Errors <- fsnotify.ErrEventOverflow
	for _, o := range old { // some may be filled anew at once: they were wanted twice
		s.until(o.asked.target+" is gone", func() bool { return s.look(o.asked.target) != o })
	}
	s.filled("/d/0.txt")
}

// Moved and turned roots are followed, through a symlink too.
func TestRootTurned(t *testing.T) {
	s := newStage(t, nil)
	s.put("a.txt", "one")
	one, link := s.root+"-one", s.root
	s.must(os.Rename(s.root, one))
	s.must(os.Symlink(one, link))
	s.put("../root-two/a.txt", "two")
	s.run()
	s.filled("/a.txt")
	s.must(os.Symlink(link+"-two", link+"-next"))
	s.must(os.Rename(link+"-next", link))
	s.until("the other root is served", func() bool {
		s.want("/a.txt")
		o := s.look("/a.txt")
		return o != nil && string(o.octets) == "two"
	})
	s.must(os.Remove(link))
	s.until("nothing is served", func() bool { return s.look("/a.txt") == nil })
}

// An .htaccess that goes away lets the files in again.
func TestHtaccessRemoved(t *testing.T) {
	s := newStage(t, nil)
	s.put("d/e/a.txt", "x")
	s.put("d/.htaccess", "")
	s.run()
	s.want("/d/e/a.txt")
	s.until("it is refused", func() bool { return s.Stats().Refusals[Htaccess] > 0 })
	s.must(os.Remove(s.root + "/d/.htaccess"))
	s.filled("/d/e/a.txt")
}

// A file that somebody may be writing is not taken, however old it looks.
func TestOpenForWriting(t *testing.T) {
	s := newStage(t, nil)
	s.put("a.txt", "whole")
	f, err := os.OpenFile(s.root+"/a.txt", os.O_WRONLY, 0)
	s.must(err)
	defer f.Close()
	if why := s.fill("/a.txt"); why != Changing {
		t.Errorf("open for writing: %v", why)
	}
	s.must(f.Close())
	if why := s.fill("/a.txt"); why != Taken {
		t.Errorf("closed: %v", why)
	}
}

// While a file is cut again and again, and made to look old each time, it is never seen in an old-looking state that was not at rest:
// here, empty.
func TestTornLook(t *testing.T) {
	s := newStage(t, nil)
	body := strings.Repeat("x", 20000)
	s.put("a.txt", body)
	path := s.root + "/a.txt"
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.put("a.txt", body) // cuts it first
			}
		}
	})
	f, err := os.Open(path)
	s.must(err)
	defer f.Close()
	looks := 0
	for deadline := time.Now().Add(20 * time.Second); looks < 2000 && time.Now().Before(deadline); {
		id, ok := identifyAtRest(int(f.Fd()))
		if !ok {
			continue
		}
		looks++
		if old := time.Since(time.Unix(id.mtime.Unix())) > time.Minute; id.size == 0 && old {
			t.Errorf("look %d: empty, and an hour old", looks)
			break
		}
	}
	close(stop)
	writer.Wait()
	if looks == 0 {
		t.Error("the file was never at rest")
	}
}

// version is a body that says in every octet which version it is of.
func version(k int) string { return strings.Repeat(string(rune('a'+k%26)), 20000+k%7*1000) }

// While files are written over, replaced, cut, forbidden and removed, each response is one whole version, of which
// the octets, the length and the entity tag belong together.
func TestWholeVersions(t *testing.T) {
	s := newStage(t, nil)
	const target = "/d/a.txt"
	path := s.root + "/d/a.txt"
	s.put("d/a.txt", version(0))
	s.run()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var head httpwire.Request
	if _, v, why := httpwire.Parse([]byte("GET /d/a.txt HTTP/1.1\r\nHost: x\r\n\r\n"), &head); v != httpwire.Complete {
		t.Fatal(v, why)
	}
	for range 3 {
		readers.Go(func() {
			var answers int
			for {
				select {
				case <-stop:
					t.Logf("%d answers", answers)
					return
				default:
				}
				o := s.look(target)
				if o == nil {
					s.want(target)
					time.Sleep(time.Millisecond)
					continue
				}
				answers++
				resp, _ := o.Respond(&head, 0, 1795000000)
				var all []byte
				part := make([]byte, 1460)
				for off := uint32(0); off < uint32(o.Len(resp)); {
					n := o.ReadAt(resp, part, off)
					all, off = append(all, part[:n]...), off+uint32(n)
				}
				section, body, _ := strings.Cut(string(all), "\r\n\r\n")
				if len(body) == 0 || strings.Count(body, body[:1]) != len(body) || !strings.Contains(section, fmt.Sprintf("\r\nContent-Length: %d\r\n", len(body))) ||
					body != version(int(body[0]-'a')) && body != version(int(body[0] - 'a'))[:10000] {
					t.Errorf("%q with a body of %d octets, %q…", section, len(body), body[:min(len(body), 10)])
					return
				}
			}
		})
	}
	// Versions 0 to 6 have lengths of their own, so that a letter tells the length.
	for k := range 60 {
		v := version(k % 7)
		switch k % 6 {
		case 0: // over the old one; half of it is there for a while
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
			s.must(err)
			_, err = f.WriteString(v[:10000])
			s.must(err)
			_, err = f.WriteString(v[10000:])
			s.must(err)
			s.must(f.Close())
			s.age(path)
		case 1:
			s.put("d/new", v)
			s.must(os.Rename(s.root+"/d/new", path))
		case 2:
			s.must(os.Truncate(path, 10000))
			s.age(path)
		case 3:
			s.must(os.Chmod(path, 0o600))
			s.must(os.Chmod(path, 0o644))
		case 4:
			s.must(os.Chmod(s.root+"/d", 0o700))
			s.must(os.Chmod(s.root+"/d", 0o755))
		case 5:
			s.must(os.Remove(path))
			s.put("d/a.txt", v)
		}
		if k%3 == 0 {
			s.filled(target)
		}
	}
	close(stop)
	readers.Wait()
	// The last word is what is on the disk.
	disk, err := os.ReadFile(path)
	s.must(err)
	s.until("the last version is served", func() bool {
		s.want(target)
		o := s.look(target)
		return o != nil && string(o.octets) == string(disk)
	})
}
