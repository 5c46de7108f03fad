package identity

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
)

// TestGenerated has conversations that nobody has thought of: requests put together at random, and the cases with some octets
// changed. Whatever they are, xhttpd's answer must be Apache's, and end where it does: a further request is behind each. Before some, the XDP
// program answers, another request or the same.
//
// XHTTPD_FUZZ is how long it goes on, as in 10m; XHTTPD_SEED repeats a run.
func TestGenerated(t *testing.T) {
	s := newHotStage(t, ownTargets(nil), "")
	s.put("www/page.html", words(2000))
	s.put("www/page.txt", words(ownSize))
	s.warm([]string{"/own/0000.png", "/page.html", "/page.txt"})
	g := &generator{rnd: rand.New(rand.NewPCG(seed(t), 0))}
	for _, c := range allCases() {
		if known[c.String()] == "" && c.theme != "hosts" && c.theme != "limits" {
			text := ownPattern.ReplaceAllString(strings.Join(c.send, ""), "/own/0000.png")
			// Or Apache ends the connection, after as many behind a hand-over.
			if n := strings.Count(text, " HTTP/1"); n < 50 && (n < 3 || !strings.Contains(text, "plain.test")) {
				g.cases = append(g.cases, text)
			}
		}
	}
	var wg sync.WaitGroup
	var talks, complete int
	var reports atomic.Int64
	before, byProgram := s.settled(), s.Metric("bpf_responses_total")
	free := make(chan struct{}, atOnce)
	limit, until := 2500, time.Time{}
	if text := os.Getenv("XHTTPD_FUZZ"); text != "" {
		d, err := time.ParseDuration(text)
		s.must(err)
		limit, until = 1<<62, time.Now().Add(d)
	}
	for ; talks < limit && (until.IsZero() || time.Now().Before(until)) && reports.Load() < 10; talks++ {
		text := g.next()
		k := talk{pieces: g.cut(text + sentinel), pause: moment, quick: talks%8 >= 4}
		var r httpwire.Request
		n, v, _ := httpwire.Parse([]byte(text), &r)
		if v == httpwire.Complete {
			complete++
		}
		switch lead := g.rnd.IntN(4); {
		case lead == 0:
			k.lead = slices.Repeat([]string{ahead}, leads)
		case lead == 1 && v == httpwire.Complete:
			k.lead = slices.Repeat([]string{text[:n]}, leads)
		}
		six := talks%2 == 1
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			theirs, ours := s.both(&k, six)
			what, _ := s.comparePatiently(&k, six, theirs, ours)
			if what == "" {
				return
			}
			reports.Add(1)
			t.Errorf("IPv6: %v: sent %s\n%s", six, &k, what)
		})
	}
	wg.Wait()
	ours := s.settled() - before
	byProgram = s.Metric("bpf_responses_total") - byProgram
	t.Logf("%d conversations, %d of them with a request that is ours at once; xhttpd gave %v answers, %v of them the XDP program", talks, complete, ours, byProgram)
	if reports.Load() == 0 && (complete < talks/6 || ours < float64(complete)/2 || byProgram < float64(talks)/8) {
		t.Error("too few of them are xhttpd's: this tested something else")
	}
}

// seed returns the test's seed: XHTTPD_SEED, or a random one.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("XHTTPD_SEED"), 10, 64); err == nil {
		n = v
	}
	t.Logf("XHTTPD_SEED=%d", n)
	return n
}

type generator struct {
	rnd   *rand.Rand
	cases []string
}

func (g *generator) next() (text string) {
	for text == "" {
		if g.rnd.IntN(4) == 0 {
			text = g.mutated(pick(g.rnd, g.cases), 1+g.rnd.IntN(3))
		} else if text = g.request(); g.rnd.IntN(3) == 0 {
			text = g.mutated(text, 1+g.rnd.IntN(2))
		}
	}
	for n := g.rnd.IntN(24) - 12; n > 0; n-- {
		text += pick(g.rnd, []string{"\r\n", "\n"})
	}
	return text
}

func pick[T any](rnd *rand.Rand, all []T) T { return all[rnd.IntN(len(all))] }

