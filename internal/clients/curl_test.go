package clients

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// curl runs it without its user's configuration and returns what it wrote.
func (s *stage) curl(args ...string) string {
	s.Helper()
	out, _ := s.run("curl", append([]string{"-q", "-sSgf", "--max-time", "50"}, args...)...)
	return out
}

func TestCurl(t *testing.T) {
	s := newStage(t, testbed.Options{})
	files := s.files(40, "many/", "png", 60_000)
	small, large := s.Put("small.png", content(999)), s.Put("large.png", content(3_000_000))
	for _, six := range []bool{false, true} {
		s.warm(six, append(names(files), "small.png", "large.png"))
		at := func(name string) string { return s.URL(six, "/"+name) }
		s.answered(6, func() {
			for _, version := range []string{"--http1.1", "--http1.0"} {
				if got := s.curl(version, at("small.png")); got != string(small) {
					t.Errorf("%s: %d octets, want %d", version, len(got), len(small))
				}
				if got := s.curl(version, at("large.png")); got != string(large) {
					t.Errorf("%s: %d octets, want %d", version, len(got), len(large))
				}
				got := s.curl(version, "-I", at("large.png"))
				if !strings.Contains(got, " 200 OK\r\n") || !strings.Contains(got, "\r\nContent-Length: 3000000\r\n") || !strings.HasSuffix(got, "\r\n\r\n") {
					t.Errorf("%s HEAD: %q", version, got)
				}
			}
		})
		// With a validator of each kind, of today's file and of another one.
		s.answered(4, func() {
			s.curl("--etag-save", "tag", "-o", "first", at("small.png"))
			s.same("first", small)
			if got := s.curl("--etag-compare", "tag", "-w", "%{http_code}", at("small.png")); got != "304" {
				t.Errorf("by tag: %q", got)
			}
			later := time.Now().Add(-time.Minute).UTC().Format(time.RFC1123)
			if got := s.curl("-z", later, "-w", "%{http_code}", at("small.png")); got != "304" {
				t.Errorf("by date: %q", got)
			}
			if got := s.curl("-z", "2001-01-01", at("small.png")); got != string(small) {
				t.Errorf("by an older date: %d octets", len(got))
			}
		})
		// All at once, on many connections.
		s.answered(36, func() {
			args := []string{"--parallel", "--parallel-max", "10", "--create-dirs"}
			for name := range files {
				args = append(args, "-o", "parallel/"+name, at(name))
			}
			s.curl(args...)
			for name, want := range files {
				s.same("parallel/"+name, want)
			}
		})
		// The first part is there, of whatever length; curl asks for the rest, by a range.
		for _, have := range []int{1, 1000, 1_500_001, len(large) - 1} {
			s.must(os.WriteFile(filepath.Join(s.dir, "part"), large[:have], 0o600))
			s.curl("-C", "-", "-o", "part", at("large.png"))
			s.same("part", large)
		}
	}
}

// One connection, and what a client sees of it.
func TestCurlKeepsTheConnection(t *testing.T) {
	s := newStage(t, testbed.Options{})
	files := s.files(20, "", "png", 20_000)
	s.warm(false, names(files))
	s.answered(20, func() {
		args := []string{"-w", "%{num_connects} "}
		for k := range 20 {
			args = append(args, "-o", fmt.Sprintf("%d.png", k), s.URL(false, fmt.Sprintf("/%d.png", k)))
		}
		if got := s.curl(args...); got != "1 "+strings.Repeat("0 ", 19) {
			t.Errorf("new connections for each request: %s", got)
		}
		for name, want := range files {
			s.same(name, want)
		}
	})
	// A body for a script behind answers of xhttpd's, and a file behind the script.
	post := filepath.Join(s.dir, "post")
	s.must(os.WriteFile(post, bytes.Repeat([]byte("0123456789"), 50_000), 0o600))
	got := s.curl("-o", "/dev/null", s.URL(false, "/7.png"), "--next", "-sSf", "--data-binary", "@"+post, s.URL(false, "/cgi-bin/who"),
		"--next", "-sSf", "-o", "last", s.URL(false, "/9.png"))
	if want := sum(bytes.Repeat([]byte("0123456789"), 50_000)); !strings.Contains(got, want) {
		t.Errorf("the script received something else: %q", got)
	}
	s.same("last", files["9.png"])
}
