package main

import (
	"errors"

	"github.com/cilium/ebpf"

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

// attach opens the XDP program, without answers if the kernel takes it only so.
func (d *daemon) attach(cfg xdp.Config) (*xdp.Program, error) {
	program, err := xdp.Open(cfg)
	var refused *ebpf.VerifierError
	if cfg.Lendings > 0 && errors.As(err, &refused) {
		d.log.Warn("the kernel refuses a program that answers", "err", err)
		cfg.Lendings = 0
		program, err = xdp.Open(cfg)
	}
	return program, err
}

// lending is what the loop of a queue shares with the program, or nil.
func (d *daemon) lending(queue int) *dataplane.Lending {
	if d.program.Mode() != xdp.Native || d.lendings() == 0 {
		d.log.Info("no answers from the XDP program", "queue", queue, "setting", d.cfg.BPFAnswers, "access_log", d.cfg.AccessLog.File != "", "mode", d.program.Mode())
		return nil
	}
	m := &dataplane.Lending{Key: d.flowKey}
	if m.Lents, m.Readies, m.Dates = d.program.Lending(queue); len(m.Lents) == 0 {
		return nil
	}
	d.log.Info("what is asked for often is answered by the XDP program", "queue", queue, "after", d.cfg.BPFAnswersAfter)
	return m
}
