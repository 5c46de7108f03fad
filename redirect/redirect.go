package redirect

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Defaults of Config.
const (
	DefaultMark     = 0x78687470 // "xhtp"
	DefaultRecords  = 65536
	DefaultLifetime = 60 * time.Second
)

// Config says where connections come from and who gets them.
type Config struct {
	// Interface is the device that the clients' frames arrive on. Open and the threads that call Established
	// must be in its network namespace.
	Interface string

	// Backend4 and Backend6 are the listeners that take IPv4 and IPv6 connections over. An unspecified or
	// zero address means the address that the client connected to, port 0 likewise: both right for a server
	// on *:80. Wherever the listener is, the connection has the client's view of its addresses and ports. (A
	// server bound to one address may report that instead: Apache's SERVER_ADDR does.) The listener
	// must not speak Multipath TCP, as Go's do unless told otherwise (net.ListenConfig.SetMultipathTCP).
	Backend4, Backend6 netip.AddrPort

	// Mark tells injected frames from the host's own. No other socket on the host may use it for what goes
	// out through Interface. Default DefaultMark.
	Mark uint32

	// Records is how many hand-overs may be under way at once. Default DefaultRecords.
	Records uint32

	// Lifetime is how long after Begin the record is forgotten if no socket came of it. Default DefaultLifetime.
	Lifetime time.Duration
}

// Redirector owns the two programs on the interface and what they share. Its methods may be called from any
// goroutine. Packets go through Injectors.
type Redirector struct {
	objects  bpfObjects
	links    []link.Link
	ifindex  int
	mark     uint32
	lifetime time.Duration

	stop    chan struct{}
	stopped sync.WaitGroup

	mu        sync.Mutex // guards injectors; not on the packet path
	injectors []*Injector
}

// Open loads the programs and attaches them to the interface by links, which end with the process: nothing
// is pinned. Others' tcx programs on the interface keep working; ours come first.
func Open(cfg Config) (*Redirector, error) {
	cfg.setDefaults()
	dev, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, fmt.Errorf("find interface %q: %w", cfg.Interface, err)
	}
	r := &Redirector{ifindex: dev.Index, mark: cfg.Mark, lifetime: cfg.Lifetime, stop: make(chan struct{})}
	if err := r.load(&cfg); err != nil {
		return nil, fmt.Errorf("load hand-over programs: %w", explain(err))
	}
	if err := r.attach(); err != nil {
		return nil, errors.Join(fmt.Errorf("attach hand-over programs to %q: %w", cfg.Interface, explain(err)), r.Close())
	}
	r.stopped.Add(1)
	go r.sweep()
	return r, nil
}

func (cfg *Config) setDefaults() {
	if cfg.Mark == 0 {
		cfg.Mark = DefaultMark
	}
	if cfg.Records == 0 {
		cfg.Records = DefaultRecords
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
}

func (r *Redirector) load(cfg *Config) error {
	spec, err := settings(cfg)
	if err != nil {
		return err
	}
	return spec.LoadAndAssign(&r.objects, nil)
}

// settings returns the programs with cfg in their constants.
func settings(cfg *Config) (*ebpf.CollectionSpec, error) {
	spec, err := loadBpf()
	if err != nil {
		return nil, err
	}
	addr4, err := listenerAddr(cfg.Backend4.Addr(), true)
	if err != nil {
		return nil, err
	}
	addr6, err := listenerAddr(cfg.Backend6.Addr(), false)
	if err != nil {
		return nil, err
	}
	spec.Maps[bpfMapRecords].MaxEntries = cfg.Records
	for name, value := range map[string]any{
		bpfVarInjectionMark: cfg.Mark,
		bpfVarListener4Addr: addr4,
		bpfVarListener6Addr: addr6,
		bpfVarListener4Port: portBE(cfg.Backend4.Port()),
		bpfVarListener6Port: portBE(cfg.Backend6.Port()),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	return spec, nil
}

// listenerAddr returns the address as the programs have it: zeroes for any, IPv4 mapped.
func listenerAddr(a netip.Addr, v4 bool) (b [16]byte, err error) {
	if !a.IsValid() || a.IsUnspecified() {
		return b, nil
	}
	if a.Unmap().Is4() != v4 {
		return b, fmt.Errorf("backend address %v is of the wrong family", a)
	}
	return a.As16(), nil
}

// portBE returns the port as it lies in a packet. The programs are built for little-endian machines only.
func portBE(port uint16) uint16 { return bits.ReverseBytes16(port) }

// attach puts assign in place before anything can be injected.
func (r *Redirector) attach() error {
	for _, a := range []struct {
		program *ebpf.Program
		where   ebpf.AttachType
	}{
		{r.objects.Assign, ebpf.AttachTCXIngress},
		{r.objects.Inject, ebpf.AttachTCXEgress},
	} {
		l, err := link.AttachTCX(link.TCXOptions{
			Interface: r.ifindex,
			Program:   a.program,
			Attach:    a.where,
			Anchor:    link.Head(), // a program in front of us could end the chain
		})
		if err != nil {
			return fmt.Errorf("%v: %w", a.where, err)
		}
		r.links = append(r.links, l)
	}
	return nil
}

// Injector returns a new set of sockets and buffers for one loop. It fails if the calling thread is not in
// the interface's network namespace. It is closed by Close.
func (r *Redirector) Injector() (*Injector, error) {
	i, err := newInjector(r)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.injectors = append(r.injectors, i)
	return i, nil
}

// Counters returns how often the programs were left in each way since Open.
func (r *Redirector) Counters() ([NumVerdicts]uint64, error) {
	var sums [NumVerdicts]uint64
	var perCPU []uint64
	for v := range sums {
		if err := r.objects.Counters.Lookup(bpfVerdict(v), &perCPU); err != nil {
			return sums, fmt.Errorf("read counter %v: %w", Verdict(v), err)
		}
		for _, n := range perCPU {
			sums[v] += n
		}
	}
	return sums, nil
}

// Close detaches the programs and frees everything. No Injector may be in use or be used afterwards: its
// frames would go out on the wire. Connections that the kernel has taken over live on.
func (r *Redirector) Close() error {
	var errs []error
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.injectors {
		errs = append(errs, i.close())
	}
	r.injectors = nil
	close(r.stop)
	r.stopped.Wait()
	for _, l := range r.links {
		errs = append(errs, l.Close())
	}
	errs = append(errs, r.objects.Close())
	return errors.Join(errs...)
}

// sweep frees the records that no socket came of. The programs already ignore them: a client that sends
// nothing more would leave its record in the map.
func (r *Redirector) sweep() {
	defer r.stopped.Done()
	tick := time.NewTicker(r.lifetime / 2)
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-tick.C:
			r.expire(monotonic())
		}
	}
}

// expire deletes the records that ended before now, and returns how many.
func (r *Redirector) expire(now uint64) (n int) {
	var flow bpfFlow
	var rec bpfRecord
	var old []bpfFlow
	// Deleting while iterating would make the iteration start over. An error ends it: the next tick goes on.
	for it := r.objects.Records.Iterate(); it.Next(&flow, &rec); {
		if rec.Expires <= now {
			old = append(old, flow)
		}
	}
	for _, flow := range old {
		// Between the look and the deletion Begin may have armed it anew: look again. What is left of
		// that race costs one retry by the caller.
		if r.objects.Records.Lookup(&flow, &rec) == nil && rec.Expires <= now && r.objects.Records.Delete(&flow) == nil {
			n++
		}
	}
	return n
}