// values are what a field may hold. Each is put together of one or several of these.
var values = map[string][]string{
	"If-None-Match": {ownETag, "W/" + ownETag, "*", `"1-2"`, `"3e8-617c00000-gzip"`, `""`, `"`, "w/" + ownETag, "x"},
	"If-Match":      {ownETag, "W/" + ownETag, "*", `"1-2"`},
	"If-Modified-Since": {modified.Format(httpTime), modified.Add(time.Second).Format(httpTime), modified.Add(-time.Second).Format(httpTime),
		"Monday, 06-May-24 07:08:09 GMT", "Mon May  6 07:08:09 2024", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "Mon, 06 May 2124 07:08:09 GMT"},
	"If-Unmodified-Since": {modified.Format(httpTime), modified.Add(-time.Second).Format(httpTime), "x"},
	"If-Range":            {ownETag, "W/" + ownETag, `"1-2"`, modified.Format(httpTime), modified.Add(time.Second).Format(httpTime)},
	"Range": {"bytes=0-0", "bytes=0-99", "bytes=500-", "bytes=-100", "bytes=0-", "bytes=999-", "bytes=1000-", "bytes=5-2", "bytes=0-1,5-6", "bytes=0-1, 1-2",
		"bytes=-0", "bytes=", "bytes=0-0,-1", "octets=0-1", "bytes=0-18446744073709551616", "bytes=00-01", "bytes= 1-2", "bytes=1-2,"},
	"Accept-Encoding":   {"gzip", "identity", "br", "*", "deflate", "gzip;q=0", "gzip;q=0.5", "identity;q=0", "x-gzip", "zstd", "*;q=0", "GZIP", "gzip ; q=1", "gzip;q=x"},
	"Connection":        {"close", "keep-alive", "Keep-Alive", "Close", "TE", "Upgrade", "x", "", "close "},
	"Accept":            {"*/*", "text/html", "image/png;q=0", "text/*;q=0.1", "x"},
	"Accept-Language":   {"en", "de, en;q=0.5", "*"},
	"Accept-Charset":    {"utf-8", "*;q=0"},
	"User-Agent":        {"curl/8", "Mozilla/5.0 (X11)", "", "x"},
	"Cookie":            {"a=b", "member=no"},
	"Referer":           {"http://test/", "x"},
	"Cache-Control":     {"no-cache", "max-age=0", "only-if-cached"},
	"Pragma":            {"no-cache"},
	"Content-Length":    {"0", "5", "00", "+0", "-1", "x", "0, 0", ""},
	"Content-Type":      {"text/plain"},
	"Transfer-Encoding": {"chunked", "identity", "x", "chunked, chunked", ""},
	"Expect":            {"100-continue", "x"},
	"Upgrade":           {"h2c", "websocket"},
	"TE":                {"trailers", "gzip"},
	"Trailer":           {"X"},
	"Keep-Alive":        {"timeout=5"},
	"Authorization":     {"Basic am9objpkb2U=", "x"},
	"X-Forwarded-For":   {"192.0.2.9"},
	"X-Odd":             {"y", "", "a\tb", "\xe9", "a:b", `"`, "(", "y, z"},
	"Max-Forwards":      {"0"},
	"From":              {"a@b"},
	"DNT":               {"1"},
	"Origin":            {"http://test"},
}

var (
	fieldNames = func() (all []string) {
		for name := range values {
			all = append(all, name)
		}
		// Those that decide something, more often.
		for range 6 {
			all = append(all, "If-None-Match", "If-Modified-Since", "Range", "If-Range", "Accept-Encoding", "Connection", "X-Odd", "User-Agent")
		}
		return all
	}()
	someTargets = []string{"/own/0000.png", "/own/0000.png", "/own/0000.png", "/page.html", "/page.txt", "/sentinel.txt", "/own/../own/0000.png", "/%6fwn/0000.png", "//own/0000.png",
		"/own/0000.png?x=y", "/own/0000.png?", "/own/./0000.png", "/none", "/own/", "/", "http://test/own/0000.png", "/own/0000.png/", "/own/0000.png;x", "/denied/a.png",
		"/headers/a.png", "/ht/headers/a.png", "/plain/100.png", "/plain/0.png", "/links/same.png", "/pre/page.html", "/plain/übung.png", "/own%2f0000.png", "*"}
	someHosts = []string{"test", "test", "test", "test", "TEST", "test:80", "unknown.test", "192.0.2.2", "192.0.2.2:80", "[2001:db8::2]", "te_st", "test.", "", "a b", "test:x"}
)

