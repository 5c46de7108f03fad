package xdp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Mode is how a program is attached.
type Mode uint8

// The modes.
const (
	Native  Mode = iota // in the driver, before the kernel makes a socket buffer of the frame
	Generic             // in the stack, for drivers without XDP: works everywhere, gains little
)

// String returns the mode as a metric's label.
func (m Mode) String() string {
	if m == Native {
		return "native"
	}
	return "generic"
}

// Config says what Open attaches.
type Config struct {
	Interface string
	Port      uint16       // the TCP port that is served
	Addresses []netip.Addr // that are served, as by SetAddresses
	Generic   bool         // do not try native mode
	// Connections is how many each queue may hold: Program.FlowTable has room for those of all queues. FlowKey is the secret
	// of its hashes.
	Connections int
	FlowKey     [2]uint64
	// CookieKey is the secret of the connections' cookies, by which the program knows their first segments.
	CookieKey [2]uint64
	// Answers says how SYNs are answered while a ring is crowded; the zero value leaves them to the kernel.
	Answers Answers
	// Lendings is how many connections of each queue can be lent to the program at a time (Program.Lending), about; 0: none.
	Lendings int
}

// Answers are the settings of a tcpstate.Listener, under the same names. The last of each MSS is the interface's own.
type Answers struct {
	MSS4, MSS6                           [8]uint16
	Window                               uint16
	WScale                               uint8
	Timestamps, SACK, WindowScaling, ECN bool
}

// Program is the steering program, attached to one interface. It redirects nothing before the first Beat. Its methods may
// be called from any goroutine.
type Program struct {
	objects steerObjects
	link    link.Link
	bounce  link.Link // sends back what the program has answered
	mode    Mode
	warning error
	queues  int
	flows   []uint64   // the map ours
	loads   []ringLoad // the map ring_loads
	lending lending

	mu        sync.Mutex // for what follows, and for writes to the maps it mirrors
	heartbeat steerHeartbeat
	addresses map[netip.Addr]bool
	sockets   []*Socket // registered
	closed    bool
}

// Open loads the steering program and attaches it, in native mode or else in generic mode. The interface is looked up in
// the network namespace of the calling thread. Nothing is redirected until a socket is registered and Beat is called. Close
// detaches it, as does the end of the process, however it ends.
func Open(cfg Config) (*Program, error) {
	iface, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("look up interface %q: %w", cfg.Interface, err)
	}
	p := &Program{addresses: make(map[netip.Addr]bool)}
	if p.queues, err = Queues(cfg.Interface); err != nil {
		return nil, err
	}
	if !cfg.Generic {
		err := p.open(&cfg, iface, Native)
		var refused *nativeRefused
		if err == nil {
			return p, nil
		}
		if !errors.As(err, &refused) {
			return nil, err
		}
		p.warning = fmt.Errorf("native XDP cannot be had, using generic mode, which gains little, and loses packets that "+
			"offloads have merged ('ethtool -K %s gro off lro off'; on veth also tso and gso of the peer): %w", iface.Name, err)
	}
	if err := p.open(&cfg, iface, Generic); err != nil {
		return nil, err
	}
	return p, nil
}

// open loads and attaches the program in a mode. After an error it may be called again.
func (p *Program) open(cfg *Config, iface *net.Interface, mode Mode) error {
	p.mode = mode
	if err := p.load(cfg, iface); err != nil {
		return fmt.Errorf("load steer for %q: %w", cfg.Interface, explainLoad(err))
	}
	if err := p.SetAddresses(cfg.Addresses); err != nil {
		return errors.Join(err, p.free())
	}
	if err := p.attach(iface); err != nil {
		return errors.Join(err, p.free())
	}
	return nil
}

// load loads the program for p.mode.
func (p *Program) load(cfg *Config, iface *net.Interface) error {
	spec, err := loadSteer()
	if err != nil {
		return err
	}
	spec.Maps[steerMapXsks].MaxEntries = uint32(p.queues)
	var portBE [2]byte
	binary.BigEndian.PutUint16(portBE[:], cfg.Port)
	if err := spec.Variables[steerVarServedPortBe].Set(binary.NativeEndian.Uint16(portBE[:])); err != nil {
		return err
	}
	spec.Maps[steerMapRingLoads].MaxEntries = uint32(p.queues)
	if err := setFlowTable(spec, cfg, p.queues); err != nil {
		return err
	}
	if err := setLending(spec, cfg, p.queues); err != nil {
		return err
	}
	// Only where it is needed: the program is dearer with it, and drivers may treat ordinary packets in another way. In generic mode
	// the kernel (6.18) would copy packets without their mac_len (skb_pp_cow_data), so that nobody's tc program finds the Ethernet
	// header; without it, it makes them linear.
	several := iface.MTU > LinearMTU && p.mode == Native
	if several {
		spec.Programs[steerProgSteer].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	var mark [8]byte
	rand.Read(mark[:]) //nolint:errcheck // it never returns an error (its documentation)
	for name, value := range map[string]any{
		steerVarCookieKey0: cfg.CookieKey[0], steerVarCookieKey1: cfg.CookieKey[1],
		steerVarSyn: cfg.Answers.settings(iface), steerVarBounceMark: mark,
		steerVarLongestFrame: uint32(ethLen + MaxPacket(DefaultFrameSize)), steerVarSeveralBuffers: several,
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return err
		}
	}
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		return err
	}
	if p.flows, err = mapArray[uint64](p.objects.Ours); err == nil {
		p.loads, err = mapArray[ringLoad](p.objects.RingLoads)
	}
	if err == nil && cfg.Lendings > 0 {
		err = p.lending.open(&p.objects)
	}
	if err != nil {
		return errors.Join(err, p.free())
	}
	return nil
}

