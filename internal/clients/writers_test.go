package clients

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// writer changes files in one way. Its pages are in groups, of which each changes as one.
type writer struct {
	name string
	*changing
	rnd     *rand.Rand
	groups  [][]*page
	paths   map[*page]string // where a page's file is, if it has one of its own
	change  func(w *writer, group []*page)
	changes int
}

const (
	groupSize = 10
	perWriter = 143 // 7 writers: 1,001 files
)

// writers are all ways in which files change.
var writers = map[string]func(w *writer, group []*page){
	"replaced":  (*writer).replace,
	"rewritten": (*writer).rewrite,
	"deleted":   (*writer).remove,
	"forbidden": (*writer).forbid,
	"moved":     (*writer).move,
	"relinked":  (*writer).relink,
	"denied":    (*writer).deny,
}

// grouped are those that change a directory's files at once.
var grouped = map[string]bool{"moved": true, "relinked": true, "denied": true}

// changing is a site whose files change.
type changing struct {
	*stage
	pages   []*page
	writers []*writer

	mu      sync.Mutex
	numbers map[int]int // the newest version of each file
	lengths map[int]int
}

// next returns the next version of a file.
func (c *changing) next(file int) version {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers[file]++
	return version{file, c.numbers[file], c.lengths[file]}
}

// lay makes the files, and those who change them.
func (c *changing) lay(seed uint64) {
	c.Helper()
	file := 0
	number := func() int {
		file++
		c.lengths[file] = 100 + file*37%20_000
		return file
	}
	for name, change := range writers {
		w := &writer{name: name, changing: c, rnd: rand.New(rand.NewPCG(seed, uint64(len(c.writers)))), paths: map[*page]string{}, change: change}
		c.writers = append(c.writers, w)
		size := 1
		if grouped[name] {
			size = groupSize
		}
		for first := 0; first < perWriter; first += size {
			var group []*page
			dir := fmt.Sprintf("%s/%d", name, first/size)
			if name == "relinked" { // each name leads to one of two directories
				w.lay(dir+"-one", min(size, perWriter-first), number)
				group = w.lay(dir+"-two", min(size, perWriter-first), number)
				c.must(os.Symlink(fmt.Sprint(first/size)+"-two", filepath.Join(c.Root, dir)))
				for k, p := range group {
					p.target = fmt.Sprintf("/%s/%d.png", dir, k)
				}
			} else {
				group = w.lay(dir, min(size, perWriter-first), number)
			}
			if name == "moved" { // each name is given to one of two directories
				w.lay(dir+"-other", len(group), number)
			}
			w.groups = append(w.groups, group)
			c.pages = append(c.pages, group...)
		}
	}
}

// lay makes n files in a directory.
func (w *writer) lay(dir string, n int, number func() int) (group []*page) {
	for k := range n {
		name := fmt.Sprintf("%s/%d.png", dir, k)
		v := w.next(number())
		w.Put(name, v.bytes())
		w.age(name)
		p := &page{target: "/" + name, states: []state{{kind: there, version: v, from: time.Now()}}}
		w.paths[p] = name
		group = append(group, p)
	}
	return group
}

// lifetime is how long a file stays as it is, on the average: some come into the cache and are asked for there, some do not.
const lifetime = 6 * time.Second

// run changes one group after another until stop.
func (w *writer) run(stop <-chan struct{}) {
	every := 2 * int(lifetime) / len(w.groups)
	for {
		w.change(w, w.groups[w.rnd.IntN(len(w.groups))])
		w.changes++
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(w.rnd.IntN(every))):
		}
	}
}

// pause lets a state last for a while, sometimes long enough to be seen.
func (w *writer) pause() { time.Sleep(time.Duration(w.rnd.IntN(50)) * time.Millisecond) }

func (w *writer) path(p *page) string { return filepath.Join(w.Root, w.paths[p]) }

func is(v version) func(*page) state {
	return func(*page) state { return state{kind: there, version: v} }
}

func gone(*page) state { return state{kind: absent} }

// fresh writes the next version of a page's file somewhere else.
func (w *writer) fresh(p *page) (v version, path string) {
	v = w.next(p.file())
	name := w.name + "/new"
	w.Put(name, v.bytes())
	w.age(name)
	return v, filepath.Join(w.Root, name)
}

