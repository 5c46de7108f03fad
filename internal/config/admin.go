package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Admin is the address of the admin server: on loopback, or off, which is the zero value.
type Admin struct{ addr netip.AddrPort }

// On reports whether there shall be an admin server.
func (a Admin) On() bool { return a.addr.IsValid() }

// Port returns its port, or 0.
func (a Admin) Port() uint16 { return a.addr.Port() }

// String returns the address, or "off".
func (a Admin) String() string {
	if !a.On() {
		return "off"
	}
	return a.addr.String()
}

// UnmarshalText reads IP:PORT, localhost:PORT or "off".
func (a *Admin) UnmarshalText(text []byte) error {
	*a = Admin{}
	if string(text) == "off" {
		return nil
	}
	host, port, err := splitHostPort(string(text))
	if err != nil {
		return err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%q is not an IP address: write it like 127.0.0.1:9180", host)
	}
	if !ip.Unmap().IsLoopback() {
		return fmt.Errorf("%s can be reached by others, and the admin server asks nobody for a password: "+
			"give an address of 127.0.0.0/8 or ::1, and let a proxy with access control or ssh lead there", ip)
	}
	a.addr = netip.AddrPortFrom(ip.Unmap(), port)
	return nil
}

func splitHostPort(s string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not HOST:PORT (an IPv6 address stands in brackets)", s)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port: give one from 1 to 65535", p)
	}
	return host, uint16(n), nil
}
