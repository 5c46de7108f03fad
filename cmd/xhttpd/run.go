package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/backend"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/metrics"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/redirect"
	"github.com/xhttpd/xhttpd/tcpstate"
	"github.com/xhttpd/xhttpd/xdp"
)

// lingering is how long a draining daemon waits for requests of peers that have only shaken hands so far: they cost
// no memory, so nobody knows of them.
const lingering = time.Second

// daemon is everything that runs. Its parts are made in the order of their fields and ended in the reverse order.
type daemon struct {
	cmd   *runCmd
	log   *slog.Logger
	iface *net.Interface

	builtin    *backend.Server
	cache      *filecache.Cache
	redirector *redirect.Redirector
	program    *xdp.Program
	sockets    []*xdp.Socket
	loops      []*dataplane.Loop
	beat       heart
	admin      *metrics.Server
}

// Run serves until ctx ends.
func (r *runCmd) Run(ctx context.Context, std *streams) error {
	d := &daemon{cmd: r, log: r.logger(std.err)}
	if err := r.requirements(); err != nil {
		return err
	}
	// What runs beside the loops ends after them: the cache must not change its mind while responses are under way.
	aside, endAside := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	defer func() { endAside(); tasks.Wait() }()

	err := d.open(aside, &tasks)
	if err == nil {
		err = d.serve(ctx, aside, &tasks)
	}
	return errors.Join(err, d.close())
}

// open makes all parts, in an order in which nothing is redirected before everything is there to take it.
func (d *daemon) open(aside context.Context, tasks *sync.WaitGroup) (err error) {
	if d.iface, err = net.InterfaceByName(d.cmd.Interface); err != nil {
		return fmt.Errorf("find interface %q (\"ip link\" lists them): %w", d.cmd.Interface, err)
	}
	if d.cmd.Backend.Builtin {
		if d.builtin, err = backend.Start(aside, d.cmd.Port, d.cmd.Root, d.log); err != nil {
			return err
		}
	}
	if err := d.openCache(); err != nil {
		return err
	}
	tasks.Go(func() {
		if err := d.cache.Run(aside); err != nil {
			d.log.Error("the cache has ended", "err", err)
		}
	})
	if d.redirector, err = redirect.Open(d.redirectConfig()); err != nil {
		return err
	}
	if err := d.openXDP(); err != nil {
		return err
	}
	if err := d.openLoops(); err != nil {
		return err
	}
	h, err := metrics.Handler(d.families(), d.beat.healthy)
	if err != nil {
		return err
	}
	d.admin, err = metrics.Serve(aside, d.cmd.Admin, h, d.log)
	return err
}

func (d *daemon) openCache() error {
	opts := filecache.Options{
		Root: d.cmd.Root, Budget: int64(d.cmd.CacheSize), MaxObject: int64(d.cmd.MaxObject),
		KeepAliveTimeout: d.cmd.KeepaliveTimeout, KeepAliveRequests: d.cmd.KeepaliveRequests,
		Dynamic: d.cmd.Dynamic, MimeTypes: d.cmd.MimeTypes, SloppyMime: d.cmd.SloppyMime, Logger: d.log,
	}
	if !d.cmd.Backend.Builtin {
		opts.Backend = &filecache.HTTPBackend{Addr: d.backendAddr(), Timeout: 5 * time.Second}
	}
	var err error
	d.cache, err = filecache.New(opts)
	return err
}

// backendAddr is where the server behind is asked, through the kernel: where it was said to listen, or else at an
// address that is served, or loopback.
func (d *daemon) backendAddr() string {
	b := d.cmd.Backend.AddrPort
	addr, port := b.Addr(), b.Port()
	if port == 0 {
		port = d.cmd.Port
	}
	if !addr.IsValid() || addr.IsUnspecified() {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if len(d.cmd.Address) > 0 {
			addr = d.cmd.Address[0]
		}
	}
	return netip.AddrPortFrom(addr, port).String()
}

// redirectConfig is where hand-overs go: for a backend of one address family, the other family's connections are left
// to the listener on their own address.
func (d *daemon) redirectConfig() redirect.Config {
	cfg := redirect.Config{Interface: d.cmd.Interface}
	b := d.cmd.Backend.AddrPort
	switch {
	case d.cmd.Backend.Builtin || b.Port() == 0 && !b.Addr().IsValid():
	case !b.Addr().IsValid():
		cfg.Backend4 = netip.AddrPortFrom(netip.IPv4Unspecified(), b.Port())
		cfg.Backend6 = netip.AddrPortFrom(netip.IPv6Unspecified(), b.Port())
	case b.Addr().Is4():
		cfg.Backend4 = b
	default:
		cfg.Backend6 = b
	}
	return cfg
}

func (d *daemon) openXDP() error {
	addresses := d.cmd.Address
	if len(addresses) == 0 {
		var err error
		if addresses, err = xdp.Addresses(d.cmd.Interface); err != nil {
			return err
		}
	}
	var err error
	d.program, err = xdp.Open(xdp.Config{
		Interface: d.cmd.Interface, Port: d.cmd.Port, Addresses: addresses, Generic: d.cmd.Mode == "generic",
	})
	if err != nil {
		return err
	}
	if w := d.program.Warning(); w != nil {
		if d.cmd.Mode == "native" {
			return fmt.Errorf("--mode native: %w", w)
		}
		d.log.Warn("no native XDP: generic mode works, but gains little", "interface", d.cmd.Interface, "why", w)
	}
	for queue := range d.program.Queues() {
		s, err := xdp.OpenSocket(xdp.SocketConfig{Interface: d.cmd.Interface, Queue: queue, Copy: d.program.Mode() == xdp.Generic})
		if err != nil {
			return err
		}
		d.sockets = append(d.sockets, s)
	}
	return nil
}

