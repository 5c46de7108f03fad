package config

import (
	"fmt"
	"net/netip"
)

// Stranger says from which address the server behind is asked. The zero value is "auto".
type Stranger struct {
	addr netip.Addr
	off  bool
}

// Off reports whether any address of this host will do.
func (s Stranger) Off() bool { return s.off }

// Addr returns the address, invalid if one is to be chosen.
func (s Stranger) Addr() netip.Addr { return s.addr }

// String returns the address, "auto" or "off".
func (s Stranger) String() string {
	switch {
	case s.off:
		return "off"
	case s.addr.IsValid():
		return s.addr.String()
	}
	return "auto"
}

// UnmarshalText reads an address, "auto" or "off".
func (s *Stranger) UnmarshalText(text []byte) error {
	*s = Stranger{off: string(text) == "off"}
	if s.off || string(text) == "auto" || len(text) == 0 {
		return nil
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil || !a.IsGlobalUnicast() || a.Zone() != "" || a.Is4In6() {
		return fmt.Errorf("%q is not an address that a stranger could have, nor 'auto', nor 'off'", text)
	}
	s.addr = a
	return nil
}
