package clients

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// A tree of pages that link to each other and to pictures: wget fetches it all, asks again by date, and goes on where it was cut.
func TestWget(t *testing.T) {
	nstest.RequireTool(t, "wget", "wget")
	s := newStage(t, testbed.Options{})
	tree := map[string][]byte{}
	var documents []string
	const pages, pictures = 10, 5
	for k := range pages {
		page := fmt.Sprintf("<html><title>%d</title>", k)
		for p := range pictures {
			name := fmt.Sprintf("tree/d%d/%d.png", k, p)
			tree[name] = s.Put(name, content(1+k*1000+p*7000))
			page += fmt.Sprintf("<img src=%d.png>", p)
		}
		if k+1 < pages {
			page += fmt.Sprintf("<a href=../d%d/page.html>next</a>", k+1)
		}
		name := fmt.Sprintf("tree/d%d/page.html", k)
		tree[name] = s.Put(name, []byte(page))
		documents = append(documents, name)
	}
	s.warm(false, names(tree))                            // as curl says; pictures do not vary
	s.warm(false, documents, "Accept-Encoding: identity") // as wget says
	s.answered(len(tree)*9/10, func() {
		s.run("wget", "-nv", "-e", "robots=off", "-nH", "-r", "-l", "inf", "--tries=1", s.URL(false, "/tree/d0/page.html"))
		for name, want := range tree {
			s.same(name, want)
		}
	})
	// By date: only what has changed is fetched. (With -r, wget 1.21 goes no further at an answer of 304.)
	const other = "tree/d3/2.png"
	tree[other] = s.Put(other, content(5555))
	s.Until("the changed file is served", func() bool { return s.curl(s.URL(false, "/"+other)) == string(tree[other]) })
	s.warm(false, []string{other})
	s.answered(len(tree)*9/10, func() {
		s.must(os.Chtimes(filepath.Join(s.dir, other), old, old))
		args := []string{"-nv", "-N", "-x", "-nH", "--tries=1"}
		for name := range tree {
			args = append(args, s.URL(false, "/"+name))
		}
		_, log := s.run("wget", args...)
		if strings.Count(log, " -> \"") != 1 || !strings.Contains(log, other+"\"") {
			t.Errorf("only %s was to be fetched anew:\n%s", other, log)
		}
		for name, want := range tree {
			s.same(name, want)
		}
	})
	large := s.Put("large.png", content(4_000_000))
	s.Warm("large.png")
	for _, have := range []int{1, 123_456, len(large) - 1} {
		s.must(os.WriteFile(filepath.Join(s.dir, "large.png"), large[:have], 0o600))
		s.run("wget", "-nv", "-c", "--tries=1", s.URL(true, "/large.png"))
		s.same("large.png", large)
	}
}
