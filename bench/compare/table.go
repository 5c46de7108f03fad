package compare

import (
	"fmt"
	"math"
	"strings"
)

// Table writes all cells as Markdown, a table for each workload.
func (r *Results) Table() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Made by `%s` on %s, Linux %s, %d CPUs, commit %s.\n\n", r.Command, r.Date, r.Kernel, r.CPUs, r.Commit)
	s.WriteString("Medians of the rounds (least – greatest). CPU is what the server's core spent for a request, softirq included.\n")
	for _, w := range r.Workloads() {
		fmt.Fprintf(&s, "\n### %s\n\n", w)
		s.WriteString("| | requests/s | Gbit/s | CPU, µs | p50, µs | p99, µs | p99.9, µs | MiB | rounds | notes |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
		for _, peer := range r.Peers() {
			if c := r.Cell(w, peer); c != nil {
				c.row(&s)
			}
		}
	}
	return s.String()
}

func (c *Cell) row(s *strings.Builder) {
	only := func(f Figure) float64 { m, _, _ := c.Median(f); return m }
	rate, low, high := c.Median(Requests)
	cpu, cpuLow, cpuHigh := c.Median(CPU)
	fmt.Fprintf(s, "| %s | %.0f (%.0f – %.0f) | %.2f | %.2f (%.2f – %.2f) | %.0f | %.0f | %.0f | %.0f | %d | %s |\n", c.Peer, rate, low, high, only(Bits)/1e9,
		cpu, cpuLow, cpuHigh, only(P50), only(P99), only(P999), only(Memory), len(c.Samples), c.notes())
}

func (c *Cell) notes() string {
	var all []string
	for _, note := range []struct {
		what string
		is   func(*Sample) bool
	}{
		{"disturbed", func(s *Sample) bool { return s.Disturbed }},
		{"left to Apache", func(s *Sample) bool { return s.Left }},
		{"limited by the client", func(s *Sample) bool { return s.Limited }},
		{"with errors", func(s *Sample) bool { return s.Errors > 0 }},
	} {
		if n := c.count(note.is); n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, note.what))
		}
	}
	return strings.Join(all, ", ")
}

// target is an aim for xhttpd: a figure of its own against that of others, in one run.
type target struct {
	text   string
	object string
	conns  int
	new    bool
	figure Figure
	peers  []string // the best of them counts; all others if empty
	most   float64  // the ratio shall be at most that; or
	least  float64  // at least
}

const self = "xhttpd"

var targets = []target{
	{"1 KiB, keep-alive, 64 connections: CPU for a request, of nginx's", "1k", 64, false, CPU, []string{"nginx"}, 1 / 4.0, 0},
	{"the same, answered by the XDP program", "1k", 64, false, CPU, []string{"nginx"}, 1 / 7.0, 0},
	{"the same, of the best peer's", "1k", 64, false, CPU, nil, 1 / 3.5, 0},
	{"the same, of Apache's", "1k", 64, false, CPU, []string{"apache"}, 1 / 16.0, 0},
	{"requests/s, 1 KiB, 64 connections, of nginx's", "1k", 64, false, Requests, []string{"nginx"}, 0, 5},
	{"the same, of the best peer's", "1k", 64, false, Requests, nil, 0, 4},
	{"the same, 1 connection, of the best peer's", "1k", 1, false, Requests, nil, 0, 3.5},
	{"a new connection for each request: CPU, of the best peer's", "1k", 64, true, CPU, nil, 1 / 5.0, 0},
	{"10 KiB: CPU, of the best peer's", "10k", 64, false, CPU, nil, 1 / 3.0, 0},
	{"SPECweb96 mix: requests/s, of the best peer's", "specweb96", 64, false, Requests, nil, 0, 3},
	{"1 MiB: Gbit/s, of the best peer's", "1M", 64, false, Bits, nil, 0, 1},
	{"1 MiB: CPU, of the best peer's", "1M", 64, false, CPU, nil, 1, 0},
}

// Targets writes a table of the aims: what was reached in each workload that fits.
func (r *Results) Targets() string {
	var s strings.Builder
	s.WriteString("| work | target | reached | beside | client |\n|---|--:|--:|---|---|\n")
	for _, t := range targets {
		for _, w := range r.Workloads() {
			if w.Object == t.object && w.Conns == t.conns && w.New == t.new && !w.Offloads && w.MTU == 1500 {
				t.row(&s, r, w)
			}
		}
	}
	return s.String()
}

func (t *target) row(s *strings.Builder, r *Results, w Workload) {
	own, _, _ := r.Cell(w, self).Median(t.figure)
	best, name := math.NaN(), ""
	for _, peer := range r.Peers() {
		if v, _, _ := r.Cell(w, peer).Median(t.figure); t.against(peer) && !math.IsNaN(v) && (math.IsNaN(best) || t.better(v, best)) {
			best, name = v, peer
		}
	}
	ratio := own / best
	if math.IsNaN(ratio) {
		return
	}
	aim, met := fmt.Sprintf("≥ %.2f", t.least), ratio >= t.least
	if t.most > 0 {
		aim, met = fmt.Sprintf("≤ %.3f", t.most), ratio <= t.most
	}
	reached := fmt.Sprintf("%.3f", ratio)
	if met {
		reached = "**" + reached + "**"
	}
	fmt.Fprintf(s, "| %s | %s | %s | %s | %s |\n", t.text, aim, reached, name, w.Client)
}

func (t *target) against(peer string) bool {
	if len(t.peers) == 0 {
		return !strings.HasPrefix(peer, self) // xhttpd-loop is no peer
	}
	return peer == t.peers[0]
}

func (t *target) better(a, b float64) bool { return t.most > 0 && a < b || t.most == 0 && a > b }
