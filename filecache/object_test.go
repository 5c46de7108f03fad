package filecache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

var modified = time.Date(2020, 1, 2, 3, 4, 5, 678901000, time.UTC)

func object(t *testing.T, varies bool) *Object {
	t.Helper()
	o, err := newObject("/a.png", []byte(strings.Repeat("0123456789", 300)), facts{
		server: "Apache/2.4.71 (Debian)", mime: "image/png", keepAlive: 5 * time.Second, modified: modified, varies: varies,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func request(t *testing.T, head string) *httpwire.Request {
	t.Helper()
	var r httpwire.Request
	if _, v, why := httpwire.Parse([]byte(head), &r); v != httpwire.Complete {
		t.Fatalf("%q: %v %v", head, v, why)
	}
	return &r
}

// As Apache 2.4.71 of Debian writes it, field for field.
func TestHeaderSection(t *testing.T) {
	const date = 1795000000
	front := "Date: Wed, 18 Nov 2026 11:06:40 GMT\r\nServer: Apache/2.4.71 (Debian)\r\nLast-Modified: Thu, 02 Jan 2020 03:04:05 GMT\r\n" +
		"ETag: \"bb8-59b1f72314f35\"\r\nAccept-Ranges: bytes\r\n"
	for _, c := range []struct{ head, want string }{
		{"GET /a.png HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nContent-Type: image/png\r\n\r\n"},
		{"HEAD /a.png HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nKeep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\nContent-Type: image/png\r\n\r\n"},
		{"GET /a.png HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nConnection: close\r\nContent-Type: image/png\r\n\r\n"},
		{"GET /a.png HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + front + "\r\n"},
		{"GET /a.png HTTP/1.0\r\nIf-None-Match: *\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + front + "Connection: close\r\n\r\n"},
	} {
		o := object(t, false)
		r := request(t, c.head)
		resp, ok := o.Respond(r, 100, date)
		if !ok {
			t.Fatalf("%q: not ours", c.head)
		}
		all := make([]byte, o.Len(resp))
		if n := o.ReadAt(resp, all, 0); n != len(all) {
			t.Fatalf("%q: %d octets of %d", c.head, n, len(all))
		}
		section, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
		if got := string(section) + "\r\n\r\n"; got != c.want {
			t.Errorf("%q:\n%q\nwant\n%q", c.head, got, c.want)
		}
		if want := resp.Status() == 200 && !r.Head; (len(body) == 3000) != want {
			t.Errorf("%q: body of %d octets", c.head, len(body))
		}
		// A retransmission may begin and end anywhere.
		for off := 0; off < len(all); off += 7 {
			part := make([]byte, min(100, len(all)-off))
			if n := o.ReadAt(resp, part, uint32(off)); n != len(part) || !bytes.Equal(part, all[off:off+n]) {
				t.Fatalf("%q: octets at %d differ", c.head, off)
			}
		}
	}
}

func TestPreconditions(t *testing.T) {
	for _, c := range []struct {
		fields string
		varies bool
		want   int // 0: Apache's
	}{
		{"", false, 200},
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\n", false, 304},
		{"If-None-Match: \"x\" , W/\"bb8-59b1f72314f35\"\r\n", false, 304},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", false, 200},
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", false, 304},
		// Apache, unlike RFC 9110, wants both to hold.
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT\r\n", false, 0},
		{"If-Modified-Since: Thu, 02 Jan 2031 03:04:05 GMT\r\nIf-None-Match: *\r\n", false, 0},
		{"If-None-Match: *\r\nIf-Modified-Since: yesterday\r\n", false, 0},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: yesterday\r\n", false, 200},
		{"If-None-Match: bb8-59b1f72314f35\r\n", false, 0},
		{"If-None-Match: \"x\" \"y\"\r\n", false, 0},
		{"If-None-Match: \"x\r\n", false, 0},
		{"If-None-Match: \"x\",\r\n", false, 0},
		{"If-None-Match: \"bb8-59b1f72314f35-gzip\"\r\n", true, 0},
		{"If-None-Match: \"bb8-59b1f72314f35-gzip\"\r\n", false, 200},
		{"If-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", false, 304},
		{"If-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT\r\n", false, 200},
		{"If-Modified-Since: Thu, 02 Jan 2031 03:04:05 GMT\r\n", false, 200},
		{"If-Modified-Since: yesterday\r\n", false, 0},
		{"Accept-Encoding: gzip\r\n", false, 200},
		{"Accept-Encoding: gzip\r\n", true, 0},
		{"Accept-Encoding: identity\r\n", true, 200},
	} {
		resp, ok := object(t, c.varies).Respond(request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\n"+c.fields+"\r\n"), 100, 1795000000)
		got := resp.Status()
		if !ok {
			got = 0
		}
		if got != c.want {
			t.Errorf("%q, varies %v: %d, want %d", c.fields, c.varies, got, c.want)
		}
	}
}

// The last request of a connection is answered with "close".
func TestRequestsLeft(t *testing.T) {
	r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
	for left, want := range map[int]string{1: "Keep-Alive: timeout=5, max=1\r\nConnection: Keep-Alive\r\n", 0: "Connection: close\r\n", -1: "Keep-Alive: timeout=5\r\nConnection: Keep-Alive\r\n"} {
		o := object(t, false)
		resp, _ := o.Respond(r, left, 0)
		b := make([]byte, o.Len(resp))
		o.ReadAt(resp, b, 0)
		if !strings.Contains(string(b), "\r\n"+want+"Content-Type") || resp.Closes() != (left == 0) {
			t.Errorf("%d left: closes %v, %q", left, resp.Closes(), b[:300])
		}
	}
}

func TestResponsesDoNotAllocate(t *testing.T) {
	s := newStage(t, nil)
	s.put("a.png", "x")
	if why := s.Fill(t.Context(), "/a.png"); why != Taken {
		t.Fatal(why)
	}
	r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n\r\n")
	target, dst := []byte("/a.png"), make([]byte, 1460)
	if n := testing.AllocsPerRun(100, func() {
		o := s.Lookup(target)
		resp, _ := o.Respond(r, 100, 1795000000)
		o.Len(resp)
		o.ReadAt(resp, dst, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if size := reflect.TypeFor[Response]().Size(); size > 16 {
		t.Errorf("a Response takes %d octets", size)
	}
}

// scripted is a backend that says what the test wants.
type scripted struct {
	answer string
	err    error
}

func (b *scripted) Head(context.Context, string) ([]byte, error) { return []byte(b.answer), b.err }

// An object is taken only if the server behind would send the same header section, octet for octet.
func TestProof(t *testing.T) {
	backend := &scripted{}
	s := newStage(t, func(o *Options) { o.Backend = backend })
	s.put("a.png", "content")
	// What it would have to say.
	s.opts.Backend = nil
	s.opts.Server = "Some/1"
	if why := s.Fill(t.Context(), "/a.png"); why != Taken {
		t.Fatal(why)
	}
	o := s.Lookup([]byte("/a.png"))
	resp, _ := o.Respond(&httpwire.Request{Head: true, SentKeepAlive: true}, 100, 1795000000)
	section := make([]byte, o.Len(resp))
	o.ReadAt(resp, section, 0)
	if _, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(section)), &http.Request{Method: "HEAD"}); err != nil {
		t.Fatal(err)
	}
	s.opts.Backend = backend
	same := string(section)
	for name, c := range map[string]struct {
		answer string
		err    error
		want   Refusal
	}{
		"same":             {same, nil, Taken},
		"another server":   {strings.Replace(same, "Some/1", "Other", 1), nil, Taken},
		"varies":           {strings.Replace(same, "Content-Length: 7\r\n", "Content-Length: 7\r\nVary: Accept-Encoding\r\n", 1), nil, Taken},
		"varies otherwise": {strings.Replace(same, "Content-Length: 7\r\n", "Content-Length: 7\r\nVary: Cookie\r\n", 1), nil, ProofDiffers},
		"another length":   {strings.Replace(same, "Content-Length: 7", "Content-Length: 8", 1), nil, ProofDiffers},
		"another type":     {strings.Replace(same, "image/png", "image/x-png", 1), nil, ProofDiffers},
		"one more field":   {strings.Replace(same, "Server:", "X-A: b\r\nServer:", 1), nil, ProofDiffers},
		"a cookie":         {strings.Replace(same, "\r\n\r\n", "\r\nSet-Cookie: a=b\r\n\r\n", 1), nil, ProofDiffers},
		"another timeout":  {strings.Replace(same, "timeout=5", "timeout=6", 1), nil, ProofDiffers},
		"forbidden":        {"HTTP/1.1 403 Forbidden\r\n\r\n", nil, ProofStatus},
		"nothing":          {"", nil, ProofStatus},
		"nobody":           {"", errors.New("refused"), NoBackend},
		"no date":          {strings.Replace(same, "Date:", "Day:", 1), nil, ProofDiffers},
	} {
		*backend = scripted{c.answer, c.err}
		if got := s.Fill(t.Context(), "/a.png"); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// An answer that never ends, and one that ends too early.
func TestHTTPBackend(t *testing.T) {
	for name, answer := range map[string]string{"endless": strings.Repeat("a: b\r\n", 20000), "short": "HTTP/1.1 200 OK\r\nA: b", "long line": strings.Repeat("a", 100000)} {
		addr := serveOnce(t, answer)
		b := HTTPBackend{Addr: addr, Timeout: 10 * time.Second}
		if got, err := b.Head(t.Context(), "/"); err == nil {
			t.Errorf("%s: %d octets", name, len(got))
		}
	}
	addr := serveOnce(t, "HTTP/1.1 200 OK\r\nA: b\r\n\r\nrest")
	b := HTTPBackend{Addr: addr, Timeout: 10 * time.Second}
	if got, err := b.Head(t.Context(), "/"); err != nil || string(got) != "HTTP/1.1 200 OK\r\nA: b\r\n\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// serveOnce accepts one connection on loopback, says answer, and hangs up.
func serveOnce(t *testing.T, answer string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			conn.Write([]byte(answer)) //nolint:errcheck // the client tells
		}
	}()
	return listener.Addr().String()
}
