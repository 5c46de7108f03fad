package precondition_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	. "github.com/xhttpd/xhttpd/internal/precondition"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// file is one that Apache serves.
type file struct {
	name, kind string
	body       []byte
	modified   time.Time
	coding     string // that the client accepts
	validators Validators
	// What requests may name.
	etag, sent string
}

// head returns a request for it.
func (f *file) head(method, version string, fields ...string) string {
	if f.coding != "" {
		fields = append(fields, "Accept-Encoding: "+f.coding)
	}
	fields = append([]string{fmt.Sprintf("%s /%s HTTP/%s", method, f.name, version), "Host: test", "Connection: close"}, fields...)
	return strings.Join(append(fields, "", ""), "\r\n")
}

// Whatever is evaluated is what a real Apache makes of it: the status, and the octets of ranges. Its other way of saying no, an
// error page, is Unsure for us.
func TestSameAsApache(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	now := time.Now()
	files := []*file{
		{name: "page.html", kind: "text/html", modified: now.Add(-time.Hour), body: bytes.Repeat([]byte("0123456789"), 100)},
		{name: "young.png", kind: "image/png", modified: now.Add(-5 * time.Second), body: bytes.Repeat([]byte("0123456789"), 100)},
		{name: "one.txt", kind: "text/plain", modified: now.Add(-time.Hour), body: []byte("x")},
		{name: "empty.png", kind: "image/png", modified: now.Add(-time.Hour)},
		{name: "zip.html", kind: "text/html", coding: "gzip", modified: now.Add(-time.Hour), body: bytes.Repeat([]byte("0123456789"), 100)},
		{name: "none", modified: now.Add(-time.Hour), body: bytes.Repeat([]byte("0123456789"), 100)},
	}
	for _, f := range files {
		b.Put(f.name, f.body)
		if err := os.Chtimes(filepath.Join(b.Root, f.name), f.modified, f.modified); err != nil {
			t.Fatal(err)
		}
	}
	d := &differ{T: t, bed: b, counts: map[string]int{}, unsure: map[int]int{}}
	for _, f := range files {
		// Compressed, the body is Apache's matter, and it sends another tag than it knows again.
		first, fresh := d.ask(f.head("GET", "1.1")), d.ask(f.head("GET", "1.1", "If-None-Match: *"))
		f.etag, f.sent, f.body = fresh.Header.Get("ETag"), first.Header.Get("ETag"), first.body
		if (f.etag == f.sent) != (f.coding == "") {
			t.Fatalf("%s: Apache knows %s and sends %s", f.name, f.etag, f.sent)
		}
		f.validators = Validators{f.etag, f.sent, f.modified.Unix(), uint64(len(f.body))}
	}
	requests := 0
	var wg sync.WaitGroup
	free := make(chan struct{}, 8)
	for _, f := range files {
		for _, fields := range f.combinations(rnd) {
			method, version := []string{"GET", "HEAD"}[rnd.IntN(2)], []string{"1.0", "1.1"}[rnd.IntN(2)]
			requests++
			free <- struct{}{}
			wg.Go(func() {
				defer func() { <-free }()
				d.compare(f, method, version, fields)
			})
		}
	}
	wg.Wait()
	t.Logf("%d requests; %v; of those that we leave, by Apache's status: %v", requests, d.counts, d.unsure)
	for verdict, least := range map[Verdict]int{Whole: 300, NotModified: 100, Partial: 300} {
		if d.counts[verdict.String()] < least {
			t.Errorf("only %d are %v", d.counts[verdict.String()], verdict)
		}
	}
	// What we leave shall be what we have to.
	if left := d.unsure[200] + d.unsure[206] + d.unsure[304]; left*20 > requests {
		t.Errorf("%d of %d requests are left to Apache and get no error page", left, requests)
	}
}

