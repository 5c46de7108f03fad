package filecache

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// accepting is a request for a target with an Accept-Encoding field, if it is not absentField.
func accepting(coding, target string) *httpwire.Request {
	r := plain(target)
	if coding != absentField {
		r.AcceptEncoding = []byte(coding)
	}
	return r
}

// spoken are Accept-Encoding fields of clients: none, curl's, wget's, Chromium's, git's, and others.
var spoken = []string{absentField, "", "identity", "gzip, deflate", "deflate, gzip, br, zstd", "br", "gzip;q=0, *", everyCoding}

// An object is for every Accept-Encoding if the server behind says the same with none and with all, and not that it varies.
func TestAnyCoding(t *testing.T) {
	// to changes what is said to those whose Accept-Encoding fits.
	to := func(fits func(coding string) bool) func(*http.Request, string) string {
		return func(r *http.Request, head string) string {
			if fits(r.Header.Get("Accept-Encoding")) {
				return strings.Replace(head, "Server:", "X-A: b\r\nServer:", 1)
			}
			return head
		}
	}
	say := func(text string) func(b *imitation) {
		return func(b *imitation) { b.fields = func(time.Time) string { return text + "\r\n" } }
	}
	var fills sync.WaitGroup // all at once: each takes a second
	var checks []func()
	for name, c := range map[string]struct {
		change func(b *imitation)
		any    bool
	}{
		"stock":          {func(*imitation) {}, true},
		"varies by host": {say("Vary: Host"), true},
		"varies":         {say("Vary: Host, accept-Encoding"), false},
		"has a coding":   {say("Content-Encoding: rot13"), false},
		"other for br":   {func(b *imitation) { b.change = to(func(coding string) bool { return strings.Contains(coding, "br") }) }, false},
		"other for identity": {func(b *imitation) {
			b.change = to(func(coding string) bool { return strings.Contains(coding, "identity") })
		}, false},
		"other for none": {func(b *imitation) { b.change = to(func(coding string) bool { return coding == "" }) }, false},
		"expires an hour later": {func(b *imitation) {
			b.fields = func(now time.Time) string {
				return "Expires: " + now.Add(time.Hour).UTC().Format(http.TimeFormat) + "\r\n"
			}
		}, true},
		"denies HEAD": {func(b *imitation) {
			b.change = func(r *http.Request, h string) string {
				if r.Method == "HEAD" {
					return strings.Replace(h, "200 OK", "403 Forbidden", 1)
				}
				return h
			}
		}, true},
	} {
		for _, asked := range spoken {
			s, b := imitated(t, "content")
			c.change(b)
			checks = append(checks, func() {
				name := fmt.Sprintf("%s, proven with %q", name, asked)
				for _, other := range spoken {
					if got := s.Lookup(address, accepting(other, "/a.png")) != nil; got != (c.any || other == asked) {
						t.Errorf("%s: to %q, found is %v", name, other, got)
					}
				}
				if (len(s.named.codings) == 0) != c.any {
					t.Errorf("%s: %d codings are counted", name, len(s.named.codings))
				}
				if n := s.Purge("test", "/a.png"); n != 1 || s.Stats().Objects != 0 || s.Lookup(address, accepting(asked, "/a.png")) != nil {
					t.Errorf("%s: purged %d", name, n)
				}
				if len(s.named.codings)+len(s.named.hosts)+len(s.named.spellings) != 0 {
					t.Errorf("%s: left over: %v", name, s.named)
				}
			})
			fills.Go(func() {
				if why := s.Fill(t.Context(), address, accepting(asked, "/a.png")); why != Taken {
					t.Errorf("%s, asked with %q: %v", name, asked, why)
				}
			})
		}
	}
	fills.Wait()
	for _, check := range checks {
		check()
	}
}

// Where the site looks at the field's text, two questions prove nothing for others.
func TestCodingMatters(t *testing.T) {
	s := newStage(t, func(o *Options) {
		o.Backend = &imitation{body: "content"}
		o.Coding = func(host, path, _ string) string { return map[string]string{"test/a.png": "a rule"}[host+path] }
		o.AccessFile = func(string, []byte) (client, coding string) { return "", "another" }
	})
	for name, wide := range map[string]bool{"a.png": false, "b.png": true, "in/c.png": false} {
		s.put(name, "content")
		if name == "in/c.png" {
			s.put("in/.htaccess", "")
		}
		s.opts.Backend.(*imitation).modified = s.modified(name)
		for _, coding := range []string{"gzip", absentField, everyCoding} {
			if why := s.Fill(t.Context(), address, accepting(coding, "/"+name)); why != Taken {
				t.Errorf("%s, asked with %q: %v", name, coding, why)
			}
			if got := s.Lookup(address, accepting("br", "/"+name)) != nil; got != wide {
				t.Errorf("%s, asked with %q, is found for another: %v", name, coding, got)
			}
			if s.Lookup(address, accepting(coding, "/"+name)) == nil {
				t.Errorf("%s, asked with %q, is not found", name, coding)
			}
		}
	}
}

// What is for every Accept-Encoding is asked for with none and with all again, and given up if one answer is another.
func TestAnyCodingProvenAgain(t *testing.T) {
	for _, coding := range []string{"", everyCoding} {
		s, b := imitated(t, "content")
		if why := s.fill("/a.png"); why != Taken {
			t.Fatal(why)
		}
		o := s.Lookup(address, accepting("br", "/a.png"))
		if s.lookAgain(t.Context(), o); s.Lookup(address, accepting("br", "/a.png")) != o || s.Stats().Renewed != 1 {
			t.Errorf("not renewed: %+v", s.Stats())
		}
		b.change = func(r *http.Request, head string) string {
			if r.Header.Get("Accept-Encoding") == coding {
				return strings.Replace(head, "Server:", "Vary: Accept-Encoding\r\nServer:", 1)
			}
			return head
		}
		if s.lookAgain(t.Context(), o); s.look("/a.png") != nil {
			t.Errorf("another answer for %q, and it is still held", coding)
		}
	}
}

