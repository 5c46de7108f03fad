package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/backend"
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/metrics"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/redirect"
	"github.com/xhttpd/xhttpd/tcpstate"
	"github.com/xhttpd/xhttpd/xdp"
)

// open makes all parts. The XDP program is attached when hand-overs are possible, and redirects nothing before serve
// has registered sockets and the heart has begun to beat.
func (d *daemon) open(ctx context.Context) (err error) {
	if d.iface, err = net.InterfaceByName(d.cfg.Interface); err != nil {
		return fmt.Errorf("find interface %q: %w", d.cfg.Interface, err)
	}
	for _, step := range []func(context.Context) error{d.openBuiltin, d.openCache, d.openRedirector, d.openXDP, d.openPolicy, d.openAccessLog, d.openLoops, d.openAdmin} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemon) openBuiltin(ctx context.Context) (err error) {
	if !d.cfg.Backend.Builtin {
		return nil
	}
	d.builtin, err = backend.Start(ctx, backend.Options{
		Port: d.cfg.Port, Root: d.cfg.Roots[0], MimeTypes: d.cfg.MimeTypes, SloppyMime: d.cfg.SloppyMime,
		IdleTimeout: d.cfg.KeepAliveTimeout, HeadTimeout: d.cfg.HeadTimeout, Logger: d.log,
	})
	return err
}

func (d *daemon) openCache(ctx context.Context) (err error) {
	opts := filecache.Options{
		Site: d.apache.site(), Budget: int64(d.cfg.CacheSize), MaxObject: int64(d.cfg.MaxObject), MaxFile: int64(d.cfg.MaxFile),
		QueryIgnored: texts(d.cfg.QueryIgnored), Reprove: d.cfg.Reprove, ProofRate: d.cfg.ProofRate,
		KeepAliveTimeout: d.cfg.KeepAliveTimeout, KeepAliveRequests: d.keepAliveRequests(),
		Dynamic: d.cfg.Dynamic, MimeTypes: d.cfg.MimeTypes, SloppyMime: d.cfg.SloppyMime, Logger: d.log,
	}
	if d.cfg.Backend.Builtin {
		opts.Server = backend.ServerField
	} else {
		s := &stranger{wanted: [2]config.Stranger{d.cfg.Stranger4, d.cfg.Stranger6}, log: d.log}
		opts.Backend = &prover{cfg: d.cfg, stranger: s}
		d.aside.Go(func() { s.run(ctx) })
	}
	if d.cache, err = filecache.New(opts); err != nil {
		return err
	}
	d.aside.Go(func() {
		if err := d.cache.Run(ctx); err != nil {
			d.log.Error("the cache has ended", "err", err)
		}
	})
	return nil
}

func texts(prefixes []config.Prefix) (all []string) {
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}

// limits are the settings in the form of dataplane, where 0 means the default, and negative no limit.
func (d *daemon) limits() dataplane.Limits {
	orNone := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	c := &d.cfg.Limits
	return dataplane.Limits{
		MaxPerPrefix: c.MaxPerPrefix, Prefix4: c.Prefix4, Prefix6: c.Prefix6, MinRate: orNone(c.MinRate), MinRatePeriod: c.MinRatePeriod,
		SlowHeads: orNone(c.SlowHeads), Strays: orNone(c.Strays),
	}
}

// keepAliveRequests is the setting in the form of filecache, where negative means any number.
func (d *daemon) keepAliveRequests() int {
	if d.cfg.KeepAliveRequests == 0 {
		return -1
	}
	return d.cfg.KeepAliveRequests
}

func (d *daemon) openRedirector(context.Context) (err error) {
	cfg := redirect.Config{Interface: d.cfg.Interface}
	if !d.cfg.Backend.Builtin { // which listens on the served port, as the zero values say
		cfg.Backend4, cfg.Backend6 = d.cfg.Backend.V4, d.cfg.Backend.V6
	}
	d.redirector, err = redirect.Open(cfg)
	return err
}

