package xload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/bench/xload/tcpclient"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/xdp"
)

// Config says what Open opens.
type Config struct {
	Load
	Server    netip.AddrPort
	Interface string // default: the route's
	// Sources are addresses that connections come from, in turn; default: the interface's. Others than the interface's must
	// be routed to it by the server, or the gateway.
	Sources []netip.Addr
	// FirstPort to LastPort are the local ports. By default they are above those that the kernel uses of itself.
	FirstPort, LastPort uint16
	Generic             bool // no native XDP
	Timestamps, NoSACK  bool // TCP options
	Window              int  // receive window, octets. Default 256 KiB
	Ring                int  // frames in each ring. Default 4,096
	Spin                time.Duration
}

const maxSources = 4096

// Opened is a generator on an interface.
type Opened struct {
	*Generator
	program *program
	sockets []*xdp.Socket
	cfg     Config
	path    *path
}

// Open makes a generator for a server, in the network namespace of the calling thread; its Run belongs on a thread of its own
// (runtime.LockOSThread). The XDP program takes only what comes from the server to the sources' ports; it is detached by Close, and by the end
// of the process, however it ends.
func Open(cfg Config) (*Opened, error) {
	cfg.setDefaults()
	o := &Opened{cfg: cfg}
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *Opened) open() error {
	if err := o.setPath(); err != nil {
		return err
	}
	count, err := xdp.Queues(o.path.iface.Name)
	if err != nil {
		return err
	}
	if o.program, err = attach(&o.cfg, o.path.iface.Index, count); err != nil {
		return err
	}
	if err := o.openSockets(count); err != nil {
		return err
	}
	return o.generator()
}

func (o *Opened) setPath() (err error) {
	c := &o.cfg
	var source netip.Addr
	if len(c.Sources) > 0 {
		source = c.Sources[0]
	}
	if o.path, err = findPath(c.Server.Addr(), c.Interface, source); err != nil {
		return err
	}
	if len(c.Sources) == 0 {
		c.Sources = []netip.Addr{o.path.source}
	}
	if len(c.Sources) > maxSources {
		return fmt.Errorf("%d sources are more than %d", len(c.Sources), maxSources)
	}
	if c.FirstPort == 0 {
		kernels, err := xdp.Addresses(o.path.iface.Name)
		if err != nil {
			return err
		}
		own := !slices.ContainsFunc(c.Sources, func(a netip.Addr) bool { return slices.Contains(kernels, a) })
		if c.FirstPort, c.LastPort = defaultPorts(own); c.FirstPort == 0 {
			return errors.New("net.ipv4.ip_local_port_range leaves no ports to the generator: name some that nobody uses, or an address of its own")
		}
	}
	if ports := len(c.Sources) * (int(c.LastPort) - int(c.FirstPort) + 1); ports < c.Connections {
		return fmt.Errorf("%d connections need more than %d sources with ports %d to %d: name more addresses", c.Connections, len(c.Sources), c.FirstPort, c.LastPort)
	}
	if c.Window == 0 {
		c.Window = 256 << 10
	}
	if c.Ring == 0 {
		c.Ring = 4096
	}
	return nil
}

// defaultPorts are those that the kernel gives to nobody of itself, or, with addresses that are the generator's alone, nearly all; 0 if there are none.
func defaultPorts(own bool) (first, last uint16) {
	if own {
		return 1024, 65535
	}
	low, high := 32768, 60999
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscanf(string(text), "%d %d", &low, &high) //nolint:errcheck // then it is Linux's default
	}
	switch {
	case low-1024 > 65535-high:
		return 1024, uint16(low - 1)
	case high < 65535:
		return uint16(high + 1), 65535
	}
	return 0, 0
}

func (o *Opened) openSockets(count int) error {
	frame := 2048
	if o.path.iface.MTU > xdp.MaxPacket(frame) {
		frame = 4096
	}
	if largest := xdp.MaxPacket(frame); o.path.iface.MTU > largest {
		return fmt.Errorf("MTU %d of %q does not fit into frames of %d octets: set it to %d at most, 'ip link set dev %s mtu %d'",
			o.path.iface.MTU, o.path.iface.Name, frame, largest, o.path.iface.Name, largest)
	}
	for queue := range count {
		s, err := xdp.OpenSocket(xdp.SocketConfig{
			Interface: o.path.iface.Name, Queue: queue, Copy: o.program.generic, FrameSize: frame, Spin: o.cfg.Spin,
			FillRing: o.cfg.Ring, RXRing: o.cfg.Ring, TXRing: o.cfg.Ring, CompletionRing: o.cfg.Ring,
		})
		if err != nil {
			return err
		}
		o.sockets = append(o.sockets, s)
		if err := o.program.register(queue, s); err != nil {
			return err
		}
	}
	return nil
}

func (o *Opened) generator() (err error) {
	c := &o.cfg
	begin := time.Now()
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &boot); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	clock := func() int64 { return int64(time.Since(begin)) + int64(time.Second) }
	sources := make([]wire.Addr, len(c.Sources))
	for i, a := range c.Sources {
		sources[i] = wire.AddrFrom(a)
	}
	device := deviceOf(o.sockets, c.Spin)
	stack, err := tcpclient.New(tcpclient.Config{
		Device: device, LocalMAC: o.path.local, RemoteMAC: o.path.next,
		Remote: wire.AddrFrom(c.Server.Addr()), RemotePort: c.Server.Port(), Sources: sources, FirstPort: c.FirstPort, LastPort: c.LastPort,
		MTU: o.path.iface.MTU, Window: uint32(c.Window), Timestamps: c.Timestamps, SACK: !c.NoSACK,
		Conns: conns(c.Connections, c.brief()), Reassembly: 4096,
		Epoch: boot.Nano(), FirstPlace: int(rand.Uint32() >> 1),
	}, clock())
	if err != nil {
		return err
	}
	o.Generator, err = New(c.Load, stack, device, clock)
	return err
}

// Run is Generator.Run, with what the sockets have lost. It locks the goroutine to its thread while it lasts.
func (o *Opened) Run(p Phase) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Sleeps end when they should, not up to 50 µs later.
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)       //nolint:errcheck // then they end later
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) //nolint:errcheck // as before
	before, err := lost(o.sockets)
	if err != nil {
		return nil, err
	}
	res := o.Generator.Run(p)
	after, err := lost(o.sockets)
	res.Ring = Ring{after.Dropped - before.Dropped, after.Full - before.Full, after.Empty - before.Empty}
	for _, s := range o.sockets {
		err = errors.Join(err, s.Err())
	}
	res.judge()
	return res, err
}

// Describe says where the load comes from and goes to.
func (o *Opened) Describe() string {
	mode := "native XDP"
	if o.program.generic {
		mode = "generic XDP, which is slow and loses packets that offloads have merged"
	}
	zero := "copy"
	if o.sockets[0].ZeroCopy() {
		zero = "zero copy"
	}
	return fmt.Sprintf("%s by %s (%s, %s, %d queues), %d source addresses from %s, ports %d-%d", o.cfg.Server, o.path.iface.Name, mode, zero,
		len(o.sockets), len(o.cfg.Sources), o.cfg.Sources[0], o.cfg.FirstPort, o.cfg.LastPort)
}

// Close resets all connections and takes everything away. It may be called again.
func (o *Opened) Close() error {
	var errs []error
	if o.Generator != nil {
		o.quit()
	}
	for _, s := range o.sockets {
		errs = append(errs, s.Close())
	}
	if o.program != nil {
		errs = append(errs, o.program.close())
	}
	o.Generator, o.sockets, o.program = nil, nil, nil
	return errors.Join(errs...)
}
