package clients

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// aChange is something that changes what Apache answers for a target.
type aChange struct {
	target string // /d/e/a.png if empty
	before func(s *site)
	change func(s *site)
	// apaches says that before the change the answer need not be xhttpd's; gone, that afterwards it need not become so.
	apaches, gone bool
	all           bool // it changes the answers to all other targets: it comes last
}

const (
	denied = "Require all denied\n"
	marked = "Header set X-Marked yes\n"
)

// changes are all kinds of which issue and documentation say that they are noticed within the bound.
var changes = map[string]aChange{
	"file: another content and length":       {change: func(s *site) { s.write("d/e/a.png", content(2222)) }},
	"file: another content, the same length": {change: func(s *site) { s.write("d/e/a.png", append([]byte("x"), content(1000)[1:]...)) }},
	"file: appended to": {change: func(s *site) {
		f, err := os.OpenFile(s.at("d/e/a.png"), os.O_WRONLY|os.O_APPEND, 0)
		s.must(err)
		_, err = f.WriteString("more")
		s.must(err)
		s.must(f.Close())
	}},
	"file: truncated":           {change: func(s *site) { s.must(os.Truncate(s.at("d/e/a.png"), 10)) }},
	"file: emptied":             {gone: true, change: func(s *site) { s.must(os.Truncate(s.at("d/e/a.png"), 0)) }},
	"file: touched":             {change: func(s *site) { s.must(os.Chtimes(s.at("d/e/a.png"), old, old)) }},
	"file: deleted":             {gone: true, change: func(s *site) { s.must(os.Remove(s.at("d/e/a.png"))) }},
	"file: forbidden":           {gone: true, change: func(s *site) { s.must(os.Chmod(s.at("d/e/a.png"), 0o600)) }},
	"file: given to root alone": {gone: true, before: func(s *site) { s.must(os.Chown(s.at("d/e/a.png"), 33, 33)) }, change: func(s *site) { s.must(os.Chmod(s.at("d/e/a.png"), 0o400)); s.must(os.Chown(s.at("d/e/a.png"), 0, 0)) }},
	"file: renamed":             {gone: true, change: func(s *site) { s.must(os.Rename(s.at("d/e/a.png"), s.at("d/e/b.png"))) }},
	"file: replaced by rename": {change: func(s *site) {
		s.write("d/new.png", content(3333))
		s.must(os.Rename(s.at("d/new.png"), s.at("d/e/a.png")))
	}},
	"file: replaced by rename, as old and as long": {change: func(s *site) {
		s.write("d/new.png", append([]byte("x"), content(1000)[1:]...))
		info, err := os.Stat(s.at("d/e/a.png"))
		s.must(err)
		s.must(os.Chtimes(s.at("d/new.png"), info.ModTime(), info.ModTime()))
		s.must(os.Rename(s.at("d/new.png"), s.at("d/e/a.png")))
	}},
	"file: replaced by a symlink": {change: func(s *site) {
		s.write("d/other.png", content(4444))
		s.must(os.Symlink("../other.png", s.at("d/e/new.png")))
		s.must(os.Rename(s.at("d/e/new.png"), s.at("d/e/a.png")))
	}},
	"file: replaced by a directory": {gone: true, change: func(s *site) {
		s.must(os.Remove(s.at("d/e/a.png")))
		s.must(os.Mkdir(s.at("d/e/a.png"), 0o755))
	}},
	"file: written through a mapping": {change: func(s *site) {
		f, err := os.OpenFile(s.at("d/e/a.png"), os.O_RDWR, 0)
		s.must(err)
		defer f.Close()
		mapped, err := unix.Mmap(int(f.Fd()), 0, 1000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		s.must(err)
		mapped[0]++
		s.must(unix.Msync(mapped, unix.MS_SYNC))
		s.must(unix.Munmap(mapped))
	}},
	"file: written by another hard link": {
		before: func(s *site) { s.must(os.Link(s.at("d/e/a.png"), s.at("d/hard.png"))) },
		change: func(s *site) { s.write("d/hard.png", content(5555)) },
	},
	"directory: renamed":        {gone: true, change: func(s *site) { s.must(os.Rename(s.at("d/e"), s.at("d/f"))) }},
	"directory: parent renamed": {gone: true, change: func(s *site) { s.must(os.Rename(s.at("d"), s.at("f"))) }},
	"directory: another one has its name": {change: func(s *site) {
		s.write("d/f/a.png", content(6666))
		s.must(os.Rename(s.at("d/e"), s.at("d/g")))
		s.must(os.Rename(s.at("d/f"), s.at("d/e")))
	}},
	"directory: exchanged with another one": {change: func(s *site) {
		s.write("f/e/a.png", content(7777))
		s.must(unix.Renameat2(unix.AT_FDCWD, s.at("d"), unix.AT_FDCWD, s.at("f"), unix.RENAME_EXCHANGE))
	}},
	"directory: forbidden":        {gone: true, change: func(s *site) { s.must(os.Chmod(s.at("d/e"), 0o700)) }},
	"directory: parent forbidden": {gone: true, change: func(s *site) { s.must(os.Chmod(s.at("d"), 0o700)) }},
	"directory: removed":          {gone: true, change: func(s *site) { s.must(os.RemoveAll(s.at("d"))) }},
	"symlink: to a file, retargeted": {target: "/now.png",
		before: func(s *site) { s.write("d/b.png", content(2000)); s.link("d/e/a.png", "now.png") },
		change: func(s *site) { s.link("d/b.png", "now.png") },
	},
	"symlink: to a directory, retargeted": {target: "/now/a.png",
		before: func(s *site) { s.write("d/f/a.png", content(2001)); s.link("d/e", "now") },
		change: func(s *site) { s.link("d/f", "now") },
	},
	"symlink: by way of another one, which is retargeted": {target: "/now/a.png",
		before: func(s *site) { s.write("d/f/a.png", content(2002)); s.link("d/e", "then"); s.link("then", "now") },
		change: func(s *site) { s.link("d/f", "then") },
	},
	"symlink: its file is replaced": {target: "/now.png",
		before: func(s *site) { s.link("d/e/a.png", "now.png") },
		change: func(s *site) {
			s.write("d/new.png", content(2003))
			s.must(os.Rename(s.at("d/new.png"), s.at("d/e/a.png")))
		},
	},
	"symlink: its directory's parent is renamed": {target: "/now/a.png", gone: true,
		before: func(s *site) { s.link("d/e", "now") },
		change: func(s *site) { s.must(os.Rename(s.at("d"), s.at("f"))) },
	},
	"symlink: removed": {target: "/now.png", gone: true,
		before: func(s *site) { s.link("d/e/a.png", "now.png") },
		change: func(s *site) { s.must(os.Remove(s.at("now.png"))) },
	},
	"symlink: it is another's, where only its file's owner's is followed": {target: "/o/now.png", gone: true,
		before: func(s *site) {
			s.write("o/.htaccess", []byte("Options -FollowSymLinks +SymLinksIfOwnerMatch\n"))
			s.link("../d/e/a.png", "o/now.png")
		},
		change: func(s *site) { s.must(os.Lchown(s.at("o/now.png"), 33, 33)) },
	},
	"symlink: its file is another's, where only its own is followed": {target: "/o/now.png", gone: true,
		before: func(s *site) {
			s.write("o/.htaccess", []byte("Options -FollowSymLinks +SymLinksIfOwnerMatch\n"))
			s.link("../d/e/a.png", "o/now.png")
		},
		change: func(s *site) { s.must(os.Chown(s.at("d/e/a.png"), 33, 33)) },
	},
	"index: one that only the .htaccess names is added": {target: "/d/e/", gone: true,
		before: func(s *site) {
			s.write("d/e/.htaccess", []byte("DirectoryIndex before.html index.html\n"))
			s.write("d/e/index.html", content(2100))
		},
		change: func(s *site) { s.write("d/e/before.html", content(2101)) },
	},
	"index: one that only the .htaccess names is moved in": {target: "/d/e/", gone: true,
		before: func(s *site) {
			s.write("d/e/.htaccess", []byte("DirectoryIndex before.html index.html\n"))
			s.write("d/e/index.html", content(2102))
			s.write("d/before.html", content(2103))
		},
		change: func(s *site) { s.must(os.Rename(s.at("d/before.html"), s.at("d/e/before.html"))) },
	},
	".htaccess: added":                     {gone: true, change: func(s *site) { s.write("d/e/.htaccess", []byte(denied)) }},
	".htaccess: added in the parent":       {gone: true, change: func(s *site) { s.write("d/.htaccess", []byte(denied)) }},
	".htaccess: added in the root":         {gone: true, change: func(s *site) { s.write(".htaccess", []byte(denied)) }},
	".htaccess: added, with a field":       {gone: true, change: func(s *site) { s.write("d/.htaccess", []byte(marked)) }},
	".htaccess: moved in by a rename":      {gone: true, before: func(s *site) { s.write("d/rules", []byte(denied)) }, change: func(s *site) { s.must(os.Rename(s.at("d/rules"), s.at("d/e/.htaccess"))) }},
	".htaccess: a symlink to one is added": {gone: true, before: func(s *site) { s.write("rules", []byte(denied)) }, change: func(s *site) { s.must(os.Symlink("../rules", s.at("d/.htaccess"))) }},
	".htaccess: added where a symlink leads": {target: "/now/a.png", gone: true,
		before: func(s *site) { s.link("d/e", "now") },
		change: func(s *site) { s.write("d/e/.htaccess", []byte(marked)) },
	},
	".htaccess: changed": {apaches: true, gone: true,
		before: func(s *site) { s.write("d/.htaccess", []byte(marked)) },
		change: func(s *site) { s.write("d/.htaccess", []byte(denied)) },
	},
	".htaccess: changed, fields only": {apaches: true, gone: true,
		before: func(s *site) { s.write("d/e/.htaccess", []byte(marked)) },
		change: func(s *site) { s.write("d/e/.htaccess", []byte("Header set X-Marked no\n")) },
	},
	".htaccess: replaced by rename": {apaches: true, gone: true,
		before: func(s *site) {
			s.write("d/.htaccess", []byte(marked))
			s.write("d/new", []byte("Header set X-Marked no\n"))
		},
		change: func(s *site) { s.must(os.Rename(s.at("d/new"), s.at("d/.htaccess"))) },
	},
	".htaccess: removed": {apaches: true,
		before: func(s *site) { s.write("d/e/.htaccess", []byte(marked)) },
		change: func(s *site) { s.must(os.Remove(s.at("d/e/.htaccess"))) },
	},
	".htaccess: added in the root, then removed": {all: true, apaches: true,
		before: func(s *site) {
			warm := s.fill(s.target("/d/e/a.png"))
			s.must(os.WriteFile(filepath.Join(s.Root, ".htaccess"), []byte(denied), 0o644))
			s.Until("it is noticed", func() bool { return s.get(s.Address(false), s.target("/d/e/a.png")) != warm })
		},
		change: func(s *site) { s.must(os.Remove(filepath.Join(s.Root, ".htaccess"))) },
	},
	"index.html: replaced": {target: "/d/", apaches: true, gone: true,
		before: func(s *site) { s.write("d/index.html", []byte("one")) },
		change: func(s *site) { s.write("d/index.html", []byte("another")) },
	},
	"index.html: added": {target: "/d/", apaches: true, gone: true,
		change: func(s *site) { s.write("d/index.html", []byte("an index")) },
	},
}

// reconfigured has Apache read another configuration.
var reconfigured = aChange{change: func(s *site) {
	s.must(os.WriteFile(filepath.Join(s.Dir, "conf/conf-enabled/zzz.conf"), []byte(marked), 0o644))
	s.graceful()
}}

// site is a directory of one change's own, on a site on which both servers can be asked.
type site struct {
	*stage
	alone string // Apache's address
	base  string
}

func (s *site) at(name string) string { return filepath.Join(s.Root, s.base, name) }

func (s *site) target(path string) string { return "/" + s.base + path }

// write makes or changes a file, which then looks old.
func (s *site) write(name string, body []byte) {
	s.Helper()
	name = s.base + "/" + name
	s.Put(name, body)
	s.age(name)
}

// link makes a symlink to a place in the directory, or turns it.
func (s *site) link(to, name string) {
	s.Helper()
	s.must(os.Symlink(to, s.at(".link")))
	s.must(os.Rename(s.at(".link"), s.at(name)))
}

// graceful has Apache read its configuration again, and waits until it has.
func (s *site) graceful() {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "run/pid"))
	s.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	s.must(err)
	before := s.get(s.alone, s.target("/d/e/a.png"))
	s.must(syscall.Kill(pid, syscall.SIGUSR1))
	s.Until("Apache has read its configuration", func() bool { return s.get(s.alone, s.target("/d/e/a.png")) != before })
}

