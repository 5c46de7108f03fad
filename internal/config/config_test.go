package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "1000B": 1000, "512KiB": 512 << 10, "256MiB": 256 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"64kB": 64000, "3MB": 3e6, "1gb": 1e9, " 7 MiB ": 7 << 20, "9223372036854775807": 1<<63 - 1,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %d (%v), want %d", text, s, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q, printed as %q, is %d (%v), want %d", text, s, again, err, s)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5GiB", "1 MiB MiB", "256M", "0x10", "8388608TiB", "9223372036854775808"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for %d", text, s)
		}
	}
	for size, want := range map[Size]string{0: "0B", 1023: "1023B", 1024: "1KiB", 256 << 20: "256MiB", 3 << 30: "3GiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d prints as %q, want %q", int64(size), got, want)
		}
	}
}

func TestAdmin(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:9180": "127.0.0.1:9180", "127.9.9.9:1": "127.9.9.9:1", "[::1]:9180": "[::1]:9180",
		"[::ffff:127.0.0.1]:80": "127.0.0.1:80", "localhost:9180": "127.0.0.1:9180", "off": "off",
	} {
		var a Admin
		if err := a.UnmarshalText([]byte(text)); err != nil || a.String() != want || a.On() != (want != "off") {
			t.Errorf("%q is %q (%v), want %q", text, a, err, want)
		}
	}
	for text, says := range map[string]string{
		"0.0.0.0:9180": "reached by others", ":9180": "not an IP address", "[::]:9180": "reached by others", "192.0.2.1:9180": "reached by others",
		"example.org:9180": "not an IP address", "127.0.0.1": "not HOST:PORT", "127.0.0.1:0": "not a port", "127.0.0.1:http": "not a port",
		"::1:9180": "brackets", "": "not HOST:PORT",
	} {
		var a Admin
		if err := a.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error that says %q", text, err, says)
		}
	}
}

func TestBackend(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		text           string
		v4, v6         string // where it listens
		takes4, takes6 bool
		port           uint16
	}{
		{"", "", "", true, true, 80},
		{"builtin", "", "", true, true, 80},
		{":8080", "0.0.0.0:8080", "[::]:8080", true, true, 8080},
		{"*:8080", "0.0.0.0:8080", "[::]:8080", true, true, 8080},
		{"[::]:8080", "0.0.0.0:8080", "[::]:8080", true, true, 8080},
		{"0.0.0.0:8080", "0.0.0.0:8080", "", true, false, 8080},
		{"localhost:8080", "127.0.0.1:8080", "[::1]:8080", true, true, 8080},
		{"127.0.0.1:8080", "127.0.0.1:8080", "", true, false, 8080},
		{"[::1]:8080", "", "[::1]:8080", false, true, 8080},
		{"[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", "", true, false, 8080},
	} {
		var b Backend
		if err := b.UnmarshalText([]byte(c.text)); err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := where(b.V4); got != c.v4 {
			t.Errorf("%q listens for IPv4 on %q, want %q", c.text, got, c.v4)
		}
		if got := where(b.V6); got != c.v6 {
			t.Errorf("%q listens for IPv6 on %q, want %q", c.text, got, c.v6)
		}
		if b.Takes(v4) != c.takes4 || b.Takes(v6) != c.takes6 || b.Port(80) != c.port || b.Builtin != (c.text == "builtin") {
			t.Errorf("%q: takes IPv4 %v and IPv6 %v, port %d", c.text, b.Takes(v4), b.Takes(v6), b.Port(80))
		}
	}
	for _, text := range []string{"8080", "example.org:80", "192.0.2.1", "192.0.2.1:0", "2001:db8::1:80", "[fe80::1%eth0]:80", "224.0.0.1:80", "Builtin"} {
		var b Backend
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for %+v", text, b)
		}
	}
}

