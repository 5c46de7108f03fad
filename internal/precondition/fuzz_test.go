package precondition

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// agree holds Evaluate against the reference.
func agree(t *testing.T, r *httpwire.Request, v *Validators, now int64) {
	t.Helper()
	var parts Parts
	got := shown(Evaluate(r, v, now, &parts), &parts)
	want, odd := slowly(r, v, now)
	switch {
	case got == "unsure" && (odd || want == "412" || want == "416"):
	case got != want, parts != Parts{} && !strings.HasPrefix(want, "partial"):
		t.Fatalf("%q of %+v at %d: %s, want %s", heads(r), *v, now, got, want)
	}
}

func heads(r *httpwire.Request) string {
	return fmt.Sprintf("match %s unmodified %s none %s modified %s range %s if-range %s", r.IfMatch, r.IfUnmodifiedSince, r.IfNoneMatch, r.IfModifiedSince, r.Range, r.IfRange)
}

func FuzzEvaluate(f *testing.F) {
	f.Add("", "", `"x", `+etag, "", "", "", etag, etag, int64(then), uint32(1000), int64(now))
	f.Add(etag, "Mon, 06 May 2024 07:08:09 GMT", "*", "Monday, 06-May-24 07:08:09 GMT", "bytes=0-1,5-,-7", etag, etag, etag, int64(then), uint32(1000), int64(then+9))
	f.Add(`W/"x"`, "Mon May  6 07:08:09 2024", "", "Mon, 6 May 2024 07:08:09 GMT", "bytes=0-9,5-,-7,,0-", "Mon, 06 May 2024 07:08:09 GMT", `W/"x"`, etag, int64(then), uint32(1000), int64(now))
	f.Add("", "", "", "", "bytes=9-9,8-8,7-7,1-2,4-5,999-", "", "", etag, int64(0), uint32(20), int64(now))
	f.Fuzz(func(t *testing.T, match, unmodified, none, modified, ranges, ifRange, tag, sent string, at int64, length uint32, now int64) {
		field := func(value string) []byte { // empty: not sent; a blank: sent empty
			switch value = strings.Trim(strings.Map(fieldText, value), "\t"); value {
			case "":
				return nil
			}
			return []byte(strings.Trim(value, " \t"))
		}
		r := httpwire.Request{IfMatch: field(match), IfUnmodifiedSince: field(unmodified), IfNoneMatch: field(none), IfModifiedSince: field(modified),
			Range: field(ranges), IfRange: field(ifRange)}
		v := Validators{tag, sent, min(max(at, 0), 1<<40), uint64(length % 5000)}
		agree(t, &r, &v, min(max(now, 0), 1<<40))
	})
}

// fieldText drops what no field's value holds.
func fieldText(c rune) rune {
	if c < ' ' && c != '\t' || c >= 0x7f {
		return -1
	}
	return c
}

// Fields made of pieces that mean something meet what octets at random would not.
func TestReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	some := func(n int, sep string, piece func() string) []byte {
		if rnd.IntN(3) > 0 {
			return nil
		}
		text := []string{}
		for range rnd.IntN(n) {
			text = append(text, piece())
		}
		return []byte(strings.Join(text, sep))
	}
	tag := func() string {
		return pick(etag, "W/"+etag, `"x"`, `W/"y"`, `"`, "*", "", " ", `"a,b"`, `"\"`, "x", `""`, "\t"+etag+" ")
	}
	date := func() string {
		return pick("Mon, 06 May 2024 07:08:0", "Monday, 06-May-24 07:08:0", "Mon, 6 May 2024 07:08:0", "Mon, 31 Apr 2024 07:08:0", "x 6 May 2024 07:08:0") + pick("8", "9", "9", "") + pick(" GMT", " GMT", " ", "")
	}
	odd := func() string { return pick("", "9223372036854775807", "9223372036854775808", " 1", "x", "5-6", "0") }
	spec := func() string {
		if rnd.IntN(20) == 0 {
			return odd() + pick("-", "") + odd()
		}
		from := rnd.IntN(30)
		return pick(fmt.Sprintf("%d-%d", from, from+rnd.IntN(3)), fmt.Sprintf("%d-%d", from, from), fmt.Sprintf("%d-", from), fmt.Sprintf("-%d", from))
	}
	counts := map[string]int{}
	for range 50_000 {
		r := httpwire.Request{IfMatch: some(2, ",", tag), IfNoneMatch: some(4, pick(",", ", ", " "), tag), IfUnmodifiedSince: some(2, "", date), IfModifiedSince: some(2, "", date),
			IfRange: some(2, "", tag)}
		if rnd.IntN(2) == 0 {
			r.IfRange = some(2, "", date)
		}
		if list := some(14, pick(",", ",", ",,"), spec); list != nil {
			r.Range = append([]byte(pick("bytes=", "bytes=", "bytes=", "Bytes=", "bytes")), list...)
		}
		v := Validators{pick(etag, etag, "W/"+etag, ""), pick(etag, etag, "W/"+etag, "", `"x"`), int64(then), uint64(rnd.IntN(30))}
		agree(t, &r, &v, []int64{then + 59, then + 60, now}[rnd.IntN(3)])
		var parts Parts
		counts[Evaluate(&r, &v, now, &parts).String()]++
	}
	t.Log(counts)
}
