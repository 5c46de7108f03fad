package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"
)

// clf is the time as common formats write it.
const clf = "[02/Jan/2006:15:04:05 -0700]"

// conversions are those of strftime(3) that mean the same in the C library and in ours.
const conversions = "aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ%"

// timeItem is %t: when the request was received, or, with end:, when the response had ended.
func timeItem(arg string) (item, error) {
	at := func(l *line) time.Time { return l.begun }
	switch form, ok := cutTime(arg, "begin"); {
	case ok:
		arg = form
	default:
		if form, ok = cutTime(arg, "end"); ok {
			arg = form
			at = func(l *line) time.Time { return l.begun.Add(l.took) }
		}
	}
	count := func(of func(t time.Time) int64) (item, error) {
		return number(func(l *line) int64 { return of(at(l)) }), nil
	}
	digits := func(n int, of func(t time.Time) int) (item, error) {
		return func(b []byte, l *line) []byte { return fmt.Appendf(b, "%0*d", n, of(at(l))) }, nil
	}
	switch arg {
	case "":
		return func(b []byte, l *line) []byte { return at(l).AppendFormat(b, clf) }, nil
	case "sec":
		return count(time.Time.Unix)
	case "msec":
		return count(time.Time.UnixMilli)
	case "usec":
		return count(time.Time.UnixMicro)
	case "msec_frac":
		return digits(3, func(t time.Time) int { return t.Nanosecond() / 1e6 })
	case "usec_frac":
		return digits(6, func(t time.Time) int { return t.Nanosecond() / 1e3 })
	}
	for k := 0; k < len(arg); k++ {
		if arg[k] != '%' {
			continue
		}
		if k++; k == len(arg) || !strings.Contains(conversions, arg[k:k+1]) {
			return nil, fmt.Errorf("%%{%s}t: %s is no conversion of strftime that xhttpd knows", arg, strconv.Quote(arg[k-1:min(k+1, len(arg))]))
		}
	}
	return func(b []byte, l *line) []byte { return strftime.AppendFormat(b, arg, at(l)) }, nil
}

// cutTime cuts "begin" or "end", and the colon behind it, from the argument of %t.
func cutTime(arg, which string) (form string, ok bool) {
	if arg == which {
		return "", true
	}
	if form, ok = strings.CutPrefix(arg, which+":"); ok {
		return form, true
	}
	return arg, false
}
