package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/accesslog"
	"github.com/xhttpd/xhttpd/internal/backend"
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/metrics"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/redirect"
	"github.com/xhttpd/xhttpd/tcpstate"
	"github.com/xhttpd/xhttpd/xdp"
)

// daemon is everything that runs. Its parts are made in the order of the fields, and ended in the reverse order.
type daemon struct {
	cfg    *config.Daemon
	apache *apache
	log    *slog.Logger
	clock  func() tcpstate.Time
	iface  *net.Interface // as it was in the beginning

	builtin     *backend.Server // nil if another server is behind
	cache       *filecache.Cache
	redirector  *redirect.Redirector
	program     *xdp.Program
	ours        *dataplane.Ours // in the program's memory
	flowKey     wire.Key        // of the hashes in it
	sysctls     redirect.Sysctls
	listener    *tcpstate.Listener // of all loops
	sockets     []*xdp.Socket
	deferral    xdp.Deferral      // of the queues' interrupts
	sending     config.Sending    // how packets are sent
	segmenters  []*xdp.Segmenter  // of the loops, if any
	kernelAbove uint64            // octets of a response beyond which the server behind has it
	hits        []*hits.Ring      // of the loops, for the access log; nil if there is none
	accessLog   *accesslog.Log    // or nil
	loops       []*dataplane.Loop // loop k serves socket k, which serves queue k
	heart       heart
	admin       *metrics.Server // nil if off

	reopen <-chan os.Signal // asks for a new file of the access log
	aside  sync.WaitGroup   // what runs beside the loops, until its context ends
	failed chan error       // what ends the daemon
}

// Run serves until a signal, or until it cannot go on.
func (c *runCmd) Run(ctx context.Context, std *streams) error {
	log := newLogger(std.err, &c.Daemon)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	reopen := make(chan os.Signal, 1) // from here on they don't kill, whether or not there is a log
	signal.Notify(reopen, unix.SIGUSR1, unix.SIGHUP)
	defer signal.Stop(reopen)

	apache, found := newApache(ctx, &c.Daemon, log)
	if err := require(&c.Common, found, log); err != nil {
		return err
	}
	if err := run(&c.Daemon, apache, log, signals, reopen); err != nil {
		log.Error("xhttpd ends; the server behind goes on alone", "err", err)
		return errReported
	}
	log.Info("stopped")
	return nil
}

func run(cfg *config.Daemon, apache *apache, log *slog.Logger, signals, reopen <-chan os.Signal) error {
	d := &daemon{cfg: cfg, apache: apache, log: log, reopen: reopen, clock: monotonic(), failed: make(chan error, 1)}
	// What runs beside the loops ends after them: they may need it to the last.
	ctx, cancel := context.WithCancel(context.Background())
	err := d.open(ctx)
	if err == nil {
		err = d.serve(ctx, signals)
	}
	cancel()
	d.aside.Wait()
	return errors.Join(err, d.close())
}

// serve runs the loops until a signal, and until their connections were handed over, or until it cannot go on.
func (d *daemon) serve(ctx context.Context, signals <-chan os.Signal) error {
	end := d.startLoops()
	defer end()
	for queue, socket := range d.sockets {
		if err := d.program.Register(queue, socket); err != nil {
			return err
		}
	}
	d.heart.begin(d)
	d.aside.Go(func() { d.heart.run(ctx, d) }) // from now on, connections come
	d.aside.Go(func() { d.watch(ctx) })
	d.aside.Go(func() { d.followLeaving(ctx) })
	if d.cfg.Poll == config.PollBusy {
		d.aside.Go(func() { d.putOffInterrupts(ctx) })
	}
	d.aside.Go(func() { d.apache.follow(ctx, d.cache) })
	if len(d.cfg.Addresses) == 0 {
		d.aside.Go(func() { d.followAddresses(ctx) })
	}
	d.announce()
	select {
	case err := <-d.failed:
		if errors.Is(err, errRestart) {
			d.log.Error("connections are handed over before xhttpd ends", "err", err)
			return errors.Join(err, d.drain(signals))
		}
		return err
	case sig := <-signals:
		d.log.Info("stopping: connections go to the server behind as soon as they stand at a request boundary",
			"signal", sig.String(), "connections", d.live(), "grace", d.cfg.Grace)
		return d.drain(signals)
	}
}

// startLoops starts a thread for each loop and returns what ends them.
func (d *daemon) startLoops() (end func()) {
	var running sync.WaitGroup
	for _, loop := range d.loops {
		running.Go(func() {
			runtime.LockOSThread()
			loop.Run()
		})
	}
	return func() {
		for _, loop := range d.loops {
			loop.Stop()
		}
		running.Wait()
	}
}

func (d *daemon) announce() {
	admin := "off"
	if d.admin != nil {
		admin = d.admin.Addr.String()
	}
	d.log.Info("serving", "interface", d.cfg.Interface, "port", d.cfg.Port, "roots", d.apache.places(), "backend", d.cfg.Backend.String(),
		"mode", d.program.Mode().String(), "copies", d.copies(), "poll", d.cfg.Poll, "queues", len(d.sockets), "admin", admin)
	if n := d.largest(); n < d.iface.MTU {
		d.log.Info("segments are smaller than the MTU allows: packets must fit into a frame", "mtu", d.iface.MTU, "packet", n,
			"segment", n-40, "segment6", n-60)
	}
}

// copies says whether the kernel copies packets between the driver and the sockets, and why.
func (d *daemon) copies() string {
	switch {
	case d.sockets[0].ZeroCopy():
		return "none"
	case d.program.Mode() == xdp.Generic:
		return "all, in generic mode"
	case d.cfg.ZeroCopy == config.ZeroCopyOff:
		return "all, as asked for"
	}
	return "all, the driver has no zero copy"
}

// fail ends the daemon. The first reason is the one that counts.
func (d *daemon) fail(err error) {
	select {
	case d.failed <- err:
	default:
	}
}

func newLogger(w io.Writer, cfg *config.Daemon) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
