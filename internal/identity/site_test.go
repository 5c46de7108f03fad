package identity

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// stage is a testbed on which the same Apache is reached through xhttpd and alone.
type stage struct {
	*testbed.Bed
	alone [2]string // Apache's addresses, IPv4 and IPv6
	ports ports
}

// newStage sets the site up, with the cases' own files, and starts Apache. It does not start xhttpd.
func newStage(t *testing.T, own []string) *stage {
	t.Helper()
	return newStageWith(t, own, config+adminConfig(), 1)
}

// newStageWith is newStage for another configuration of Apache's, and several queues.
func newStageWith(t *testing.T, own []string, config string, queues int) *stage {
	t.Helper()
	s := &stage{Bed: testbed.Start(t, testbed.Options{
		Options:  nstest.Options{Queues: queues},
		NoApache: true, NoDaemon: true, Modules: []string{"headers", "expires", "rewrite", "include", "brotli", "speling", "userdir", "info", "asis", "allowmethods", "substitute", "ratelimit"},
		Config: config,
	})}
	s.alone[0], s.alone[1] = s.Alone()
	s.build(own)
	s.StartApache()
	return s
}

func (s *stage) startDaemon(more ...string) {
	// Who gives an answer is asserted, and many in a row are Apache's.
	s.StartDaemon(append([]string{"--leave-connections", "never", "--address", s.Address(false), "--address", s.Address(true)}, more...)...)
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// put writes a file below the testbed's folder, for all to read.
func (s *stage) put(name string, body []byte) {
	s.Helper()
	path := filepath.Join(s.Dir, name)
	s.must(os.MkdirAll(filepath.Dir(path), 0o755))
	s.must(os.WriteFile(path, body, 0o644))
}

func (s *stage) link(name, to string) {
	s.Helper()
	s.must(os.MkdirAll(filepath.Dir(filepath.Join(s.Dir, name)), 0o755))
	s.must(os.Symlink(to, filepath.Join(s.Dir, name)))
}

// ownSize is the size of the files that belong to one case; ownETag what Apache makes of it and of the time.
const ownSize = 1000

var ownETag = fmt.Sprintf("\"%x-%x\"", ownSize, modified.UnixMicro())

// noise returns n octets that look like nothing else and do not compress; words returns n that do.
func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	rnd.Read(b) //nolint:errcheck // never fails
	return b
}

func words(n int) []byte {
	return bytes.Repeat([]byte("<p>The quick brown fox jumps over the lazy dog.</p>\n"), n/50+1)[:n]
}

func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(body) //nolint:errcheck // into memory
	w.Close()
	return b.Bytes()
}

// build makes all files of the site.
func (s *stage) build(own []string) {
	s.Helper()
	for _, target := range own {
		s.put("www"+target, words(ownSize))
	}
	s.put("www/sentinel.txt", []byte("the end\n"))
	s.put("www/index.html", words(400))
	s.plainFiles()
	s.negotiated()
	s.htaccess()
	s.linked()
	s.adminSite()
	for _, dir := range sectionDirs {
		for _, name := range []string{"a.png", "a.html", "a.txt", "a.css", "b.html"} {
			s.put("www/"+dir+"/"+name, words(777))
		}
	}
	s.put("www/auth/users", []byte("john:{SHA}C5wmJdwh7wX2rU3fR8XyA4N6oyw=\n")) // john:doe
	for _, host := range []string{"one", "two", "eight"} {
		for _, name := range []string{"index.html", "a.png", "a.html", "only-" + host + ".png"} {
			s.put(host+"/"+name, append([]byte(host), words(600)...))
		}
	}
	s.put("cgi-bin/say", []byte(say))
	s.must(os.Chmod(filepath.Join(s.Dir, "cgi-bin/say"), 0o755))
	s.datesAndModes()
}

