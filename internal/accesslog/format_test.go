package accesslog

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/hits"
)

// sample is a response to be written; change changes what it begins with.
func sample(change func(b *hits.Begin, e *hits.End)) *line {
	section := "HTTP/1.1 200 OK\r\nDate: Sat, 14 Nov 2026 07:08:09 GMT\r\nServer: Apache\r\nETag: \"5-6\"\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
	b := hits.Begin{
		ID: 7, At: 1e9, LocalPort: 8080, RemotePort: 40000, Status: 200, Before: 3, Left: 97, Body: 1000, Len: uint64(len(section)) + 1000,
		Request: []byte("GET /a/%41.html?x=\"1\" HTTP/1.1\r\nhost: Example.org:8080\r\nReferer:\r\nUser-Agent:  a\\b\t\x01\xe9 \r\nX-a: 1\r\nx-A: 2\r\nCookie: k=v; K2 = w=2 ;e=\r\n\r\n"),
		Section: []byte(section),
	}
	copy(b.Local[:], []byte{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 1})
	copy(b.Remote[:], []byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 7})
	e := hits.End{ID: 7, At: 3.5e9 + 4567, Sent: b.Len}
	if change != nil {
		change(&b, &e)
	}
	l := &line{Options: &Options{Server: func(local netip.AddrPort, host string) Server {
		if local != netip.MustParseAddrPort("192.0.2.1:8080") {
			panic(local)
		}
		return Server{Name: "www.example.org", Port: 8088, Canonical: host == "" || host == "canonical"}
	}}}
	l.set(&b, &e, time.Date(2026, 11, 14, 7, 8, 9, 123456789, time.FixedZone("", -(5*60+30)*60)))
	return l
}

func written(t *testing.T, format string, l *line) string {
	t.Helper()
	f, err := ParseFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	text := string(f.append(nil, l))
	if !strings.HasSuffix(text, "\n") {
		t.Fatalf("%q: no end of line in %q", format, text)
	}
	return strings.TrimSuffix(text, "\n")
}

// What is written, as Apache's documentation has it; that Apache writes the same is shown in internal/system.
func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		"common":             `2001:db8::7 - - [14/Nov/2026:07:08:09 -0530] "GET /a/%41.html?x=\"1\" HTTP/1.1" 200 1125`,
		"combined":           `2001:db8::7 - - [14/Nov/2026:07:08:09 -0530] "GET /a/%41.html?x=\"1\" HTTP/1.1" 200 1125 "" "a\\b\t\x01\xe9"`,
		"vhost_combined":     `www.example.org:8088 2001:db8::7 - - [14/Nov/2026:07:08:09 -0530] "GET /a/%41.html?x=\"1\" HTTP/1.1" 200 1125 "" "a\\b\t\x01\xe9"`,
		`\"%r\" \t%m\\n|%%`:  `"GET /a/%41.html?x=\"1\" HTTP/1.1" ` + "\tGET\n|%",
		"%a %A %p":           "2001:db8::7 192.0.2.1 8088",
		"%{remote}p":         "40000",
		"%{local}p":          "8080",
		"%{Canonical}p":      "8088",
		"%m %U %q %H":        `GET /a/A.html ?x=\"1\" HTTP/1.1`,
		"%s %>s %<s":         "200 200 200",
		"%b %B %O %I %S":     "1000 1000 1125 133 1258",
		"%D %T %{ms}T":       "2500004 2 2500",
		"%{US}T":             "2500004",
		"%k %X":              "3 +",
		"%v %V":              "www.example.org example.org",
		"%{host}i %{X-A}i":   "Example.org:8080 1, 2",
		"%{None}i %{None}o":  "- -",
		"%{k}C %{k2}C %{e}C": "v w=2 -",
		"%{etag}o":           `\"5-6\"`,
		"%{Content-Type}o":   "text/html",
		"%{Date}o%{Server}o": "--",
		"%200,304s":          "200",
		"%!200,304s":         "-",
		"%404{Referer}i":     "-",
		"%!404>s":            "200",
		"%l%u%L":             "---",
		"%{sec}t %{msec}t":   "1794659889 1794659889123",
		"%{usec}t":           "1794659889123456",
		"%{msec_frac}t":      "123",
		"%{usec_frac}t":      "123456",
		"%{end}t":            "[14/Nov/2026:07:08:11 -0530]",
		"%{end:sec}t":        "1794659891",
		"%{begin:%H:%M:%S}t": "07:08:09",
		"%{%F %j %%}t":       "2026-11-14 318 %",
		"%{%e|%l|%y|%u}t":    "14| 7|26|6",
	} {
		if got := written(t, format, sample(nil)); got != want {
			t.Errorf("%s\nis   %q\nwant %q", format, got, want)
		}
	}
}

