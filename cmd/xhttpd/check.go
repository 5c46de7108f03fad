package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/preflight"
)

// Validate reports the first setting that cannot have been meant. Kong calls it.
func (c *runCmd) Validate() error {
	if err := c.Daemon.Validate(); err != nil {
		return err
	}
	return knownChecks(&c.Common)
}

// Validate reports the first setting that cannot have been meant. Kong calls it.
func (c *checkCmd) Validate() error {
	if err := c.Common.Validate(); err != nil {
		return err
	}
	return knownChecks(&c.Common)
}

func knownChecks(cfg *config.Common) error {
	for _, name := range cfg.Ignore {
		if !slices.Contains(preflight.Names(), name) {
			return fmt.Errorf("--ignore %s: there are only the checks %s", name, strings.Join(preflight.Names(), ", "))
		}
	}
	return nil
}

// Run prints what all checks have found.
func (c *checkCmd) Run(ctx context.Context, std *streams) error {
	results := preflight.Run(&c.Common, readApache(ctx, &c.Common))
	write := writeText
	if c.JSON {
		write = writeJSON
	}
	if err := write(std.out, c.Interface, results); err != nil {
		return fmt.Errorf("print the results: %w", err)
	}
	if preflight.Worst(results) == preflight.Fail {
		return errReported
	}
	return nil
}

func writeJSON(w io.Writer, _ string, results []preflight.Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(results)
}

func writeText(w io.Writer, ifname string, results []preflight.Result) error {
	var b strings.Builder
	count := map[preflight.Level]int{}
	for _, r := range results {
		count[r.Level]++
		fmt.Fprintf(&b, "%-5s%-13s%s\n", r.Level, r.Check, r.Found)
		for _, line := range []struct{ head, text string }{{"it means: ", r.Means}, {"to do:    ", r.Do}} {
			if line.text != "" {
				fmt.Fprintf(&b, "%18s%s%s\n", "", line.head, line.text)
			}
		}
	}
	switch {
	case count[preflight.Fail] > 0:
		fmt.Fprintf(&b, "\nxhttpd could not run on %s: %d of the checks have failed.\n", ifname, count[preflight.Fail])
	case count[preflight.Warn] > 0:
		fmt.Fprintf(&b, "\nxhttpd could run on %s; %d warnings.\n", ifname, count[preflight.Warn])
	default:
		fmt.Fprintf(&b, "\nxhttpd could run on %s.\n", ifname)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// require runs the checks before the daemon touches anything: warnings are logged, failures end it.
func require(cfg *config.Common, behind *preflight.Apache, log *slog.Logger) error {
	results := preflight.Run(cfg, behind)
	for _, r := range results {
		switch r.Level {
		case preflight.Warn:
			log.Warn(r.Found, "check", r.Check, "means", r.Means, "do", r.Do)
		case preflight.Fail:
			log.Error(r.Found, "check", r.Check, "means", r.Means, "do", r.Do)
		}
	}
	if preflight.Worst(results) == preflight.Fail {
		log.Error("xhttpd could not run here; nothing was touched", "interface", cfg.Interface)
		return errReported
	}
	return nil
}
