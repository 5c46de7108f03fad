package main

import (
	"net/netip"
	"testing"

	"github.com/xhttpd/xhttpd/internal/config"
)

func TestWhere(t *testing.T) {
	for _, c := range []struct{ backend, local, want string }{
		{"", "192.0.2.1", "192.0.2.1:80"},
		{"", "2001:db8::1", "[2001:db8::1]:80"},
		{"", "fe80::1", "[fe80::1%eth7]:80"},
		{":8080", "192.0.2.1", "192.0.2.1:8080"},
		{":8080", "2001:db8::1", "[2001:db8::1]:8080"},
		{"127.0.0.1:8080", "192.0.2.1", "127.0.0.1:8080"},
		{"localhost:8080", "2001:db8::1", "[::1]:8080"},
		{"[2001:db8::7]:8080", "2001:db8::1", "[2001:db8::7]:8080"},
	} {
		cfg := &config.Daemon{Common: config.Common{Interface: "eth7", Port: 80}}
		if err := cfg.Backend.UnmarshalText([]byte(c.backend)); err != nil {
			t.Fatal(err)
		}
		if got := where(cfg, netip.MustParseAddr(c.local)).String(); got != c.want {
			t.Errorf("%q, a client of %s: %s, want %s", c.backend, c.local, got, c.want)
		}
	}
}
