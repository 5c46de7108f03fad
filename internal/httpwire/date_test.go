package httpwire

import (
	"net/http"
	"testing"
	"time"
)

func TestPutDate(t *testing.T) {
	for _, unix := range []int64{
		0, 1, 951782400 /* 29 February 2000 */, 784111777, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 4107542400, 253402300799, -1,
	} {
		var got [DateLen]byte
		PutDate(got[:], unix)
		if want := time.Unix(unix, 0).UTC().Format(http.TimeFormat); string(got[:]) != want {
			t.Errorf("%d is %q, want %q", unix, got, want)
		}
		if back, ok := ParseDate(got[:], unix); !ok || back != unix {
			t.Errorf("%q is read as %d, %t", got, back, ok)
		}
	}
}

func TestEveryDay(t *testing.T) {
	var got [DateLen]byte
	for day := int64(0); day < 100*366; day++ {
		unix := day*86400 + day%86400
		PutDate(got[:], unix)
		if want := time.Unix(unix, 0).UTC().Format(http.TimeFormat); string(got[:]) != want {
			t.Fatalf("%d is %q, want %q", unix, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	const now = 1790000000 // 2026
	for in, want := range map[string]int64{
		"Sun, 06 Nov 1994 08:49:37 GMT":     784111777,
		"Sunday, 06-Nov-94 08:49:37 GMT":    784111777,
		"Sun Nov  6 08:49:37 1994":          784111777,
		"Sun Nov 06 08:49:37 1994":          784111777,
		"Tue, 29 Feb 2028 23:59:59 GMT":     1835481599,
		"Wednesday, 01-Jan-20 00:00:00 GMT": 1577836800,
		"Friday, 01-Jan-60 00:00:00 GMT":    2840140800, // 2060: less than 50 years ahead
		"Sat, 31 Dec 2016 23:59:60 GMT":     1483228800, // a leap second
	} {
		if got, ok := ParseDate([]byte(in), now); !ok || got != want {
			t.Errorf("%q is read as %d, %t; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "S", "Sun", "Sunday", "Sunday,", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:60 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
		"Tue, 29 Feb 2027 00:00:00 GMT", "Sun, 06 Nov 19 4 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06 Nov 94 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sun Nov    08:49:37 1994", "Sun Nov  6 08:49:37 94",
	} {
		if got, ok := ParseDate([]byte(in), now); ok {
			t.Errorf("%q is read as %d", in, got)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseDate([]byte(s), 784111777)
		if !ok {
			return
		}
		// net/http minds that the name of the day is right; servers do not.
		want, err := http.ParseTime(s)
		if err == nil && want.Unix() != got && len(s) == DateLen {
			t.Fatalf("%q is %d, net/http says %d", s, got, want.Unix())
		}
	})
}
