package httpwire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// head builds a request head of a request line and fields, each ended by CRLF, and an empty line.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// get is a head of ours with more fields.
func get(fields ...string) string {
	return head(append([]string{"GET /a/b.html HTTP/1.1", "Host: example.org"}, fields...)...)
}

func many(n int) (fields []string) {
	for k := range n {
		fields = append(fields, fmt.Sprintf("X-%d: v", k))
	}
	return fields
}

// padded is a head of exactly size octets.
func padded(size int) string {
	pad := size - len(get("X: "))
	return get("X: " + strings.Repeat("p", pad))
}

var ours = []struct {
	name, in string
	want     Request
}{
	{"plain", get(), Request{}},
	{"head", head("HEAD /a/b.html HTTP/1.1", "Host: example.org"), Request{Head: true}},
	{"1.0", head("GET /a/b.html HTTP/1.0", "Host: example.org"), Request{HTTP10: true}},
	{"1.0 without host", head("GET /a/b.html HTTP/1.0"), Request{HTTP10: true, Host: []byte(nil)}},
	{"close", get("Connection: close"), Request{SentClose: true}},
	{"keep-alive", get("connection: Keep-Alive"), Request{SentKeepAlive: true}},
	{"keep-alive twice", get("Connection: keep-alive , keep-alive"), Request{SentKeepAlive: true}},
	{"no options", get("Connection:"), Request{}},
	{"empty option", get("Connection: close,"), Request{SentClose: true}}, // RFC 9110, 5.6.1
	{"blanks around a value", get("If-None-Match: \t \"x\" \t"), Request{IfNoneMatch: []byte(`"x"`)}},
	{"no blank", get("If-None-Match:*"), Request{IfNoneMatch: []byte(`*`)}},
	{"empty value", get("Accept-Encoding:"), Request{AcceptEncoding: []byte{}}},
	{"conditions", get("IF-MODIFIED-SINCE: Sun, 06 Nov 1994 08:49:37 GMT", "accept-Encoding: gzip, br"),
		Request{IfModifiedSince: []byte("Sun, 06 Nov 1994 08:49:37 GMT"), AcceptEncoding: []byte("gzip, br")}},
	{"ranges", get("Range: bytes=0-1, -5", "IF-range: \"x\""), Request{Range: []byte("bytes=0-1, -5"), IfRange: []byte(`"x"`)}},
	{"preconditions", get("If-Match:", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
		Request{IfMatch: []byte{}, IfUnmodifiedSince: []byte("Sun, 06 Nov 1994 08:49:37 GMT")}},
	{"what browsers send", get("User-Agent: Mozilla/5.0 (X11)", "Accept: */*", "Cookie: a=b", "Cookie: c=d", "Referer: http://x/?q",
		"Cache-Control: no-cache", "Sec-Fetch-Mode: navigate", "DNT: 1"), Request{UserAgent: []byte("Mozilla/5.0 (X11)")}},
	{"8-bit value", get("X: \xe4\xf6\xff"), Request{}},
	{"100 fields", get(many(99)...), Request{}},
	{"longest", padded(MaxHead), Request{}},
	{"via", get("Via: 1.1 a", "via: 1.1 b"), Request{SentVia: true}},
	{"query", head("GET /a/b.html?c=d?e/f HTTP/1.1", "Host: example.org"), Request{Target: []byte("/a/b.html?c=d?e/f")}},
	{"empty query", head("GET /a/b.html? HTTP/1.1", "Host: example.org"), Request{Target: []byte("/a/b.html?")}},
	{"escapes and dots", head("GET //a/../%2e%2E/.b HTTP/1.1", "Host: example.org"),
		Request{Target: []byte("//a/../%2e%2E/.b"), Path: []byte("//a/../%2e%2E/.b")}},
	{"names that begin like known ones", get("Rang: 1", "Ranges: 1", "Proxy: x", "Proxy-: x", "Expec: 1", "TEA: 1"), Request{}},
}

func TestOurs(t *testing.T) {
	for _, c := range ours {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want.Path == nil {
				want.Path = []byte("/a/b.html")
			}
			if want.Target == nil {
				want.Target = want.Path
			}
			if strings.Contains(c.in, "Host:") {
				want.Host = []byte("example.org")
			}
			var r Request
			n, v, why := Parse([]byte(c.in+"GET /next"), &r)
			if v != Complete || n != len(c.in) {
				t.Fatalf("got %d octets, %v, %v; want %d, complete", n, v, why, len(c.in))
			}
			if got := fmt.Sprintf("%q", fields(&r)); got != fmt.Sprintf("%q", fields(&want)) {
				t.Errorf("\n got %s\nwant %q", got, fields(&want))
			}
		})
	}
}

