package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/xhttpd/xhttpd/bench/xload"
)

type runCmd struct {
	load
	Rate     float64       `short:"r" placeholder:"N" group:"How" help:"Open loop: N requests in a second, come what may; latency counts from when each was due. Without it a closed loop: a response makes the next request."`
	Think    time.Duration `group:"How" help:"Closed loop: time from a response to the next request."`
	Warmup   time.Duration `default:"1s" group:"How" help:"Time before the measurement."`
	Ramp     time.Duration `group:"How" help:"Open loop: time in which the rate rises from 0; before the measurement."`
	Duration time.Duration `short:"d" default:"10s" group:"How" help:"Time of the measurement."`
}

// Run makes the requests.
func (c *runCmd) Run(std *streams) (err error) {
	if c.Rate < 0 || c.Duration <= 0 {
		return usageError{errors.New("rate and duration must be positive")}
	}
	if c.Rate > 0 && c.Think > 0 {
		return usageError{errors.New("--think is for closed loops, --rate makes an open one")}
	}
	g, err := c.open(context.Background(), c.Think)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if !c.Quiet {
		fmt.Fprintln(std.err, g.Describe())
	}
	progress, done := c.watch(std, g)
	r, err := g.Run(xload.Phase{Rate: c.Rate, Ramp: c.Ramp, Warmup: c.Warmup, Duration: c.Duration, Progress: progress})
	done()
	if err != nil {
		return err
	}
	if err := c.report(std, r); err != nil {
		return err
	}
	return verdict(r)
}

func writeJSON(std *streams, name string, data any) error {
	w := std.out
	if name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(data)
}
