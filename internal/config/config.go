package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Size is a number of octets, written as in 512KiB, 256MiB, 2GiB, or plainly.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if before, ok := strings.CutSuffix(string(text), suffix); ok {
			digits, unit = before, u
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size; write it like 256MiB", text)
	}
	if n > math.MaxInt64/unit {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(n * unit)
	return nil
}

// Endpoint is where the server behind listens. The zero value means the address and port that are served.
type Endpoint struct {
	netip.AddrPort
	Builtin bool // a file server inside of this process
}

// UnmarshalText reads "builtin", "HOST:PORT" or ":PORT". A host name is resolved once, now.
func (e *Endpoint) UnmarshalText(text []byte) error {
	*e = Endpoint{}
	if string(text) == "builtin" {
		e.Builtin = true
		return nil
	}
	host, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return errors.New("must be HOST:PORT, :PORT or builtin")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%q is not a port", port)
	}
	var addr netip.Addr
	if host != "" {
		ip, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return fmt.Errorf("resolve %q: %w", host, err)
		}
		addr, _ = netip.AddrFromSlice(ip.IP)
		addr = addr.Unmap()
	}
	e.AddrPort = netip.AddrPortFrom(addr, uint16(n))
	return nil
}
