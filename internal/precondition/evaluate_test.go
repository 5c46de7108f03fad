package precondition

import (
	"fmt"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// request returns a request for /a with these fields.
func request(t testing.TB, fields ...string) *httpwire.Request {
	t.Helper()
	var r httpwire.Request
	head := "GET /a HTTP/1.1\r\nHost: test\r\n" + strings.Join(append(fields, "", ""), "\r\n")
	if _, v, why := httpwire.Parse([]byte(head), &r); v != httpwire.Complete {
		t.Fatalf("%q: %v %v", fields, v, why)
	}
	return &r
}

const (
	etag = `"3e8-617c3a1b2c3d4"`
	then = 1714979289 // Mon, 06 May 2024 07:08:09 GMT
	now  = 1795000000
)

// known returns validators with one tag for all.
func known(tag string, modified int64, length uint64) Validators {
	return Validators{tag, tag, modified, length}
}

// shown is a verdict and its parts: "partial 0-1,5-6".
func shown(v Verdict, parts *Parts) string {
	text := v.String()
	sep := " "
	if v == Partial {
		if parts.N == 1 {
			from, to := parts.Only()
			return fmt.Sprintf("%s %d-%d", text, from, to-1)
		}
		for _, p := range parts.All() {
			text += fmt.Sprintf("%s%d-%d", sep, p.From, p.To-1)
			sep = ","
		}
	}
	return text
}

func TestEvaluate(t *testing.T) {
	const (
		same   = "Mon, 06 May 2024 07:08:09 GMT"
		before = "Mon, 06 May 2024 07:08:08 GMT"
		after  = "Mon, 06 May 2024 07:08:10 GMT"
	)
	for _, c := range []struct{ fields, want string }{
		{"", "whole"},
		{"If-Range: " + etag, "whole"},
		{"If-None-Match: " + etag, "not modified"},
		{"If-None-Match: W/" + etag, "not modified"},
		{`If-None-Match: "x" , ` + etag + ` , "y"`, "not modified"},
		{`If-None-Match: "x"`, "whole"},
		{"If-None-Match: *, nonsense", "not modified"},
		{"If-None-Match: x, " + etag, "whole"},
		{`If-None-Match: "x" y, ` + etag, "unsure"},
		{`If-None-Match: "\", ` + etag, "unsure"},
		{"If-None-Match:", "whole"},
		{"If-Modified-Since: " + same, "not modified"},
		{"If-Modified-Since: " + before, "whole"},
		{"If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT", "whole"},
		{"If-Modified-Since: never", "whole"},
		// All have to hold, unlike in RFC 9110.
		{"If-None-Match: " + etag + "|If-Modified-Since: " + before, "whole"},
		{"If-None-Match: " + etag + "|If-Modified-Since: " + same, "not modified"},
		{"If-None-Match: \"x\"|If-Modified-Since: " + same, "whole"},
		{"If-Match: " + etag, "whole"},
		{"If-Match: *", "whole"},
		{"If-Match: W/" + etag, "unsure"},
		{"If-Match:", "unsure"},
		{"If-Match: " + etag + "|If-None-Match: " + etag, "not modified"},
		{"If-Match: " + etag + "|If-Unmodified-Since: " + before, "unsure"},
		{"If-Unmodified-Since: " + same, "whole"},
		{"If-Unmodified-Since: " + before, "unsure"},
		{"If-Unmodified-Since: never", "whole"},
		{"If-Unmodified-Since: " + after + "|If-None-Match: " + etag, "whole"},
		{"Range: bytes=0-1", "partial 0-1"},
		{"Range: bytes=0-1|If-Range: " + etag, "partial 0-1"},
		{"Range: bytes=0-1|If-Range: W/" + etag, "whole"},
		{"Range: bytes=0-1|If-Range: " + same, "partial 0-1"},
		{"Range: bytes=0-1|If-Range: " + after, "whole"},
		{"Range: bytes=0-1|If-Range:", "whole"},
		{"Range: bytes=0-1|If-None-Match: " + etag, "not modified"},
		{"Range: x|If-None-Match: W/" + etag, "whole"}, // weak tags do not count beside Range
		{"Range: bytes=0-1|If-None-Match: W/" + etag, "partial 0-1"},
		{"Range: bytes=0-1|If-Match: " + etag, "partial 0-1"},
		{"Range: bytes=0-1|If-Modified-Since: " + same, "not modified"},
		{"Range: bytes=0-1|If-Modified-Since: " + same + "|If-Range: " + etag, "partial 0-1"}, // If-Range stands against 304
		{"Range: bytes=0-1|If-Modified-Since: " + same + "|If-Range: \"x\"", "whole"},
		{"Range: bytes=0-1|If-Unmodified-Since: " + same, "partial 0-1"},
		{"Range: bytes=1000-", "unsure"},
	} {
		r := request(t, strings.FieldsFunc(c.fields, func(c rune) bool { return c == '|' })...)
		v := known(etag, then, 1000)
		var parts Parts
		if got := shown(Evaluate(r, &v, now, &parts), &parts); got != c.want {
			t.Errorf("%q: %s, want %s", c.fields, got, c.want)
		}
	}
}

// A file of less than a minute has weak dates, and what lacks a validator is the server's behind.
func TestValidators(t *testing.T) {
	date := func(at int64) string {
		b := make([]byte, httpwire.DateLen)
		httpwire.PutDate(b, at)
		return string(b)
	}
	since := date(then)
	for _, c := range []struct {
		v      Validators
		now    int64
		fields []string
		want   string
	}{
		{known(etag, then, 1000), then + 59, []string{"Range: bytes=0-1", "If-Range: " + since}, "whole"},
		{known(etag, then, 1000), then + 60, []string{"Range: bytes=0-1", "If-Range: " + since}, "partial 0-1"},
		{known(etag, then, 1000), then + 59, []string{"Range: bytes=0-1", "If-Modified-Since: " + since}, "partial 0-1"},
		{known(etag, then, 1000), then + 59, []string{"If-Modified-Since: " + since}, "not modified"},
		{known(etag, then, 1000), then + 59, []string{"If-Unmodified-Since: " + date(then-1)}, "unsure"},
		{known(etag, then, 1000), then + 59, []string{"If-Unmodified-Since: " + date(then-1), "Range: bytes=0-1"}, "partial 0-1"},
		{known(etag, then, 1000), then + 60, []string{"If-Unmodified-Since: " + date(then-1), "Range: bytes=0-1"}, "unsure"},
		{known("", then, 1000), now, []string{"If-None-Match: \"x\""}, "unsure"},
		{known("", then, 1000), now, []string{"If-None-Match: *"}, "not modified"},
		{known("", then, 1000), now, []string{"Range: bytes=0-1", "If-Range: \"x\""}, "whole"},
		{Validators{`"a"`, `"a-gzip"`, then, 1000}, now, []string{"Range: bytes=0-1", "If-Range: \"a\""}, "whole"},
		{Validators{`"a"`, `"a-gzip"`, then, 1000}, now, []string{"Range: bytes=0-1", "If-Range: \"a-gzip\""}, "partial 0-1"},
		{Validators{`"a"`, `"a-gzip"`, then, 1000}, now, []string{"If-None-Match: \"a-gzip\""}, "whole"},
		{Validators{`"a"`, `"a-gzip"`, then, 1000}, now, []string{"If-None-Match: \"a\""}, "not modified"},
		{Validators{"", `"a-gzip"`, then, 1000}, now, []string{"If-None-Match: \"a\""}, "unsure"},
		{known("", then, 1000), now, []string{"Range: bytes=0-1"}, "partial 0-1"},
		{known(`x`, then, 1000), now, []string{"If-Match: \"x\""}, "unsure"},
		{known(`"a"b"`, then, 1000), now, []string{"If-Match: \"a\""}, "unsure"},
		{known(`W/"a"`, then, 1000), now, []string{"If-None-Match: \"a\""}, "not modified"},
		{known(`W/"a"`, then, 1000), now, []string{"If-None-Match: \"a\"", "Range: x"}, "whole"},
		{known(etag, 0, 1000), now, []string{"If-Modified-Since: " + since}, "unsure"},
		{known(etag, 0, 1000), now, []string{"Range: bytes=0-1", "If-Range: " + since}, "unsure"},
		{known(etag, 0, 1000), now, []string{"If-None-Match: " + etag}, "not modified"},
	} {
		var parts Parts
		if got := shown(Evaluate(request(t, c.fields...), &c.v, c.now, &parts), &parts); got != c.want {
			t.Errorf("%+v at %d, %q: %s, want %s", c.v, c.now, c.fields, got, c.want)
		}
	}
}

func TestRanges(t *testing.T) {
	for value, want := range map[string]string{
		"bytes=0-0": "partial 0-0", "bytes=500-": "partial 500-999", "bytes=-1": "partial 999-999", "bytes=-5000": "partial 0-999",
		"bytes=0-": "partial 0-999", "BYTES=0-999": "partial 0-999", "bytes=900-5000": "partial 900-999", "bytes=007-08": "partial 7-8",
		"bytes=1000-": "unsure", "bytes=1000-1000,2000-": "unsure", "bytes=1000-,0-1": "partial 0-1", "bytes=5-2": "whole", "bytes=-0": "whole",
		"bytes=": "whole", "bytes": "whole", "byte=0-1": "whole", "bytes=-": "whole", "bytes= 0-1": "whole", "bytes=0-1, 3-4": "whole", "bytes=0 -1": "whole",
		"bytes=+0-1": "whole", "bytes=0-1-2": "whole", "bytes=0-1;2-3": "whole", "bytes=1000-,x": "whole", "bytes=0-1,": "partial 0-1",
		"bytes=,0-1": "whole", "bytes=0-1,,3-4": "partial 0-1,3-4", "": "whole", "lines=0-1": "whole", "bytes=--1": "whole",
		"bytes=0-0,2-3": "partial 0-0,2-3", "bytes=5-6,1-2": "partial 5-6,1-2", "bytes=0-1,2-3": "partial 0-3", "bytes=2-3,0-1": "partial 0-3",
		"bytes=2-8,4-5": "partial 2-8", "bytes=4-5,2-8": "partial 2-8", "bytes=0-1,8-9,2-3": "partial 0-1,8-9,2-3",
		"bytes=5-6,0-": "partial 0-999", "bytes=5-6,0-,x": "partial 0-999", "bytes=0-599,700-,0-1": "partial 0-599,700-999,0-1",
		"bytes=0-499,600-,0-499":      "whole", // more than there is
		"bytes=0-9223372036854775807": "partial 0-999", "bytes=5-6,0-9223372036854775807": "partial 0-999", "bytes=0-9223372036854775808": "whole",
		"bytes=-9223372036854775807": "partial 0-999", "bytes=9223372036854775807-": "unsure", "bytes=99999999999999999999-": "whole",
		"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14":       "partial 0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14",
		"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16": "unsure",
		"bytes=" + strings.Repeat("0-0,", 9):                "partial 0-0",
		"bytes=" + strings.Repeat("0-0,", 10):               "unsure",
	} {
		v := known(etag, then, 1000)
		var parts Parts
		if got := shown(Evaluate(request(t, "Range: "+value), &v, now, &parts), &parts); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	v := known("", 0, ProbeLength)
	var parts Parts
	if Evaluate(request(t, "Range: "+Probe), &v, now, &parts) != Partial || parts.N != MaxParts || parts.Merges != maxMerges {
		t.Errorf("the probe: %+v", parts)
	}
	// The ends of what a length can be.
	for _, c := range []struct {
		length uint64
		value  string
		want   string
	}{
		{0, "bytes=0-0", "whole"}, {0, "bytes=-1", "whole"}, {1, "bytes=0-0", "partial 0-0"}, {1, "bytes=1-", "unsure"},
		{1<<32 - 1, "bytes=4294967294-", "partial 4294967294-4294967294"}, {1<<32 - 1, "bytes=0-", "partial 0-4294967294"},
		{1 << 32, "bytes=4294967295-", "partial 4294967295-4294967295"}, {1 << 32, "bytes=-1,4294967296-", "partial 4294967295-4294967295"},
		{MaxLength, "bytes=1-", "partial 1-1099511627774"}, {MaxLength, "bytes=4294967296-4294967300", "partial 4294967296-4294967300"},
		{MaxLength, "bytes=0-0,2-2", "unsure"}, {maxSeveral, "bytes=0-0,-1", "partial 0-0,4294901759-4294901759"}, {maxSeveral + 1, "bytes=0-0,-1", "unsure"},
	} {
		v := known(etag, then, c.length)
		var parts Parts
		if got := shown(Evaluate(request(t, "Range: "+c.value), &v, now, &parts), &parts); got != c.want {
			t.Errorf("%q of %d: %s, want %s", c.value, c.length, got, c.want)
		}
	}
}

func TestReadDate(t *testing.T) {
	for value, want := range map[string]int64{
		"Mon, 06 May 2024 07:08:09 GMT": then, "Monday, 06-May-24 07:08:09 GMT": then, "Mon May  6 07:08:09 2024": then, "Mon, 6 May 2024 07:08:09 GMT": then,
		"x 06 May 2024 07:08:09 ": then, "Mon, 06 May 2024 07:08:09 +0500": then, "Mon May 06 07:08:09 2024 or so": then, "Mon, 06 May 2024 07:08:60 GMT": then + 51,
		" \tMon, 06 May 2024 07:08:09 GMT": then,
		"Mon, 06 May 2024 07:08:09":        0, "06 May 2024 07:08:09 GMT": 0, "": 0, "0": 0, " ": 0, "now ": 0, "Mon, 06 may 2024 07:08:09 GMT": 0,
		"Mon, 06 Mai 2024 07:08:09 GMT": 0, "Mon, 00 May 2024 07:08:09 GMT": 0, "Wed, 31 Apr 2024 07:08:09 GMT": 0, "Thu, 29 Feb 2024 00:00:00 GMT": 1709164800,
		"Wed, 29 Feb 2023 00:00:00 GMT": 0, "Mon, 06 May 2024 24:00:00 GMT": 0, "Mon, 06 May 2024 07:60:00 GMT": 0, "Mon, 06 May 2024 07:00:62 GMT": 0,
		"Thu, 01 Jan 1970 00:00:00 GMT": 0, "Thu, 01 Jan 1970 00:00:01 GMT": 1, "Wed, 31 Dec 1969 23:59:59 GMT": 0, "Mon, 06 May 1824 07:08:09 GMT": 0,
		"Friday, 01-Jan-70 00:00:01 GMT": 1, "Friday, 01-Jan-69 00:00:00 GMT": 3124224000, "Fri, 31 Dec 9999 23:59:59 GMT": 253402300799,
	} {
		if got := readDate([]byte(value)); got != want {
			t.Errorf("%q: %d, want %d", value, got, want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	r := request(t, "Range: bytes=0-1,5-6,9-10", "If-Range: "+etag, "If-None-Match: \"x\", W/"+etag, "If-Match: *", "If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT",
		"If-Unmodified-Since: Monday, 06-May-24 07:08:09 GMT")
	v := known(etag, then, 1000)
	m := Multipart{Boundary: Boundary, Type: "text/html", Body: make([]byte, 1000), Length: 1000}
	dst := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		var parts Parts
		if Evaluate(r, &v, now, &parts) != Partial || m.Len(&parts) == 0 || m.ReadAt(&parts, dst, 50) == 0 {
			t.Fatal("not what was meant")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for name, fields := range map[string][]string{
		"none": nil, "304": {"If-None-Match: " + etag, "If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT"}, "206": {"Range: bytes=0-1,5-6,9-10", "If-Range: " + etag},
	} {
		r, v := request(b, fields...), known(etag, then, 1000)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var parts Parts
				Evaluate(r, &v, now, &parts)
			}
		})
	}
}

func BenchmarkMultipart(b *testing.B) {
	m := Multipart{Boundary: Boundary, Type: "text/html", Body: make([]byte, 100_000), Length: 100_000}
	parts := Parts{N: 3, List: [MaxParts]Part{{0, 2}, {10_000, 50_000}, {99_000, 100_000}}}
	dst := make([]byte, 1460)
	b.SetBytes(int64(len(dst)))
	for b.Loop() {
		m.ReadAt(&parts, dst, 20_000)
	}
}
