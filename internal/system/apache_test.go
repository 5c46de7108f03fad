package system

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// want asks on a connection of its own.
func want(b *testbed.Bed, path string, fields ...string) (status int, header http.Header, body string) {
	b.Helper()
	client := b.HTTP()
	defer client.CloseIdleConnections()
	req, err := http.NewRequest("GET", b.URL(false, path), nil)
	if err != nil {
		b.Fatal(err)
	}
	for k := 0; k < len(fields); k += 2 {
		req.Header.Set(fields[k], fields[k+1])
	}
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// An answer in the cache is Apache's only as long as its configuration is.
func TestReload(t *testing.T) {
	const stamp = "<Directory ${TESTBED}/www>\nHeader set X-Configured %s\n</Directory>\n"
	b := testbed.Start(t, testbed.Options{Modules: []string{"headers"}, Config: strings.ReplaceAll(stamp, "%s", "first")})
	b.Put("a.png", content(3000))
	for _, value := range []string{"first", "second", "third"} {
		if value != "first" {
			b.Reload(strings.ReplaceAll(stamp, "%s", value))
			begun := time.Now()
			b.Until("the answer is as configured", func() bool {
				_, header, _ := want(b, "/a.png")
				return header.Get("X-Configured") == value
			})
			t.Logf("the new answer came after %v", time.Since(begun).Round(time.Millisecond))
		}
		b.Warm("a.png")
		if _, header, _ := want(b, "/a.png"); header.Get("X-Configured") != value {
			t.Errorf("configured: %s, answered: %v", value, header)
		}
	}
	b.Put("b.png", content(300)) // and it goes on
	b.Warm("b.png")
}

// Purged objects are Apache's to answer once more.
func TestPurge(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	for _, name := range []string{"a.png", "b.png"} {
		b.Put(name, content(300))
		b.Warm(name)
	}
	for _, c := range []struct{ args, says string }{
		{"http://" + b.Address(false) + "/a.png", "1 objects"},
		{"http://" + b.Address(false) + "/a.png", "0 objects"},
		{"http://other.test/b.png", "0 objects"},
		{"/none.png", "0 objects"},
		{"--all", ""},
	} {
		if c.args == "--all" {
			c.says = fmt.Sprintf("%v objects", b.Metric("cache_objects"))
		}
		var out []byte
		var err error
		b.Server.Do(func() { out, err = b.Server.Command(b.Binary(), "purge", c.args).CombinedOutput() })
		if err != nil || !strings.HasPrefix(string(out), c.says) {
			t.Errorf("purge %s: %v, %s, want %s", c.args, err, out, c.says)
		}
	}
	if n := b.Metric("cache_objects"); n != 0 {
		t.Errorf("%v objects are left", n)
	}
	b.Warm("a.png", "b.png")
}

// private are scopes that depend on the client, with a question to which a stranger gets an answer that somebody else does not.
var private = []struct{ path, rule string }{
	{"ip", "Require not ip 198.51.100.7"},
	{"cookie", "RewriteEngine on\nRewriteCond %{HTTP_COOKIE} member\nRewriteRule ^a\\.png$ /plain/other.png [L]"},
	{"referer", "RewriteEngine on\nRewriteCond %{HTTP_REFERER} evil\nRewriteRule . - [F]"},
	{"if", "<If \"req('X-Mode') == 'loud'\">\nHeader set X-Loud yes\n</If>"},
	{"env", "SetEnvIf X-Mode loud loud\nHeader set X-Loud yes env=loud"},
	{"echo", "Header echo ^X-Mode"},
	{"method", "<If \"%{REQUEST_METHOD} == 'HEAD'\">\nHeader set X-Loud yes\n</If>"},
	{"time", "<If \"%{TIME_YEAR} -lt 2000\">\nRequire all denied\n</If>"},
}

// scope returns the configuration of one of the private scopes.
func scope(path, rule string) string {
	if strings.HasPrefix(rule, "Require") {
		rule = "<RequireAll>\nRequire all granted\n" + rule + "\n</RequireAll>"
	}
	return "<Directory ${TESTBED}/www/" + path + ">\n" + rule + "\n</Directory>\n"
}

// What depends on the client is never answered from the cache: not when the rule was there before, not when it comes with a
// reload, and when it goes, xhttpd answers again.
func TestPrivateScopes(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Modules: []string{"headers", "rewrite"}})
	b.Put("plain/other.png", content(200))
	var files []string
	var rules strings.Builder
	for _, p := range private {
		b.Put(p.path+"/a.png", content(1000))
		files = append(files, p.path+"/a.png")
		rules.WriteString(scope(p.path, p.rule))
	}
	b.Warm(files...) // there is no rule yet
	b.Reload(rules.String())
	b.Until("the rule for cookies is in force", func() bool {
		_, _, body := want(b, "/cookie/a.png", "Cookie", "member=1")
		return len(body) == 200
	})
	b.Warm("plain/other.png")
	before, _ := settled(b)
	for range 5 {
		for _, f := range files {
			if status, _, body := want(b, "/"+f); status != 200 || len(body) != 1000 {
				t.Errorf("%s: %d, %d octets", f, status, len(body))
			}
		}
		if status, _, _ := want(b, "/referer/a.png", "Referer", "http://evil/"); status != 403 {
			t.Errorf("from an evil page: %d", status)
		}
		for _, path := range []string{"/if/a.png", "/env/a.png"} {
			if _, header, _ := want(b, path, "X-Mode", "loud"); header.Get("X-Loud") != "yes" {
				t.Errorf("%s, loud: %v", path, header)
			}
		}
		if _, header, _ := want(b, "/echo/a.png", "X-Mode", "loud"); header.Get("X-Mode") != "loud" {
			t.Errorf("no echo: %v", header)
		}
		time.Sleep(300 * time.Millisecond) // time to fill what must not be filled
	}
	if after, _ := settled(b); after != before {
		t.Errorf("xhttpd gave %v answers of private scopes", after-before)
	}
	b.Reload("")
	b.Warm(files...)
}

