package httpwire

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
)

// heads are whole requests that are ours.
var heads = []string{
	"GET /a.html HTTP/1.1\r\nHost: x\r\n\r\n",
	"HEAD /a/b-c_d.e~f HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.1\r\nhOsT:x.example:80\r\nUser-Agent: curl/8\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
	"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nIf-None-Match: \"a\", W/\"b\"\r\nAccept-Encoding: gzip\r\n\r\n",
	"GET /x HTTP/1.1\r\nHost: x\r\nconnection:\tclose \r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
}

func TestEveryPrefixIsPartial(t *testing.T) {
	for _, head := range heads {
		var r Request
		for n := range len(head) {
			if _, v, why := Parse([]byte(head[:n]), &r); v != Partial {
				t.Fatalf("%q: %v %v, want partial", head[:n], v, why)
			}
		}
		// What follows does not matter.
		if n, v, why := Parse([]byte(head+"POST"), &r); v != Complete || n != len(head) {
			t.Errorf("%q: %d octets, %v %v", head, n, v, why)
		}
	}
}

func TestNotOurs(t *testing.T) {
	const get = "GET /a HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		head string
		want Reason
	}{
		{"POST /a HTTP/1.1\r\n", Method},
		{"get /a HTTP/1.1\r\n", Method},
		{"GET\t/a HTTP/1.1\r\n", Method},
		{"\r\nGET /a HTTP/1.1\r\n", Method},
		{"GETX /a", Method},
		{"GET -old/x HTTP/1.1\r\n", AbsoluteForm}, // kHTTPd served a sibling of the root
		{"GET http://x/a HTTP/1.1\r\n", AbsoluteForm},
		{"GET * HTTP/1.1\r\n", AbsoluteForm},
		{"GET  /a HTTP/1.1\r\n", AbsoluteForm},
		{"GET /a?b HTTP/1.1\r\n", Query},
		{"GET /a%20b HTTP/1.1\r\n", Escape},
		{"GET /../a HTTP/1.1\r\n", DotSegment},
		{"GET /.ht HTTP/1.1\r\n", DotSegment},
		{"GET //a HTTP/1.1\r\n", Target},
		{"GET /a\\b HTTP/1.1\r\n", Target},
		{"GET /a#b HTTP/1.1\r\n", Target},
		{"GET /\xc3\xa4 HTTP/1.1\r\n", Target},
		{"GET /a\x00b HTTP/1.1\r\n", Target},
		{"GET /a\r\n", Version}, // HTTP/0.9
		{"GET /a HTTP/2.0\r\n", Version},
		{"GET /a HTTP/1.1\n", Syntax},
		{"GET /a HTTP/1.1 \r\n", Syntax},
		{"GET /a  HTTP/1.1\r\n", Version},
		{"GET /a HTTP/1.1\r\n\r\n", Host},
		{get + "Host: x\r\n", Host},
		{"GET /a HTTP/1.1\r\nHost: a b\r\n", Host},
		{"GET /a HTTP/1.1\r\nHost:\r\n", Host},
		{get + "Content-Length: 0\r\n", Body},
		{get + "transfer-ENCODING: chunked\r\n", Body},
		{get + "Range: bytes=0-1\r\n", Range},
		{get + "If-Range: x\r\n", Range},
		{get + "Expect: 100-continue\r\n", Expect},
		{get + "Upgrade: h2c\r\n", Upgrade},
		{get + "Connection: upgrade\r\n", Connection},
		{get + "Connection: close, keep-alive\r\n", Connection},
		{get + "Connection: close,\r\nConnection: ,\r\n", Connection},
		{get + "Authorization: Basic x\r\n", Authorization},
		{get + "If-Match: x\r\n", Precondition},
		{get + "If-Unmodified-Since: x\r\n", Precondition},
		{get + "If-None-Match: a\r\nIf-None-Match: b\r\n", Repeated},
		{get + "A : b\r\n", Syntax},
		{get + " A: b\r\n", Syntax},
		{get + ": b\r\n", Syntax},
		{get + "A\r\n", Syntax},
		{get + "A: b\n\r\n", Syntax},
		{get + "A: b\rc\r\n", Syntax},
		{get + "A: b\x00c\r\n", Syntax},
		{get + strings.Repeat("A: b\r\n", 101), HeadTooLarge},
		{get + "A: " + strings.Repeat("b", MaxHead), HeadTooLarge},
	} {
		var r Request
		if _, v, why := Parse([]byte(c.head), &r); v != NotOurs || why != c.want {
			t.Errorf("%.60q: %v %v, want not ours, %v", c.head, v, why, c.want)
		}
		for n := range len(c.head) {
			if _, v, _ := Parse([]byte(c.head[:n]), &r); v == Complete {
				t.Fatalf("%.60q is complete", c.head[:n])
			}
		}
	}
}