func (d *daemon) openXDP(context.Context) error {
	addresses, err := d.addresses()
	if err != nil {
		return err
	}
	key := wire.NewKey()
	cookies := wire.NewKey()
	if d.sysctls, err = redirect.ReadSysctls(os.DirFS("/proc/sys")); err != nil {
		return err
	}
	d.listener = d.newListener(cookies)
	d.program, err = d.attach(xdp.Config{
		Interface: d.cfg.Interface, Port: d.cfg.Port, Addresses: addresses, Generic: d.cfg.Mode == config.ModeGeneric,
		Connections: d.cfg.MaxConnections, FlowKey: [2]uint64{key.K0, key.K1}, CookieKey: [2]uint64{cookies.K0, cookies.K1}, Answers: xdp.Answers(d.listener.Answers()),
		Lendings: d.lendings(),
	})
	if err != nil {
		return err
	}
	d.flowKey = key
	if d.ours, err = dataplane.NewOurs(d.program.FlowTable(), key); err != nil {
		return err
	}
	if w := d.program.Warning(); w != nil {
		if d.cfg.Mode == config.ModeNative {
			return fmt.Errorf("--mode %s: %w", config.ModeNative, w)
		}
		d.log.Warn("no native XDP", "interface", d.cfg.Interface, "why", w)
	}
	for queue := range d.program.Queues() {
		s, err := xdp.OpenSocket(xdp.SocketConfig{
			Interface: d.cfg.Interface, Queue: queue,
			Copy: d.program.Mode() == xdp.Generic || d.cfg.ZeroCopy == config.ZeroCopyOff, PartialChecksums: true,
			Spin: spins[d.cfg.Poll], BusyPoll: d.cfg.Poll == config.PollBusy,
		})
		if err != nil {
			return err
		}
		d.sockets = append(d.sockets, s)
	}
	return nil
}

// openPolicy decides which responses are the server's behind for their length. Whether packets are copied, the sockets know.
func (d *daemon) openPolicy(context.Context) error {
	segments, err := xdp.Segments(d.cfg.Interface)
	if err != nil {
		d.log.Warn("whether the device segments is not known; taken for no", "err", err)
	}
	d.sending = config.Sending{ZeroCopy: d.sockets[0].ZeroCopy(), Segments: segments}
	d.sending.Long = !d.sending.ZeroCopy && d.cfg.Segmentation != config.SegmentationOff
	octets, why := d.cfg.KernelAbove.Above(d.sending)
	d.kernelAbove = octets
	if octets == math.MaxUint64 {
		d.log.Info("no response is left to the server behind for its length", "why", why)
	} else {
		d.log.Info("longer responses are left to the server behind", "octets", octets, "why", why)
	}
	return nil
}

// spins is how long a socket looks for packets before it sleeps; 0 is the default.
var spins = map[string]time.Duration{config.PollInterrupt: -1, config.PollBusy: time.Hour, config.PollSpin: time.Hour}

// addresses are those that are served: as set, or those of the interface that the server behind can serve, too.
func (d *daemon) addresses() ([]netip.Addr, error) {
	if len(d.cfg.Addresses) > 0 {
		return d.cfg.Addresses, nil
	}
	all, err := xdp.Addresses(d.cfg.Interface)
	if err != nil {
		return nil, err
	}
	var served []netip.Addr
	for _, a := range all {
		if d.cfg.Backend.Takes(a) {
			served = append(served, a)
		}
	}
	return served, nil
}

func (d *daemon) openLoops(ctx context.Context) error {
	control := d.congestionControl(&d.sysctls)
	var mac wire.MAC
	copy(mac[:], d.iface.HardwareAddr)
	for queue, socket := range d.sockets {
		injector, err := d.redirector.Injector()
		if err != nil {
			return err
		}
		segmenter, err := d.segmenter()
		if err != nil {
			return err
		}
		loop, err := dataplane.New(dataplane.Config{
			Device: socket, PartialChecksums: socket.PartialChecksums(), Handover: injector, Store: d.cache, Listener: d.listener, Ours: d.ours, Control: control,
			KernelAbove: d.kernelAbove, Segmenter: segmenter, LongFrom: d.sending.LongFrom(),
			Clock: d.clock, Unix: func() int64 { return time.Now().Unix() }, LocalMAC: mac, MTU: d.largest(),
			MaxConns: d.cfg.MaxConnections, MaxBuffers: d.cfg.MaxBuffers,
			Limits: d.limits(), Hits: d.hitsOf(queue), Pieces: d.piecesFor(ctx), Lending: d.lending(queue), ReadyAfter: d.cfg.BPFAnswersAfter, Leaving: d.leaving(queue),
		})
		if err != nil {
			return err
		}
		d.loops = append(d.loops, loop)
	}
	return nil
}

