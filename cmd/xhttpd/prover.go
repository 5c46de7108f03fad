package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/xhttpd/xhttpd/internal/config"
)

const dialTimeout = 5 * time.Second

// prover connects to the server behind, through the kernel, where a client's connections are handed to it. It implements
// filecache.Backend.
type prover struct {
	cfg      *config.Daemon
	stranger *stranger
}

// Dial implements filecache.Backend.
func (p *prover) Dial(ctx context.Context, local netip.Addr) (net.Conn, error) {
	to := where(p.cfg, local)
	from, err := p.stranger.from(to.Addr())
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	d.SetMultipathTCP(false)
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect to the server behind at %s: %w", to, err)
	}
	return conn, nil
}

// where returns where the server behind listens for clients that connect to local.
func where(cfg *config.Daemon, local netip.Addr) netip.AddrPort {
	b := cfg.Backend.V4
	if family(local) == 1 {
		b = cfg.Backend.V6
	}
	if b.IsValid() && !b.Addr().IsUnspecified() {
		return b
	}
	if local.IsLinkLocalUnicast() {
		local = local.WithZone(cfg.Interface)
	}
	return netip.AddrPortFrom(local, cfg.Backend.Port(cfg.Port))
}