// combinations are fields of requests: each value alone, each pair of values of two fields, and some of more.
func (f *file) combinations(rnd *rand.Rand) (all [][]string) {
	date := func(add time.Duration, format string) string { return f.modified.Add(add).UTC().Format(format) }
	tags := []string{f.etag, "W/" + f.etag, `"x"`, "*", `"x", ` + f.etag, `W/"x",` + f.etag, ""}
	dates := []string{date(0, http.TimeFormat), date(-time.Second, http.TimeFormat), date(time.Second, http.TimeFormat),
		date(0, "Monday, 02-Jan-06 15:04:05 GMT"), date(0, time.ANSIC), "yesterday", "Fri, 31 Dec 2100 23:59:59 GMT"}
	fields := []struct {
		name   string
		values []string
		more   []string // alone only, and of the first file only
	}{
		{"If-Match", tags, oddTags(f.etag)},
		{"If-None-Match", tags, oddTags(f.etag)},
		{"If-Modified-Since", dates, oddDates(f.modified)},
		{"If-Unmodified-Since", dates, oddDates(f.modified)},
		{"Range", []string{"bytes=0-99", "bytes=0-", "bytes=-1,5-6", "bytes=2000-", "x", "bytes=0-1, 5-6", "bytes=0-499,600-,0-499"}, oddRanges(rnd)},
		{"If-Range", append([]string{f.sent, f.etag, "W/" + f.etag, `"x"`, ""}, dates[:4]...), oddDates(f.modified)},
	}
	line := func(k, v int) string { return fields[k].name + ": " + fields[k].values[v] }
	for k := range fields {
		for v := range fields[k].values {
			all = append(all, []string{line(k, v)})
			for k2 := range k {
				for v2 := range fields[k2].values {
					all = append(all, []string{line(k2, v2), line(k, v)})
				}
			}
		}
		if f.name == "page.html" {
			for _, value := range fields[k].more {
				switch one := fields[k].name + ": " + value; fields[k].name {
				case "If-Range":
					all = append(all, []string{one, "Range: bytes=1-2"})
				case "If-None-Match":
					all = append(all, []string{one}, []string{one, "Range: bytes=1-2"})
				default:
					all = append(all, []string{one})
				}
			}
		}
	}
	for range 200 {
		var some []string
		for k := range fields {
			if rnd.IntN(2) == 0 {
				some = append(some, line(k, rnd.IntN(len(fields[k].values))))
			}
		}
		all = append(all, some)
	}
	return all
}

func oddTags(etag string) []string {
	inner := strings.Trim(etag, `"`)
	return []string{"*x", " * ", "*, " + etag, etag + ", *", etag + ",", "," + etag, ", ," + etag, etag + " ,\t\"y\"", etag + `"y"`, etag + " y", "x, " + etag, inner, `"` + inner, inner + `"`,
		`"x" y, ` + etag, `"a\"b", ` + etag, `"\", ` + etag, `"x(", ` + etag, `"x"(, ` + etag, `"x)", ` + etag, `"a,b", ` + etag, `"", ` + etag, `"a b" , ` + etag, "w/" + etag, "W/ " + etag, "W/",
		`W/*`, `"x",W/` + etag, `"x" ,	` + etag + "	", `"` + strings.ToUpper(inner) + `"`, `"` + inner + `-gzip"`, "\"\xfc\", " + etag, `"x"/, ` + etag, `"x";, ` + etag, `"x"=,` + etag,
		strings.Repeat(`"x", `, 100) + etag, `"x"  ,  ` + etag, `"` + inner + ` "`, `"` + inner + `" ; q=1`}
}

