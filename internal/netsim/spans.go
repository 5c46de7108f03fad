package netsim

import "slices"

// spans are pieces [lo, hi) of a stream: ascending, not empty, apart from each other.
type spans []span

type span struct{ lo, hi int64 }

// add enters [lo, hi).
func (s *spans) add(lo, hi int64) {
	if lo >= hi {
		return
	}
	rest := (*s)[:0:0]
	for _, p := range *s {
		if p.hi < lo || hi < p.lo {
			rest = append(rest, p)
			continue
		}
		lo, hi = min(lo, p.lo), max(hi, p.hi)
	}
	rest = append(rest, span{lo, hi})
	slices.SortFunc(rest, func(a, b span) int { return int(a.lo - b.lo) })
	*s = rest
}

// covers reports whether all of [lo, hi) is in s.
func (s spans) covers(lo, hi int64) bool {
	for _, p := range s {
		if p.lo <= lo && hi <= p.hi {
			return true
		}
	}
	return lo >= hi
}

// end returns how far s goes from 0 on without a gap.
func (s spans) end() int64 {
	if len(s) == 0 || s[0].lo > 0 {
		return 0
	}
	return s[0].hi
}
