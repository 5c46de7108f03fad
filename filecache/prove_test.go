package filecache

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/xhttpd/xhttpd/internal/precondition"
)

// imitation is a server behind for one file. Its zero value with a body is a stock Apache; the functions change what it says.
type imitation struct {
	body     string // as sent
	modified time.Time
	fields   func(now time.Time) string // further ones
	status   string                     // of what is not 304 or 206
	change   func(r *http.Request, head string) string
	dialed   error
	mu       sync.Mutex
	asked    []string
}

// Dial implements Backend.
func (b *imitation) Dial(context.Context, netip.Addr) (net.Conn, error) {
	if b.dialed != nil {
		return nil, b.dialed
	}
	ours, its := net.Pipe()
	go b.serve(its)
	return ours, nil
}

func (b *imitation) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for left := 100; ; left-- {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		said := fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, r.Proto)
		for _, name := range []string{"If-None-Match", "If-Modified-Since", "Range", "Accept-Encoding", "User-Agent", "Cookie"} {
			if v := r.Header.Get(name); v != "" {
				said += " " + name
			}
		}
		b.mu.Lock()
		b.asked = append(b.asked, said)
		b.mu.Unlock()
		head, body := b.answer(r, left)
		if _, err := conn.Write([]byte(head + body)); err != nil || strings.Contains(head, "\r\nConnection: close\r\n") {
			return
		}
	}
}

