package flood

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

func TestAddresses(t *testing.T) {
	for _, text := range []string{"198.18.0.0/15", "192.0.2.128/28", "2001:2::/48", "2001:db8::10:0/108"} {
		p := netip.MustParsePrefix(text)
		for _, n := range []uint64{0, 1, 2, 13, 14, 15, 1 << 16, 1<<17 - 2, 1 << 40} {
			a := nth(p, n)
			if !p.Contains(a) || a == p.Masked().Addr() {
				t.Errorf("number %d of %s is %s", n, p, a)
			}
			w := wire.AddrFrom(a)
			if host := a.BitLen() - p.Bits(); n < 1<<min(host, 32)-1 && number(p, &w) != uint32(n) {
				t.Errorf("%s is number %d of %s, want %d", a, number(p, &w), p, n)
			}
		}
	}
}

// stage is the kernel's own TCP as a server that gives body to everybody, reached by the strangers of p.
func stage(t *testing.T, p netip.Prefix, body []byte) (client, server *nstest.NS) {
	t.Helper()
	client, server = nstest.Pair(t, nstest.Options{WireLike: true})
	dst := &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	var listener net.Listener
	server.Do(func() {
		gateway := client.IPv4
		if p.Addr().Is6() {
			gateway = client.IPv6
		}
		err := netlink.RouteAdd(&netlink.Route{LinkIndex: server.Index, Dst: dst, Gw: gateway.AsSlice()})
		if err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", ":80"); err != nil {
			t.Fatal(err)
		}
	})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(body) //nolint:errcheck // hostile clients
	})}
	go s.Serve(listener) //nolint:errcheck // until Close
	t.Cleanup(func() { s.Close() })
	return client, server
}

// Every kind does what it is called for, as seen by the kernel's TCP.
func TestKinds(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	for k, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := netip.MustParsePrefix([]string{"198.18.0.0/15", "2001:2::/48"}[k%2])
			// A second is enough, unless the machine has other things to do. Clients that come again are others to a new server only.
			for d := time.Second; ; d *= 2 {
				client, server := stage(t, p, body)
				cfg := Config{
					Kind: kind, Interface: client.Interface, ServerMAC: wire.MAC(server.MAC), Sources: p, Clients: 40, PerSource: 4,
					Server: netip.AddrPortFrom([]netip.Addr{server.IPv4, server.IPv6}[k%2], 80),
				}
				if _, segments := segments[kind]; segments {
					cfg.Rate = 10_000
				}
				rep := once(t, client, cfg, d)
				t.Logf("%+v", rep)
				if does(&rep, cfg.Clients, uint64(len(body))) {
					return
				}
				if d > 8*time.Second {
					t.Fatal("it does not do what it is called for")
				}
			}
		})
	}
}

// once floods for d.
func once(t *testing.T, client *nstest.NS, cfg Config, d time.Duration) (rep Report) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	client.Do(func() {
		var err error
		if rep, err = Run(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	})
	return rep
}

// does reports whether a flood of so many clients, or of segments, has done what its kind is for.
func does(rep *Report, clients int, size uint64) (ok bool) {
	n := uint64(clients)
	switch rep.Kind {
	case RST:
		ok = rep.Sent > 0 && rep.Received < rep.Sent/10
	case SYN, ACK, Data: // each is answered
		ok = rep.Sent > 0 && rep.Received > rep.Sent/10
	case Reuse: // the kernel repeats its answer to one flow at its own pace
		ok = rep.Sent > 0 && rep.Received >= reused
	case HalfOpen, ZeroWindow:
		ok = rep.Opened == n && rep.Data == 0
	case TinyWindow, SlowReader:
		ok = rep.Opened == n && rep.Data > 0 && rep.Data < size*n/2
	case Idle:
		ok = rep.Opened == n && rep.Data > size*n/2
	}
	return ok
}

// Load counts what is wrong.
func TestLoad(t *testing.T) {
	body := []byte("right")
	client, server := stage(t, netip.MustParsePrefix("198.18.0.0/15"), body)
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		client.Do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, addr) })
		return conn, err
	}
	url := "http://" + server.IPv4.String() + "/"
	for want, pages := range map[float64]map[string][]byte{
		1: {url: body}, 0: {url: []byte("other")}, 0.5: {url: body, url + "b": []byte("other")},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		l := &Load{Clients: 1, Pages: pages, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if asked++; asked == 10 {
				cancel()
			}
			return dial(ctx, network, addr)
		}}
		if res := l.Run(ctx); res.Success() != want || res.Asked != 10 {
			t.Errorf("%+v, success %v, want %v of 10", res, res.Success(), want)
		}
	}
}