// A rule that refuses the client comes with a reload: from then on, the object that was in the cache is refused.
func TestAccessIsTakenAway(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	b.Put("a/x.png", content(1000))
	b.Warm("a/x.png")
	b.Reload(scope("a", "Require not ip "+b.Client.IPv4.String()))
	begun := time.Now()
	b.Until("it is refused", func() bool { status, _, _ := want(b, "/a/x.png"); return status == 403 })
	t.Logf("refused after %v", time.Since(begun).Round(time.Millisecond))
	before, _ := settled(b)
	for range 100 {
		if status, _, _ := want(b, "/a/x.png"); status != 403 {
			t.Fatalf("status %d", status)
		}
	}
	if after, _ := settled(b); after != before {
		t.Errorf("xhttpd gave %v answers", after-before)
	}
}

// --public and --private decide, whatever Apache's configuration says.
func TestPrefixes(t *testing.T) {
	b := testbed.Start(t, testbed.Options{
		Modules: []string{"headers"}, Config: "Header echo ^X-Nothing\n", NoDaemon: true,
	})
	for _, name := range []string{"a.png", "pub/a.png", "pub/in/a.png", "pub/in/out/a.png"} {
		b.Put(name, content(500))
	}
	b.StartDaemon("--public", "/pub", "--private", "/pub/in", "--public", "/pub/in/out/")
	b.Warm("pub/a.png", "pub/in/out/a.png")
	before, _ := settled(b)
	for range 3 {
		for _, path := range []string{"/a.png", "/pub/in/a.png"} {
			want(b, path)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if after, _ := settled(b); after != before {
		t.Errorf("xhttpd gave %v answers that it should not", after-before)
	}
}

// Whether an .htaccess counts is the configuration's matter, and what it says is noticed when it does.
func TestAllowOverride(t *testing.T) {
	conf := func(override string) string {
		return "<Directory ${TESTBED}/www/in>\nAllowOverride " + override + "\n</Directory>\n"
	}
	b := testbed.Start(t, testbed.Options{Modules: []string{"headers"}, Config: conf("None")})
	b.Put("in/a.png", content(1000))
	b.Put("in/.htaccess", []byte("Header set X-Here first\n"))
	// says waits until xhttpd answers with this field.
	says := func(value string) {
		t.Helper()
		b.Until("the field is "+value, func() bool {
			_, header, _ := want(b, "/in/a.png")
			return header.Get("X-Here") == value
		})
		b.Warm("in/a.png")
		if _, header, _ := want(b, "/in/a.png"); header.Get("X-Here") != value {
			t.Errorf("then it is %q, not %q", header.Get("X-Here"), value)
		}
	}
	says("")
	b.Put("in/.htaccess", []byte("Header set X-Here second\n"))
	says("")
	b.Reload(conf("FileInfo"))
	says("second")
	b.Put("in/.htaccess", []byte("Header set X-Here third\n"))
	says("third")
	b.Reload(conf("None"))
	says("")
	b.Reload(conf("All"))
	says("third")
	b.Put("in/.htaccess", []byte("Require all denied\n"))
	b.Until("it is denied", func() bool { status, _, _ := want(b, "/in/a.png"); return status == 403 })
}
