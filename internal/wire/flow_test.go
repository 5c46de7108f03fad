package wire

import (
	"net/netip"
	"testing"
)

func TestAddr(t *testing.T) {
	for _, c := range []struct {
		in    string
		is4   bool
		octet int
	}{
		{"192.0.2.1", true, 4}, {"0.0.0.0", true, 4}, {"2001:db8::1", false, 16}, {"::", false, 16}, {"::1", false, 16},
	} {
		n := netip.MustParseAddr(c.in)
		a := AddrFrom(n)
		raw := n.AsSlice()
		var again Addr
		if len(raw) != c.octet {
			t.Fatalf("%s has %d octets", c.in, len(raw))
		}
		if c.is4 {
			again = Addr4(raw)
		} else {
			again = Addr6(raw)
		}
		if a != again || a.Is4() != c.is4 || a.Netip() != n || a.String() != c.in {
			t.Errorf("%s: %v, %v, IPv4 %v", c.in, a, again, a.Is4())
		}
	}
}

func TestFlowString(t *testing.T) {
	for want, f := range map[string]Flow{
		"198.51.100.7:40001 > 192.0.2.1:80":           flow4,
		"[2001:db8:ffff::7]:40001 > [2001:db8::1]:80": flow6,
	} {
		if got := f.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !flow4.Is4() || flow6.Is4() {
		t.Error("families mixed up")
	}
}