func (b *imitation) answer(r *http.Request, left int) (head, body string) {
	now := time.Now()
	tag := fmt.Sprintf("%q", fmt.Sprintf("%x-%x", len(b.body), b.modified.UnixMicro()))
	common := "Date: " + now.UTC().Format(http.TimeFormat) + "\r\nServer: Imitation\r\n"
	if !b.modified.IsZero() {
		common += "Last-Modified: " + b.modified.UTC().Format(http.TimeFormat) + "\r\n"
	}
	common += "ETag: " + tag + "\r\nAccept-Ranges: bytes\r\n"
	if b.fields != nil {
		common += b.fields(now)
	}
	connection := fmt.Sprintf("Keep-Alive: timeout=5, max=%d\r\nConnection: Keep-Alive\r\n", left)
	switch r.Header.Get("Connection") {
	case "":
		connection = ""
		if r.ProtoMinor == 0 {
			connection = "Connection: close\r\n"
		}
	case "close":
		connection = "Connection: close\r\n"
	}
	status, length, body := b.status, fmt.Sprintf("Content-Length: %d\r\n", len(b.body)), b.body
	switch {
	case status != "":
	case r.Header.Get("If-None-Match") == tag, r.Header.Get("If-Modified-Since") != "":
		status, length, body = "304 Not Modified", "", ""
	case r.Header.Get("Range") != "":
		status, length, body = "206 Partial Content", fmt.Sprintf("Content-Length: 1\r\nContent-Range: bytes 0-0/%d\r\n", len(b.body)), b.body[:1]
	default:
		status = "200 OK"
	}
	mime := "image/png"
	if r.Header.Get("Range") == precondition.Probe && body != "" {
		body, mime = string(several(b.body)), "multipart/byteranges; boundary=5f0"
		length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	head = "HTTP/1.1 " + status + "\r\n" + common + length + connection + "Content-Type: " + mime + "\r\n\r\n"
	if b.change != nil {
		head = b.change(r, head)
	}
	if r.Method == "HEAD" {
		body = ""
	}
	return head, body
}

// imitated is a cache of the one file that the imitation has, too.
func imitated(t *testing.T, content string) (*stage, *imitation) {
	t.Helper()
	b := &imitation{body: content}
	s := newStage(t, func(o *Options) { o.Backend = b })
	s.put("a.png", content)
	b.modified = s.modified("a.png")
	return s, b
}

// An object is taken only if what the server behind says may be stored, is the file, and is the same a second later.
func TestProof(t *testing.T) {
	insert := func(line string) func(time.Time) string { return func(time.Time) string { return line + "\r\n" } }
	replace := func(from, to string) func(*http.Request, string) string {
		return func(_ *http.Request, head string) string { return strings.Replace(head, from, to, 1) }
	}
	for name, c := range map[string]struct {
		change func(b *imitation)
		want   Refusal
	}{
		"stock":                   {func(*imitation) {}, Taken},
		"a field":                 {func(b *imitation) { b.fields = insert("X-A: b") }, Taken},
		"varies by coding":        {func(b *imitation) { b.fields = insert("Vary: Accept-Encoding") }, Taken},
		"varies by cookie":        {func(b *imitation) { b.fields = insert("Vary: Accept-Encoding, Cookie") }, ProofStorable},
		"varies by everything":    {func(b *imitation) { b.fields = insert("Vary: *") }, ProofStorable},
		"a cookie":                {func(b *imitation) { b.fields = insert("Set-Cookie: a=b") }, ProofStorable},
		"private":                 {func(b *imitation) { b.fields = insert("Cache-Control: max-age=60, Private") }, ProofStorable},
		"no-store":                {func(b *imitation) { b.fields = insert("Cache-Control: no-store") }, ProofStorable},
		"no-cache, second field":  {func(b *imitation) { b.fields = insert("Cache-Control: public\r\nCache-Control: no-cache=\"x\"") }, ProofStorable},
		"public":                  {func(b *imitation) { b.fields = insert("Cache-Control: public, max-age=3600") }, Taken},
		"stale":                   {func(b *imitation) { b.fields = insert("Cache-Control: max-age=0, must-revalidate") }, ProofStale},
		"stale for shared caches": {func(b *imitation) { b.fields = insert("Cache-Control: max-age=3600, s-maxage=1") }, ProofStale},
		"aged":                    {func(b *imitation) { b.fields = insert("Cache-Control: max-age=3600\r\nAge: 3599") }, ProofStale},
		"has expired":             {func(b *imitation) { b.fields = insert("Expires: Thu, 01 Jan 1970 00:00:00 GMT") }, ProofStale},
		"has expired, in a way":   {func(b *imitation) { b.fields = insert("Expires: 0") }, ProofStale},
		"expires never":           {func(b *imitation) { b.fields = insert("Expires: Fri, 01 Jan 2100 00:00:00 GMT") }, Taken},
		"expires at some time, and says in how many seconds": {func(b *imitation) {
			b.fields = func(now time.Time) string {
				at := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
				return fmt.Sprintf("Cache-Control: public, max-age=%d\r\nExpires: %s\r\n", int(at.Sub(now)/time.Second), at.Format(http.TimeFormat))
			}
		}, Taken},
		"expires an hour later": {func(b *imitation) {
			b.fields = func(now time.Time) string {
				return "Cache-Control: max-age=3600\r\nExpires: " + now.Add(time.Hour).UTC().Format(http.TimeFormat) + "\r\n"
			}
		}, Taken},
		"expires ever later": {func(b *imitation) {
			b.fields = func(now time.Time) string {
				return "Expires: " + now.Add(time.Duration(now.Unix())*time.Second).UTC().Format(http.TimeFormat) + "\r\n"
			}
		}, ProofVolatile},
		"the time in a field": {func(b *imitation) {
			b.fields = func(now time.Time) string { return "X-Time: " + now.String() + "\r\n" }
		}, ProofVolatile},
		"forbidden":           {func(b *imitation) { b.status = "403 Forbidden" }, ProofStatus},
		"other content":       {func(b *imitation) { b.body = "Content" }, ProofContent},
		"other length":        {func(b *imitation) { b.body = "contents" }, ProofContent},
		"other file":          {func(b *imitation) { b.modified = b.modified.Add(time.Second) }, ProofContent},
		"no time of the file": {func(b *imitation) { b.modified = time.Time{} }, Taken},
		"unknown coding":      {func(b *imitation) { b.fields = insert("Content-Encoding: rot13") }, Taken}, // of the file itself
		"nobody":              {func(b *imitation) { b.dialed = errors.New("refused") }, NoBackend},
		"HTTP/1.0":            {func(b *imitation) { b.change = replace("HTTP/1.1", "HTTP/1.0") }, ProofOdd},
		"bare LF": {func(b *imitation) {
			b.change = func(_ *http.Request, h string) string { return strings.ReplaceAll(h, "\r\n", "\n") }
		}, ProofOdd},
		"endless": {func(b *imitation) {
			b.change = func(_ *http.Request, h string) string {
				return h[:len(h)-2] + strings.Repeat("X-A: b\r\n", 20000) + "\r\n"
			}
		}, ProofOdd},
		"long":    {func(b *imitation) { b.fields = insert("X: " + strings.Repeat("y", 3000)) }, ProofVolatile},
		"no date": {func(b *imitation) { b.change = replace("Date:", "Day:") }, ProofOdd},
		"two dates": {func(b *imitation) {
			b.fields = func(time.Time) string { return "Date: Wed, 18 Nov 2026 11:06:40 GMT\r\n" }
		}, ProofOdd},
		"closes, unless it is asked not to": {func(b *imitation) {
			b.change = func(r *http.Request, h string) string {
				if r.Header.Get("Connection") == "" && r.ProtoMinor == 1 {
					return strings.Replace(h, "Content-Type:", "Connection: close\r\nContent-Type:", 1)
				}
				return h
			}
		}, ProofKeepAlive},
		"less than a second":      {func(b *imitation) { b.change = replace("timeout=5", "timeout=0") }, ProofKeepAlive},
		"an upgrade":              {func(b *imitation) { b.fields = insert("Upgrade: h2c") }, ProofStorable},
		"an option of Connection": {func(b *imitation) { b.change = replace("Connection: Keep-Alive", "Connection: Upgrade, Keep-Alive") }, ProofVolatile},
		"does not persist": {func(b *imitation) {
			b.change = func(_ *http.Request, h string) string {
				k := strings.Index(h, "Keep-Alive:")
				if k < 0 {
					return h
				}
				return h[:k] + "Connection: close\r\n" + h[strings.Index(h, "Content-Type"):]
			}
		}, Taken},
		"denies HEAD": {func(b *imitation) {
			b.change = func(r *http.Request, h string) string {
				if r.Method == "HEAD" {
					return strings.Replace(h, "200 OK", "403 Forbidden", 1)
				}
				return h
			}
		}, Taken},
		"HEAD of something else": {func(b *imitation) {
			b.change = func(r *http.Request, h string) string {
				if r.Method == "HEAD" {
					return strings.Replace(h, "image/png", "image/gif", 1)
				}
				return h
			}
		}, ProofVolatile},
		"other with HTTP/1.0": {func(b *imitation) {
			b.change = func(r *http.Request, h string) string {
				if r.ProtoMinor == 0 {
					return strings.Replace(h, "Server:", "server:", 1)
				}
				return h
			}
		}, ProofVolatile},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := imitated(t, "content")
			c.change(b)
			if got := s.fill("/a.png"); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if (s.look("/a.png") != nil) != (c.want == Taken) {
				t.Error("the cache holds what it should not, or lacks what it should hold")
			}
			if c.want != Taken {
				s.mu.Lock()
				defer s.mu.Unlock()
				if len(s.names) != 0 || len(s.named.hosts) != 0 || len(s.named.spellings) != 0 {
					t.Errorf("something is left of what was not taken: %v %v", s.names, s.named)
				}
			}
		})
	}
}