// The names mean what Debian's Apache means by them.
func TestNames(t *testing.T) {
	text, err := os.ReadFile("/etc/apache2/apache2.conf")
	if err != nil {
		if os.Getenv("XHTTPD_REQUIRE") != "" {
			t.Fatal("apache2 is not installed")
		}
		t.Skip("needs Debian's package apache2")
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, `LogFormat "`)
		end := strings.LastIndex(rest, `" `)
		if !ok || end < 0 {
			continue
		}
		name := strings.TrimSpace(rest[end+2:])
		if want, known := named[name]; known {
			found++
			if format := strings.ReplaceAll(rest[:end], `\"`, `"`); format != want {
				t.Errorf("%s is %q, Debian's is %q", name, want, format)
			}
		}
	}
	if found != len(named) {
		t.Errorf("found %d of %d names", found, len(named))
	}
}

// What cannot be known is an error when the format is read.
func TestFormatErrors(t *testing.T) {
	for format, says := range map[string]string{
		"":           "no log format",
		"Combined":   "no log format",
		"%":          "ends before its directive",
		"%h %>":      "ends before its directive",
		"%{Host":     "without '}'",
		"%y":         "nothing that xhttpd knows",
		"%f":         "nothing that xhttpd knows",
		"%{X}e":      "%{X}e is nothing that xhttpd knows",
		"%{X}n":      "nothing that xhttpd knows",
		"%^FB":       "nothing that xhttpd knows",
		"%i":         "needs a name",
		"%{}o":       "needs a name",
		"%{tid}P":    "nothing that xhttpd knows",
		"%{h}T":      "give s, ms or us",
		"%{x}p":      "give canonical",
		"%{%Ey}t":    "no conversion",
		"%{%Y-%}t":   "no conversion",
		"%99999999s": "no status code",
	} {
		if _, err := ParseFormat(format); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error that says %q", format, err, says)
		}
	}
}

func TestNeedsSections(t *testing.T) {
	for format, want := range map[string]bool{"combined": false, "json": false, "%{ETag}i": false, "%h %200{ETag}o": true} {
		if f, err := ParseFormat(format); err != nil || f.NeedsSections() != want {
			t.Errorf("%q needs sections: %v, want %v, %v", format, f.NeedsSections(), want, err)
		}
	}
}

