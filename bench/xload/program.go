package xload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/xdp"
)

// program is bpf/take.c, attached to an interface.
type program struct {
	objects takeObjects
	link    link.Link
	generic bool
}

// attach loads the program and attaches it, in native mode or else in generic mode.
func attach(cfg *Config, index, queues int) (*program, error) {
	spec, err := loadTake()
	if err != nil {
		return nil, err
	}
	spec.Maps[takeMapXsks].MaxEntries = uint32(queues)
	var portBE [2]byte
	binary.BigEndian.PutUint16(portBE[:], cfg.Server.Port())
	for name, value := range map[string]any{
		takeVarServer: takeAddr{Octets: cfg.Server.Addr().As16()}, takeVarServerPortBe: binary.NativeEndian.Uint16(portBE[:]),
		takeVarFirstPort: cfg.FirstPort, takeVarLastPort: cfg.LastPort,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, err
		}
	}
	p := &program{}
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("load the XDP program: needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, run as root: %w", err)
		}
		return nil, fmt.Errorf("load the XDP program: %w", err)
	}
	for _, a := range cfg.Sources {
		if err := p.objects.Sources.Put(takeAddr{Octets: a.As16()}, uint8(1)); err != nil {
			return nil, errors.Join(fmt.Errorf("add source %s: %w", a, err), p.objects.Close())
		}
	}
	modes := []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode}
	if cfg.Generic {
		modes = modes[1:]
	}
	for _, mode := range modes {
		p.link, err = link.AttachXDP(link.XDPOptions{Program: p.objects.Take, Interface: index, Flags: mode})
		p.generic = mode == link.XDPGenericMode
		if err == nil {
			return p, nil
		}
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			err = fmt.Errorf("another XDP program is attached: xload needs an interface of its own: %w", err)
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("attach the XDP program to interface %d: %w", index, err), p.objects.Close())
}

func (p *program) register(queue int, s *xdp.Socket) error {
	if err := p.objects.Xsks.Put(uint32(queue), uint32(s.FD())); err != nil {
		return fmt.Errorf("register socket of queue %d: %w", queue, err)
	}
	return nil
}

func (p *program) close() error { return errors.Join(p.link.Close(), p.objects.Close()) }

// expand returns the addresses of a list of prefixes: of one address, or of all its hosts, at most max in all.
func expand(prefixes []netip.Prefix, most int) []netip.Addr {
	var list []netip.Addr
	for _, p := range prefixes {
		if p.IsSingleIP() {
			list = append(list, p.Addr())
			continue
		}
		for a := p.Masked().Addr().Next(); p.Contains(a) && p.Contains(a.Next()) && len(list) < most; a = a.Next() {
			list = append(list, a)
		}
	}
	return list[:min(len(list), most)]
}

// Expand returns the addresses of a list of prefixes, for Config.Sources: of a single address that, of others their hosts, as
// many as are supported.
func Expand(prefixes []netip.Prefix) []netip.Addr { return expand(prefixes, maxSources) }
