package filecache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

func requestTo(host, target string) *httpwire.Request {
	r := plain(target)
	r.Host = []byte(host)
	return r
}

// What is private is not even asked for.
func TestPrivate(t *testing.T) {
	b := &imitation{dialed: errors.New("refused")}
	s := newStage(t, func(o *Options) {
		o.Backend, o.Index = b, []string{"index.png"}
		o.Private = func(host, path, file string) string {
			if strings.HasPrefix(path, "/private/") || host == "inner.test" || strings.HasSuffix(file, "/root/x/secret.png") || strings.HasSuffix(file, "/index.png") {
				return "so"
			}
			return ""
		}
	})
	for _, name := range []string{"private/a.png", "x/a.png", "x/secret.png", "a.png", "x/index.png"} {
		s.put(name, "content")
	}
	for _, c := range []struct {
		host, target string
		want         Refusal
	}{
		{"test", "/private/a.png", Private}, {"test", "/%70rivate/a.png", Private}, {"test", "//x/../private/a.png", Private},
		{"test", "/private/../a.png", NoBackend}, {"test", "/a.png", NoBackend}, {"test", "/x/secret.png", Private}, {"test", "/x/", Private},
		{"inner.test", "/a.png", Private}, {"INNER.test:80", "/a.png", Private}, {"outer.test", "/a.png", NoBackend},
	} {
		if got := s.Fill(t.Context(), address, requestTo(c.host, c.target)); got != c.want {
			t.Errorf("%s%s: %v, want %v", c.host, c.target, got, c.want)
		}
	}
}

