package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/apacheconf"
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/preflight"
)

// apache is what the daemon knows of the configuration of the Apache behind. Its methods may be called by any goroutine.
type apache struct {
	cfg     *config.Daemon
	log     *slog.Logger
	watcher *apacheconf.Watcher               // nil: the builtin server is behind
	conf    atomic.Pointer[apacheconf.Config] // nil: nothing is known
	lost    atomic.Bool                       // what was known does not hold any more
}

func apacheOptions(cfg *config.Common) apacheconf.Options {
	return apacheconf.Options{Command: cfg.ApacheCommand, Port: cfg.Backend.Port(cfg.Port), Served: cfg.Port}
}

// readApache reads the configuration for the checks; nil if the builtin server is behind.
func readApache(ctx context.Context, cfg *config.Common) *preflight.Apache {
	if cfg.Backend.Builtin {
		return nil
	}
	conf, err := apacheconf.Read(ctx, apacheOptions(cfg))
	return &preflight.Apache{Config: conf, Err: err}
}

// newApache reads the configuration. Changes from here on are seen by follow.
func newApache(ctx context.Context, cfg *config.Daemon, log *slog.Logger) (*apache, *preflight.Apache) {
	a := &apache{cfg: cfg, log: log}
	if cfg.Backend.Builtin {
		return a, nil
	}
	a.watcher = apacheconf.NewWatcher(cfg.Backend.Port(cfg.Port))
	found := readApache(ctx, &cfg.Common)
	a.conf.Store(found.Config)
	return a, found
}

// site is what the cache is to know.
func (a *apache) site() filecache.Site {
	s := filecache.Site{Roots: a.roots(), Index: a.cfg.Index, Private: a.private}
	if a.watcher == nil {
		return s
	}
	s.Coding = a.coding
	conf := a.conf.Load()
	if conf == nil {
		s.AccessFile = apacheconf.Unknown().AccessFile
		return s
	}
	s.AccessFile, s.AccessFiles = conf.AccessFile, conf.AccessFiles
	s.Agents = make([]filecache.Agent, 0, len(conf.Agents))
	for _, agent := range conf.Agents {
		s.Agents = append(s.Agents, filecache.Agent{Text: agent.Contains, Fold: agent.Fold})
	}
	for _, h := range conf.Answering() {
		s.Hosts = append(s.Hosts, h.Names...)
	}
	if len(s.Index) == 0 {
		s.Index = conf.Indexes()
	}
	return s
}

// roots are the directories that are served: those that were set, as "/", and those of the configuration that are there.
func (a *apache) roots() (all []filecache.Root) {
	for _, dir := range a.cfg.Roots {
		all = append(all, filecache.Root{Prefix: "/", Dir: dir})
	}
	conf := a.conf.Load()
	if len(all) > 0 || conf == nil {
		return all
	}
	for _, m := range conf.Mapped() {
		if info, err := os.Stat(m.Dir); err == nil && info.IsDir() {
			all = append(all, filecache.Root{Prefix: m.Prefix, Dir: m.Dir})
		}
	}
	return all
}

// places are the directories, for people.
func (a *apache) places() string {
	var all []string
	for _, r := range a.roots() {
		if !slices.Contains(all, r.Dir) {
			all = append(all, r.Dir)
		}
	}
	return strings.Join(all, ", ")
}

// private returns why a request is Apache's, or "". host has no port, path is decoded, file is the one that would be sent.
func (a *apache) private(host, path, file string) string {
	if p, private, known := a.cfg.Judge(host, path); private {
		return "--private " + p.String()
	} else if known {
		return ""
	}
	conf := a.conf.Load()
	switch {
	case a.lost.Load():
		return "Apache's configuration is not known any more"
	case conf == nil: // and never was; a warning has said so
		return ""
	}
	return conf.Private(host, path, file)
}

// coding returns why the answer to a request may depend on the text of its Accept-Encoding, or "". The arguments are those of private.
func (a *apache) coding(host, path, file string) string {
	if _, private, known := a.cfg.Judge(host, path); known && !private { // --public says that it is the same for all
		return ""
	}
	conf := a.conf.Load()
	if conf == nil {
		return "the configuration of the server behind is not known"
	}
	return conf.Coding(host, path, file)
}

// readAgain is how long to wait when the configuration could not be read: Apache may be about to start.
const readAgain = time.Second

// follow reads the configuration again when Apache does, and has the cache begin anew, until ctx ends.
func (a *apache) follow(ctx context.Context, cache *filecache.Cache) {
	if a.watcher == nil {
		return
	}
	pidFile := func() string {
		if conf := a.conf.Load(); conf != nil {
			return conf.PidFile
		}
		return ""
	}
	a.watcher.Run(ctx, pidFile, func() {
		// What was taken by the old configuration goes first: to read the new one takes a moment.
		a.lost.Store(a.conf.Load() != nil)
		cache.PurgeAll()
		for !a.renew(ctx, cache) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(readAgain):
			}
		}
	})
}

// renew reports whether the configuration was read and the cache knows it, or nothing was known before either.
func (a *apache) renew(ctx context.Context, cache *filecache.Cache) bool {
	conf, err := apacheconf.Read(ctx, apacheOptions(&a.cfg.Common))
	if err != nil && a.conf.Load() == nil {
		return true
	}
	if err == nil {
		a.conf.Store(conf)
		a.lost.Store(false)
		err = cache.SetSite(a.site())
	}
	if err != nil {
		a.lost.Store(true)
		a.log.Warn("Apache has read its configuration again, and xhttpd can't; until it can, nothing is answered from memory", "err", err)
		return false
	}
	a.log.Info("Apache's configuration was read again", "hosts", len(conf.Answering()), "private", len(conf.Scopes), "roots", a.places())
	return true
}