// The answers of the object are those of the server, octet for octet, at another time, too.
func TestReplay(t *testing.T) {
	for name, fields := range map[string]func(now time.Time) string{
		"stock": nil,
		"moving": func(now time.Time) string {
			return "Cache-Control: max-age=3600\r\nExpires: " + now.Add(time.Hour).UTC().Format(http.TimeFormat) + "\r\n"
		},
		"fixed": func(now time.Time) string {
			at := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
			return fmt.Sprintf("Cache-Control: public, max-age=%d, immutable\r\nExpires: %s\r\nX-A: b\r\n", at.Unix()-now.Unix()-1, at.Format(http.TimeFormat))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := imitated(t, strings.Repeat("content ", 50))
			b.fields = fields
			if why := s.fill("/a.png"); why != Taken {
				t.Fatal(why)
			}
			o := s.look("/a.png")
			time.Sleep(time.Second)
			for _, text := range []string{
				"GET /a.png HTTP/1.1\r\nHost: test\r\n\r\n", "HEAD /a.png HTTP/1.1\r\nHost: test\r\n\r\n", "GET /a.png HTTP/1.0\r\nHost: test\r\n\r\n",
				"HEAD /a.png HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", "GET /a.png HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n",
				"GET /a.png HTTP/1.1\r\nHost: test\r\nIf-None-Match: " + o.validators.Tag + "\r\n\r\n",
				"GET /a.png HTTP/1.1\r\nHost: test\r\nIf-Modified-Since: " + b.modified.UTC().Format(http.TimeFormat) + "\r\nConnection: close\r\n\r\n",
				"GET /a.png HTTP/1.1\r\nHost: test\r\nRange: bytes=0-0\r\n\r\n", "HEAD /a.png HTTP/1.0\r\nHost: test\r\nRange: bytes=0-0\r\n\r\n",
				"GET /a.png HTTP/1.1\r\nHost: test\r\nRange: " + precondition.Probe + "\r\n\r\n",
			} {
				parsed, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text, ": close") { // ReadRequest takes it away
					parsed.Header.Set("Connection", "close")
				}
				head, body := b.answer(parsed, 93)
				got := splitAnswer(t, head)
				date, _ := got.date("Date")
				resp, ok := o.Respond(request(t, text), 7, date)
				if !ok {
					t.Fatalf("%q is not ours", text)
				}
				ours := make([]byte, o.Len(resp))
				o.ReadAt(resp, ours, 0)
				if string(ours) != head+body {
					t.Errorf("%q:\nours %.500q\nits  %.500q", text, ours, head+body)
				}
			}
			r, ok := o.Respond(request(t, "GET /a.png HTTP/1.1\r\nHost: test\r\nRange: bytes=10-109\r\n\r\n"), 7, date)
			if !ok {
				t.Fatal("a range is not ours")
			}
			if ours := string(o.head(make([]byte, 0, maxHead), &r)); !strings.Contains(ours, "\r\nContent-Length: 100\r\nContent-Range: bytes 10-109/400\r\n") {
				t.Errorf("range: %q", ours)
			}
		})
	}
}

