package main

import (
	"net/netip"
	"testing"

	"github.com/xhttpd/xhttpd/internal/config"
)

func addrs(list ...string) (all []netip.Addr) {
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func TestChoose(t *testing.T) {
	served := addrs("fe80::1", "192.0.2.1", "2001:db8::1")
	for _, c := range []struct {
		name, backend string
		listeners     []netip.Addr
		want          string
	}{
		{"Debian's Apache", "", addrs("::"), "192.0.2.1:80"},
		{"one for each family", "", addrs("0.0.0.0", "::"), "192.0.2.1:80"},
		{"IPv4 only", "", addrs("0.0.0.0"), "192.0.2.1:80"},
		{"on one served address", "", addrs("2001:db8::1"), "[2001:db8::1]:80"},
		{"on loopback only", "", addrs("127.0.0.1"), "127.0.0.1:80"},
		{"on another address", "", addrs("198.51.100.7"), "198.51.100.7:80"},
		{"not there yet", "", nil, "127.0.0.1:80"},
		{"as said", "127.0.0.1:8080", addrs("::"), "127.0.0.1:8080"},
		{"as said, IPv6", "[::1]:8080", addrs("::"), "[::1]:8080"},
		{"anywhere on another port", ":8080", addrs("::"), "192.0.2.1:8080"},
	} {
		cfg := config.Daemon{Common: config.Common{Port: 80}}
		if err := cfg.Backend.UnmarshalText([]byte(c.backend)); err != nil {
			t.Fatal(err)
		}
		if got := choose(&cfg, served, c.listeners); got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
