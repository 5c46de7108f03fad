package xload

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteText writes a result for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s loop, %d connections", r.Loop, r.Connections)
	switch {
	case r.NewEach:
		b.WriteString(", a new one for each request")
	case r.Pipeline > 1:
		fmt.Fprintf(&b, ", %d requests under way on each", r.Pipeline)
	}
	if r.Offered > 0 {
		fmt.Fprintf(&b, ", %.0f requests/s offered", r.Offered)
	}
	fmt.Fprintf(&b, ", %.2f s\n\n", r.Seconds)
	fmt.Fprintf(&b, "  requests/s  %.0f\n  Gbit/s      %.3f\n  requests    %d\n", r.Rate, r.Gbits, r.Requests)
	fmt.Fprintf(&b, "  errors      %d", r.Errs())
	for _, why := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(&b, "  %s %d", why, r.Errors[why])
	}
	b.WriteString("\n\n")
	b.WriteString("  latency         mean      p50      p90      p99    p99.9   p99.99      max\n")
	row(&b, "response", &r.Latency)
	if r.Connect.Count > 0 {
		row(&b, "connect", &r.Connect)
	}
	if len(r.Classes) > 0 {
		for _, name := range slices.Sorted(maps.Keys(r.Classes)) {
			c := r.Classes[name]
			row(&b, name, &c.Latency)
		}
	}
	s := &r.Self
	fmt.Fprintf(&b, "\n  generator: busy %.0f %%, %.2f µs of processor time for a request, %.1f frames at once", s.Busy*100, s.PerRequest*1e6, s.Batch)
	if r.Loop == "open" {
		fmt.Fprintf(&b, ", %.3f %% of the requests begun late (worst %s)", s.Late*100, short(s.MaxLate))
	}
	fmt.Fprintf(&b, "\n  connections opened %d, requests sent again %d\n", r.TCP.Opened, r.Retried)
	if t := &r.TCP; t.Retransmitted+t.OutOfOrder+t.Resets+t.Bad+r.Ring.Full+r.Ring.Dropped > 0 {
		fmt.Fprintf(&b, "  TCP: %d retransmissions, %d segments out of order, %d resets, %d bad frames; lost in the ring: %d\n",
			t.Retransmitted, t.OutOfOrder, t.Resets, t.Bad, r.Ring.Full+r.Ring.Dropped)
	}
	b.WriteString("\n" + r.Limit.sentence() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func row(b *strings.Builder, name string, q *Quantiles) {
	fmt.Fprintf(b, "  %-11s", name)
	for _, v := range []float64{q.Mean, q.P50, q.P90, q.P99, q.P999, q.P9999, q.Max} {
		fmt.Fprintf(b, " %8s", short(v))
	}
	b.WriteString("\n")
}

func (l *Limit) sentence() string {
	switch l.By {
	case ByGenerator:
		return "LIMITED BY THE GENERATOR, not by the server: " + l.Why + "."
	case ByConnections:
		return "Limited by the number of connections: " + l.Why + "."
	case ByRate:
		return "Limited by the rate that was offered: " + l.Why + "."
	}
	return "Limited by the server: " + l.Why + "."
}

// short prints a time, given in seconds, in few characters.
func short(seconds float64) string {
	switch {
	case seconds == 0:
		return "0"
	case seconds < 1e-3:
		return fmt.Sprintf("%.1fµs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.2fms", seconds*1e3)
	}
	return fmt.Sprintf("%.2fs", seconds)
}

// String is a line for people who wait.
func (p Progress) String() string {
	if !p.Warm {
		return fmt.Sprintf("%4.0f s  warming up: %d connections, busy %.0f %%", p.Since.Seconds(), p.Open, p.Busy*100)
	}
	line := fmt.Sprintf("%4.0f s  %9.0f requests/s  p50 %8s  p99 %8s  busy %3.0f %%  failed %d",
		p.Since.Seconds(), p.Rate, short(p.P50.Seconds()), short(p.P99.Seconds()), p.Busy*100, p.Failed)
	if p.Backlog > 0 {
		line += fmt.Sprintf("  waiting %d", p.Backlog)
	}
	return line
}
