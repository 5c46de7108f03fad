package precondition

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// slowly says what Evaluate has to say, by regular expressions, strings and sets of octets; "412" and "416" where it is Unsure for
// good reason. odd reports whether it may be Unsure otherwise.
func slowly(r *httpwire.Request, v *Validators, now int64) (want string, odd bool) {
	fresh, stale := false, false
	say := func(is bool) { fresh, stale = fresh || is, stale || !is }
	ranged := r.Range != nil
	date := func(value []byte) int64 {
		odd = odd || v.Modified <= 0
		return slowDate(string(value))
	}
	tags := func(list []byte, strong bool) bool {
		odd = odd || oddList(string(list)) || !plainTag.MatchString(v.Tag)
		return strings.HasPrefix(string(list), "*") || slowMatch(string(list), v.Tag, strong)
	}
	weak := now < v.Modified+60
	if r.IfMatch != nil && !tags(r.IfMatch, true) {
		return "412", odd
	}
	if r.IfUnmodifiedSince != nil {
		if since := date(r.IfUnmodifiedSince); since != 0 && v.Modified > since && !(weak && ranged) {
			return "412", odd
		}
		stale = true
	}
	if r.IfNoneMatch != nil {
		say(tags(r.IfNoneMatch, ranged))
	}
	if r.IfModifiedSince != nil {
		since := date(r.IfModifiedSince)
		say(since >= v.Modified && since <= now && !(weak && ranged))
	}
	if ranged && r.IfRange != nil {
		stale = true
		ok := string(r.IfRange) == v.Sent
		if !strings.HasPrefix(string(r.IfRange), `"`) {
			ok = date(r.IfRange) == v.Modified && !weak
		}
		if !ok {
			return "whole", odd
		}
	}
	if fresh && !stale {
		return "not modified", odd
	}
	want, many := slowRanges(string(r.Range), int64(v.Length))
	return want, odd || many
}

var (
	tagged   = regexp.MustCompile(`^[, \t]*(W/)?("[^"\\]*")[ \t]*(,|$)`)
	plainTag = regexp.MustCompile(`^(W/)?"[^"\\\x00-\x1f\x7f]*"$`)
)

// oddList reports whether there is more in a list than entity tags and what ends Apache's search.
func oddList(list string) bool { return strings.Count(list, `"`) > 0 && !plainList(list) }

func plainList(list string) bool {
	for list != "" {
		m := tagged.FindString(list)
		if m == "" {
			return !strings.Contains(list, `"`)
		}
		list = list[len(m):]
	}
	return true
}

func slowMatch(list, etag string, strong bool) bool {
	if !plainTag.MatchString(etag) || strong && etag[0] == 'W' {
		return false
	}
	for {
		m := tagged.FindStringSubmatch(list)
		if m == nil || strong && m[1] != "" {
			return false
		}
		if m[2] == strings.TrimPrefix(etag, "W/") {
			return true
		}
		list = list[len(m[0]):]
	}
}

var slowForms = []struct {
	form   *regexp.Regexp
	layout string
}{
	{regexp.MustCompile(`^\s*[^ ]* (\d\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:)(\d\d) `), "02 Jan 2006 15:04:"},
	{regexp.MustCompile(`^\s*[^ ]* (\d [A-Z][a-z][a-z] \d{4} \d\d:\d\d:)(\d\d) `), "2 Jan 2006 15:04:"},
	{regexp.MustCompile(`^\s*[^ ]* (\d\d-[A-Z][a-z][a-z]-\d\d \d\d:\d\d:)(\d\d) `), "02-Jan-06 15:04:"},
	{regexp.MustCompile(`^\s*[^ ]* ([A-Z][a-z][a-z] [\d ]\d \d\d:\d\d:)(\d\d) (\d{4})`), "Jan _2 15:04: 2006"},
}

func slowDate(value string) int64 {
	for _, f := range slowForms {
		m := f.form.FindStringSubmatch(value)
		if m == nil {
			continue
		}
		text := m[1]
		seconds, _ := strconv.Atoi(m[2])
		if len(m) > 3 {
			text += " " + m[3]
		}
		at, err := time.Parse(f.layout, text)
		if err != nil || seconds > 61 {
			return 0
		}
		if strings.HasSuffix(f.layout, "06 15:04:") && !strings.Contains(f.layout, "2006") && at.Year() < 1970 {
			at = at.AddDate(100, 0, 0) // time's two digits begin with 1969
		}
		return max(0, at.Unix()+int64(seconds))
	}
	return 0
}

var rangeSpec = regexp.MustCompile(`^(\d*)-(\d*)$`)

// slowRanges works on sets of octets. many reports whether it is more than Evaluate need do.
func slowRanges(value string, length int64) (want string, many bool) {
	if len(value) < 6 || !strings.EqualFold(value[:6], "bytes=") || length == 0 {
		return "whole", false
	}
	limit := big.NewInt(1<<63 - 1)
	var groups [][2]int64
	unsatisfiable, merges, sum := false, 0, int64(0)
	for k, spec := range strings.Split(regexp.MustCompile(`,+`).ReplaceAllString(value[6:], ","), ",") {
		if spec == "" {
			if k == 0 {
				return "whole", false
			}
			break
		}
		m := rangeSpec.FindStringSubmatch(spec)
		if m == nil || m[1]+m[2] == "" {
			return "whole", many
		}
		first, last := new(big.Int), big.NewInt(length-1)
		first.SetString(m[1], 10)
		if m[2] != "" {
			last.SetString(m[2], 10)
		}
		switch {
		case first.Cmp(limit) > 0, m[2] != "" && last.Cmp(limit) > 0, m[1] != "" && m[2] != "" && first.Cmp(last) > 0, m[1] == "" && last.Sign() == 0:
			return "whole", many
		case m[1] == "":
			first, last = new(big.Int).Sub(big.NewInt(length), last), big.NewInt(length-1)
			if first.Sign() < 0 {
				first.SetInt64(0)
			}
		case m[2] == "" && first.Sign() == 0:
			return fmt.Sprintf("partial 0-%d", length-1), many
		case first.Cmp(big.NewInt(length)) >= 0:
			unsatisfiable = true
			continue
		}
		if last.Cmp(big.NewInt(length)) >= 0 {
			last.SetInt64(length - 1)
		}
		from, to := first.Int64(), last.Int64()
		if n := len(groups); n > 0 && touches(groups[n-1], from, to) {
			groups[n-1] = [2]int64{min(from, groups[n-1][0]), max(to, groups[n-1][1])}
			merges++
		} else {
			groups = append(groups, [2]int64{from, to})
		}
		many = many || len(groups) > MaxParts || merges > maxMerges
	}
	var text []string
	for _, g := range groups {
		sum += g[1] - g[0] + 1
		text = append(text, fmt.Sprintf("%d-%d", g[0], g[1]))
	}
	switch {
	case len(groups) == 0 && unsatisfiable:
		return "416", many
	case len(groups) == 0, sum > length:
		return "whole", many
	}
	return "partial " + strings.Join(text, ","), many
}

// touches reports whether some octet of the group, or one beside it, is in [from, to].
func touches(group [2]int64, from, to int64) bool {
	for at := group[0] - 1; at <= group[1]+1; at++ {
		if from <= at && at <= to {
			return true
		}
	}
	return false
}
