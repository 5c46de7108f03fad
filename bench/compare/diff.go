package compare

import (
	"fmt"
	"math"
	"strings"
)

// Diff compares two runs. As the machine may have been another, or in another mood, what counts is how xhttpd stands to a peer in each of them; the
// plain change of figures is beside it.
func Diff(old, now *Results, peer string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "old: %s, commit %s\nnew: %s, commit %s\n\n", old.Date, old.Commit, now.Date, now.Commit)
	fmt.Fprintf(&s, "| workload | requests/s of %s's, old | new | change | CPU of %s's, old | new | change | plain: requests/s | CPU |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n", peer, peer)
	for _, w := range now.Workloads() {
		if now.Cell(w, self) == nil || old.Cell(w, self) == nil {
			continue
		}
		fmt.Fprintf(&s, "| %s |", w)
		for _, f := range []Figure{Requests, CPU} {
			was, is := relative(old, w, peer, f), relative(now, w, peer, f)
			fmt.Fprintf(&s, " %s | %s | %s |", ratio(was), ratio(is), change(was, is))
		}
		for _, f := range []Figure{Requests, CPU} {
			was, _, _ := old.Cell(w, self).Median(f)
			is, _, _ := now.Cell(w, self).Median(f)
			fmt.Fprintf(&s, " %s |", change(was, is))
		}
		s.WriteString("\n")
	}
	return s.String()
}

func relative(r *Results, w Workload, peer string, f Figure) float64 {
	own, _, _ := r.Cell(w, self).Median(f)
	other, _, _ := r.Cell(w, peer).Median(f)
	return own / other
}

func ratio(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}

func change(was, is float64) string {
	if c := is / was; math.IsNaN(c) || math.IsInf(c, 0) {
		return "–"
	}
	return fmt.Sprintf("%+.1f %%", 100*(is/was-1))
}