// request returns one that is well-formed for the most part.
func (g *generator) request() string {
	var b strings.Builder
	method, version := "GET", "1.1"
	switch g.rnd.IntN(12) {
	case 0, 1:
		method = "HEAD"
	case 2:
		method = pick(g.rnd, []string{"OPTIONS", "POST", "get", "TRACE", "PUT"})
	}
	if g.rnd.IntN(6) == 0 {
		version = pick(g.rnd, []string{"1.0", "1.0", "1.0", "1.2", "0.9", "2.0"})
	}
	target := someTargets[0]
	if g.rnd.IntN(2) == 0 {
		target = pick(g.rnd, someTargets)
	}
	fmt.Fprintf(&b, "%s %s HTTP/%s\r\n", method, target, version)
	var fields []string
	if version == "1.1" || g.rnd.IntN(2) == 0 {
		host := "test"
		if g.rnd.IntN(4) == 0 {
			host = pick(g.rnd, someHosts)
		}
		fields = append(fields, "Host: "+host)
	}
	for range g.rnd.IntN(5) {
		fields = append(fields, g.field())
	}
	g.rnd.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

func (g *generator) field() string {
	name := pick(g.rnd, fieldNames)
	value := pick(g.rnd, values[name])
	for g.rnd.IntN(4) == 0 {
		value += pick(g.rnd, []string{", ", ",", " ,", " ", ";", ",,"}) + pick(g.rnd, values[name])
	}
	switch g.rnd.IntN(10) {
	case 0:
		name = strings.ToLower(name)
	case 1:
		name = strings.ToUpper(name)
	}
	colon := ": "
	if g.rnd.IntN(10) == 0 {
		colon = pick(g.rnd, []string{":", ":\t", ":  ", ": \t "})
	}
	if g.rnd.IntN(10) == 0 {
		value += pick(g.rnd, []string{" ", "\t", "  "})
	}
	return name + colon + value
}

// mutated changes some octets of a text.
func (g *generator) mutated(text string, changes int) string {
	odd := []string{"\r", "\n", "\r\n", " ", "\t", "\x00", ":", ",", "\v", "\f", "\x7f", "\xff", "\x80", "/", ".", "%", "?", "#", "\\", "\"", ";", "=", "0", "9", "a", "A", "_", "-",
		"\r\n ", "\r\nX: y\r\n", "%2e", "..", "//", "\r\n\r\n"}
	for range changes {
		at := g.rnd.IntN(len(text) + 1)
		end := min(len(text), at+1+g.rnd.IntN(3))
		switch g.rnd.IntN(5) {
		case 0: // put in
			text = text[:at] + pick(g.rnd, odd) + text[at:]
		case 1: // take out
			text = text[:at] + text[end:]
		case 2: // put something else in its place
			text = text[:at] + pick(g.rnd, odd) + text[end:]
		case 3: // twice
			text = text[:end] + text[at:]
		default: // the case of a letter, or a bit
			if at < len(text) {
				text = text[:at] + string([]byte{text[at] ^ pick(g.rnd, []byte{0x20, 0x20, 0x20, 1, 0x80})}) + text[at+1:]
			}
		}
		if text == "" {
			break
		}
	}
	return text
}

// cut divides a text in up to three pieces.
func (g *generator) cut(text string) (pieces []string) {
	for range g.rnd.IntN(3) {
		at := 1 + g.rnd.IntN(max(1, len(text)-1))
		if at < len(text) {
			pieces = append(pieces, text[:at])
			text = text[at:]
		}
	}
	return append(pieces, text)
}