func splitAnswer(t *testing.T, head string) (a answer) {
	t.Helper()
	if a.lines, a.status = splitHead(head); a.status == 0 {
		t.Fatalf("%q", head)
	}
	return a
}

// The server is asked as somebody whom it does not know, and no more than needed.
func TestQuestions(t *testing.T) {
	s, b := imitated(t, "content")
	r := plain("/a.png")
	r.AcceptEncoding = []byte("br")
	if why := s.Fill(t.Context(), address, r); why != Taken {
		t.Fatal(why)
	}
	want := []string{
		"GET /a.png HTTP/1.1 Accept-Encoding", "HEAD /a.png HTTP/1.1 Accept-Encoding", "HEAD /a.png HTTP/1.1 Accept-Encoding", "GET /a.png HTTP/1.1 If-None-Match Accept-Encoding",
		"GET /a.png HTTP/1.1 Range Accept-Encoding", "HEAD /a.png HTTP/1.0 Accept-Encoding", "HEAD /a.png HTTP/1.0", "HEAD /a.png HTTP/1.0 Accept-Encoding",
	}
	if got := fmt.Sprintf("%q", b.asked); got != fmt.Sprintf("%q", want) {
		t.Errorf("asked %s\nwant  %q", got, want)
	}
	b.fields, b.asked = func(time.Time) string { return "Vary: Accept-Encoding\r\n" }, nil
	s.PurgeAll()
	if why := s.Fill(t.Context(), address, r); why != Taken {
		t.Fatal(why)
	}
	if got := fmt.Sprintf("%q", b.asked); got != fmt.Sprintf("%q", want[:6]) {
		t.Errorf("of what varies, asked %s\nwant  %q", got, want[:6])
	}
	for _, other := range []string{"", "gzip", "BR", "br "} {
		r.AcceptEncoding = []byte(other)
		if s.Lookup(address, r) != nil {
			t.Errorf("proven for br, and found for %q", other)
		}
	}
	r.AcceptEncoding = []byte("br")
	for _, host := range []string{"", "Test", "test:80", "other"} {
		if r.Host = []byte(host); s.Lookup(address, r) != nil {
			t.Errorf("proven for test, and found for %q", host)
		}
	}
	r.Host = nil
	if s.Lookup(address, r) != nil {
		t.Error("proven for test, and found without Host")
	}
	r.Host = []byte("test")
	if s.Lookup([16]byte{15: 1}, r) != nil {
		t.Error("proven for one address, and found for another")
	}
	if s.Lookup(address, r) == nil {
		t.Error("not found as it was proven")
	}
}

