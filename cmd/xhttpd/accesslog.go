package main

import (
	"context"
	"net/netip"
	"os"

	"github.com/xhttpd/xhttpd/internal/accesslog"
	"github.com/xhttpd/xhttpd/internal/apacheconf"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/metrics"
)

// ringFor is how large a loop's ring is: what a fast loop tells between two looks of the log, and the ends of all that may be
// under way.
func ringFor(connections int) int { return 2<<20 + connections*64 }

// openAccessLog begins to write the access log, if one is wanted. It ends after the loops, when all is told.
func (d *daemon) openAccessLog(ctx context.Context) error {
	c := &d.cfg.AccessLog
	if c.File == "" {
		d.log.Info("what is answered from memory will be in no access log (--access-log)")
		return nil
	}
	format, err := accesslog.ParseFormat(c.Format)
	if err != nil {
		return err
	}
	name := c.ServerName
	if name == "" {
		if name, err = os.Hostname(); err != nil {
			return err
		}
	}
	for range d.sockets {
		d.hits = append(d.hits, hits.NewRing(ringFor(d.cfg.MaxConnections), format.NeedsSections()))
	}
	d.accessLog, err = accesslog.Open(accesslog.Options{
		File: c.File, Format: format, Server: (&namer{apache: d.apache, name: name}).server, Monotonic: func() int64 { return int64(d.clock()) }, Logger: d.log,
	}, d.hits)
	if err != nil {
		return err
	}
	d.aside.Go(func() { d.accessLog.Run(ctx) })
	d.aside.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.reopen:
				d.accessLog.Reopen()
			}
		}
	})
	return nil
}

// namer tells the log what Apache calls the site that answers. It is for one goroutine.
type namer struct {
	apache *apache
	name   string // where nothing is known
	conf   *apacheconf.Config
	known  map[askedFor]accesslog.Server // by conf
}

type askedFor struct {
	local netip.AddrPort
	host  string
}

// maxNames bounds what clients can have us remember.
const maxNames = 1024

func (n *namer) server(local netip.AddrPort, host string) accesslog.Server {
	conf := n.apache.conf.Load()
	if conf == nil {
		return accesslog.Server{Name: n.name, Port: local.Port()}
	}
	if conf != n.conf || len(n.known) >= maxNames {
		n.conf, n.known = conf, map[askedFor]accesslog.Server{}
	}
	q := askedFor{local, host}
	s, ok := n.known[q]
	if !ok {
		s = accesslog.Server(conf.ServerFor(local, host))
		n.known[q] = s
	}
	return s
}

// hitsOf returns the ring of the loop of a queue, or nil if there is no access log.
func (d *daemon) hitsOf(queue int) *hits.Ring {
	if d.hits == nil {
		return nil
	}
	return d.hits[queue]
}

func (d *daemon) accessLogFamilies() []metrics.Family {
	if d.accessLog == nil {
		return nil
	}
	return []metrics.Family{
		{Name: "xhttpd_log_lines_total", Help: "Lines written to the access log.", Read: func(e emit) { e("", float64(d.accessLog.Written())) }},
		{Name: "xhttpd_log_dropped_total", Label: "reason", Help: "Lines that are missing in the access log, by why.", Read: func(e emit) {
			var full uint64
			for _, r := range d.hits {
				full += r.Dropped()
			}
			e("ring-full", float64(full))
			e("write-failed", float64(d.accessLog.Lost()))
		}},
	}
}