// file returns the number of the file that was last at a page.
func (p *page) file() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := len(p.states) - 1; ; k-- {
		if p.states[k].kind == there {
			return p.states[k].version.file
		}
	}
}

func (w *writer) replace(group []*page) {
	p := group[0]
	v, from := w.fresh(p)
	become(group, is(v), func() { w.must(os.Rename(from, w.path(p))) })
}

// rewrite cuts a file and writes it anew, in two parts.
func (w *writer) rewrite(group []*page) {
	p := group[0]
	v := w.next(p.file())
	octets := v.bytes()
	var f *os.File
	become(group, func(*page) state { return state{kind: written} }, func() {
		var err error
		f, err = os.OpenFile(w.path(p), os.O_WRONLY|os.O_TRUNC, 0)
		w.must(err)
	})
	half := w.rnd.IntN(len(octets))
	_, err := f.Write(octets[:half])
	w.must(err)
	if w.rnd.IntN(2) == 0 { // it looks old, and at rest
		w.age(w.paths[p])
		w.pause()
	}
	become(group, is(v), func() {
		_, err = f.Write(octets[half:])
		w.must(err)
		w.must(f.Close())
		w.age(w.paths[p])
	})
}

func (w *writer) remove(group []*page) {
	p := group[0]
	v, from := w.fresh(p)
	become(group, gone, func() { w.must(os.Remove(w.path(p))) })
	w.pause()
	become(group, is(v), func() { w.must(os.Rename(from, w.path(p))) })
}

// forbid takes from Apache the right to read a file for a while, or to enter its directory.
func (w *writer) forbid(group []*page) {
	p := group[0]
	path, mode := w.path(p), os.FileMode(0o644)
	if w.rnd.IntN(2) == 0 {
		path, mode = filepath.Dir(path), 0o755
	}
	v := p.last().version
	become(group, gone, func() { w.must(os.Chmod(path, mode&0o700)) })
	w.pause()
	become(group, is(v), func() { w.must(os.Chmod(path, mode)) })
}

// move gives a directory's name to another one. In between nobody has it.
func (w *writer) move(group []*page) {
	dir := filepath.Dir(w.path(group[0]))
	become(group, gone, func() { w.must(os.Rename(dir, dir+"-moving")) })
	w.pause()
	others := w.versions(dir + "-other")
	become(group, func(p *page) state { return state{kind: there, version: others[filepath.Base(p.target)]} },
		func() { w.must(os.Rename(dir+"-other", dir)) })
	w.must(os.Rename(dir+"-moving", dir+"-other"))
}

// versions reads what is in a directory that nobody changes.
func (w *writer) versions(dir string) map[string]version {
	all := map[string]version{}
	entries, err := os.ReadDir(dir)
	w.must(err)
	for _, e := range entries {
		octets, err := os.ReadFile(filepath.Join(dir, e.Name()))
		w.must(err)
		all[e.Name()], _ = parse(octets)
	}
	return all
}

// relink turns a symlink to a directory to the other one.
func (w *writer) relink(group []*page) {
	link := filepath.Join(w.Root, filepath.Dir(group[0].target))
	now, err := os.Readlink(link)
	w.must(err)
	next := filepath.Base(link) + "-one"
	if now == next {
		next = filepath.Base(link) + "-two"
	}
	others := w.versions(filepath.Join(filepath.Dir(link), next))
	w.must(os.Symlink(next, link+"-new"))
	become(group, func(p *page) state { return state{kind: there, version: others[filepath.Base(p.target)]} },
		func() { w.must(os.Rename(link+"-new", link)) })
}

// deny puts an .htaccess into a directory that allows nobody anything, for a while.
func (w *writer) deny(group []*page) {
	dir := filepath.Dir(w.path(group[0]))
	versions := w.versions(dir)
	from := filepath.Join(w.Root, w.name, "htaccess")
	w.must(os.WriteFile(from, []byte("Require all denied\n"), 0o644))
	become(group, gone, func() { w.must(os.Rename(from, dir+"/.htaccess")) })
	w.pause()
	become(group, func(p *page) state { return state{kind: there, version: versions[filepath.Base(p.target)]} },
		func() { w.must(os.Remove(dir + "/.htaccess")) })
}
