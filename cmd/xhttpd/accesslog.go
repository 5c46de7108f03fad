package main

import (
	"context"
	"os"

	"github.com/xhttpd/xhttpd/internal/accesslog"
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
		File: c.File, Format: format, ServerName: name, Monotonic: func() int64 { return int64(d.clock()) }, Logger: d.log,
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
