package backend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var modified = time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)

// site makes a root and returns the options to serve it.
func site(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	types := filepath.Join(dir, "mime.types")
	put := func(path, content string, mode os.FileMode) {
		t.Helper()
		for _, err := range []error{
			os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode), os.Chtimes(path, modified, modified),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(types, "# comment\ntext/html html htm\ntext/css\tcss\n", 0o644)
	put(filepath.Join(dir, "secret.html"), "secret", 0o644)
	put(filepath.Join(root, "index.html"), "home", 0o644)
	put(filepath.Join(root, "a.html"), "hello", 0o644)
	put(filepath.Join(root, "A.CSS"), "css", 0o644)
	put(filepath.Join(root, "unknown.zzz"), "zzz", 0o644)
	put(filepath.Join(root, "sub dir/index.html"), "sub", 0o644)
	put(filepath.Join(root, "empty/.keep"), "", 0o644)
	put(filepath.Join(root, "private.html"), "private", 0o640)
	put(filepath.Join(root, "run.html"), "#!/bin/sh", 0o755)
	put(filepath.Join(root, ".git/config"), "git", 0o644)
	put(filepath.Join(root, "closed/a.html"), "closed", 0o644)
	for _, err := range []error{
		os.Chmod(filepath.Join(root, "closed"), 0o750),
		os.Symlink("../secret.html", filepath.Join(root, "out.html")),
		os.Symlink("a.html", filepath.Join(root, "in.html")),
		syscall.Mkfifo(filepath.Join(root, "fifo.html"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return Options{
		Root: root, MimeTypes: types, IdleTimeout: 5 * time.Second, HeadTimeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
}

func serve(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

// dial connects over IPv4, to what must be a listener of both families.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Addr.(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a request as it stands.
func ask(t *testing.T, s *Server, method, target, fields string) (*http.Response, string) {
	t.Helper()
	c := dial(t, s)
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, target, fields); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

const notThere = "\x00" // as a body: any

func TestFiles(t *testing.T) {
	s := serve(t, site(t))
	etag := fmt.Sprintf("\"5-%x\"", modified.UnixMicro())
	for _, c := range []struct {
		method, target, fields string
		status                 int
		body, mime             string
	}{
		{"GET", "/a.html", "", 200, "hello", "text/html"},
		{"HEAD", "/a.html", "", 200, "", "text/html"},
		{"GET", "/a.html?x=1", "", 200, "hello", "text/html"},
		{"GET", "/%61.html", "", 200, "hello", "text/html"},
		{"GET", "/./a.html", "", 200, "hello", "text/html"},
		{"GET", "/a.html", "If-None-Match: " + etag + "\r\n", 304, "", ""},
		{"GET", "/a.html", "If-None-Match: \"other\"\r\n", 200, "hello", "text/html"},
		{"GET", "/a.html", "If-Modified-Since: Thu, 29 Feb 2024 12:00:00 GMT\r\n", 304, "", ""},
		{"GET", "/a.html", "Range: bytes=1-2\r\n", 206, "el", "text/html"},
		{"GET", "/A.CSS", "", 200, "css", "text/css"},
		{"GET", "/unknown.zzz", "", 200, "zzz", "application/octet-stream"},
		{"GET", "/in.html", "", 200, "hello", "text/html"},
		{"GET", "/", "", 200, "home", "text/html"},
		{"GET", "/index.html", "", 200, "home", "text/html"},
		{"GET", "/sub%20dir/", "", 200, "sub", "text/html"},
		{"GET", "/sub%20dir", "", 301, notThere, ""},
		{"GET", "/a.html/", "", 404, notThere, ""},
		{"GET", "/none", "", 404, notThere, ""},
		{"GET", "/empty/", "", 404, notThere, ""},
		{"GET", "/private.html", "", 403, notThere, ""},
		{"GET", "/run.html", "", 403, notThere, ""},
		{"GET", "/closed/a.html", "", 403, notThere, ""},
		{"GET", "/fifo.html", "", 403, notThere, ""},
		{"GET", "/out.html", "", 404, notThere, ""},
		{"GET", "/.git/config", "", 404, notThere, ""},
		{"GET", "/../secret.html", "", 404, notThere, ""},
		{"GET", "/%2e%2e/secret.html", "", 404, notThere, ""},
		{"GET", "/a.html%00", "", 404, notThere, ""},
		{"POST", "/a.html", "Content-Length: 0\r\n", 405, notThere, ""},
		{"OPTIONS", "/a.html", "", 405, notThere, ""},
	} {
		resp, body := ask(t, s, c.method, c.target, c.fields)
		if resp.StatusCode != c.status || c.body != notThere && body != c.body || c.mime != "" && resp.Header.Get("Content-Type") != c.mime {
			t.Errorf("%s %s %q: status %d, %q, %q; want %d, %q, %q", c.method, c.target, c.fields,
				resp.StatusCode, body, resp.Header.Get("Content-Type"), c.status, c.body, c.mime)
		}
		if strings.Contains(body, "secret") {
			t.Errorf("%s tells a secret", c.target)
		}
		if resp.Header.Get("Server") != ServerField {
			t.Errorf("%s: Server is %q", c.target, resp.Header.Get("Server"))
		}
	}
	resp, _ := ask(t, s, "GET", "/sub%20dir", "")
	if to := resp.Header.Get("Location"); to != "/sub%20dir/" {
		t.Errorf("redirected to %q", to)
	}
	resp, _ = ask(t, s, "GET", "/a.html", "")
	if resp.Header.Get("ETag") != etag || resp.Header.Get("Last-Modified") != "Thu, 29 Feb 2024 12:00:00 GMT" {
		t.Errorf("validators %v", resp.Header)
	}
}

func TestSloppyMime(t *testing.T) {
	opts := site(t)
	opts.SloppyMime = true
	resp, _ := ask(t, serve(t, opts), "GET", "/unknown.zzz", "")
	if got := resp.Header.Get("Content-Type"); got != "text/html" {
		t.Errorf("Content-Type %q", got)
	}
}

// TestListener expects what hand-overs need: both families, and no Multipath TCP.
func TestListener(t *testing.T) {
	s := serve(t, site(t))
	if a := s.Addr.(*net.TCPAddr); !a.IP.IsUnspecified() {
		t.Errorf("it listens on %v only", a)
	}
	opts := site(t)
	opts.Port = uint16(s.Addr.(*net.TCPAddr).Port)
	if _, err := Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "--backend builtin") {
		t.Errorf("a second server on the port: %v", err)
	}
}

func TestStopClosesIdleConnections(t *testing.T) {
	s := serve(t, site(t))
	fresh, used := dial(t, s), dial(t, s)
	if _, err := io.WriteString(used, "GET /a.html HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(used), nil); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if d := time.Since(begun); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
	for _, c := range []net.Conn{fresh, used} {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection is still open")
		}
	}
}

func TestStartRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no root":    func(o *Options) { o.Root += "/none" },
		"no types":   func(o *Options) { o.MimeTypes += "/none" },
		"root, file": func(o *Options) { o.Root += "/a.html" },
	} {
		opts := site(t)
		change(&opts)
		if s, err := Start(t.Context(), opts); err == nil {
			t.Errorf("%s: started", name)
			_ = s.Stop(t.Context())
		}
	}
}