func where(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// daemon returns settings as the command line's defaults are, changed.
func daemon(t *testing.T, change func(*Daemon)) Daemon {
	d := Daemon{
		Common: Common{Interface: "eth0", Port: 80, Mode: "auto", ZeroCopy: "auto", Sites: Sites{Roots: []string{"/var/www/html"}}}, Poll: "auto", BPFAnswersAfter: 16, CacheSize: 256 << 20, Dynamic: []string{"cgi-bin"},
		Reprove: time.Minute, ProofRate: 200,
		KeepAliveTimeout: 5 * time.Second, KeepAliveRequests: 100, HeadTimeout: 20 * time.Second, StallTimeout: 5 * time.Minute,
		Limits:         Limits{Prefix4: 32, Prefix6: 64, MinRate: 128, MinRatePeriod: 5 * time.Minute, SlowHeads: 2, Strays: 10000},
		MaxConnections: 65536, MaxBuffers: 4096, Grace: 30 * time.Second, AccessLog: AccessLog{Format: "combined"}, Disk: Disk{PieceMemory: 64 << 20},
	}
	if err := d.Admin.UnmarshalText([]byte("127.0.0.1:9180")); err != nil {
		t.Fatal(err)
	}
	change(&d)
	return d
}

func TestStranger(t *testing.T) {
	for text, want := range map[string]string{
		"": "auto", "auto": "auto", "off": "off", "203.0.113.7": "203.0.113.7", "2001:db8::7": "2001:db8::7",
		"127.0.0.1": "", "::1": "", "fe80::1": "", "224.0.0.1": "", "0.0.0.0": "", "stranger": "", "::ffff:1.2.3.4": "",
	} {
		var s Stranger
		if err := s.UnmarshalText([]byte(text)); (err == nil) != (want != "") || err == nil && s.String() != want {
			t.Errorf("%q: %s, %v; want %q", text, s, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	stranger := func(text string) (s Stranger) {
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	backend := func(text string) Backend {
		var b Backend
		if err := b.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	address := func(text string) func(*Daemon) {
		return func(d *Daemon) { d.Addresses = []netip.Addr{netip.MustParseAddr(text)} }
	}
	for _, c := range []struct {
		name   string
		change func(*Daemon)
		says   string // "": it is fine
	}{
		{"defaults", func(*Daemon) {}, ""},
		{"no interface", func(d *Daemon) { d.Interface = "" }, "--interface"},
		{"port 0", func(d *Daemon) { d.Port = 0 }, "--port 0"},
		{"address", address("192.0.2.1"), ""},
		{"address of IPv6", address("2001:db8::1"), ""},
		{"any address", address("0.0.0.0"), "--address 0.0.0.0"},
		{"loopback address", address("127.0.0.1"), "--address 127.0.0.1"},
		{"group's address", address("ff02::1"), "--address ff02::1"},
		{"address that the backend cannot have", func(d *Daemon) {
			address("2001:db8::1")(d)
			d.Backend = backend("127.0.0.1:8080")
		}, "takes no connections of that address family"},
		{"no root", func(d *Daemon) { d.Roots = nil }, ""},
		{"empty root", func(d *Daemon) { d.Roots = []string{"/a", ""} }, "--root"},
		{"no root, builtin", func(d *Daemon) { d.Roots, d.Backend = nil, backend("builtin") }, "--root"},
		{"two roots, builtin", func(d *Daemon) { d.Roots, d.Backend = []string{"/a", "/b"}, backend("builtin") }, "--root"},
		{"Apache and builtin", func(d *Daemon) { d.ApacheCommand, d.Backend = "apache2ctl", backend("builtin") }, "--apache-command"},
		{"private and public", func(d *Daemon) { d.Private, d.Public = []Prefix{{"", "/a"}}, []Prefix{{"", "/a"}} }, "--private /a"},
		{"private, and public below", func(d *Daemon) { d.Private, d.Public = []Prefix{{"", "/a"}}, []Prefix{{"", "/a/b"}} }, ""},
		{"host of a query", func(d *Daemon) { d.QueryIgnored = []Prefix{{"a.test", "/a"}} }, "--query-ignored"},
		{"admin on the served port", func(d *Daemon) { d.Port = 9180 }, "--admin"},
		{"admin on the backend's port", func(d *Daemon) { d.Backend = backend(":9180") }, "--admin"},
		{"admin off", func(d *Daemon) { d.Admin = Admin{} }, ""},
		{"tiny cache", func(d *Daemon) { d.CacheSize = 1000 }, "--cache-size"},
		{"object larger than the cache", func(d *Daemon) { d.MaxObject = 1 << 30 }, "--max-object"},
		{"files of a tebibyte", func(d *Daemon) { d.MaxFile = 1 << 40 }, "--max-file"},
		{"large files", func(d *Daemon) { d.MaxFile = 1<<40 - 1 }, ""},
		{"tiny pieces", func(d *Daemon) { d.PieceMemory = 1<<20 - 1 }, "--piece-memory"},
		{"object as large as the cache", func(d *Daemon) { d.MaxObject = d.CacheSize }, ""},
		{"half a second", func(d *Daemon) { d.KeepAliveTimeout = 1500 * time.Millisecond }, "--keepalive-timeout"},
		{"no time", func(d *Daemon) { d.KeepAliveTimeout = 0 }, "--keepalive-timeout"},
		{"less than no time", func(d *Daemon) { d.KeepAliveTimeout = -time.Second }, "--keepalive-timeout"},
		{"a day", func(d *Daemon) { d.KeepAliveTimeout = 24 * time.Hour }, "--keepalive-timeout"},
		{"any number of requests", func(d *Daemon) { d.KeepAliveRequests = 0 }, ""},
		{"fewer than no requests", func(d *Daemon) { d.KeepAliveRequests = -1 }, "--keepalive-requests"},
		{"too many requests", func(d *Daemon) { d.KeepAliveRequests = 65536 }, "--keepalive-requests"},
		{"no time for a head", func(d *Daemon) { d.HeadTimeout = 0 }, "--head-timeout"},
		{"no time to stall", func(d *Daemon) { d.StallTimeout = 0 }, "--stall-timeout"},
		{"fewer than no connections", func(d *Daemon) { d.MaxPerPrefix = -1 }, "--max-per-prefix"},
		{"a prefix of everybody", func(d *Daemon) { d.Prefix4 = 0 }, "--prefix4"},
		{"a long prefix", func(d *Daemon) { d.Prefix6 = 129 }, "--prefix6"},
		{"a negative rate", func(d *Daemon) { d.MinRate = -1 }, "--min-rate"},
		{"a rate over no time", func(d *Daemon) { d.MinRatePeriod = 0 }, "--min-rate-period"},
		{"fewer than no slow heads", func(d *Daemon) { d.SlowHeads = -1 }, "--slow-heads"},
		{"fewer than no strays", func(d *Daemon) { d.Strays = -1 }, "--strays"},
		{"no connections", func(d *Daemon) { d.MaxConnections = 0 }, "--max-connections"},
		{"no buffers", func(d *Daemon) { d.MaxBuffers = 0 }, "--max-buffers"},
		{"answers before anybody asks", func(d *Daemon) { d.BPFAnswersAfter = 0 }, "--bpf-answers-after 0"},
		{"answers at once", func(d *Daemon) { d.BPFAnswersAfter = 1 }, ""},
		{"answers for what nobody can count", func(d *Daemon) { d.BPFAnswersAfter = 65536 }, "--bpf-answers-after 65536"},
		{"no grace", func(d *Daemon) { d.Grace = 0 }, ""},
		{"less than no grace", func(d *Daemon) { d.Grace = -1 }, "--grace"},
		{"everything is dynamic", func(d *Daemon) { d.Dynamic = []string{""} }, "--dynamic"},
		{"nothing is dynamic", func(d *Daemon) { d.Dynamic = nil }, ""},
		{"sloppy", func(d *Daemon) { d.SloppyMime = true }, "--sloppy-mime"},
		{"sloppy and builtin", func(d *Daemon) { d.SloppyMime, d.Backend = true, backend("builtin") }, ""},
		{"two roots", func(d *Daemon) { d.Roots = append(d.Roots, "/srv") }, ""},
		{"proven all the time", func(d *Daemon) { d.Reprove = 0 }, "--reprove"},
		{"never proven", func(d *Daemon) { d.ProofRate = 0 }, "--proof-rate"},
		{"strangers", func(d *Daemon) { d.Stranger4, d.Stranger6 = stranger("203.0.113.7"), stranger("off") }, ""},
		{"stranger of IPv6 for IPv4", func(d *Daemon) { d.Stranger4 = stranger("2001:db8::7") }, "--stranger4"},
		{"stranger of IPv4 for IPv6", func(d *Daemon) { d.Stranger6 = stranger("203.0.113.7") }, "--stranger6"},
		{"a log format", func(d *Daemon) { d.AccessLog.Format = `%h \"%r\"` }, ""},
		{"a log format of Apache's own", func(d *Daemon) { d.AccessLog.Format = "%{UNIQUE_ID}e" }, "--access-log-format: "},
		{"two names", func(d *Daemon) { d.ServerName = "a\nb" }, "--server-name"},
	} {
		d := daemon(t, c.change)
		err := d.Validate()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want one that says %q", c.name, err, c.says)
		}
	}
}