// Compressed and chunked bodies are replayed as they came, if they are the file.
func TestCodings(t *testing.T) {
	content := ""
	for k := range 500 {
		content += fmt.Sprint(k * k * k)
	}
	pack := func(coding string) string {
		var b bytes.Buffer
		switch coding {
		case "gzip":
			w := gzip.NewWriter(&b)
			w.Write([]byte(content)) //nolint:errcheck // into memory
			w.Close()
		case "br":
			w := brotli.NewWriter(&b)
			w.Write([]byte(content)) //nolint:errcheck // into memory
			w.Close()
		case "zstd":
			w, err := zstd.NewWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(content)) //nolint:errcheck // into memory
			w.Close()
		}
		return b.String()
	}
	chunk := func(body string) string {
		return fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 10, body[:10], len(body)-10, body[10:])
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		for _, chunked := range []bool{false, true} {
			for _, torn := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, chunked %v, torn %v", coding, chunked, torn), func(t *testing.T) {
					t.Parallel()
					s, b := imitated(t, content)
					if b.body = pack(coding); torn {
						b.body = b.body[:len(b.body)-12]
					}
					if b.fields = func(time.Time) string { return "Vary: Accept-Encoding\r\nContent-Encoding: " + coding + "\r\n" }; chunked {
						b.body = chunk(b.body)
						b.change = func(_ *http.Request, h string) string {
							return strings.Replace(h, fmt.Sprintf("Content-Length: %d", len(b.body)), "Transfer-Encoding: chunked", 1)
						}
					}
					r := plain("/a.png")
					r.AcceptEncoding = []byte(coding)
					why := s.Fill(t.Context(), address, r)
					if torn {
						if why != ProofContent {
							t.Errorf("%v", why)
						}
						return
					}
					if why != Taken {
						t.Fatal(why)
					}
					o := s.Lookup(address, r)
					if string(o.octets) != b.body {
						t.Errorf("body %q, want %q", o.octets, b.body)
					}
					if _, ok := o.Respond(request(t, "GET /a.png HTTP/1.0\r\nHost: test\r\n\r\n"), 0, date); ok == chunked {
						t.Errorf("with HTTP/1.0: %v", ok)
					}
				})
			}
		}
	}
}

// A server may give a file that was compressed beforehand; then it is watched, too.
func TestCompressedBeforehand(t *testing.T) {
	content := strings.Repeat("content ", 100)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(content)) //nolint:errcheck // into memory
	w.Close()
	for name, change := range map[string]func(s *stage){
		"changed":        func(s *stage) { s.put("a.png.gz", "x") },
		"removed":        func(s *stage) { s.must(os.Remove(s.root + "/a.png.gz")) },
		"another coding": func(s *stage) { s.put("a.png.br", "x") },
	} {
		for _, events := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, events: %v", name, events), func(t *testing.T) {
				t.Parallel()
				s, server := imitated(t, content)
				s.put("a.png.gz", b.String())
				s.must(os.Chtimes(s.root+"/a.png.gz", server.modified, server.modified.Add(-time.Hour)))
				server.body, server.modified = b.String(), s.modified("a.png.gz")
				server.fields = func(time.Time) string { return "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n" }
				if events {
					s.events()
				}
				if why := s.fill("/a.png"); why != ProofContent {
					t.Errorf("to somebody who does not accept it: %v", why)
				}
				r := plain("/a.png")
				r.AcceptEncoding = []byte("gzip")
				if why := s.Fill(t.Context(), address, r); why != Taken {
					t.Fatal(why)
				}
				o := s.Lookup(address, r)
				change(s)
				s.until("the object is gone", func() bool {
					if !events {
						s.sweep()
					}
					return s.Lookup(address, r) != o
				})
			})
		}
	}
}

