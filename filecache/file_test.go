package filecache

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// largeStage holds nothing above 1,000 octets in memory, and anything below 1 GiB open.
func largeStage(t *testing.T, change func(*Options)) *stage {
	return newStage(t, func(o *Options) {
		o.MaxObject, o.MaxFile = 1000, 1<<30
		if change != nil {
			change(o)
		}
	})
}

// whole reads a response from disk in pieces.
func whole(t *testing.T, o *Object, resp Response) string {
	t.Helper()
	all := make([]byte, o.Len(resp))
	for off := 0; off < len(all); {
		n := min(1+rand.IntN(300), len(all)-off)
		if fate := o.ReadFileAt(&resp, all[off:off+n], uint64(off)); fate != ReadWhole {
			t.Fatalf("%d octets at %d: fate %d", n, off, fate)
		}
		off += n
	}
	return string(all)
}

// A body on disk is given out as one in memory would be: all methods, ranges and conditions, at every offset.
func TestFileIsLikeMemory(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 200)
	disk, memory := largeStage(t, nil), newStage(t, nil)
	for _, s := range []*stage{disk, memory} {
		s.put("a.txt", body)
	}
	old := memory.modified("a.txt")
	disk.must(os.Chtimes(filepath.Join(disk.root, "a.txt"), old, old))
	for _, s := range []*stage{disk, memory} {
		if why := s.fill("/a.txt"); why != Taken {
			t.Fatal(why)
		}
	}
	if st := disk.Stats(); st.Bytes >= 1<<20 || st.Bytes < openFile {
		t.Errorf("%d octets are counted", st.Bytes)
	}
	for _, fields := range []string{"", "Range: bytes=0-0\r\n", "Range: bytes=3199-\r\n", "Range: bytes=-700\r\n", "Range: bytes=5-10,20-3000,3100-3101\r\n",
		"If-None-Match: *\r\n", "Range: bytes=5-\r\nIf-Range: \"x\"\r\n", "Connection: close\r\n"} {
		for _, method := range []string{"GET", "HEAD"} {
			r := request(t, method+" /a.txt HTTP/1.1\r\nHost: test\r\n"+fields+"\r\n")
			var got [2]string
			for k, s := range []*stage{disk, memory} {
				o := s.Lookup(address, r)
				resp, ok := o.Respond(r, 0, 1795000000)
				if !ok {
					t.Fatalf("%s %q is not answered", method, fields)
				}
				if resp.OnDisk() {
					got[k] = whole(t, o, resp)
				} else {
					all := make([]byte, o.Len(resp))
					o.ReadAt(resp, all, 0)
					got[k] = string(all)
				}
				if bodiless := method == "HEAD" || resp.Status() == 304; resp.OnDisk() != (s == disk && !bodiless) {
					t.Errorf("%s %q: on disk: %v", method, fields, resp.OnDisk())
				}
			}
			if got[0] != got[1] {
				t.Errorf("%s %q:\n%.300q\n%.300q", method, fields, got[0], got[1])
			}
		}
	}
}

// What changes the content ends a response; what changes only the name, the owner or the mode does not.
func TestFileChangesWhileItIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		want   Fate
	}{
		"nothing": {func(string) error { return nil }, ReadWhole},
		"deleted": {os.Remove, ReadWhole},
		"renamed": {func(path string) error { return os.Rename(path, path+".old") }, ReadWhole},
		"replaced": {func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("new"), 0o644), os.Rename(path+".new", path)) //nolint:gosec // must be world-readable
		}, ReadWhole},
		"linked":    {func(path string) error { return os.Link(path, path+".link") }, ReadWhole},
		"mode":      {func(path string) error { return os.Chmod(path, 0o640) }, ReadWhole},
		"truncated": {func(path string) error { return os.Truncate(path, 2000) }, ReadChanged},
		"longer":    {func(path string) error { return os.Truncate(path, 5000) }, ReadChanged},
		"written":   {func(path string) error { return writeAt(path, 3000) }, ReadChanged},
		"written, and its time set back": {func(path string) error {
			info, err := os.Stat(path)
			if err == nil {
				err = writeAt(path, 3000)
			}
			if err == nil {
				err = os.Chtimes(path, info.ModTime(), info.ModTime())
			}
			return err
		}, ReadChanged},
	} {
		t.Run(name, func(t *testing.T) {
			s := largeStage(t, nil)
			body := strings.Repeat("x", 4000)
			s.put("a.txt", body)
			if why := s.fill("/a.txt"); why != Taken {
				t.Fatal(why)
			}
			r := plain("/a.txt")
			o := s.look("/a.txt")
			resp, _ := o.Respond(r, 0, 1795000000)
			path := filepath.Join(s.root, "a.txt")
			for range 2 { // what was explained once needs no explanation again
				s.must(func() error { err := c.change(path); c.change = func(string) error { return nil }; return err }())
				dst := make([]byte, 1000)
				if fate := o.ReadFileAt(&resp, dst, 1000); fate != c.want {
					t.Fatalf("fate %d, want %d", fate, c.want)
				}
				if c.want == ReadWhole && string(dst) != body[:1000] {
					t.Fatal("other octets")
				}
			}
		})
	}
}

func writeAt(path string, off int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("y"), off)
	return errors.Join(err, f.Close())
}

// While somebody writes over a file again and again, no read that is called whole has octets of two versions, or of a later one.
func TestFileIsWrittenWhileItIsRead(t *testing.T) {
	s := largeStage(t, nil)
	for round := range 30 {
		name := "/" + string(rune('a'+round%26)) + strings.Repeat("x", round) + ".txt"
		s.put(name[1:], strings.Repeat("0", 200_000))
		if why := s.fill(name); why != Taken {
			t.Fatal(why)
		}
		o := s.look(name)
		resp, _ := o.Respond(&httpwire.Request{Target: []byte(name), Path: []byte(name)}, 0, 1795000000)
		head, begun := uint64(o.HeadLen(resp)), make(chan struct{})
		written := make(chan error, 1)
		go func() {
			f, err := os.OpenFile(filepath.Join(s.root, name[1:]), os.O_WRONLY, 0)
			if err == nil {
				close(begun)
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				_, err = f.Write(bytes.Repeat([]byte("1"), 200_000))
				f.Close() //nolint:errcheck // Write has told
			}
			written <- err
		}()
		<-begun
		dst, changed := make([]byte, 200_000), false
		for !changed {
			switch fate := o.ReadFileAt(&resp, dst, head); {
			case fate == ReadChanged:
				changed = true
			case bytes.Contains(dst, []byte("1")):
				t.Fatal("octets of a later version were called whole")
			}
		}
		s.must(<-written)
	}
}