func oddDates(at time.Time) (all []string) {
	at = at.UTC()
	for _, format := range []string{"Mon, 2 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:05", "Mon, 02 Jan 2006 15:04:05 ", "Mon, 02 Jan 2006 15:04:05 +0100", "Mon, 02 Jan 2006 15:04:05 UTC",
		"x 02 Jan 2006 15:04:05 GMT", "02 Jan 2006 15:04:05 GMT", "Mon, 02-Jan-06 15:04:05 GMT", "Monday, 02-Jan-2006 15:04:05 GMT", "Mon Jan 02 15:04:05 2006", "Mon Jan 2 15:04:05 2006",
		"Mon Jan _2 15:04:05 2006 GMT", "Mon Jan _2 15:04:05 20060", "Mon, 02 jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z", "Mon, 02 Jan 2006 15:04:05 GMT; length=5", `"Mon, 02 Jan 2006 15:04:05 GMT"`,
		"Mon, 02 Jan 06 15:04:05 GMT", "Mon, 02 Jan 2006 15:04 GMT", "Mon,  02 Jan 2006 15:04:05 GMT", "Mon, 02 Jan 2006 15:04:05.5 GMT"} {
		all = append(all, at.Format(format))
	}
	return append(all, "Mon, 31 Feb 2022 07:08:09 GMT", "Tue, 29 Feb 2022 07:08:09 GMT", "Thu, 29 Feb 2024 07:08:09 GMT", "Mon, 06 May 2024 24:08:09 GMT", "Mon, 06 May 2024 07:08:61 GMT",
		"Mon, 06 May 1924 07:08:09 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Monday, 06-May-69 07:08:09 GMT", "Monday, 06-May-70 07:08:09 GMT", "Mon, 06 May 1824 07:08:09 GMT", "0", "-1", "now now")
}

func oddRanges(rnd *rand.Rand) (all []string) {
	all = []string{"bytes=0-0", "bytes=500-", "bytes=-1", "bytes=-5000", "bytes=0-999", "bytes=900-5000", "bytes=1000-", "bytes=1000-1000,2000-", "bytes=1000-,0-1", "bytes=5-2", "bytes=-0",
		"bytes=", "bytes", "bytes=-", "bytes=--1", "bytes= 0-1", "bytes=0 -1", "bytes=0- 1", "bytes =0-1", "BYTES=0-1", "bytes=+0-1", "bytes=0-1-2", "bytes=0-1;2-3", "bytes=1000-,x", "bytes=0-1,x",
		"bytes=0-1,", "bytes=,0-1", "bytes=0-1,,3-4", "bytes=0-0,2-3", "bytes=5-6,1-2", "bytes=0-1,2-3", "bytes=2-3,0-1", "bytes=2-8,4-5", "bytes=4-5,2-8", "bytes=0-1,8-9,2-3", "bytes=5-6,0-",
		"bytes=5-6,0-,x", "bytes=0-599,700-,0-1", "bytes=0-499,600-,0-498", "bytes=0-499,501-,0-499", "bytes=0-9223372036854775807", "bytes=5-6,0-9223372036854775807", "bytes=0-9223372036854775808",
		"bytes=-9223372036854775807", "bytes=-9223372036854775808", "bytes=9223372036854775807-", "bytes=99999999999999999999-", "bytes=00-01", "bytes=0x0-1", "octets=0-1", "0-1", "bytes=\t0-1",
		"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", "bytes=" + strings.Repeat("0-0,", 9), "bytes=" + strings.Repeat("0-0,", 30),
		"bytes=" + strings.Repeat("9-9,8-8,", 5), "bytes=-1,-2,-3", "bytes=0-1,-1", "bytes=-1,0-", "bytes=00-", "bytes=5-5,00-,7-7", "bytes=1-1,0-,2-", Probe}
	const alphabet = "0123456789,,,--- x"
	for range 150 {
		var b strings.Builder
		for range 1 + rnd.IntN(10) {
			switch rnd.IntN(6) {
			case 0:
				b.WriteByte(alphabet[rnd.IntN(len(alphabet))])
			case 1:
				fmt.Fprintf(&b, "-%d,", rnd.IntN(1200))
			case 2:
				fmt.Fprintf(&b, "%d-,", rnd.IntN(1200))
			default:
				from := rnd.IntN(100) * 10
				fmt.Fprintf(&b, "%d-%d,", from, from+rnd.IntN(30))
			}
		}
		all = append(all, "bytes="+b.String())
	}
	return all
}

