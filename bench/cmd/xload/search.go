package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/xhttpd/xhttpd/bench/xload"
)

type searchCmd struct {
	load
	Quantile  float64       `default:"99" group:"Search" help:"Quantile of the latency, percent."`
	Latency   time.Duration `default:"10ms" group:"Search" help:"Bound of that quantile."`
	From      float64       `default:"1000" group:"Search" help:"First rate, requests in a second."`
	Most      float64       `group:"Search" help:"Highest rate that is tried. Default: any."`
	Precision float64       `default:"0.02" group:"Search" help:"The search ends when it knows the rate to this share."`
	MaxErrors float64       `default:"0" group:"Search" help:"Share of the requests that may fail."`
	Warmup    time.Duration `default:"1s" group:"Search" help:"Of each step, before its measurement; the rate rises in its first half."`
	Duration  time.Duration `short:"d" default:"5s" group:"Search" help:"Of each step's measurement."`
}

// Run searches.
func (c *searchCmd) Run(std *streams) (err error) {
	if !(c.Quantile > 0 && c.Quantile <= 100) || c.Latency <= 0 || !(c.From > 0) || !(c.Precision > 0) || c.Duration <= 0 || c.Most < 0 {
		return usageError{errors.New("quantile, latency, rates, precision and duration must be positive")}
	}
	g, err := c.open(context.Background(), 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	progress, done := c.watch(std, g)
	s := xload.Search{
		Quantile: c.Quantile, Bound: c.Latency, From: c.From, Most: c.Most, Precision: c.Precision, MaxErrors: c.MaxErrors,
		Warmup: c.Warmup, Duration: c.Duration, Progress: progress,
	}
	if !c.Quiet {
		fmt.Fprintln(std.err, g.Describe())
		s.Step = func(step xload.Step) { fmt.Fprintln(std.err, step) }
	}
	found, err := s.Run(g.Run)
	done()
	if err != nil {
		return err
	}
	if err := c.report(std, found); err != nil {
		return err
	}
	switch {
	case found.Limit.By == xload.ByGenerator:
		return errSelf
	case found.Best < 0:
		return errResponses
	}
	return nil
}
