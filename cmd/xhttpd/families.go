package main

import (
	"slices"
	"strconv"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/metrics"
	"github.com/xhttpd/xhttpd/redirect"
	"github.com/xhttpd/xhttpd/tcpstate"
	"github.com/xhttpd/xhttpd/xdp"
)

type emit = func(label string, v float64)

// facts are the labels of xhttpd_info.
func (d *daemon) facts() map[string]string {
	return map[string]string{
		"interface": d.cfg.Interface,
		"port":      strconv.Itoa(int(d.cfg.Port)),
		"mode":      d.program.Mode().String(),
		"zero_copy": strconv.FormatBool(d.sockets[0].ZeroCopy()),
		"queues":    strconv.Itoa(len(d.sockets)),
		"backend":   d.cfg.Backend.String(),
	}
}

// families are the daemon's metrics. Their names are relied upon by others.
func (d *daemon) families() []metrics.Family {
	return slices.Concat(d.loopFamilies(), d.diskFamilies(), d.cacheFamilies(), d.accessLogFamilies(), d.kernelFamilies())
}

func (d *daemon) loopFamilies() []metrics.Family {
	one := func(f func(c *dataplane.Counters) uint64) func(emit) {
		return func(e emit) { c := d.counters(); e("", float64(f(&c))) }
	}
	return []metrics.Family{
		{Name: "xhttpd_responses_total", Label: "status", Help: "Responses begun, by status code.", Read: func(e emit) {
			c := d.counters()
			for k, status := range dataplane.Statuses {
				e(strconv.Itoa(status), float64(c.Responses[k]))
			}
		}},
		{Name: "xhttpd_bpf_responses_total", Help: "Of the responses, those that the XDP program gave; counted when the loop looks at the connection again.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Answered })},
		{Name: "xhttpd_handovers_total", Label: "reason", Help: "Connections that the kernel has taken over, by why.", Read: func(e emit) {
			c := d.counters()
			for r := range dataplane.NumReasons {
				e(r.String(), float64(c.Handovers[r]))
			}
		}},
		{Name: "xhttpd_connections", Label: "state", Gauge: true, Help: "Connections held, by state (RFC 9293, 3.3.2).", Read: func(e emit) {
			c := d.counters()
			for s := range tcpstate.NumStates {
				e(s.String(), float64(c.Connections[s]))
			}
		}},
		{Name: "xhttpd_drops_total", Label: "reason", Help: "Frames, or what they asked for, that came to nothing, by why.", Read: func(e emit) {
			c := d.counters()
			for r := range dataplane.NumDrops {
				if !r.Never() {
					e(r.String(), float64(c.Drops[r]))
				}
			}
		}},
		{Name: "xhttpd_shed_total", Label: "reason", Help: "Connections that were ended before their time, by why.", Read: func(e emit) {
			c := d.counters()
			for r := range dataplane.NumSheds {
				e(r.String(), float64(c.Shed[r]))
			}
		}},
		{Name: "xhttpd_handing", Gauge: true, Help: "Connections offered to the kernel that it has not taken yet.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Handing })},
		{Name: "xhttpd_receive_buffers", Gauge: true, Help: "Receive buffers in use, of 16 KiB each.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Buffers })},
		{Name: "xhttpd_leaving", Gauge: true, Help: "Receive queues whose new connections are left to the server behind, but for a sample.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Leaving })},
		{Name: "xhttpd_rx_packets_total", Help: "Frames received from the AF_XDP sockets.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.RxPackets })},
		{Name: "xhttpd_tx_packets_total", Help: "Frames sent through the AF_XDP sockets.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.TxPackets })},
		{Name: "xhttpd_tx_long_total", Help: "Long segments sent, each of several packets.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.TxLong })},
		{Name: "xhttpd_injected_packets_total", Help: "Frames given to the kernel as if it had received them.",
			Read: one(func(c *dataplane.Counters) uint64 { return c.Injected })},
		{Name: "xhttpd_too_big_total", Label: "connection", Help: "ICMP errors that say that a segment was too big, by whether the queue's loop has the connection.",
			Read: func(e emit) {
				c := d.counters()
				e("held", float64(c.TooBig))
				e("not-held", float64(c.TooBigUnknown))
			}},
	}
}

func (d *daemon) cacheFamilies() []metrics.Family {
	one := func(f func(s filecache.Stats) float64) func(emit) {
		return func(e emit) { e("", f(d.cache.Stats())) }
	}
	return []metrics.Family{
		{Name: "xhttpd_cache_objects", Gauge: true, Help: "Objects held.", Read: one(func(s filecache.Stats) float64 { return float64(s.Objects) })},
		{Name: "xhttpd_cache_bytes", Gauge: true, Help: "Octets that the objects count against --cache-size.",
			Read: one(func(s filecache.Stats) float64 { return float64(s.Bytes) })},
		{Name: "xhttpd_cache_fills_total", Help: "Objects taken.", Read: one(func(s filecache.Stats) float64 { return float64(s.Filled) })},
		{Name: "xhttpd_cache_evictions_total", Help: "Objects dropped for room.", Read: one(func(s filecache.Stats) float64 { return float64(s.Evicted) })},
		{Name: "xhttpd_cache_changes_total", Help: "Objects dropped because something had changed.",
			Read: one(func(s filecache.Stats) float64 { return float64(s.Changed) })},
		{Name: "xhttpd_cache_proofs_renewed_total", Help: "Objects proven again.", Read: one(func(s filecache.Stats) float64 { return float64(s.Renewed) })},
		{Name: "xhttpd_cache_forgotten_total", Help: "Misses that were not looked at, because there were too many.",
			Read: one(func(s filecache.Stats) float64 { return float64(s.Forgotten) })},
		{Name: "xhttpd_cache_refusals_total", Label: "reason", Help: "Objects not taken, by why.", Read: func(e emit) {
			s := d.cache.Stats()
			for r := filecache.Taken + 1; r < filecache.NumRefusals; r++ {
				e(r.String(), float64(s.Refusals[r]))
			}
		}},
	}
}

// kernelFamilies read the BPF programs' own counters and the sockets'. What can't be read is left out.
func (d *daemon) kernelFamilies() []metrics.Family {
	return []metrics.Family{
		{Name: "xhttpd_xdp_packets_total", Label: "exit", Help: "Packets that the steering program saw, by how they left it.", Read: func(e emit) {
			if c, err := d.program.Counters(); err == nil {
				for r, n := range c {
					e(xdp.Reason(r).String(), float64(n))
				}
			}
		}},
		{Name: "xhttpd_redirect_packets_total", Label: "exit", Help: "Packets that the hand-over programs saw, by how they left them.", Read: func(e emit) {
			if c, err := d.redirector.Counters(); err == nil {
				for v, n := range c {
					e(redirect.Verdict(v).String(), float64(n))
				}
			}
		}},
		{Name: "xhttpd_socket_drops_total", Label: "reason", Help: "Frames that AF_XDP sockets lost, by why.", Read: d.socketDrops},
	}
}

func (d *daemon) socketDrops(e emit) {
	var sum xdp.Statistics
	for _, s := range d.sockets {
		if st, err := s.Statistics(); err == nil {
			sum.RXDropped += st.RXDropped
			sum.RXRingFull += st.RXRingFull
			sum.FillRingEmpty += st.FillRingEmpty
			sum.TXInvalid += st.TXInvalid
			sum.BadDescriptors += st.BadDescriptors
		}
	}
	e("rx-dropped", float64(sum.RXDropped))
	e("rx-ring-full", float64(sum.RXRingFull))
	e("fill-ring-empty", float64(sum.FillRingEmpty))
	e("tx-invalid", float64(sum.TXInvalid))
	e("bad-descriptors", float64(sum.BadDescriptors))
}
