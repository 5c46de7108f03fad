package compare

import (
	"fmt"
	"strings"
)

// Report writes the page that is kept beside the plots.
func (r *Results) Report() string {
	var s strings.Builder
	s.WriteString("# xhttpd beside others\n\n" + r.Targets() + "\n" + r.scaling())
	s.WriteString("![targets](targets.png)\n")
	for _, p := range plots {
		fmt.Fprintf(&s, "\n![%s](%s)\n", p.title, p.file)
	}
	return s.String() + "\n" + r.Table()
}

// scaling says what a second queue costs, or nothing if it was not measured.
func (r *Results) scaling() string {
	for _, w := range r.Workloads() {
		one := w
		one.Queues = 0
		single, _, _ := r.Cell(one, self).Median(Process)
		if several, _, _ := r.Cell(w, self).Median(Process); w.Queues > 1 && single > 0 && several > 0 {
			return fmt.Sprintf("With %d queues, a loop for each, the processor time of its processes for a request is %.2f of that with one (%.2f and %.2f µs; %s). The client has one of "+
				"the two cores, so requests/s say nothing of scaling: that the loops share nothing is what this shows.\n\n", w.Queues, several/single, several, single, one)
		}
	}
	return ""
}

// Table writes all cells as Markdown, a table for each workload.
func (r *Results) Table() string {
	var s strings.Builder
	fmt.Fprintf(&s, "Made by `%s` on %s, Linux %s, %d CPUs, commit %s; layout %s.\n\n", r.Command, r.Date, r.Kernel, r.CPUs, r.Commit, r.Layout)
	s.WriteString("Medians of the rounds (least – greatest); of rounds that were disturbed only if there are no others. CPU is what the server's core spent for a request, softirq\n" +
		"included; process the part of it that its processes had. Memory is theirs (proportional set size). What is not told is –.\n")
	for _, w := range r.Workloads() {
		fmt.Fprintf(&s, "\n### %s\n\n", w)
		s.WriteString("| | requests/s | Gbit/s | CPU, µs | process, µs | p50, µs | p99, µs | p99.9, µs | MiB | rounds | notes |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
		for _, peer := range r.Peers() {
			if c := r.Cell(w, peer); c != nil {
				c.row(&s)
			}
		}
	}
	return s.String()
}

func (c *Cell) row(s *strings.Builder) {
	text := func(f Figure, format string, by float64) string {
		m, _, _ := c.Median(f)
		if m == 0 {
			return "–"
		}
		return fmt.Sprintf(format, m/by)
	}
	spread := func(f Figure, format string) string {
		_, low, high := c.Median(f)
		if high == 0 {
			return "–"
		}
		return text(f, format, 1) + " (" + fmt.Sprintf(format, low) + " – " + fmt.Sprintf(format, high) + ")"
	}
	fmt.Fprintf(s, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %d | %s |\n", c.Peer, spread(Requests, "%.0f"), text(Bits, "%.2f", 1e9), spread(CPU, "%.2f"),
		text(Process, "%.2f", 1), text(P50, "%.0f", 1), text(P99, "%.0f", 1), text(P999, "%.0f", 1), text(Memory, "%.0f", 1), len(c.Samples), c.notes())
}

func (c *Cell) notes() string {
	var all []string
	for _, figure := range []struct {
		f      Figure
		format string
		by     float64
	}{{Busy, "%.2f %% of a core", 0.01}, {Each, "%.0f octets for a connection", 1}, {Offered, "%.0f offered", 1}} {
		if m, _, _ := c.Median(figure.f); m != 0 {
			all = append(all, fmt.Sprintf(figure.format, m/figure.by))
		}
	}
	for _, note := range []struct {
		what string
		is   func(*Sample) bool
	}{
		{"left to Apache", func(s *Sample) bool { return s.Left }},
		{"left to Apache without a look", func(s *Sample) bool { return s.Unseen > 0.01 }},
		{"disturbed", func(s *Sample) bool { return s.Disturbed }},
		{"limited by the client", func(s *Sample) bool { return s.Limited }},
		{"without an answer", (*Sample).silent},
		{"with frames dropped by the wire", func(s *Sample) bool { return s.Dropped > 0 }},
		{"with errors", func(s *Sample) bool { return s.Errors > 0 }},
	} {
		if n := c.count(note.is); n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, note.what))
		}
	}
	return strings.Join(all, ", ")
}

// silent reports whether nothing at all was answered.
func (s *Sample) silent() bool { return s.Requests == 0 && s.Errors > 0 }