// The counts and signs that Apache was seen to write (2.4.71).
func TestFates(t *testing.T) {
	const format = "%b %B %O %k %X"
	for _, c := range []struct {
		what   string
		change func(b *hits.Begin, e *hits.End)
		want   string
	}{
		{"any number of requests", func(b *hits.Begin, _ *hits.End) { b.Left = -1 }, "1000 1000 1125 3 +"},
		{"the last but one", func(b *hits.Begin, _ *hits.End) { b.Left = 1 }, "1000 1000 1125 3 -"},
		{"the last", func(b *hits.Begin, _ *hits.End) { b.Left, b.Closes = 0, true }, "1000 1000 1125 3 -"},
		{"closed as the client wants", func(b *hits.Begin, _ *hits.End) { b.Closes = true }, "1000 1000 1125 2 -"},
		{"the first, closed", func(b *hits.Begin, _ *hits.End) { b.Before, b.Closes = 0, true }, "1000 1000 1125 0 -"},
		{"aborted", func(_ *hits.Begin, e *hits.End) { e.Aborted, e.Sent = true, 200 }, "1000 1000 200 3 X"},
		{"no body", func(b *hits.Begin, e *hits.End) { b.Len, b.Body = 125, 0; e.Sent = b.Len }, "- 0 125 3 +"},
	} {
		if got := written(t, format, sample(c.change)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// Each octet, as ap_escape_logitem writes it.
func TestEscapes(t *testing.T) {
	for c := range 256 {
		want := string(rune(c))
		switch {
		case c == '"', c == '\\':
			want = "\\" + want
		case strings.ContainsRune("\b\n\r\t\v", rune(c)):
			want = map[int]string{'\b': `\b`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\v': `\v`}[c]
		case c < 0x20 || c > 0x7e:
			want = `\x` + string("0123456789abcdef"[c/16]) + string("0123456789abcdef"[c%16])
		}
		if got := string(appendEscaped(nil, []byte{byte(c)})); got != want {
			t.Errorf("octet %#x is written %q, want %q", c, got, want)
		}
	}
}

func TestPathAndHost(t *testing.T) {
	for target, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/a//b": "/a/b", "/./a/../b": "/b", "/a/..": "/", "/a/.": "/a/", "/../x": "/x", "//": "/",
		"/%61%2": "/a%2", "/a%20b?c%20": "/a b", "/a?/../b": "/a", "/.a": "/.a", "/%2e%2E/a": "/a",
	} {
		if got := string((&line{target: []byte(target)}).path()); got != want {
			t.Errorf("the path of %s is %s, want %s", target, got, want)
		}
	}
	for host, want := range map[string]string{
		"Host: A.Example:80\r\n": "a.example", "Host: a.\r\n": "a", "Host: [2001:DB8::1]:80\r\n": "2001:db8::1", "": "", "Host:\r\n": "",
	} {
		if got := (&line{fields: []byte(host)}).host(); got != want {
			t.Errorf("%q is host %q, want %q", host, got, want)
		}
	}
}

// %V is what the client says, unless the site wants to be called by its name.
func TestServerName(t *testing.T) {
	for host, want := range map[string]string{"Other:80": "other", "": "www.example.org", "Canonical": "www.example.org"} {
		l := sample(func(b *hits.Begin, _ *hits.End) { b.Request = []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n") })
		if got := written(t, "%V %v", l); got != want+" www.example.org" {
			t.Errorf("asked by the name of %q, it is %q", host, got)
		}
	}
}

// The names are documented.
func TestJSON(t *testing.T) {
	const want = `{"time":"2026-11-14T07:08:09.123456-05:30","remote":"2001:db8::7","remote_port":40000,"local":"192.0.2.1","local_port":8080,"server":"www.example.org",` +
		`"method":"GET","target":"/a/%41.html?x=\"1\"","protocol":"HTTP/1.1","host":"Example.org:8080","referer":"","user_agent":"a\\b\t\u0001\ufffd",` +
		`"status":200,"body":1000,"sent":1125,"received":133,"duration_us":2500004,"before":3,"connection":"kept"}`
	got := written(t, "json", sample(nil))
	if got != want {
		t.Errorf("JSON is\n%s\nwant\n%s", got, want)
	}
	var any map[string]any
	if err := json.Unmarshal([]byte(got), &any); err != nil {
		t.Error(err)
	}
	got = written(t, "json", sample(func(b *hits.Begin, e *hits.End) {
		b.Request, e.Aborted = []byte("GET / HTTP/1.0\r\n\r\n"), true
	}))
	if !strings.Contains(got, `"host":null,"referer":null,"user_agent":null`) || !strings.Contains(got, `"connection":"aborted"`) {
		t.Errorf("JSON is\n%s", got)
	}
}

func BenchmarkFormat(b *testing.B) {
	for _, name := range []string{"common", "combined", "json"} {
		b.Run(name, func(b *testing.B) {
			f, err := ParseFormat(name)
			if err != nil {
				b.Fatal(err)
			}
			l := sample(nil)
			begin, end := l.Begin, l.end
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				l.set(&begin, &end, l.begun)
				buf = f.append(buf[:0], l)
			}
		})
	}
}