// say tells what reached a script, octet by octet, or its sum. It announces the length: else Apache does so or not, as the
// end comes early or late.
const say = `#!/bin/sh
case "$PATH_INFO" in
/sum) body=$(sha256sum) ;;
*) body=$(od -An -v -c) ;;
esac
text=$(printf '%s %s?%s\nhost %s length %s type %s\nclient %s\n%s' "$REQUEST_METHOD" "$PATH_INFO" "$QUERY_STRING" "$HTTP_HOST" "$CONTENT_LENGTH" \
	"$CONTENT_TYPE" "$REMOTE_ADDR" "$body")
printf 'Content-Type: application/octet-stream\r\nContent-Length: %d\r\nX-Script: say\r\n\r\n%s' "${#text}" "$text"
`

// names are files that a path has to name in some odd way, or whose type is not plain.
var names = []string{
	"with space.png", "per%cent.png", "per%25cent.png", "übung.png", "plus+sign.png", "semi;colon.png", "amp&ersand.png", "quote'd.png",
	"(paren).png",
	"comma,.png", "equals=.png", "at@.png", "star*.png", "dollar$.png", "bang!.png", "tilde~.png", "colon:.png", "what?.png", "hash#.png",
	"double\"quote.png",
	"back\\slash.png", "bar|.png", "caret^.png", "less<.png", "brace{}.png", "bracket[].png", "new\nline.png", ".hidden.png", "..dots.png",
	"dots...png", "end.png.",
	"UPPER.PNG", "a.zzz", "none", "a.tar.gz", "a.png.zzz", "a.zzz.png", "a.html.png", "a.en.png", "a.gz.png", "a.svg", "a.json", "a.pdf", "a.css",
	"a.js", "a.xml",
	"a.jpg", "a.webp", "a.woff2", "a.mp4", "a.wasm", "a.ico", "a.html", "a.htm", "a.shtml", "a.txt", "a.md", "a.csv", "a.php", "a.cgi", "a.var",
	"a.asis", "a.Z", "a.br",
}

var sizes = []int{0, 1, 2, 100, 1023, 1460, 8000, 65536, 300_000}

func (s *stage) plainFiles() {
	s.Helper()
	for _, name := range names {
		s.put("www/plain/"+name, words(500))
	}
	for _, size := range sizes {
		s.put(fmt.Sprintf("www/plain/%d.png", size), noise(size))
		s.put(fmt.Sprintf("www/plain/%d.html", size), words(size))
	}
	s.put("www/plain/sub/deep/er/a.png", noise(50))
	s.put("www/withindex/index.html", words(300))
	s.put("www/withindex/a.png", noise(300))
	s.put("www/list/a b.png", noise(30))
	s.put("www/list/b.html", words(2000))
	s.put("www/list/sub/c.txt", words(20))
	s.put("www/list/README.html", []byte("<p>read me"))
	s.put("www/mode/secret.png", noise(30))
	s.put("www/mode/run.png", noise(30))
	s.put("www/mode/group.png", noise(30))
	s.put("www/mode/closed/a.png", noise(30))
}

// negotiated makes what content negotiation chooses from: codings, languages, character sets.
func (s *stage) negotiated() {
	s.Helper()
	page := words(5000)
	s.put("www/pre/page.html", page)
	s.put("www/pre/page.html.gz", zipped(page))
	s.put("www/pre/page.html.br", noise(700)) // nobody decodes it
	s.put("www/pre/lib.js", page)
	s.put("www/pre/lib.js.gz", zipped(page))
	for _, lang := range []string{"en", "de", "fr"} {
		s.put("www/lang/doc.html."+lang, append([]byte(lang), words(900)...))
	}
	s.put("www/lang/plain.html", words(800))
	s.put("www/lang/pic.png", noise(800))
	s.put("www/map/doc.var",
		[]byte("URI: doc\n\nURI: en.html\nContent-type: text/html\nContent-language: en\n\nURI: de.html\nContent-type: text/html\nContent-language: de\n"))
	s.put("www/map/en.html", words(100))
	s.put("www/map/de.html", words(110))
	for _, name := range []string{"a.html.utf8", "b.html.latin1", "c.html", "d.txt", "e.png"} {
		s.put("www/charset/"+name, words(640))
	}
}