// A file like .htaccess keeps what is below it from being asked for if it says something of clients, and lets it in again when
// it has changed.
func TestAccessFiles(t *testing.T) {
	b := &imitation{body: "content"}
	s := newStage(t, func(o *Options) {
		o.Backend, o.AccessFiles = b, []string{".htaccess", ".acl"}
		o.AccessFile = func(name string, content []byte) (client, coding string) {
			if strings.Contains(string(content), "client") {
				return name, ""
			}
			return "", ""
		}
	})
	for _, name := range []string{"a.png", "in/a.png", "in/deep/a.png", "acl/a.png", "plain/a.png"} {
		s.put(name, "content")
		b.modified = s.modified(name)
	}
	same := b.modified
	for _, name := range []string{"a.png", "in/a.png", "in/deep/a.png", "acl/a.png", "plain/a.png"} {
		s.must(os.Chtimes(filepath.Join(s.root, name), same, same))
	}
	s.put("in/.htaccess", "of the client\n")
	s.put("acl/.acl", "of the client\n")
	s.put("plain/.htaccess", "of all\n")
	s.must(os.Mkdir(s.root+"/fifo", 0o755))
	for target, want := range map[string]Refusal{
		"/a.png": Taken, "/in/a.png": Htaccess, "/in/deep/a.png": Htaccess, "/acl/a.png": Htaccess, "/plain/a.png": Taken,
	} {
		if got := s.fill(target); got != want {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
	s.run()
	s.put("in/.htaccess", "of all\n")
	if got := s.fill("/in/a.png"); got != Taken {
		t.Errorf("when it has changed: %v", got)
	}
	s.put("plain/.htaccess", "of the client\n")
	s.until("it is gone", func() bool { return s.look("/plain/a.png") == nil })
	s.must(os.Remove(s.root + "/acl/.acl"))
	if got := s.fill("/acl/a.png"); got != Taken {
		t.Errorf("when it has gone: %v", got)
	}
	s.put("acl/.acl", "of the client\n")
	s.until("it is gone, too", func() bool { return s.look("/acl/a.png") == nil })
}

// Roots are behind prefixes.
func TestRoots(t *testing.T) {
	b := &imitation{body: "content"}
	s := newStage(t, func(o *Options) {
		dir := o.Roots[0].Dir
		o.Backend, o.Roots = b, []Root{{"/", dir + "/www"}, {"/icons/", dir + "/icons"}, {"/pics", dir + "/pics"}}
		for _, r := range o.Roots {
			if err := os.MkdirAll(r.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.put("www/a.png", "content")
	b.modified = s.modified("www/a.png")
	for _, name := range []string{"icons/i.png", "pics/p.png", "www/pics/w.png"} {
		s.put(name, "content")
		s.must(os.Chtimes(filepath.Join(s.root, name), b.modified, b.modified))
	}
	for target, want := range map[string]Refusal{
		"/a.png": Taken, "/icons/i.png": Taken, "/icons/../icons/i.png": Taken, "/pics/p.png": Taken, "/pics/w.png": Taken,
		"/i.png": Missing, "/iconsi.png": Missing, "/p.png": Missing, "/picsp.png": Missing, "/icons/a.png": Missing, "/pics": NotRegular, "/icons": Missing,
	} {
		if got := s.fill(target); got != want {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}

// With another Site, nothing of the old one stays: not what was taken, and not what is being filled.
func TestSetSite(t *testing.T) {
	b := &imitation{body: "content"}
	s := newStage(t, func(o *Options) { o.Backend = b })
	s.put("a.png", "content")
	b.modified = s.modified("a.png")
	if got := s.fill("/a.png"); got != Taken {
		t.Fatal(got)
	}
	site := Site{Roots: []Root{{"/", s.root}}, Private: func(_, _, file string) string { return file }}
	s.must(s.SetSite(site))
	if s.look("/a.png") != nil {
		t.Error("it is still there")
	}
	if got := s.fill("/a.png"); got != Private {
		t.Errorf("%v", got)
	}
	site.Private = func(string, string, string) string {
		s.must(s.SetSite(Site{Roots: []Root{{"/", s.root}}})) // just now
		return ""
	}
	s.must(s.SetSite(site))
	if got := s.fill("/a.png"); got != Changing {
		t.Errorf("begun for another site: %v", got)
	}
	if got := s.fill("/a.png"); got != Taken {
		t.Errorf("%v", got)
	}
	if err := s.SetSite(Site{Roots: []Root{{"/", s.root + "/none"}}}); err == nil || s.look("/a.png") == nil {
		t.Errorf("a root that is not there: %v", err)
	}
}

func TestAgents(t *testing.T) {
	s := newStage(t, func(o *Options) {
		o.Backend, o.Agents = &imitation{}, []Agent{{Text: "Old/1."}, {Text: "BadBot", Fold: true}}
	})
	for agent, want := range map[string]bool{
		"": false, "New": false, "Old/1.0": true, "an Old/1.": true, "old/1.0": false, "Old/1": false, "a badbOT b": true, "BADBOT": true, "badbo": false,
	} {
		for range 2 { // it remembers
			if got := s.agents.Load().known([]byte(agent)); got != want {
				t.Errorf("%q: %v", agent, got)
			}
		}
	}
	agent := []byte("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
	if n := testing.AllocsPerRun(100, func() { s.agents.Load().known(agent) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPurge(t *testing.T) {
	b := &imitation{body: "content"}
	s := newStage(t, func(o *Options) { o.Backend = b })
	s.put("a.png", "content")
	b.modified = s.modified("a.png")
	fill := func() {
		t.Helper()
		var tasks sync.WaitGroup
		for _, host := range []string{"one.test", "ONE.test:80", "two.test"} {
			for _, target := range []string{"/a.png", "/%61.png"} {
				tasks.Go(func() {
					if got := s.Fill(t.Context(), address, requestTo(host, target)); got != Taken {
						t.Errorf("%s%s: %v", host, target, got)
					}
				})
			}
		}
		tasks.Wait()
	}
	for _, c := range []struct {
		host, target string
		want         int
	}{
		{"one.test", "/a.png", 4}, {"two.test", "/./a.png", 2}, {"", "/a.png", 6}, {"three.test", "/a.png", 0}, {"", "/b.png", 0}, {"", "/a.png?x", 0},
	} {
		fill()
		if n := s.Purge(c.host, c.target); n != c.want || s.Stats().Objects != 6-n {
			t.Errorf("%s%s: %d objects have gone, want %d; %d are left", c.host, c.target, n, c.want, s.Stats().Objects)
		}
	}
	fill()
	if n := s.PurgeAll(); n != 6 || s.Stats().Objects != 0 {
		t.Errorf("all: %d", n)
	}
}