// free gives the maps back, and what is mapped of them.
func (p *Program) free() error {
	err := errors.Join(unmapArray(p.flows), unmapArray(p.loads), p.lending.close())
	p.flows, p.loads = nil, nil
	clear(p.addresses)
	return errors.Join(err, p.objects.Close())
}

func (p *Program) attach(iface *net.Interface) (err error) {
	p.bounce, err = link.AttachTCX(link.TCXOptions{
		Interface: iface.Index, Program: p.objects.Bounce, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
	})
	if err != nil {
		return fmt.Errorf("attach bounce to %q: %w", iface.Name, err)
	}
	if err = p.attachSteer(iface); err != nil {
		return errors.Join(err, p.bounce.Close())
	}
	return nil
}

// nativeRefused is why an interface cannot have native mode, though it may have generic mode.
type nativeRefused struct{ error }

func (e *nativeRefused) Unwrap() error { return e.error }

func (p *Program) attachSteer(iface *net.Interface) (err error) {
	flags := link.XDPDriverMode
	if p.mode == Generic {
		flags = link.XDPGenericMode
	}
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.objects.Steer, Interface: iface.Index, Flags: flags})
	// Another program is in the way in every mode.
	if err == nil || p.mode == Generic || errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EPERM) {
		return explainAttach(iface, err)
	}
	return &nativeRefused{explainAttach(iface, err)}
}

// Mode returns the mode that the program is attached in.
func (p *Program) Mode() Mode { return p.mode }

// Warning returns why the program is not in native mode although that was tried, or nil. It is for the log.
func (p *Program) Warning() error { return p.warning }

// Queues returns how many receive queues the interface had when the program was loaded; Register takes those below.
func (p *Program) Queues() int { return p.queues }

// SetAddresses replaces the served addresses. Zones do not count; IPv4-mapped IPv6 addresses mean IPv4. After an error, the
// set is some of the old and the new addresses, and the call may be repeated.
func (p *Program) SetAddresses(addresses []netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := make(map[netip.Addr]bool, len(addresses))
	for _, a := range addresses {
		want[a.Unmap().WithZone("")] = true
	}
	for a := range p.addresses { // first, so that a full map has room
		if want[a] {
			continue
		}
		if err := p.objects.Addresses.Delete(steerAddr{Octets: a.As16()}); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("stop serving address %s: %w", a, err)
		}
		delete(p.addresses, a)
	}
	for a := range want {
		if p.addresses[a] {
			continue
		}
		if err := p.objects.Addresses.Put(steerAddr{Octets: a.As16()}, uint8(1)); err != nil {
			return fmt.Errorf("serve address %s (of %d, at most %d): %w", a, len(want), p.objects.Addresses.MaxEntries(), err)
		}
		p.addresses[a] = true
	}
	return nil
}

// Beat says that the daemon was alive at now, in nanoseconds of CLOCK_MONOTONIC. One second after the newest beat, new
// connections go to the kernel; after five, everything does.
func (p *Program) Beat(now int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heartbeat.BeatNanos = uint64(now)
	return p.putHeartbeat()
}

// SetDraining with true gives new connections to the kernel; segments of others come as before.
func (p *Program) SetDraining(draining bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heartbeat.Draining = 0
	if draining {
		p.heartbeat.Draining = 1
	}
	return p.putHeartbeat()
}

func (p *Program) putHeartbeat() error {
	if err := p.objects.Heartbeats.Put(uint32(0), &p.heartbeat); err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	return nil
}

// Counters are packets by Reason.
type Counters [NumReasons]uint64

// Counters returns how many packets left the program for each reason since it was loaded, on all CPUs.
func (p *Program) Counters() (Counters, error) {
	var total Counters
	var perCPU []uint64
	for r := range total {
		if err := p.objects.Counters.Lookup(uint32(r), &perCPU); err != nil {
			return total, fmt.Errorf("read counter %s: %w", Reason(r), err)
		}
		for _, n := range perCPU {
			total[r] += n
		}
	}
	return total, nil
}

// Register lets the packets of a receive queue go to s, which must be bound to that queue. When s is closed, the kernel
// forgets it, and the queue's packets pass to the kernel. Close must not be called while s receives.
func (p *Program) Register(queue int, s *Socket) error {
	if err := p.objects.Xsks.Put(uint32(queue), uint32(s.fd)); err != nil {
		return fmt.Errorf("register socket of queue %d (of %d): %w", queue, p.queues, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.load.Store(&p.loads[queue])
	p.sockets = append(p.sockets, s)
	return nil
}

// Close detaches the program and frees it, the memory of FlowTable too. Sockets are not closed. It may be called again.
func (p *Program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	for _, s := range p.sockets {
		s.load.Store(nil)
	}
	return errors.Join(p.link.Close(), p.bounce.Close(), p.free())
}