func TestLargestHead(t *testing.T) {
	head := "GET /a HTTP/1.1\r\nHost: x\r\nA: "
	head += strings.Repeat("b", MaxHead-len(head)-4) + "\r\n\r\n"
	var r Request
	if n, v, why := Parse([]byte(head), &r); v != Complete || n != MaxHead {
		t.Errorf("%d octets: %d %v %v", len(head), n, v, why)
	}
}

func TestKeepAlive(t *testing.T) {
	for head, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                           true,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":      false,
		"GET / HTTP/1.0\r\n\r\n":                                      false,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":            true,
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n": true,
	} {
		var r Request
		if _, v, _ := Parse([]byte(head), &r); v != Complete || r.KeepAlive() != want {
			t.Errorf("%q: %v, keep-alive %v, want %v", head, v, r.KeepAlive(), want)
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumReasons {
		if name := r.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[r.String()] = true
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	head := []byte(heads[3])
	date := []byte("Sun, 06 Nov 1994 08:49:37 GMT")
	if n := testing.AllocsPerRun(100, func() {
		var r Request
		Parse(head, &r)
		ParseDate(date, 0)
		PutDate(date, 784111777)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever is complete for us, net/http reads as the same request, of the same length, without a body.
func FuzzParse(f *testing.F) {
	for _, head := range heads {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		n, v, _ := Parse(b, &r)
		if v != Complete {
			return
		}
		in := bufio.NewReader(bytes.NewReader(b[:n]))
		req, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q: %v", b[:n], err)
		}
		method := map[bool]string{false: "GET", true: "HEAD"}[r.Head]
		minor := map[bool]int{false: 1, true: 0}[r.HTTP10]
		if req.Method != method || req.RequestURI != string(r.Target) || req.ProtoMinor != minor || req.ContentLength != 0 ||
			len(req.TransferEncoding) > 0 || r.Host != nil && req.Host != string(r.Host) || in.Buffered() != 0 {
			t.Fatalf("%q: we read %+v, net/http %+v", b[:n], r, req)
		}
	})
}

func TestDates(t *testing.T) {
	const now = 1795000000 // in 2026
	for s, want := range map[string]string{
		"Sun, 06 Nov 1994 08:49:37 GMT":  "1994-11-06T08:49:37Z",
		"Sunday, 06-Nov-94 08:49:37 GMT": "1994-11-06T08:49:37Z",
		"Sunday, 06-Nov-33 08:49:37 GMT": "2033-11-06T08:49:37Z",
		"Sun Nov  6 08:49:37 1994":       "1994-11-06T08:49:37Z",
		"Sun Nov 16 08:49:37 1994":       "1994-11-16T08:49:37Z",
		"Thu, 29 Feb 2024 00:00:00 GMT":  "2024-02-29T00:00:00Z",
	} {
		unix, ok := ParseDate([]byte(s), now)
		if got := time.Unix(unix, 0).UTC().Format(time.RFC3339); !ok || got != want {
			t.Errorf("%q: %s %v, want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "x", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 2024 00:00:00 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 00 Nov 1994 00:00:00 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:4x:37 GMT"} {
		if unix, ok := ParseDate([]byte(s), now); ok {
			t.Errorf("%q is read as %d", s, unix)
		}
	}
	var b [DateLen]byte
	for unix := int64(0); unix < 6e9; unix += 86399 * 7 {
		PutDate(b[:], unix)
		if want := time.Unix(unix, 0).UTC().Format(http.TimeFormat); string(b[:]) != want {
			t.Fatalf("%d is written as %q, want %q", unix, b, want)
		}
		if back, ok := ParseDate(b[:], now); !ok || back != unix {
			t.Fatalf("%q is read as %d %v, want %d", b, back, ok, unix)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add([]byte("Sun, 06 Nov 1994 08:49:37 GMT"))
	f.Add([]byte("Sunday, 06-Nov-94 08:49:37 GMT"))
	f.Add([]byte("Sun Nov  6 08:49:37 1994"))
	f.Fuzz(func(t *testing.T, b []byte) {
		unix, ok := ParseDate(b, 1795000000)
		if !ok || len(b) != DateLen {
			return
		}
		if want, err := http.ParseTime(string(b)); err == nil && want.Unix() != unix && string(b[17+6:19+6]) != "60" {
			t.Fatalf("%q: %d, net/http says %d", b, unix, want.Unix())
		}
	})
}
