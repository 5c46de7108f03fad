package filecache

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// tally counts the looks at files.
func (s *stage) tally() (looks map[string]int) {
	looks = map[string]int{}
	s.signs.stat = func(path string, st *unix.Stat_t, flags int) bool {
		looks[path]++
		return fstatat(path, st, flags)
	}
	return looks
}

// In sweeps of maxSigns looks each, every file has its turn once before any has it again; and nothing is walked, which would allocate.
func TestSweepLooksInTurn(t *testing.T) {
	const n, round = 2*maxSigns + 100, 3
	few, many := hundreds(t, 1), hundreds(t, n)
	looks := many.tally()
	for sweeps := 1; sweeps <= 2*round; sweeps++ {
		many.sweep()
		all, least, most := 0, n, 0
		many.mu.Lock()
		for _, sign := range many.signs.named {
			all, least, most = all+looks[sign.path], min(least, looks[sign.path]), max(most, looks[sign.path])
		}
		many.mu.Unlock()
		if all != sweeps*maxSigns || most-least > 1 || least < sweeps/round {
			t.Errorf("after %d sweeps: %d looks, %d to %d at each file", sweeps, all, least, most)
		}
	}
	many.signs.stat = fstatat
	if f, m := testing.AllocsPerRun(20, few.sweep), testing.AllocsPerRun(20, many.sweep); m > f {
		t.Errorf("a sweep of %d objects allocates %v times, of one %v times", n, m, f)
	}
	if st := many.Stats(); st.Changed > 0 || st.Objects != n {
		t.Errorf("%+v", st)
	}
}

// A file is looked at once, however many objects are of it, and no more when they are gone.
func TestSweepLooksOnceAtAFile(t *testing.T) {
	s := newStage(t, nil)
	s.events()
	s.put("d/a.txt", "x")
	s.put("d/b.txt", "x")
	for _, target := range []string{"/d/a.txt", "//d/a.txt", "/d/%61.txt", "/d/b.txt"} {
		s.until(target+" is taken", func() bool { return s.fill(target) == Taken })
	}
	looks := s.tally()
	s.sweep()
	if a, b := looks[s.root+"/d/a.txt\x00"], looks[s.root+"/d/b.txt\x00"]; a != 1 || b != 1 || len(looks) != 2 {
		t.Errorf("looks: %v", looks)
	}
	s.must(os.Remove(s.root + "/d/a.txt"))
	s.until("its objects are gone", func() bool { return s.Stats().Objects == 1 })
	clear(looks)
	s.sweep()
	if len(looks) != 1 || looks[s.root+"/d/b.txt\x00"] != 1 {
		t.Errorf("looks: %v", looks)
	}
	s.mu.Lock()
	s.dropAll()
	s.mu.Unlock()
	s.sweep()
	if len(s.signs.named) != 0 || len(s.signs.ring) != 0 {
		t.Errorf("signs are left: %v, %v", s.signs.named, s.signs.ring)
	}
}

// writeMapped changes the first octet of a file in a way that makes no event.
func (s *stage) writeMapped(name string) {
	s.Helper()
	f, err := os.OpenFile(s.root+"/"+name, os.O_RDWR, 0)
	s.must(err)
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.must(err)
	defer unix.Munmap(mapped) //nolint:errcheck // a test
	mapped[0]++
	s.must(unix.Msync(mapped, unix.MS_SYNC))
}

// What makes no event is found by one look at what was written, in the next sweep.
func TestSweepFindsWhatIsMapped(t *testing.T) {
	for _, name := range []string{"d/a.png", "d/.htaccess", ".htaccess", "d/a.png.br", "linked/rules"} {
		t.Run(name, func(t *testing.T) {
			s, server := imitated(t, "content")
			s.put("d/a.png", "content")
			server.modified = s.modified("d/a.png")
			s.put(name, "content") // a.png is written with the same
			if name == "linked/rules" {
				s.must(os.Symlink("../linked/rules", s.root+"/d/.htaccess"))
			}
			server.modified = s.modified("d/a.png")
			s.events()
			s.until("it is taken", func() bool { return s.fill("/d/a.png") == Taken })
			o := s.look("/d/a.png")
			if s.sweep(); s.look("/d/a.png") != o || !o.life.watched {
				t.Fatalf("before: held %v, watched %v", o.life.held, o.life.watched)
			}
			s.writeMapped(name)
			if s.sweep(); s.look("/d/a.png") != nil {
				t.Error("the object is still held")
			}
		})
	}
}

// Nor does mounting make one.
func TestSweepFindsMounts(t *testing.T) {
	for _, name := range []string{"d", "d/a.txt"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			s.put("d/a.txt", "content")
			s.put("e/d/a.txt", "other")
			s.events()
			s.until("it is taken", func() bool { return s.fill("/d/a.txt") == Taken })
			s.mount("e/"+name, name)
			if s.sweep(); s.look("/d/a.txt") != nil {
				t.Error("the object is still held")
			}
		})
	}
}

// mount makes to, below the root, what from is, until the test ends.
func (s *stage) mount(from, to string) {
	s.Helper()
	if err := unix.Mount(s.root+"/"+from, s.root+"/"+to, "", unix.MS_BIND, ""); err != nil {
		s.Skip("mounting needs CAP_SYS_ADMIN: ", err)
	}
	s.Cleanup(func() { s.must(unix.Unmount(s.root+"/"+to, unix.MNT_DETACH)) })
}

// The kernel tells of what happens in a directory under one name only. Nobody relies on it under another one.
func TestSameDirectoryTwice(t *testing.T) {
	s := newStage(t, nil)
	s.put("d/a.txt", "content")
	s.must(os.Mkdir(s.root+"/e", 0o755))
	s.mount("d", "e")
	s.events()
	for _, target := range []string{"/d/a.txt", "/e/a.txt"} {
		s.until(target+" is taken", func() bool { return s.fill(target) == Taken })
	}
	if !s.look("/d/a.txt").life.watched || s.look("/e/a.txt").life.watched {
		t.Error("the wrong one is watched")
	}
	s.put("d/.htaccess", "")
	s.until("the first is gone", func() bool { return s.look("/d/a.txt") == nil })
	if s.sweep(); s.look("/e/a.txt") != nil {
		t.Error("the other one is still held")
	}
}

// A link to an access file that is not there makes no event when that comes.
func TestDanglingAccessFile(t *testing.T) {
	s, server := imitated(t, "content")
	s.put("d/a.png", "content")
	server.modified = s.modified("d/a.png")
	s.must(os.Symlink("../rules", s.root+"/d/.htaccess"))
	s.events()
	s.until("it is taken", func() bool { return s.fill("/d/a.png") == Taken })
	s.put("rules", "x")
	if s.sweep(); s.look("/d/a.png") != nil {
		t.Error("the object is still held")
	}
}

// What an idle cache costs: twice a second, a sweep.
func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{1, 370, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := hundreds(b, n)
			b.ReportAllocs()
			for b.Loop() {
				s.sweep()
			}
		})
	}
}