// changed is what an answer has new each time: its date; and whether Apache calls a tag weak, as it does in a file's first second.
var changed = regexp.MustCompile(`\r\nDate: [^\r]*|W/`)

// get returns the header section of an answer of one of the servers and the sum of its body, or what went wrong.
func (s *site) get(address, target string) string {
	conn, err := s.Connect(address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // it fails below
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", target)
	octets, err := io.ReadAll(conn)
	if err != nil {
		return err.Error()
	}
	section, body, _ := strings.Cut(string(octets), "\r\n\r\n")
	return changed.ReplaceAllString(section, "") + "\r\n" + sum([]byte(body))
}

// ours asks xhttpd and reports whether it answered by itself. Nobody else asks.
func (s *site) ours(target string) (answer string, ours bool) {
	before := s.Metric("responses_total")
	answer = s.get(s.Address(false), target)
	time.Sleep(5 * time.Millisecond) // counters are published behind the frames
	return answer, s.Metric("responses_total") > before
}

// fill asks until xhttpd answers by itself.
func (s *site) fill(target string) (answer string) {
	s.Helper()
	s.Until("xhttpd answers "+target, func() bool {
		var ours bool
		answer, ours = s.ours(target)
		return ours
	})
	return answer
}

// What changes is noticed: after a moment of old answers there are only new ones, and then they are xhttpd's again.
func TestChangesAreNoticed(t *testing.T) {
	whole := newStage(t, testbed.Options{NoDaemon: true, Modules: []string{"headers"}})
	alone, _ := whole.Alone()
	whole.StartDaemon("--address", whole.Address(false), "--address", whole.Address(true))
	order := slices.Sorted(maps.Keys(changes))
	slices.SortStableFunc(order, func(a, b string) int { return strings.Compare(fmt.Sprint(changes[a].all), fmt.Sprint(changes[b].all)) })
	sites := map[string]*site{}
	for k, name := range order {
		s := &site{whole, alone, fmt.Sprintf("c%d", k)}
		s.write("d/e/a.png", content(1000))
		if c := changes[name]; c.before != nil && !c.all {
			c.before(s)
		}
		sites[name] = s
	}
	whole.warmTree(".", "Host: test") // all at once, which is quicker than each in its turn
	again := map[string]*site{}       // by target: who shall be in the cache in the end
	run := func(name, base string, c aChange) {
		t.Run(name, func(t *testing.T) {
			bed := *whole.Bed
			bed.TB = t
			s := &site{&stage{&bed, whole.dir}, alone, base}
			if c.target == "" {
				c.target = "/d/e/a.png"
			}
			if c.before != nil && c.all {
				c.before(s)
			}
			s.notices(s.target(c.target), &c)
			if !c.gone {
				again[s.target(c.target)] = s
			}
		})
	}
	for _, name := range order {
		run(name, sites[name].base, changes[name])
	}
	whole.warmTree(".", "Host: test")
	for target, s := range again {
		s.TB = t
		if got, want := s.fill(target), s.get(s.alone, target); got != want {
			t.Errorf("in the end, %s is\n%q\nof Apache alone it is\n%q", target, got, want)
		}
	}
	run("the server: configured anew", sites["file: touched"].base, reconfigured)
}

func (s *site) notices(target string, c *aChange) {
	s.Helper()
	before := s.get(s.alone, target)
	if !c.apaches {
		if got := s.fill(target); got != before {
			s.Fatalf("xhttpd answers\n%q, Apache alone\n%q", got, before)
		}
	}
	begin := time.Now()
	c.change(s)
	after := s.get(s.alone, target)
	if after == before {
		s.Fatalf("nothing has changed: %q", after)
	}
	// A new answer may be Apache's, if xhttpd is late with its heartbeat: the last of the old ones counts.
	var took time.Duration
	olds := 0
	for news := 0; news < 20; {
		asked := time.Now()
		switch got := s.get(s.Address(false), target); {
		case got == after:
			news++
		case got != before:
			s.Fatalf("neither the old answer nor the new one:\n%q\nold\n%q\nnew\n%q", got, before, after)
		default:
			news = 0
			olds++
			took = asked.Sub(begin)
		}
		if took > bound+slack {
			s.Fatalf("still the old answer after %v", took.Round(time.Millisecond))
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.Logf("%d old answers; the last was asked for after %v", olds, took.Round(time.Millisecond))
}