// differ asks Apache, and compares.
type differ struct {
	*testing.T
	bed    *testbed.Bed
	mu     sync.Mutex
	counts map[string]int // by verdict
	unsure map[int]int    // by status
}

// answer is a response and its body.
type answer struct {
	*http.Response
	body []byte
}

func (d *differ) ask(head string) answer {
	conn, err := d.bed.Dial(false)
	if err != nil {
		d.Error(err)
		return answer{Response: &http.Response{Header: http.Header{}}}
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // a test
	io.WriteString(conn, head)                    //nolint:errcheck // the answer says it
	conn.(*net.TCPConn).CloseWrite()              //nolint:errcheck // likewise
	octets, err := io.ReadAll(conn)
	if err != nil {
		d.Errorf("%q: %v", head, err)
	}
	section, body, _ := bytes.Cut(octets, []byte("\r\n\r\n"))
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(section), strings.NewReader("\r\n\r\n"))), &http.Request{Method: "HEAD"})
	if err != nil {
		d.Errorf("%q: %v in %.200q", head, err, octets)
		resp = &http.Response{Header: http.Header{}}
	}
	return answer{resp, body}
}

func (d *differ) compare(f *file, method, version string, fields []string) {
	head := f.head(method, version, fields...)
	var r httpwire.Request
	if _, v, why := httpwire.Parse([]byte(head), &r); v != httpwire.Complete {
		d.Errorf("%q: %v %v", head, v, why)
		return
	}
	its := d.ask(head)
	// Ours, at the time that is Apache's.
	date, err := http.ParseTime(its.Header.Get("Date"))
	if err != nil {
		d.Errorf("%q: %v", head, err)
		return
	}
	var parts Parts
	verdict := Evaluate(&r, &f.validators, date.Unix(), &parts)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[verdict.String()]++
	want := f.response(verdict, &parts, its)
	switch {
	case verdict == Unsure:
		d.unsure[its.StatusCode]++
		return
	case r.Head && len(f.body) == 0:
		want.length = "" // Apache's way
	case r.Head:
		want.body = ""
	}
	got := response{its.StatusCode, its.Header.Get("Content-Range"), its.Header.Get("Content-Type"), its.Header.Get("Content-Length"), string(its.body)}
	if got != want {
		d.Errorf("%q: we say %v, %v\nApache: %.300q\nwe:     %.300q", head, verdict, parts.All(), got.fields(), want.fields())
	}
}

// response is what is compared.
type response struct {
	status                            int
	contentRange, contentType, length string
	body                              string
}

func (r response) fields() []string {
	return []string{fmt.Sprint(r.status), r.contentRange, r.contentType, r.length, r.body}
}

var boundary = regexp.MustCompile(`^multipart/byteranges; boundary=([1-9a-f][0-9a-f]{0,15})$`)

// response returns what the verdict means. Only the boundary of parts is learnt from Apache's answer.
func (f *file) response(v Verdict, parts *Parts, its answer) response {
	body := f.body
	r := response{status: 200, contentType: f.kind}
	switch {
	case v == NotModified:
		return response{status: 304}
	case v == Partial && parts.N == 1:
		p := parts.List[0]
		r.status = 206
		r.contentRange = "bytes " + string(AppendContentRange(nil, uint64(p.From), uint64(p.To), uint64(len(body))))
		body = body[p.From:p.To]
	case v == Partial:
		r.status = 206
		m := Multipart{Boundary: "?", Type: f.kind, Body: body, Length: uint64(len(body))}
		if found := boundary.FindStringSubmatch(its.Header.Get("Content-Type")); found != nil {
			m.Boundary = found[1]
		}
		r.contentType = "multipart/byteranges; boundary=" + m.Boundary
		body = make([]byte, m.Len(parts))
		m.ReadAt(parts, body, 0)
	}
	r.body, r.length = string(body), fmt.Sprint(len(body))
	return r
}