// access is what the .htaccess file of each of these directories says.
var access = map[string]string{
	"headers":  "Header set X-Here there\n",
	"expires":  "ExpiresActive on\nExpiresDefault \"access plus 1 hour\"\n",
	"type":     "ForceType application/octet-stream\n",
	"deny":     "Require all denied\n",
	"rewrite":  "RewriteEngine on\nRewriteRule ^old\\.png$ a.png\nRewriteRule ^moved\\.png$ /own/0000.png [R=301,L]\nRewriteRule ^gone\\.png$ - [G]\n",
	"empty":    "",
	"broken":   "NoSuchDirective on\n",
	"index":    "DirectoryIndex a.txt\n",
	"charset":  "AddDefaultCharset utf-16\n",
	"etag":     "FileETag None\n",
	"error":    "ErrorDocument 404 /index.html\n",
	"nolist":   "Options -Indexes\n",
	"redirect": "Redirect 302 /ht/redirect/a.png /elsewhere\n",
	"cookie":   "RewriteEngine on\nRewriteCond %{HTTP_COOKIE} member\nRewriteRule ^a\\.png$ b.html\n",
}

func (s *stage) htaccess() {
	s.Helper()
	for dir, text := range access {
		for _, name := range []string{"a.png", "a.html", "a.txt", "b.html", "below/a.png"} {
			s.put("www/ht/"+dir+"/"+name, words(333))
		}
		s.put("www/ht/"+dir+"/.htaccess", []byte(text))
	}
	s.put("www/ht/.htpasswd", []byte("nobody:nothing\n"))
	s.link("www/ht/into", "headers")
}

func (s *stage) linked() {
	s.Helper()
	s.put("outside/a.png", noise(90))
	s.put("www/links/target.png", noise(91))
	s.link("www/links/same.png", "target.png")
	s.link("www/links/up.png", "../plain/100.png")
	s.link("www/links/absolute.png", filepath.Join(s.Root, "plain/100.png"))
	s.link("www/links/out.png", "../../outside/a.png")
	s.link("www/links/outdir", "../../outside")
	s.link("www/links/dir", "../plain")
	s.link("www/links/twice.png", "same.png")
	s.link("www/links/broken.png", "nothing.png")
	s.link("www/links/loop.png", "loop.png")
	s.link("www/links/hidden.png", "../plain/.hidden.png")
	s.link("www/links/denied.png", "../denied/a.png")
	s.link("www/links/headers.png", "../headers/a.png")
	s.link("www/links/text.png", "../plain/a.txt")
	s.link("www/nofollow/a.png", "../plain/100.png")
	s.link("www/owner/a.png", "../plain/100.png")
	s.put("www/nofollow/b.png", noise(92))
	s.put("www/owner/b.png", noise(93))
	s.must(os.Link(filepath.Join(s.Root, "links/target.png"), filepath.Join(s.Root, "links/hard.png")))
}

// datesAndModes comes last: writing into a directory changes its time, which a listing shows.
func (s *stage) datesAndModes() {
	s.Helper()
	var all []string
	s.must(filepath.WalkDir(s.Root, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	for _, dir := range []string{"one", "two", "eight", "outside", "users"} {
		s.must(filepath.WalkDir(filepath.Join(s.Dir, dir), func(path string, _ fs.DirEntry, err error) error {
			all = append(all, path)
			return err
		}))
	}
	at := unix.NsecToTimespec(modified.UnixNano())
	for _, path := range all {
		s.must(unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
	for name, mode := range map[string]os.FileMode{"secret.png": 0o600, "run.png": 0o755, "group.png": 0o640, "closed": 0o700} {
		s.must(os.Chmod(filepath.Join(s.Root, "mode", name), mode))
	}
}

// escaped returns the path of a file, percent-encoded where RFC 3986 wants it.
func escaped(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#%<>?[\\]^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
