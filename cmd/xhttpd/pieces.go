package main

import (
	"context"

	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/metrics"
	"github.com/xhttpd/xhttpd/internal/pieces"
)

// piecesFor returns what a loop reads large files through, or nil if they are the server's behind. Its readers end with ctx.
func (d *daemon) piecesFor(ctx context.Context) *pieces.Pool {
	if !d.cfg.Files() {
		return nil
	}
	pool := pieces.New(int64(d.cfg.PieceMemory))
	d.aside.Go(func() { pool.Run(ctx) })
	return pool
}

// diskFamilies are there even if nothing is read from disk, at 0.
func (d *daemon) diskFamilies() []metrics.Family {
	one := func(f func(c *dataplane.Counters) uint64) func(emit) {
		return func(e emit) { c := d.counters(); e("", float64(f(&c))) }
	}
	return []metrics.Family{
		{Name: "xhttpd_disk_responses", Gauge: true, Help: "Responses under way, or about to begin, whose octets are read from disk.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Readers })},
		{Name: "xhttpd_disk_pieces", Gauge: true, Help: "Pieces of --piece-memory in use, of 256 KiB each.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Pieces })},
		{Name: "xhttpd_disk_pieces_read_total", Help: "Pieces read from disk.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.PiecesRead })},
		{Name: "xhttpd_disk_waits_total", Label: "for", Help: "How often a response had to wait: for a further piece of --piece-memory, while it had others; or, with all sent and acknowledged, for the disk.",
			Read: func(e emit) {
				c := d.counters()
				e("memory", float64(c.PieceWaits))
				e("disk", float64(c.DiskWaits))
			}},
	}
}
