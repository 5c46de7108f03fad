package main

import (
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/xdp"
)

// mostLendings bounds the memory for connections that the XDP program may answer: 128 octets each, 2 MiB for a queue.
const mostLendings = 1 << 14

// lendings is how many connections of a queue may be lent to the XDP program. It tells the access log nothing.
func (d *daemon) lendings() int {
	if d.cfg.BPFAnswers != config.BPFAnswersAuto || d.cfg.AccessLog.File != "" || d.cfg.Mode == config.ModeGeneric {
		return 0
	}
	return min(d.cfg.MaxConnections, mostLendings)
}

// lending is what the loop of a queue shares with the program, or nil.
func (d *daemon) lending(queue int) *dataplane.Lending {
	if d.program.Mode() != xdp.Native || d.lendings() == 0 {
		d.log.Info("no answers from the XDP program", "queue", queue, "setting", d.cfg.BPFAnswers, "access_log", d.cfg.AccessLog.File != "", "mode", d.program.Mode())
		return nil
	}
	m := &dataplane.Lending{Key: d.flowKey}
	m.Lents, m.Readies, m.Dates = d.program.Lending(queue)
	return m
}