// fields lists what r holds; nil and empty differ.
func fields(r *Request) []string {
	list := []string{fmt.Sprint(r.Head, r.HTTP10, r.SentKeepAlive, r.SentClose, r.SentVia)}
	for _, b := range [][]byte{r.Target, r.Path, r.Host, r.IfMatch, r.IfUnmodifiedSince, r.IfNoneMatch, r.IfModifiedSince, r.Range, r.IfRange,
		r.AcceptEncoding, r.UserAgent} {
		list = append(list, fmt.Sprintf("%q %t", b, b == nil))
	}
	return list
}

var notOurs = []struct {
	name, in string
	why      Reason
}{
	{"post", head("POST /a HTTP/1.1", "Host: a"), Method},
	{"post with a get inside", head("POST /a HTTP/1.1", "Host: a", "GET /a.html HTTP/1.0"), Method},
	{"lower case", head("get /a HTTP/1.1", "Host: a"), Method},
	{"no space", head("GET/a HTTP/1.1", "Host: a"), Method},
	{"tab for space", head("GET\t/a HTTP/1.1", "Host: a"), Method},
	{"GETS", head("GETS /a HTTP/1.1", "Host: a"), Method},
	{"HEADS", head("HEADS /a HTTP/1.1", "Host: a"), Method},
	{"leading CRLF", "\r\n" + get(), Method},
	{"leading LF", "\n" + get(), Method},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00", Method},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Method},
	{"two spaces", head("GET  /a HTTP/1.1", "Host: a"), AbsoluteForm},
	{"absolute form", head("GET http://a/a HTTP/1.1", "Host: a"), AbsoluteForm},
	{"asterisk", head("GET * HTTP/1.1", "Host: a"), AbsoluteForm},
	{"sibling of the root", head("GET -old/x HTTP/1.1", "Host: a"), AbsoluteForm},
	{"dots first", head("GET ../x HTTP/1.1", "Host: a"), AbsoluteForm},
	{"escape of nothing", head("GET /% HTTP/1.1", "Host: a"), Escape},
	{"escape of one digit", head("GET /%4 HTTP/1.1", "Host: a"), Escape},
	{"escape of no digits", head("GET /%zz HTTP/1.1", "Host: a"), Escape},
	{"escape in the query", head("GET /a?%4x HTTP/1.1", "Host: a"), Escape},
	{"quote in the query", head("GET /a?\"b HTTP/1.1", "Host: a"), Target},
	{"backslash", head("GET /a\\b HTTP/1.1", "Host: a"), Target},
	{"fragment", head("GET /a#b HTTP/1.1", "Host: a"), Target},
	{"quote", head("GET /\"a HTTP/1.1", "Host: a"), Target},
	{"bracket", head("GET /a[1] HTTP/1.1", "Host: a"), Target},
	{"8-bit", head("GET /\xe4 HTTP/1.1", "Host: a"), Target},
	{"NUL", head("GET /\x00 HTTP/1.1", "Host: a"), Target},
	{"tab in the target", head("GET /a\tHTTP/1.1", "Host: a"), Target},
	{"0.9", "GET /a\r\n", Version},
	{"0.9 with LF", "GET /a\n", Version},
	{"0.9 written out", head("GET /a HTTP/0.9", "Host: a"), Version},
	{"1.2", head("GET /a HTTP/1.2", "Host: a"), Version},
	{"2.0", head("GET /a HTTP/2.0", "Host: a"), Version},
	{"lower-case version", head("GET /a http/1.1", "Host: a"), Version},
	{"space in the target", head("GET /a b HTTP/1.1", "Host: a"), Version},
	{"1.10", head("GET /a HTTP/1.10", "Host: a"), Syntax},
	{"space behind the version", head("GET /a HTTP/1.1 ", "Host: a"), Syntax},
	{"bare LF behind the request line", "GET /a HTTP/1.1\nHost: a\r\n\r\n", Syntax},
	{"bare CR behind the request line", "GET /a HTTP/1.1\rHost: a\r\n\r\n", Syntax},
	{"bare LF behind a field", "GET /a HTTP/1.1\r\nHost: a\n\r\n", Syntax},
	{"bare CR in a field", "GET /a HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Syntax},
	{"bare LF at the end", "GET /a HTTP/1.1\r\nHost: a\r\n\n", Syntax},
	{"CR CR LF", "GET /a HTTP/1.1\r\nHost: a\r\n\r\r\n", Syntax},
	{"folded", get("X: a", " b"), Syntax},
	{"folded by a tab", get("X: a", "\tb"), Syntax},
	{"folded first", head("GET /a HTTP/1.1", " Host: a"), Syntax},
	{"space before the colon", get("X : a"), Syntax},
	{"empty name", get(": a"), Syntax},
	{"no colon", get("Xa"), Syntax},
	{"NUL in a name", get("X\x00: a"), Syntax},
	{"NUL in a value", get("X: a\x00b"), Syntax},
	{"DEL in a value", get("X: a\x7fb"), Syntax},
	{"8-bit name", get("\xe4: a"), Syntax},
	{"no host", head("GET /a HTTP/1.1"), Host},
	{"two hosts", get("Host: example.org"), Host},
	{"two hosts in 1.0", head("GET /a HTTP/1.0", "Host: a", "host: a"), Host},
	{"empty host", head("GET /a HTTP/1.1", "Host:"), Host},
	{"empty host and another", head("GET /a HTTP/1.1", "Host:", "Host: a"), Host},
	{"list of hosts", head("GET /a HTTP/1.1", "Host: a, b"), Host},
	{"host with user", head("GET /a HTTP/1.1", "Host: u@a"), Host},
	{"content-length", get("Content-Length: 0"), Body},
	{"content-length in any case", get("cONTENT-lENGTH: 5"), Body},
	{"transfer-encoding", get("Transfer-Encoding: chunked"), Body},
	{"trailer", get("Trailer: X"), Body},
	{"expect", get("Expect: 100-continue"), Expect},
	{"upgrade", get("Upgrade: websocket"), Upgrade},
	{"connection: upgrade", get("Connection: keep-alive, Upgrade"), Connection},
	{"http2-settings", get("HTTP2-Settings: AAMAAABk"), Upgrade},
	{"te", get("TE: trailers"), Connection},
	{"connection: te", get("Connection: TE"), Connection},
	{"close and keep-alive", get("Connection: close", "Connection: keep-alive"), Connection},
	{"hidden field", get("Connection: host"), Connection},
	{"keep-alive field", get("Keep-Alive: 300"), Connection},
	{"proxy-connection", get("Proxy-Connection: keep-alive"), Connection},
	{"any proxy field", get("proxy-x: 1"), Connection},
	{"request-range", get("Request-Range: bytes=0-1"), Range},
	{"authorization", get("Authorization: Basic eDp5"), Authorization},
	{"proxy-authorization", get("Proxy-Authorization: Basic eDp5"), Authorization},
	{"if-match twice", get("If-Match: *", "if-match: *"), Repeated},
	{"if-unmodified-since twice", get("If-Unmodified-Since: x", "If-Unmodified-Since: x"), Repeated},
	{"range twice", get("Range: bytes=0-1", "Range: bytes=2-3"), Repeated},
	{"if-range twice", get("If-Range:", "If-Range: \"x\""), Repeated},
	{"if-none-match twice", get("If-None-Match: *", "if-none-match: *"), Repeated},
	{"if-none-match twice, empty", get("If-None-Match:", "if-none-match:"), Repeated},
	{"if-modified-since twice", get("If-Modified-Since: x", "If-Modified-Since: x"), Repeated},
	{"accept-encoding twice", get("Accept-Encoding: br", "Accept-Encoding: gzip"), Repeated},
	{"user-agent twice", get("User-Agent: x", "User-Agent: y"), Repeated},
	{"101 fields", get(many(100)...), HeadTooLarge},
	{"one octet too long", padded(MaxHead + 1), HeadTooLarge},
	{"endless target", "GET /" + strings.Repeat("a", MaxHead), HeadTooLarge},
	{"endless name", "GET / HTTP/1.1\r\n" + strings.Repeat("a", MaxHead), HeadTooLarge},
}

func TestNotOurs(t *testing.T) {
	for _, c := range notOurs {
		t.Run(c.name, func(t *testing.T) {
			var r Request
			if _, v, why := Parse([]byte(c.in), &r); v != NotOurs || why != c.why {
				t.Errorf("got %v, %v; want not ours, %v", v, why, c.why)
			}
		})
	}
}

// A head may arrive cut anywhere: each beginning of one of ours is partial, and no beginning of another is complete.
func TestEveryCut(t *testing.T) {
	var r Request
	for _, c := range ours {
		for n := range len(c.in) {
			if _, v, why := Parse([]byte(c.in[:n]), &r); v != Partial {
				t.Errorf("%s: %d of %d octets are %v (%v)", c.name, n, len(c.in), v, why)
			}
		}
	}
	for _, c := range notOurs {
		decided := false
		for n := range len(c.in) + 1 {
			switch _, v, why := Parse([]byte(c.in[:n]), &r); {
			case v == Complete:
				t.Errorf("%s: %d of %d octets are complete", c.name, n, len(c.in))
			case v == NotOurs && why != c.why:
				t.Errorf("%s: %d octets are %v, all are %v", c.name, n, why, c.why)
			case decided && v != NotOurs:
				t.Errorf("%s: decided, but %v again with %d octets", c.name, v, n)
			default:
				decided = v == NotOurs
			}
		}
	}
}

// Early means at the first octet that settles it.
func TestDecidesEarly(t *testing.T) {
	for _, c := range []struct{ partial, decided string }{
		{"", "P"},
		{"G", "GE\x00"},
		{"HEA", "HEAR"},
		{"GET /a%4", "GET /a%4x"},
		{"GET /a ", "GET /a F"},
		{"GET /a HTTP/1.", "GET /a HTTP/1.2"},
		{"GET /a HTTP/1.1\r", "GET /a HTTP/1.1\n"},
		{"GET /a HTTP/1.1\r\nContent-Length", "GET /a HTTP/1.1\r\nContent-Length:"},
		{"GET /a HTTP/1.1\r\nX", "GET /a HTTP/1.1\r\nX "},
		{"GET /a HTTP/1.1\r\nX: ", "GET /a HTTP/1.1\r\nX: \x01"},
	} {
		var r Request
		if _, v, why := Parse([]byte(c.partial), &r); v != Partial {
			t.Errorf("%q is %v (%v), want partial", c.partial, v, why)
		}
		if _, v, _ := Parse([]byte(c.decided), &r); v != NotOurs {
			t.Errorf("%q is %v, want not ours", c.decided, v)
		}
	}
}

func TestEveryOctet(t *testing.T) {
	const inTarget = "/-._~!$&'()*+,;=:@?" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for c := range 256 {
		in := head("GET /a"+string([]byte{byte(c)})+"b HTTP/1.1", "Host: a")
		var r Request
		_, v, _ := Parse([]byte(in), &r)
		if want := bytes.IndexByte([]byte(inTarget), byte(c)) >= 0; (v == Complete) != want {
			t.Errorf("octet %q in a target: %v", byte(c), v)
		}
	}
}

func TestPersistence(t *testing.T) {
	// RFC 9112, 9.3.
	for _, c := range []struct {
		version, connection string
		want                bool
	}{
		{"1.1", "", true}, {"1.1", "keep-alive", true}, {"1.1", "close", false},
		{"1.0", "", false}, {"1.0", "keep-alive", true}, {"1.0", "close", false},
	} {
		var r Request
		in := head("GET / HTTP/"+c.version, "Host: a", "Connection: "+c.connection)
		if _, v, why := Parse([]byte(in), &r); v != Complete {
			t.Fatalf("%q is %v, %v", in, v, why)
		}
		if r.KeepAlive() != c.want {
			t.Errorf("HTTP/%s with %q persists: %t", c.version, c.connection, r.KeepAlive())
		}
	}
}

func TestValidHost(t *testing.T) {
	for host, want := range map[string]bool{
		"a": true, "example.org": true, "EXAMPLE.org:80": true, "a-b_c.d": true, "1a": true, "1.example": true,
		"10.0.0.1": true, "10.0.0.1:8080": true, "[::1]": true, "[fd00::2]:80": true, "[1:2:3:4:5:6:7:8]": true, "[::]": true, "[1::]": true,
		"": false, ".": false, ".a": false, "a.": false, "a..b": false, "a/b": false, "a\\b": false, "a,b": false, "a b": false,
		"80": false, "1.2.3": false, "1.2.3.4.5": false, "01.2.3.4": false, "1.2.3.256": false, "a.1": false, "a.-b": false,
		"a:": false, "a:0": false, "a:65536": false, "a:123456": false, "a:8o": false, "a:80:80": false, ":80": false,
		"[": false, "[]": false, "[:]": false, "[::1": false, "[::1]x": false, "[1::2::3]": false, "[1:2:3:4:5:6:7]": false, "[12345::]": false,
		"[1:2:3:4:5:6:7:8:9]": false, "[::1:2:3:4:5:6:7:8]": false, "[fe80::1%eth0]": false, "[::ffff:1.2.3.4]": false, "[1:]": false, "[:1]": false,
		"::1":                    false,
		strings.Repeat("a", 256): false,
	} {
		if validHost([]byte(host)) != want {
			t.Errorf("host %q: %t", host, !want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumReasons {
		if s := r.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		}
		seen[r.String()] = true
	}
	if NumReasons.String() != "unknown" {
		t.Error("a reason beyond the last has a name")
	}
	for _, v := range []Verdict{Partial, Complete, NotOurs} {
		if v.String() == "" {
			t.Errorf("verdict %d has no name", v)
		}
	}
}

var typical = head("GET /images/logo.png HTTP/1.1", "Host: www.example.org",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Accept: image/avif,image/webp,*/*",
	"Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate", "Connection: keep-alive", "Referer: http://www.example.org/",
	"Cookie: session=0123456789abcdef", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", `If-None-Match: "400-5f1"`)

func TestNoAllocation(t *testing.T) {
	var date [DateLen]byte
	whole, post := []byte(typical), []byte("POST / HTTP/1.1\r\n")
	for name, f := range map[string]func(){
		"complete": func() { var r Request; Parse(whole, &r) },
		"not ours": func() { var r Request; Parse(post, &r) },
		"PutDate":  func() { PutDate(date[:], 784111777) },
		"ParseDate": func() {
			ParseDate(date[:], 0)
			ParseDate([]byte("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777)
			ParseDate([]byte("Sun Nov  6 08:49:37 1994"), 0)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, in := range map[string]string{"small": get(), "typical": typical} {
		b.Run(name, func(b *testing.B) {
			octets := []byte(in)
			b.SetBytes(int64(len(in)))
			var r Request
			for b.Loop() {
				Parse(octets, &r)
			}
		})
	}
}