// The .htaccess files on the way are watched like the file.
func TestHtaccessOfProven(t *testing.T) {
	for name, c := range map[string]struct{ before, change func(s *stage) }{
		"comes":          {func(*stage) {}, func(s *stage) { s.put(".htaccess", "x") }},
		"comes as link":  {func(*stage) {}, func(s *stage) { s.must(os.Symlink("a.png", s.root+"/d/.htaccess")) }},
		"goes":           {func(s *stage) { s.put("d/.htaccess", "x") }, func(s *stage) { s.must(os.Remove(s.root + "/d/.htaccess")) }},
		"changes":        {func(s *stage) { s.put("d/.htaccess", "x") }, func(s *stage) { s.put("d/.htaccess", "y") }},
		"closes":         {func(s *stage) { s.put("d/.htaccess", "x") }, func(s *stage) { s.must(os.Chmod(s.root+"/d/.htaccess", 0)) }},
		"above, comes":   {func(*stage) {}, func(s *stage) { s.put("../.htaccess", "x") }},
		"above, changes": {func(s *stage) { s.put("../.htaccess", "x"); s.sweep() }, func(s *stage) { s.put("../.htaccess", "y") }},
		"root's changes": {func(s *stage) { s.put(".htaccess", "x") }, func(s *stage) { s.put(".htaccess", "y") }},
	} {
		for _, events := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, events: %v", name, events), func(t *testing.T) {
				t.Parallel()
				s, server := imitated(t, "content")
				s.put("d/a.png", "content")
				server.modified = s.modified("d/a.png")
				c.before(s)
				if events {
					s.events()
				}
				if why := s.fill("/d/a.png"); why != Taken {
					t.Fatal(why)
				}
				o := s.look("/d/a.png")
				c.change(s)
				s.until("the object is gone", func() bool {
					if !events || strings.HasPrefix(name, "above") { // of those, only a look tells
						s.sweep()
					}
					return s.look("/d/a.png") != o
				})
			})
		}
	}
}

// Sites may have the same file: nobody knows which of them it was, so all are watched.
func TestSameFileInTwoRoots(t *testing.T) {
	for _, k := range []int{0, 1} {
		s, server := imitated(t, "content")
		other := s.root + "-other"
		s.must(os.Mkdir(other, 0o755))
		r, err := openRoot(Root{"/", other}, nil)
		s.must(err)
		s.Cache.roots = append(s.Cache.roots, r)
		s.put("../root-other/a.png", "content")
		s.must(os.Chtimes(other+"/a.png", server.modified, server.modified))
		if why := s.fill("/a.png"); why != Taken {
			t.Fatal(why)
		}
		s.must(os.Remove([]string{s.root, other}[k] + "/a.png"))
		s.sweep()
		if s.look("/a.png") != nil {
			t.Errorf("file %d is gone, and the object is not", k)
		}
	}
}

// A template of whatever a server says either is none, or says the same at the same time.
func FuzzTemplate(f *testing.F) {
	for _, a := range stock("content", keepAlive{"timeout=5", 100}) {
		f.Add(a.head, uint8(0))
	}
	f.Add("HTTP/1.1 200 OK\r\nDate: Wed, 18 Nov 2026 11:06:40 GMT\r\nCache-Control: a, max-age=3599\r\nExpires: Wed, 18 Nov 2026 12:06:40 GMT\r\nConnection: close\r\n\r\n", uint8(1))
	f.Fuzz(func(t *testing.T, head string, which uint8) {
		a := answer{head: head}
		if a.lines, a.status = splitHead(head); a.status == 0 || a.status == 206 {
			return // of ranges, more is judged than the head
		}
		all := a.expiries()
		e := all[int(which)%len(all)]
		tmpl, ok := a.template(e)
		date, dated := a.date("Date")
		if !ok || !dated || date < 0 || date > 1<<32-1 {
			return
		}
		r := Response{Date: uint32(date), fields: fieldsClose}
		o := Object{}
		o.kinds[kind200] = tmpl
		for _, line := range a.lines {
			if strings.EqualFold(line.name, "Keep-Alive") {
				o.keepAlive, _ = persistence(line.value)
				if r.fields = fieldsTimeout; o.keepAlive.max >= 0 {
					r.fields, r.Max = fieldsMax, uint16(o.keepAlive.max)
				}
			}
		}
		said := string(o.head(make([]byte, 0, maxHead), &r))
		if len(said) != o.headLen(&r) {
			t.Errorf("%q: %d octets, not %d", said, len(said), o.headLen(&r))
		}
		if e.kind == expiresFixed && a.has("Cache-Control") {
			return // max-age may be one less
		}
		if said != head {
			t.Errorf("%q became %q", head, said)
		}
	})
}