// segmenter returns what sends long segments for a loop; nil if each packet is sent by itself, as with zero copy, which is cheaper.
func (d *daemon) segmenter() (dataplane.Segmenter, error) {
	if !d.sending.Long {
		return nil, nil
	}
	s, err := xdp.OpenSegmenter(d.cfg.Interface)
	if err != nil {
		return nil, err
	}
	d.segmenters = append(d.segmenters, s)
	return s, nil
}

// largest is the largest IP packet of the connections, octets. It fits the interface, and a frame of the sockets; peers learn of it by
// the MSS.
func (d *daemon) largest() int { return min(d.iface.MTU, xdp.MaxPacket(xdp.DefaultFrameSize)) }

// newListener returns the one of all loops, as a flow may change its queue between SYN and request, and of the steering program.
func (d *daemon) newListener(cookies wire.Key) *tcpstate.Listener {
	cfg := tcpstate.DefaultConfig()
	cfg.MSS4, cfg.MSS6 = uint16(d.largest()-40), uint16(d.largest()-60)
	cfg.Timestamps, cfg.SACK, cfg.WindowScaling = d.sysctls.Timestamps, d.sysctls.SACK, d.sysctls.WindowScaling
	cfg.ECN = d.sysctls.ECN >= 1 // 2, the default, is to accept it when it is offered
	cfg.KeepAliveTimeout = tcpstate.Time(d.cfg.KeepAliveTimeout)
	cfg.HeadTimeout = tcpstate.Time(d.cfg.HeadTimeout)
	cfg.StallTimeout = tcpstate.Time(d.cfg.StallTimeout)
	return tcpstate.NewListener(cfg, cookies)
}

// congestionControl is the kernel's algorithm, so that nobody loses by being served from here.
func (d *daemon) congestionControl(sysctls *redirect.Sysctls) tcpstate.Control {
	name := d.cfg.CongestionControl
	if name == "auto" {
		name = sysctls.CongestionControl
	}
	control, ok := tcpstate.ParseControl(name)
	if !ok {
		control = tcpstate.CUBIC
		d.log.Warn("congestion control is not the kernel's, which xhttpd lacks", "kernel", name, "instead", control)
	}
	return control
}

func (d *daemon) openAdmin(ctx context.Context) error {
	if !d.cfg.Admin.On() {
		return nil
	}
	handler, err := metrics.Handler(d.families(), d.facts(), d.healthy)
	if err != nil {
		return err
	}
	pages := http.NewServeMux()
	pages.Handle("/", handler)
	pages.Handle("POST /purge", purge(d.cache))
	d.admin, err = metrics.Serve(ctx, d.cfg.Admin.String(), pages, d.log)
	return err
}

// close ends all parts that were made; the loops have ended. First nothing new comes, then nothing is handed over.
func (d *daemon) close() error {
	var errs []error
	if d.admin != nil {
		errs = append(errs, d.admin.Stop())
	}
	errs = append(errs, d.deferral.Restore()) // while the program, and what the driver has made for it, is there
	if d.program != nil {
		errs = append(errs, d.program.Close())
	}
	for _, s := range d.sockets {
		errs = append(errs, s.Close())
	}
	for _, s := range d.segmenters {
		errs = append(errs, s.Close())
	}
	if d.redirector != nil {
		errs = append(errs, d.redirector.Close())
	}
	if d.builtin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Grace)
		defer cancel()
		errs = append(errs, d.builtin.Stop(ctx))
	}
	return errors.Join(errs...)
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
