package filecache

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is on disk is proven by a real Apache, and then given out octet for octet as it does.
func TestFileSameAsApache(t *testing.T) {
	s := largeStage(t, func(o *Options) { o.Backend, o.ProofRate = dead{}, 10000 })
	sizes := map[string]int{"/d/just.png": 1001, "/d/page.bin": 5000, "/d/big.mp4": 300_000}
	for target, size := range sizes {
		s.put(target[1:], strings.Repeat("octets \n", size/8+1)[:size])
	}
	a := startApache(t, s.root, "")
	s.opts.Backend = a
	s.run()
	compared, left := 0, 0
	for target := range sizes {
		s.until("it is proven", func() bool {
			s.want(target)
			return s.look(target) != nil
		})
		o := s.look(target)
		if o.file == nil || o.octets != nil {
			t.Fatalf("%s is in memory", target)
		}
		for _, fields := range conditions(o) {
			if strings.Contains(fields, "Accept-Encoding") {
				continue
			}
			for _, head := range []string{"GET %s HTTP/1.1", "HEAD %s HTTP/1.1", "GET %s HTTP/1.0"} {
				head = fmt.Sprintf(head, target) + "\r\nHost: test\r\n" + fields + "\r\n"
				its := a.ask(head)
				ours, ok := respond(t, o, head, 0, its)
				switch {
				case !ok:
					left++
				case !bytes.Equal(ours, its):
					t.Errorf("%q:\nours %.600q\nits  %.600q", head, ours, its)
				default:
					compared++
				}
			}
		}
	}
	if t.Logf("%d compared, %d left to Apache", compared, left); compared < 2*left {
		t.Error("too many are left")
	}
}

// The answer has to be the file, to the last octet, and the file what it was.
func TestFileProof(t *testing.T) {
	const size = 200_000
	content := strings.Repeat("0123456789", size/10)
	replace := func(from, to string) func(*http.Request, string) string {
		return func(_ *http.Request, head string) string { return strings.Replace(head, from, to, 1) }
	}
	for name, c := range map[string]struct {
		change func(s *stage, b *imitation)
		want   Refusal
	}{
		"stock":               {func(*stage, *imitation) {}, Taken},
		"another last octet":  {func(_ *stage, b *imitation) { b.body = content[:size-1] + "x" }, ProofContent},
		"another first octet": {func(_ *stage, b *imitation) { b.body = "x" + content[1:] }, ProofContent},
		"an octet more":       {func(_ *stage, b *imitation) { b.body += "x" }, TooLarge},
		"an octet less":       {func(_ *stage, b *imitation) { b.body = content[1:] }, TooLarge},
		"chunked": {func(_ *stage, b *imitation) {
			b.change = replace(fmt.Sprintf("Content-Length: %d", size), "Transfer-Encoding: chunked")
		}, TooLarge},
		"a coding":     {func(_ *stage, b *imitation) { b.change = replace("Server:", "Content-Encoding: x\r\nServer:") }, TooLarge},
		"not there":    {func(_ *stage, b *imitation) { b.status, b.body = "404 Not Found", "none" }, ProofStatus},
		"another time": {func(_ *stage, b *imitation) { b.modified = b.modified.Add(-3e9) }, ProofContent},
		"no HEAD": {func(_ *stage, b *imitation) {
			b.change = func(r *http.Request, head string) string {
				if r.Method == "HEAD" {
					return strings.Replace(head, "200 OK", "405 No", 1)
				}
				return head
			}
		}, ProofOdd},
		"changed meanwhile": {func(s *stage, b *imitation) {
			b.change = func(r *http.Request, head string) string {
				if r.Method == "HEAD" { // behind the answer that was compared
					s.must(writeAt(filepath.Join(s.root, "a.png"), 7))
				}
				return head
			}
		}, Changing},
		"changed while it is compared": {func(s *stage, b *imitation) {
			b.change = func(_ *http.Request, head string) string {
				s.must(os.Truncate(filepath.Join(s.root, "a.png"), size-1))
				return head
			}
		}, ProofContent},
	} {
		t.Run(name, func(t *testing.T) {
			b := &imitation{body: content}
			s := largeStage(t, func(o *Options) { o.Backend = b })
			s.put("a.png", content)
			b.modified = s.modified("a.png")
			c.change(s, b)
			if why := s.fill("/a.png"); why != c.want {
				t.Fatalf("%v, want %v", why, c.want)
			}
			if o := s.look("/a.png"); (o != nil) != (c.want == Taken) || o != nil && o.file == nil {
				t.Errorf("in the cache: %v", o)
			}
		})
	}
}

// One that is too large even for that is refused without a question.
func TestFileTooLarge(t *testing.T) {
	b := &imitation{body: strings.Repeat("x", 5000)}
	s := largeStage(t, func(o *Options) { o.Backend, o.MaxFile = b, 4999 })
	s.put("a.png", b.body)
	if why := s.fill("/a.png"); why != TooLarge || len(b.asked) > 0 {
		t.Errorf("%v, asked %q", why, b.asked)
	}
}
