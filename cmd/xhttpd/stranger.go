package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/config"
)

// What the server behind gives to this host, or to its neighbours, must not be given to everybody. So it is asked from an address that no
// rule of a site trusts: one that is reserved for documentation, on the loopback interface, for as long as xhttpd runs.
const (
	strangerLife  = 60 * time.Second // an address that is not renewed goes away: nothing stays when the daemon is killed
	strangerRenew = 20 * time.Second
)

// stranger holds the addresses. It is safe for several goroutines.
type stranger struct {
	wanted [2]config.Stranger // IPv4, IPv6
	log    *slog.Logger

	mu    sync.Mutex
	addrs [2]netip.Addr // that are there
	ended bool
}

// family returns the index for addresses like a.
func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// from returns the address from which to ask at an address like to; the zero address if any will do.
func (s *stranger) from(to netip.Addr) (netip.Addr, error) {
	k := family(to)
	if s.wanted[k].Off() {
		return netip.Addr{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return netip.Addr{}, errors.New("nobody is asked any more")
	case s.addrs[k].IsValid():
		return s.addrs[k], nil
	}
	a := s.wanted[k].Addr()
	if !a.IsValid() {
		a = randomStranger(k)
	}
	if err := addStranger(a); err != nil {
		return a, err
	}
	s.addrs[k] = a
	s.log.Info("the server behind is asked from an address that nobody trusts", "address", a, "interface", "lo")
	return a, nil
}

// randomStranger returns an address out of 203.0.113.0/24 (RFC 5737) or 2001:db8::/32 (RFC 3849).
func randomStranger(family int) netip.Addr {
	if family == 0 {
		b := [4]byte{203, 0, 113}
		rand.Read(b[3:]) //nolint:errcheck // never fails
		b[3] = 1 + b[3]%254
		return netip.AddrFrom4(b)
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	rand.Read(b[4:]) //nolint:errcheck // never fails
	return netip.AddrFrom16(b)
}

// run renews the addresses until ctx ends, and then removes them.
func (s *stranger) run(ctx context.Context) {
	for k, w := range s.wanted {
		if w.Off() {
			s.log.Warn("the server behind is asked from an address of this host: what it gives to this host only must not lie below a root", "family", [...]string{"IPv4", "IPv6"}[k])
		}
	}
	tick := time.NewTicker(strangerRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.ended = true
			s.mu.Unlock()
			s.each(removeStranger)
			return
		case <-tick.C:
			s.each(addStranger)
		}
	}
}

// each does f to every address that is there. What fails is no longer taken to be there.
func (s *stranger) each(f func(netip.Addr) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, a := range s.addrs {
		if !a.IsValid() {
			continue
		}
		if err := f(a); err != nil {
			s.log.Warn("the address from which the server behind is asked", "address", a, "err", err)
			s.addrs[k] = netip.Addr{}
		}
	}
}

func strangerOn(a netip.Addr) (netlink.Link, *netlink.Addr, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, fmt.Errorf("find the loopback interface: %w", err)
	}
	addr := &netlink.Addr{
		IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
		Scope: unix.RT_SCOPE_HOST, ValidLft: int(strangerLife / time.Second), // preferred for no time: nobody else will use it
	}
	if a.Is6() {
		addr.Scope, addr.Flags = unix.RT_SCOPE_UNIVERSE, unix.IFA_F_NODAD
	}
	return lo, addr, nil
}

// addStranger adds or renews address a.
func addStranger(a netip.Addr) error {
	lo, addr, err := strangerOn(a)
	if err == nil {
		err = netlink.AddrReplace(lo, addr)
	}
	if err != nil {
		return fmt.Errorf("add %s to the loopback interface (--stranger4 and --stranger6 say what to do instead): %w", a, err)
	}
	return nil
}

func removeStranger(a netip.Addr) error {
	lo, addr, err := strangerOn(a)
	if err == nil {
		err = netlink.AddrDel(lo, addr)
	}
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove %s from the loopback interface: %w", a, err)
	}
	return nil
}