// A file that comes beside it, compressed beforehand, ends what was for every Accept-Encoding.
func TestAnyCodingBeside(t *testing.T) {
	s, _ := imitated(t, "content")
	if why := s.fill("/a.png"); why != Taken {
		t.Fatal(why)
	}
	s.put("a.png.br", "x")
	if s.sweep(); s.look("/a.png") != nil {
		t.Error("it is still held")
	}
}

// A target is filled for one Accept-Encoding at a time as long as that may do for all.
func TestAnyCodingFilledOnce(t *testing.T) {
	s, b := imitated(t, "content")
	s.run()
	s.until("all are found", func() bool {
		found := 0
		for _, coding := range spoken {
			r := accepting(coding, "/a.png")
			if s.Want(address, r); s.Lookup(address, r) != nil {
				found++
			}
		}
		return found == len(spoken)
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	whole := 0
	for _, asked := range b.asked {
		if asked = strings.TrimSuffix(asked, " Accept-Encoding"); asked == "GET /a.png HTTP/1.1" {
			whole++
		}
	}
	if st := s.Stats(); whole != 1 || st.Filled != 1 || st.Objects != 1 {
		t.Errorf("filled %d times: %+v", whole, st)
	}
}

// What is begun, and what not.
func TestBegin(t *testing.T) {
	s, _ := imitated(t, "content")
	key := func(coding string) string {
		r := accepting(coding, "/a.png")
		start, _ := s.keyStart(nil, address, r)
		return string(s.key(start, r))
	}
	none, gzip, br := key(absentField), key("gzip"), key("br")
	step := 0
	want := func(key string, want bool) {
		t.Helper()
		if step++; s.begin(key) != want {
			t.Errorf("step %d: begun is %v", step, !want)
		}
	}
	want(none, true)
	want(none, false)
	want(gzip, false) // the answer to none may do
	want(gzip, false)
	s.narrow(none) // it will not
	if len(s.wants) != 1 || <-s.wants != gzip {
		t.Error("what was wanted meanwhile has no turn")
	}
	want(gzip, true)
	want(none, false)
	want(br, false)
	s.settle(none, ProofStatus)
	want(none, false) // refused
	want(br, false)
	s.settle(gzip, ProofStatus)
	want(gzip, false)
	want(br, true) // not refused
	s.narrow(gzip) // is not being filled
	want(key("zstd"), false)
	s.settle(br, Taken)
	if len(s.filling)+len(s.behind) > 0 {
		t.Errorf("left over: %q %q", s.filling, s.behind)
	}
	if why := s.fill("/a.png"); why != Taken || s.Lookup(address, accepting("gzip", "/a.png")) == nil {
		t.Errorf("%v; a refusal for one Accept-Encoding is in the way", why)
	}
	want(br, false) // held
	want(key("zstd"), false)
}

// Whoever asks a real Apache with whatever Accept-Encoding, for what it compresses, rewrites or gives to all, gets its answer.
func TestCodingsOfApache(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Backend = dead{} })
	for _, name := range []string{"all.png", "all.zip", "br.png", "gzip.png", "identity.png", "none.png", "page.html", "other.png"} {
		s.put("d/"+name, strings.Repeat(name, 1000))
	}
	rules := "LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so\n<Directory " + s.root + "/>\nRewriteEngine on\n"
	for name, cond := range map[string]string{"br": "br", "gzip": "gzip", "identity": "identity", "none": "^$"} {
		rules += "RewriteCond %{HTTP:Accept-Encoding} " + cond + "\nRewriteRule ^d/" + name + "\\.png$ /d/other.png [L]\n"
	}
	a := startApache(t, s.root, rules+"</Directory>\n")
	s.opts.Backend = a
	held := map[string]int{}
	for _, asked := range []string{absentField, "identity", "br", "gzip, deflate"} {
		s.PurgeAll()
		targets, tasks := []string{"/d/all.png", "/d/all.zip", "/d/br.png", "/d/gzip.png", "/d/identity.png", "/d/none.png", "/d/page.html"}, sync.WaitGroup{}
		for _, target := range targets {
			tasks.Go(func() { s.Fill(t.Context(), address, accepting(asked, target)) })
		}
		tasks.Wait()
		for _, target := range targets {
			for _, coding := range spoken {
				r := accepting(coding, target)
				o := s.Lookup(address, r)
				if o == nil {
					continue
				}
				held[target]++
				field := "Accept-Encoding: " + coding + "\r\n"
				if coding == absentField {
					field = ""
				}
				head := "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + field + "\r\n"
				its := a.ask(head)
				if ours, ok := respond(t, o, head, 0, its); !ok || !bytes.Equal(ours, its) {
					t.Errorf("proven with %q, asked with %q:\nours %.500q\nits  %.500q", asked, head, ours, its)
				}
			}
		}
	}
	for target, want := range map[string]int{
		"/d/all.png": 4 * len(spoken), "/d/all.zip": 4 * len(spoken), "/d/br.png": 3, "/d/gzip.png": 3, "/d/identity.png": 3, "/d/none.png": 3, "/d/page.html": 4,
	} {
		if held[target] != want {
			t.Errorf("%s is found %d times, want %d", target, held[target], want)
		}
	}
}
