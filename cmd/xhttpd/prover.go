package main

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/preflight"
	"github.com/xhttpd/xhttpd/xdp"
)

const (
	proofTimeout = 5 * time.Second
	whereFor     = 10 * time.Second // how long the server is taken to be where it was
)

// prover asks the server behind, through the kernel, at an address where it listens at present. It implements
// filecache.Backend.
type prover struct {
	cfg *config.Daemon

	mu    sync.Mutex
	addr  netip.AddrPort
	until time.Time
}

// Head implements filecache.Backend.
func (p *prover) Head(ctx context.Context, target string) ([]byte, error) {
	b := filecache.HTTPBackend{Addr: p.where().String(), Host: p.cfg.BackendHost, Timeout: proofTimeout}
	section, err := b.Head(ctx, target)
	if err != nil {
		p.mu.Lock()
		p.until = time.Time{} // it may have moved
		p.mu.Unlock()
	}
	return section, err
}

func (p *prover) where() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.After(p.until) {
		// Errors mean that nothing was found, and the fallbacks of choose are as good as any.
		listeners, _ := preflight.Listeners(os.DirFS("/proc/thread-self/net"), p.cfg.Backend.Port(p.cfg.Port))
		served := p.cfg.Addresses
		if len(served) == 0 {
			served, _ = xdp.Addresses(p.cfg.Interface)
		}
		p.addr, p.until = choose(p.cfg, served, listeners), now.Add(whereFor)
	}
	return p.addr
}

// choose returns where to ask: at an address that clients use, so that the answer is that of the right virtual host,
// if the server listens there; else wherever it listens.
func choose(cfg *config.Daemon, served, listeners []netip.Addr) netip.AddrPort {
	port := cfg.Backend.Port(cfg.Port)
	for _, b := range []netip.AddrPort{cfg.Backend.V4, cfg.Backend.V6} {
		if b.IsValid() && !b.Addr().IsUnspecified() {
			return b
		}
	}
	for _, a := range served {
		if !a.IsLinkLocalUnicast() && preflight.Listening(listeners, a) {
			return netip.AddrPortFrom(a, port)
		}
	}
	for _, l := range listeners {
		if !l.IsUnspecified() && !l.IsLinkLocalUnicast() {
			return netip.AddrPortFrom(l, port)
		}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}
