package precondition

import "github.com/xhttpd/xhttpd/internal/httpwire"

// Verdict says what a request gets.
type Verdict uint8

const (
	// Whole: a 200 with all octets.
	Whole Verdict = iota
	// NotModified: a 304.
	NotModified
	// Partial: a 206 with the Parts.
	Partial
	// Unsure: the server behind knows. It may be a 412 or a 416.
	Unsure
)

// String returns the verdict's name.
func (v Verdict) String() string { return [...]string{"whole", "not modified", "partial", "unsure"}[v] }

// Validators are what a representation is known by.
type Validators struct {
	// Tag is the entity tag that preconditions are compared with, "" if there is none that is known. Apache has its own: the file's, also
	// when it compresses, and then marks the tag that it sends.
	Tag string
	// Sent is the value of the response's ETag field, "" if it has none. If-Range is compared with it.
	Sent     string
	Modified int64  // value of Last-Modified, seconds since 1970; 0 if there is none
	Length   uint64 // at most MaxLength
}

// Evaluate returns what r gets of a representation with validators v at the time now, in seconds since 1970. Parts must be
// empty, and is so again unless the verdict is Partial.
//
// The order is that of Apache's ap_meets_conditions and of its filter for ranges. RFC 9110, 13.2.2, would have
// If-Unmodified-Since ignored beside If-Match, and If-Modified-Since beside If-None-Match; Apache wants all that were
// sent to hold, and never says 304 to a request with If-Unmodified-Since.
func Evaluate(r *httpwire.Request, v *Validators, now int64, parts *Parts) Verdict {
	if r.Range == nil && r.IfNoneMatch == nil && r.IfModifiedSince == nil && r.IfMatch == nil && r.IfUnmodifiedSince == nil {
		return Whole // If-Range alone means nothing
	}
	e := evaluation{r: r, v: v, now: now}
	verdict := e.verdict(parts)
	if e.doubt {
		verdict = Unsure
	}
	if verdict != Partial {
		*parts = Parts{}
	}
	return verdict
}

type evaluation struct {
	r     *httpwire.Request
	v     *Validators
	now   int64
	doubt bool // something cannot be told
}

// condition is what one field says. The order is Apache's, which asks for "weak or better".
type condition uint8

const (
	none condition = iota // the field was not sent
	fails
	holdsWeakly
	holds
)

func (e *evaluation) verdict(parts *Parts) Verdict {
	if e.ifMatch() == fails {
		return Unsure // 412
	}
	if e.modifiedAfter() >= holdsWeakly {
		return Unsure // 412
	}
	ifNoneMatch, ifModifiedSince := e.ifNoneMatch(), e.notModifiedSince()
	fresh := ifNoneMatch >= holdsWeakly || ifModifiedSince >= holdsWeakly
	if ifNoneMatch == fails || ifModifiedSince == fails || e.r.IfUnmodifiedSince != nil {
		fresh = false
	}
	ifRange := e.ifRange()
	switch {
	case fresh && ifRange == none:
		return NotModified
	case ifRange == fails:
		return Whole
	}
	return e.ranges(parts)
}

func (e *evaluation) ifMatch() condition {
	if e.r.IfMatch == nil {
		return none
	}
	return e.matches(e.r.IfMatch, strongly)
}

func (e *evaluation) ifNoneMatch() condition {
	switch {
	case e.r.IfNoneMatch == nil:
		return none
	case e.r.Range != nil: // whatever is in it
		return e.matches(e.r.IfNoneMatch, strongly)
	}
	return e.matches(e.r.IfNoneMatch, weakly)
}

// matches evaluates a list of entity tags.
func (e *evaluation) matches(list []byte, how comparison) condition {
	if len(list) > 0 && list[0] == '*' {
		return holds // whatever follows
	}
	if !canCompare(e.v.Tag) {
		e.doubt = true
		return none
	}
	is, ok := matchesAny(list, e.v.Tag, how)
	switch {
	case !ok:
		e.doubt = true
		return none
	case is:
		return holds
	}
	return fails
}

// modifiedAfter evaluates If-Unmodified-Since; that it holds is bad.
func (e *evaluation) modifiedAfter() condition {
	if e.r.IfUnmodifiedSince == nil {
		return none
	}
	since := e.date(e.r.IfUnmodifiedSince)
	return e.byDate(since != badDate && e.v.Modified > since)
}

func (e *evaluation) notModifiedSince() condition {
	if e.r.IfModifiedSince == nil {
		return none
	}
	// RFC 9110, 13.1.3: a date later than the server's current time is invalid.
	since := e.date(e.r.IfModifiedSince)
	return e.byDate(since >= e.v.Modified && since <= e.now)
}

func (e *evaluation) ifRange() condition {
	value := e.r.IfRange
	switch {
	case value == nil || e.r.Range == nil:
		return none
	case len(value) == 0 || value[0] != '"':
		return e.byDate(e.date(value) == e.v.Modified)
	case string(value) == e.v.Sent:
		return holds
	}
	return fails
}

// byDate makes a condition of a comparison of dates. RFC 9110, 8.8.2.2: Last-Modified is a weak validator for a while, and a weak one
// does not do for ranges.
func (e *evaluation) byDate(is bool) condition {
	switch {
	case !is:
		return fails
	case e.now >= e.v.Modified+60:
		return holds
	case e.r.Range != nil:
		return fails
	}
	return holdsWeakly
}

// date reads a date to compare with the time of modification.
func (e *evaluation) date(value []byte) int64 {
	if e.v.Modified <= badDate {
		e.doubt = true // Apache compares with another time then
	}
	return readDate(value)
}