func (d *daemon) openLoops() error {
	sysctls, err := redirect.ReadSysctls(os.DirFS("/proc/sys"))
	if err != nil {
		return err
	}
	for _, w := range sysctls.Warnings() {
		d.log.Warn(w)
	}
	cfg := tcpstate.DefaultConfig()
	cfg.MSS4, cfg.MSS6 = uint16(d.iface.MTU-40), uint16(d.iface.MTU-60)
	cfg.Timestamps, cfg.SACK, cfg.WindowScaling = sysctls.Timestamps, sysctls.SACK, sysctls.WindowScaling
	cfg.KeepAliveTimeout = tcpstate.Time(d.cmd.KeepaliveTimeout)
	cfg.HeadTimeout = tcpstate.Time(d.cmd.HeadTimeout)
	listener := tcpstate.NewListener(cfg, wire.NewKey())
	for _, socket := range d.sockets {
		injector, err := d.redirector.Injector()
		if err != nil {
			return err
		}
		loop, err := dataplane.New(dataplane.Config{
			Device: socket, Handover: injector, Store: d.cache, Listener: listener,
			Unix: func() int64 { return time.Now().Unix() }, LocalMAC: localMAC(d.iface), MTU: d.iface.MTU,
			MaxConns: d.cmd.MaxConnections, MaxBuffers: d.cmd.MaxBuffers, KeepAliveRequests: d.cmd.KeepaliveRequests,
		})
		if err != nil {
			return err
		}
		d.loops = append(d.loops, loop)
	}
	return nil
}

func localMAC(i *net.Interface) (mac wire.MAC) {
	copy(mac[:], i.HardwareAddr)
	return mac
}

// serve runs the loops until ctx ends and they are drained, or until the interface is gone.
func (d *daemon) serve(ctx, aside context.Context, tasks *sync.WaitGroup) error {
	var running sync.WaitGroup
	clock := monotonic()
	for _, loop := range d.loops {
		running.Go(func() {
			runtime.LockOSThread()
			loop.Run(clock)
		})
	}
	defer func() {
		for _, loop := range d.loops {
			loop.Stop()
		}
		running.Wait()
	}()
	for queue, socket := range d.sockets {
		if err := d.program.Register(queue, socket); err != nil {
			return err
		}
	}
	failed := make(chan error, 2)
	tasks.Go(func() { d.beat.run(aside, d, clock, failed) })
	if len(d.cmd.Address) == 0 {
		if err := d.followAddresses(aside, tasks); err != nil {
			return err
		}
	}
	d.log.Info("serving", "interface", d.cmd.Interface, "port", d.cmd.Port, "root", d.cmd.Root, "mode", d.program.Mode().String(),
		"zero-copy", d.sockets[0].ZeroCopy(), "queues", len(d.sockets), "admin", d.admin.Addr.String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return d.drainLoops(failed)
	}
}

// drainLoops waits until the loops have given their connections away.
func (d *daemon) drainLoops(failed <-chan error) error {
	d.log.Info("stopping: connections go to the server behind as soon as they stand at a request boundary", "grace", d.cmd.Grace)
	if err := d.program.SetDraining(true); err != nil {
		return err
	}
	for _, loop := range d.loops {
		loop.Drain()
	}
	second := interrupted()
	begun := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-second:
			d.log.Warn("a second signal: stopping at once", "connections", d.live())
			return nil
		case <-tick.C:
		}
		left := d.live()
		switch past := time.Since(begun); {
		case past >= d.cmd.Grace:
			if left > 0 {
				d.log.Warn("the grace period is over: the connections that are left are reset", "connections", left)
			}
			return nil
		case left == 0 && past >= lingering:
			return nil
		}
	}
}

// close ends all parts that were made.
func (d *daemon) close() (err error) {
	if d.admin != nil {
		err = errors.Join(err, d.admin.Stop())
	}
	if d.program != nil {
		err = errors.Join(err, d.program.Close())
	}
	for _, s := range d.sockets {
		err = errors.Join(err, s.Close())
	}
	if d.redirector != nil {
		err = errors.Join(err, d.redirector.Close())
	}
	if d.builtin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.cmd.Grace)
		defer cancel()
		err = errors.Join(err, d.builtin.Stop(ctx))
	}
	if err == nil && d.admin != nil {
		d.log.Info("stopped")
	}
	return err
}

// monotonic returns a clock that reads CLOCK_MONOTONIC without a system call.
func monotonic() func() tcpstate.Time {
	var ts unix.Timespec
	start := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // Linux always has it
	}
	base := tcpstate.Time(ts.Nano())
	return func() tcpstate.Time { return base + tcpstate.Time(time.Since(start)) }
}

// live is how many connections the loops still hold.
func (d *daemon) live() uint64 {
	c := d.counters()
	return c.Live()
}
