package config

import (
	"fmt"
	"net/netip"
)

// Backend says who the server behind is. The zero value is whoever listens on the served port.
type Backend struct {
	Builtin bool
	V4, V6  netip.AddrPort // where it listens; invalid: nowhere. Unspecified addresses: any
	text    string
}

// UnmarshalText reads HOST:PORT or "builtin".
func (b *Backend) UnmarshalText(text []byte) error {
	*b = Backend{text: string(text)}
	switch b.text {
	case "builtin":
		b.Builtin = true
		return nil
	case "":
		return nil
	}
	host, port, err := splitHostPort(b.text)
	if err != nil {
		return fmt.Errorf("%w, and not 'builtin'", err)
	}
	switch host {
	case "", "*":
		b.V4 = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		b.V6 = netip.AddrPortFrom(netip.IPv6Unspecified(), port)
		return nil
	case "localhost":
		b.V4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		b.V6 = netip.AddrPortFrom(netip.IPv6Loopback(), port)
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%q is not an IP address of this machine, nor 'localhost': names are not looked up", host)
	}
	if ip.IsMulticast() || ip.Zone() != "" {
		return fmt.Errorf("%s: nobody listens there for all clients", ip)
	}
	switch ip = ip.Unmap(); {
	case ip == netip.IPv6Unspecified(): // such a listener usually takes both, and the kernel's look-up knows
		b.V4 = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		b.V6 = netip.AddrPortFrom(ip, port)
	case ip.Is4():
		b.V4 = netip.AddrPortFrom(ip, port)
	default:
		b.V6 = netip.AddrPortFrom(ip, port)
	}
	return nil
}

// Default reports whether the server behind is whoever listens on the served port.
func (b Backend) Default() bool { return !b.Builtin && !b.V4.IsValid() && !b.V6.IsValid() }

// Takes reports whether connections to local address a can be given to the backend: a listener of one family
// cannot have those of the other.
func (b Backend) Takes(a netip.Addr) bool {
	if b.Builtin || b.Default() {
		return true
	}
	if a.Unmap().Is4() {
		return b.V4.IsValid()
	}
	return b.V6.IsValid()
}

// Port returns the port that it listens on, where the served one is given.
func (b Backend) Port(served uint16) uint16 {
	switch {
	case b.V4.IsValid():
		return b.V4.Port()
	case b.V6.IsValid():
		return b.V6.Port()
	}
	return served
}

// String returns what was written, or says what the default means.
func (b Backend) String() string {
	if b.text == "" {
		return "the kernel's listener"
	}
	return b.text
}
