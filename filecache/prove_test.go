package filecache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// scriptedServer answers every connection on loopback with what script returns, and hangs up.
func scriptedServer(t *testing.T, script func(*http.Request) []byte) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				conn.Write(script(req)) //nolint:errcheck // the client tells
			}
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// proofStage is a cache with one file and the header section that a server behind must send for it.
func proofStage(t *testing.T) (*stage, []byte) {
	t.Helper()
	s := newStage(t, nil)
	s.put("a.png", "content")
	s.opts.Server = "Some/1"
	if why := s.Fill(t.Context(), "/a.png"); why != Taken {
		t.Fatal(why)
	}
	o := s.Lookup([]byte("/a.png"))
	resp, _ := o.Respond(&httpwire.Request{Head: true, SentKeepAlive: true}, 100, 1795000000)
	section := make([]byte, o.Len(resp))
	o.ReadAt(resp, section, 0)
	return s, section
}

// One octet makes a difference, wherever it is, except in what we learn from the server behind: the values of Date
// and Server.
func TestProofToTheOctet(t *testing.T) {
	s, section := proofStage(t)
	backend := &scripted{}
	s.opts.Backend = backend
	s.mu.Lock()
	s.dropAll()
	s.mu.Unlock()
	for k := range section {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			other := bytes.Clone(section)
			other[k] ^= flip
			*backend = scripted{answer: string(other)}
			got := s.Fill(t.Context(), "/a.png")
			learned := false
			for _, name := range []string{"Date", "Server"} {
				at := bytes.Index(section, []byte("\r\n"+name+": ")) + len(name) + 4
				learned = learned || k >= at && k < at+len(field(section, name))
			}
			if got == Taken && !learned {
				t.Errorf("octet %d, %q for %q, is not noticed", k, other[k], section[k])
			}
			if got == Taken {
				// Whatever we have learned, we say the same as the server.
				o := s.Lookup([]byte("/a.png"))
				date, _ := httpwire.ParseDate([]byte(field(other, "Date")), 1795000000)
				resp, _ := o.Respond(&httpwire.Request{Head: true, SentKeepAlive: true}, 100, date)
				ours := make([]byte, o.Len(resp))
				o.ReadAt(resp, ours, 0)
				if !bytes.Equal(ours, other) {
					t.Errorf("we say %q, it said %q", ours, other)
				}
				s.mu.Lock()
				s.dropAll()
				s.mu.Unlock()
			} else if s.Lookup([]byte("/a.png")) != nil {
				t.Fatalf("refused as %v, but in the cache", got)
			}
		}
	}
}

func TestProofOverTCP(t *testing.T) {
	s, section := proofStage(t)
	same := string(section)
	for name, c := range map[string]struct {
		answer string
		want   Refusal
	}{
		"the same":       {same, Taken},
		"body after it":  {same + "content", Taken},
		"404":            {strings.Replace(same, "200 OK", "404 Not Found", 1), ProofStatus},
		"HTTP/1.0":       {strings.Replace(same, "HTTP/1.1", "HTTP/1.0", 1), ProofStatus},
		"500, no fields": {"HTTP/1.1 500 Oops\r\n\r\n", ProofStatus},
		"one octet":      {strings.Replace(same, "bytes", "bites", 1), ProofDiffers},
		"bare LF":        {strings.ReplaceAll(same, "\r\n", "\n"), NoBackend},
		"no end":         {strings.TrimSuffix(same, "\r\n"), NoBackend},
		"nothing":        {"", NoBackend},
		"endless":        {same[:len(same)-2] + strings.Repeat("X-A: b\r\n", 20000), NoBackend},
	} {
		t.Run(name, func(t *testing.T) {
			s.mu.Lock()
			s.dropAll()
			s.mu.Unlock()
			var asked string
			addr := scriptedServer(t, func(r *http.Request) []byte {
				asked = r.Method + " " + r.RequestURI + " " + r.Host + " " + r.Header.Get("Connection")
				return []byte(c.answer)
			})
			s.opts.Backend = &HTTPBackend{Addr: addr, Host: "www.example", Timeout: 20 * time.Second}
			if got := s.Fill(t.Context(), "/a.png"); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if want := "HEAD /a.png www.example keep-alive"; asked != want {
				t.Errorf("asked for %q, want %q", asked, want)
			}
			if (s.Lookup([]byte("/a.png")) != nil) != (c.want == Taken) {
				t.Error("the cache holds what it should not, or lacks what it should hold")
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		s.opts.Backend = &HTTPBackend{Addr: freeAddr(t), Timeout: 20 * time.Second}
		if got := s.Fill(t.Context(), "/a.png"); got != NoBackend {
			t.Errorf("%v, want %v", got, NoBackend)
		}
	})
	t.Run("says nothing", func(t *testing.T) {
		quit := make(chan struct{})
		addr := scriptedServer(t, func(*http.Request) []byte { <-quit; return nil })
		b := &HTTPBackend{Addr: addr, Timeout: 50 * time.Millisecond}
		_, err := b.Head(t.Context(), "/")
		var timeout net.Error
		if close(quit); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v, want a timeout", err)
		}
	})
}

// A file that changes while the server behind is asked does not get in.
func TestChangeDuringProof(t *testing.T) {
	s, section := proofStage(t)
	s.run()
	s.until("events are on", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.watch != nil })
	s.mu.Lock()
	s.dropAll()
	s.mu.Unlock()
	changed := func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.names) == 0 }
	s.opts.Backend = backendFunc(func() []byte {
		s.put("a.png", "CONTENT")
		s.until("the change is noticed", changed)
		return section
	})
	if got := s.Fill(t.Context(), "/a.png"); got == Taken || s.Lookup([]byte("/a.png")) != nil {
		t.Errorf("%v", got)
	}
}

type backendFunc func() []byte

func (f backendFunc) Head(context.Context, string) ([]byte, error) { return f(), nil }
