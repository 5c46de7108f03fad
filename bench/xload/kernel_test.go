package xload_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/impair"
	"github.com/xhttpd/xhttpd/bench/xload"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// serve runs Go's web server on the kernel's TCP: /N has N octets, with a length; /chunked/N comes in chunks; /close/N ends the
// connection.
func serve(t testing.TB, ns *nstest.NS) {
	t.Helper()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, name, found := strings.Cut(r.URL.Path[1:], "/")
		if !found {
			name = kind
		}
		n, err := strconv.Atoi(name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		switch kind {
		case "chunked":
			w.Write(body[:n/2])      //nolint:errcheck // the client's concern
			w.(http.Flusher).Flush() //nolint:errcheck // always one
			w.Write(body[n/2 : n])   //nolint:errcheck // as above
		case "close":
			w.Header().Set("Connection", "close")
			fallthrough
		default:
			w.Header().Set("Content-Length", strconv.Itoa(n))
			w.Write(body[:n]) //nolint:errcheck // as above
		}
	})
	var listener net.Listener
	ns.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", ":80"); err != nil {
			t.Fatal(err)
		}
	})
	server := &http.Server{Handler: handler}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
}

// open opens a generator in ns.
func open(t testing.TB, ns *nstest.NS, cfg xload.Config) *xload.Opened {
	t.Helper()
	var g *xload.Opened
	ns.Do(func() {
		var err error
		if g, err = xload.Open(cfg); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func run(t testing.TB, g *xload.Opened, p xload.Phase) *xload.Result {
	t.Helper()
	r, err := g.Run(p)
	if err != nil {
		t.Fatal(err)
	}
	if r.Errs() > 0 || r.Unasked > 0 {
		t.Errorf("errors %v, unasked %d", r.Errors, r.Unasked)
	}
	if r.Requests == 0 {
		t.Error("no requests")
	}
	return r
}

func at(addr netip.Addr) netip.AddrPort { return netip.AddrPortFrom(addr, 80) }

var short = xload.Phase{Warmup: 50 * time.Millisecond, Duration: 400 * time.Millisecond}

// All ways of asking, against the kernel's TCP.
func TestKernelServer(t *testing.T) {
	for _, wireLike := range []bool{true, false} {
		client, server := nstest.Pair(t, nstest.Options{WireLike: wireLike})
		serve(t, server)
		paths := []xload.Target{
			{Path: "/0", Weight: 1, Length: 0}, {Path: "/1000", Weight: 5, Length: 1000}, {Path: "/100000", Weight: 1, Length: 100_000},
			{Path: "/chunked/5000", Weight: 2, Length: 5000}, {Path: "/close/300", Weight: 1, Length: 300},
		}
		for name, cfg := range map[string]xload.Config{
			"keep-alive":      {},
			"IPv6":            {Server: at(server.IPv6)},
			"timestamps":      {Timestamps: true},
			"without SACK":    {NoSACK: true},
			"new connections": {Load: xload.Load{NewConnections: true}},
			"pipelining":      {Load: xload.Load{Pipeline: 4}},
			"thinking":        {Load: xload.Load{Think: 3 * time.Millisecond}},
			"generic XDP":     {Generic: true},
			"own ports":       {FirstPort: 2000, LastPort: 2063},
		} {
			if !wireLike && name != "keep-alive" && name != "IPv6" {
				continue // the frames are what differs
			}
			t.Run(fmt.Sprint(name, ", wire-like ", wireLike), func(t *testing.T) {
				if !cfg.Server.IsValid() {
					cfg.Server = at(server.IPv4)
				}
				cfg.Connections, cfg.Targets, cfg.Sum, cfg.Host = 16, paths, true, "test"
				if cfg.Pipeline > 1 { // a server that closes before it has read everything resets, and what is on its way is lost
					cfg.Targets = paths[:4]
				}
				g := open(t, client, cfg)
				r := run(t, g, short)
				if r.TCP.Bad > 0 {
					t.Errorf("%d bad frames", r.TCP.Bad)
				}
				if cfg.NewConnections && r.TCP.Opened < r.Requests {
					t.Errorf("%d connections for %d requests", r.TCP.Opened, r.Requests)
				}
				p := short
				p.Rate = 500
				if r := run(t, g, p); r.Requests != 200 && r.Requests != 199 && r.Requests != 201 {
					t.Errorf("open loop: %d requests, want 200", r.Requests)
				}
			})
		}
	}
}

// Several receive queues: responses come by all of them.
func TestQueues(t *testing.T) {
	client, server := nstest.Pair(t, nstest.Options{WireLike: true, Queues: 2})
	serve(t, server)
	g := open(t, client, xload.Config{Server: at(server.IPv4), Load: xload.Load{
		Connections: 32, Sum: true, Targets: []xload.Target{{Path: "/20000", Weight: 1, Length: 20_000}},
	}})
	run(t, g, short)
}

// Loss, reordering and duplicates, both ways: every response is right all the same.
func TestBadPath(t *testing.T) {
	bed := testbed.Start(t, testbed.Options{Impaired: true, NoApache: true, NoDaemon: true})
	serve(t, bed.Server)
	bad := impair.Link{Delay: time.Millisecond, Loss: 0.03, Reorder: 0.05, ReorderBy: 2 * time.Millisecond, Duplicate: 0.01}
	bed.Path.Set(1, bad, bad)
	for _, fresh := range []bool{false, true} {
		g := open(t, bed.Client, xload.Config{Server: at(bed.Server.IPv4), Load: xload.Load{
			Connections: 16, Sum: true, NewConnections: fresh, Timeout: 30 * time.Second, Targets: []xload.Target{
				{Path: "/100", Weight: 3, Length: 100}, {Path: "/20000", Weight: 2, Length: 20_000}, {Path: "/300000", Weight: 1, Length: 300_000},
				{Path: "/chunked/9000", Weight: 1, Length: 9000},
			},
		}})
		r := run(t, g, xload.Phase{Warmup: 100 * time.Millisecond, Duration: 3 * time.Second})
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if r.TCP.OutOfOrder == 0 || r.TCP.Retransmitted == 0 || r.TCP.Duplicate == 0 {
			t.Errorf("the path was too good: %+v", r.TCP)
		}
	}
}

// The kernel's own connections, to the same server by the same interface, go on while the load does.
func TestBesideTheKernel(t *testing.T) {
	client, server := nstest.Pair(t, nstest.Options{WireLike: true})
	serve(t, server)
	var conns []net.Conn
	client.Do(func() {
		for range 8 {
			c, err := net.Dial("tcp", at(server.IPv4).String())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
	})
	g := open(t, client, xload.Config{Server: at(server.IPv4), Load: xload.Load{
		Connections: 16, Sum: true, Targets: []xload.Target{{Path: "/5000", Weight: 1, Length: 5000}},
	}})
	done := make(chan error, len(conns))
	for _, c := range conns {
		go func() {
			defer c.Close()
			for range 20 {
				if _, err := io.WriteString(c, "GET /1000 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					done <- err
					return
				}
				if _, err := io.ReadAtLeast(c, make([]byte, 4096), 1000); err != nil {
					done <- err
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			done <- nil
		}()
	}
	r := run(t, g, short)
	if r.TCP.Resets > 0 {
		t.Errorf("%d resets", r.TCP.Resets)
	}
	for range conns {
		if err := <-done; err != nil {
			t.Errorf("a connection of the kernel's: %v", err)
		}
	}
}

// More connections than an address has ports for, from addresses that the kernel does not have.
func TestManySources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	client, server := nstest.Pair(t, nstest.Options{WireLike: true})
	serve(t, server)
	server.Exec("ip", "route", "add", "198.18.0.0/29", "via", client.IPv4.String())
	server.Sysctl("net/core/somaxconn", "4096")
	const conns = 10_000
	g := open(t, client, xload.Config{
		Server: at(server.IPv4), Sources: xload.Expand([]netip.Prefix{netip.MustParsePrefix("198.18.0.0/29")}), FirstPort: 10_000, LastPort: 11_999,
		Load: xload.Load{
			Connections: conns, OpenRate: 5000, Think: time.Second, Timeout: 30 * time.Second,
			Targets: []xload.Target{{Path: "/100", Weight: 1, Length: 100}},
		},
	})
	for opened := uint64(0); opened < conns; {
		opened += run(t, g, xload.Phase{Duration: 2 * time.Second}).TCP.Opened
	}
	if r := run(t, g, xload.Phase{Duration: 2 * time.Second}); r.TCP.Opened > conns/100 {
		t.Errorf("connections did not stay: %d were opened anew", r.TCP.Opened)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	client, server := nstest.Pair(t, nstest.Options{WireLike: true})
	load := xload.Load{Targets: []xload.Target{{Path: "/", Weight: 1}}}
	first := open(t, client, xload.Config{Server: at(server.IPv4), Load: load})
	defer first.Close()
	for want, cfg := range map[string]xload.Config{
		"another XDP program":      {Server: at(server.IPv4), Load: load},
		"no Ethernet interface":    {Server: at(client.IPv4), Load: load},
		"nobody on veth answers":   {Server: at(server.IPv4.Next().Next()), Load: load},
		"need more than 1 sources": {Server: at(server.IPv4), Load: xload.Load{Connections: 100_000, Targets: load.Targets}},
	} {
		client.Do(func() {
			g, err := xload.Open(cfg)
			if err == nil {
				g.Close()
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

// A server remembers for a minute whose connections it has ended. Who comes from the same port again, in another process, is let in only if its
// timestamps go on, or, without them, its sequence numbers (RFC 6191).
func TestPortsOfAnEarlierRun(t *testing.T) {
	client, server := nstest.Pair(t, nstest.Options{WireLike: true})
	serve(t, server)
	for _, timestamps := range []bool{true, false} {
		for turn := range 2 {
			g := open(t, client, xload.Config{
				Load:   xload.Load{Connections: 1, NewConnections: true, Targets: []xload.Target{{Path: "/close/300", Weight: 1, Length: 300}}},
				Server: at(server.IPv4), Sources: []netip.Addr{client.IPv4}, FirstPort: 2000, LastPort: 2009, Timestamps: timestamps,
			})
			phase := short
			if turn == 0 { // a clock that begins anew would be behind this one
				phase.Duration = 2 * time.Second
			}
			if r := run(t, g, phase); r.TCP.ChallengedACKs > 0 {
				t.Errorf("timestamps %v, turn %d: %d of %d SYNs were refused", timestamps, turn, r.TCP.ChallengedACKs, r.TCP.Opened)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
