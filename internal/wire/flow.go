package wire

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IP address in network byte order; IPv4 is held as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Unlike
// netip.Addr it contains no pointer, so that arenas of it are not walked by the garbage collector.
type Addr [16]byte

// Addr4 returns the address with the four octets b, which must be 4 long or longer.
func Addr4(b []byte) (a Addr) {
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b[:4])
	return a
}

// Addr6 returns the address with the sixteen octets b, which must be 16 long or longer.
func Addr6(b []byte) (a Addr) {
	copy(a[:], b[:16])
	return a
}

// AddrFrom converts a; its zone is lost.
func AddrFrom(a netip.Addr) Addr { return Addr(a.As16()) }

// Is4 reports whether a holds an IPv4 address.
func (a *Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[0:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// Netip converts a, IPv4 unmapped.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// String prints a as netip does.
func (a Addr) String() string { return a.Netip().String() }

// Flow names a TCP connection as this host sees it: Local is us. Ports are in host byte order. It is
// comparable and contains no pointer.
type Flow struct {
	Local, Remote         Addr
	LocalPort, RemotePort uint16
}

// Is4 reports whether the flow is one of IPv4.
func (f *Flow) Is4() bool { return f.Remote.Is4() }

// String prints "remote > local" as tcpdump does.
func (f Flow) String() string {
	return netip.AddrPortFrom(f.Remote.Netip(), f.RemotePort).String() + " > " +
		netip.AddrPortFrom(f.Local.Netip(), f.LocalPort).String()
}

// words returns the flow as machine words, for hashing.
func (f *Flow) words() [5]uint64 {
	return [5]uint64{
		binary.LittleEndian.Uint64(f.Local[0:8]), binary.LittleEndian.Uint64(f.Local[8:16]),
		binary.LittleEndian.Uint64(f.Remote[0:8]), binary.LittleEndian.Uint64(f.Remote[8:16]),
		uint64(f.LocalPort)<<16 | uint64(f.RemotePort),
	}
}
