package system

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// logFormat is what of a response must be the same, whoever gave it.
const logFormat = `%{X-Test}i %h %a %l %u "%r" %m "%U" "%q" %H %s %>s %b %B %O k=%k X=%X %v %V %p %L %{pid}C ` +
	`"%{Referer}i" "%{user-agent}i" "%{Host}i" "%{Cookie}i" "%{b}C" %{X-None}i "%{X-Twice}i" ` +
	`%{Content-Type}o %{Content-Length}o "%{Last-Modified}o" %{ETag}o %{Connection}o "%{Keep-Alive}o" %{Date}o %{Server}o %{Accept-Ranges}o ` +
	`%{%Y-%m %z %% %a %e %H:%M}t %{end:%j}t %200{Referer}i %!200,304{Referer}i 100%% \\ %{c}a %{c}h I=%I`

// logged waits for n lines that begin with which, and returns them, in order.
func logged(b *testbed.Bed, file, which string, n int) (lines []string) {
	b.Helper()
	b.Until(fmt.Sprintf("%s has %d lines of %q", file, n, which), func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		lines = nil
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, which) {
				lines = append(lines, line)
			}
		}
		return len(lines) >= n
	})
	return lines
}

// ask says requests on one connection, each after the answer to the one before, or, if it holds several, those at once.
func ask(t *testing.T, b *testbed.Bed, address, mark string, requests ...string) {
	t.Helper()
	conn, err := b.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, r := range requests {
		r = strings.ReplaceAll(r, "|", "\r\n")
		say(t, conn, strings.ReplaceAll(r, "\r\n\r\n", "\r\nX-Test: "+mark+"\r\n\r\n"))
		for one := range strings.SplitAfterSeq(r, "\r\n\r\n") {
			if one == "" {
				continue
			}
			method, _, _ := strings.Cut(one, " ")
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: %v", one, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatalf("%q: %v", one, err)
			}
		}
	}
}

// known says the same until xhttpd answers all of it.
func known(t *testing.T, b *testbed.Bed, address string, requests ...string) {
	t.Helper()
	n := float64(strings.Count(strings.Join(requests, ""), "||"))
	b.Until(fmt.Sprintf("xhttpd answers %.200q", requests), func() bool {
		before, _ := settled(b)
		ask(t, b, address, "known", requests...)
		after, _ := settled(b)
		return after-before == n
	})
}

// '|' is the end of a line.
var logRequests = map[string][]string{
	"plain":     {"GET /a.png HTTP/1.1|Host: Site.example:80|User-Agent: x/1|Referer: http://r/?q=1||"},
	"escapes":   {"GET /a.png HTTP/1.1|Host: a|User-Agent: \t a\"b\\c\td\xc3\xa9\xff  e |Referer:|X-Twice: 1|x-twice:  2 |Cookie: a=1; B = 2=3 ;c||"},
	"kept":      {"GET /a.png HTTP/1.1|Host: a||", "HEAD /a.png HTTP/1.1|Host: a||", "GET /c.png HTTP/1.1|Host: [2001:DB8::1]:8080||", "GET /b.png HTTP/1.1|Host: 192.0.2.9|Connection: close||"},
	"1.0":       {"GET /a.png HTTP/1.0||"},
	"1.0kept":   {"GET /a.png HTTP/1.0|Connection: Keep-Alive||", "GET /a.png HTTP/1.0|Connection: Keep-Alive||", "GET /a.png HTTP/1.0||"},
	"304":       {"GET /a.png HTTP/1.1|Host: a|If-None-Match: *||", "GET /a.png HTTP/1.1|Host: a|If-Modified-Since: Tue, 24 Nov 2026 00:00:00 GMT||"},
	"pipelined": {strings.Repeat("GET /a.png HTTP/1.1|Host: a||HEAD /b.png HTTP/1.1|Host: a|Connection: keep-alive||", 5)},
	"coded":     {"GET /t.html HTTP/1.1|Host: a|Accept-Encoding: gzip||", "GET /t.html HTTP/1.1|Host: a||"},
	"all":       {strings.Repeat("GET /a.png HTTP/1.1|Host: a|Connection: keep-alive||", 101)},
}

var logReceived = regexp.MustCompile(` I=(\d+)\n$`)

// The same requests, answered by Apache alone and by xhttpd: the same lines.
func TestAccessLogAsApache(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true, Config: `
LogFormat "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(logFormat) + `" all
GlobalLog ${TESTBED}/log/all all
`})
	b.Put("a.png", content(1000))
	b.Put("b.png", content(100_000))
	b.Put("c.png", content(1))
	b.Put("t.html", bytes.Repeat([]byte("some words that can be made shorter "), 3000))
	own := filepath.Join(b.Dir, "hits.log")
	alone4, alone6 := b.Alone()
	b.StartDaemon("--address", b.Address(false), "--address", b.Address(true), "--access-log", own, "--access-log-format", logFormat, "--server-name", "test")
	families(t, func(t *testing.T, six bool) {
		alone, family := alone4, "4"
		if six {
			alone, family = alone6, "6"
		}
		for name, requests := range logRequests {
			n := strings.Count(strings.Join(requests, ""), "||")
			known(t, b, b.Address(six), requests...)
			ask(t, b, alone, "alone"+family+name, requests...)
			ask(t, b, b.Address(six), "ours"+family+name, requests...)
			theirs := logged(b, filepath.Join(b.Dir, "log/all"), "alone"+family+name+" ", n)
			ours := logged(b, own, "ours"+family+name+" ", n)
			if len(theirs) != n || len(ours) != n {
				t.Errorf("%s: %d lines by Apache, %d by xhttpd, want %d", name, len(theirs), len(ours), n)
				continue
			}
			for k := range n {
				compareLines(t, fmt.Sprint(name, " ", k), k, theirs[k][len("alone"):], ours[k][len("ours"):])
			}
		}
	})
	if n := b.Metric("log_dropped_total"); n != 0 {
		t.Errorf("%v lines were dropped", n)
	}
}

// compareLines compares the k-th lines of a connection. %I may differ by what Apache looks at twice, to see whether there is a
// further request: a few octets, but none with the first.
func compareLines(t *testing.T, what string, k int, theirs, ours string) {
	t.Helper()
	var in [2]int
	for i, line := range []*string{&theirs, &ours} {
		m := logReceived.FindStringSubmatchIndex(*line)
		if m == nil {
			t.Fatalf("%s: no line: %q", what, *line)
		}
		fmt.Sscan((*line)[m[2]:m[3]], &in[i]) //nolint:errcheck // digits
		*line = (*line)[:m[0]]
	}
	// The marks are of different lengths: "alone" and "ours".
	if more := in[0] - 1 - in[1]; more < 0 || more > 4 || k == 0 && more != 0 {
		t.Errorf("%s: Apache has received %d octets, xhttpd %d", what, in[0]-1, in[1])
	}
	if theirs != ours {
		t.Errorf("%s:\nApache %s\nxhttpd %s", what, theirs, ours)
	}
}

// A connection that is handed over in the middle: each request has one line, in one of the logs.
func TestAccessLogHandOver(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true, Config: "GlobalLog ${TESTBED}/log/all \"%{X-Test}i %U %h\"\n"})
	b.Put("a.png", content(1000))
	own := filepath.Join(b.Dir, "hits.log")
	b.StartDaemon("--access-log", own, "--access-log-format", "%{X-Test}i %U %h")
	families(t, func(t *testing.T, six bool) {
		mark := map[bool]string{false: "four", true: "six"}[six]
		one := "GET /a.png HTTP/1.1|Host: a||"
		known(t, b, b.Address(six), one)
		ask(t, b, b.Address(six), mark, one, one+one, "GET /cgi-bin/who HTTP/1.1|Host: a||", one+one, one)
		client := b.Client.IPv4
		if six {
			client = b.Client.IPv6
		}
		line := func(path string) string { return mark + " " + path + " " + client.String() + "\n" }
		want := strings.Repeat(line("/a.png"), 3)
		if got := strings.Join(logged(b, own, mark+" ", 3), ""); got != want {
			t.Errorf("xhttpd's log:\n%swant\n%s", got, want)
		}
		want = line("/cgi-bin/who") + want
		if got := strings.Join(logged(b, filepath.Join(b.Dir, "log/all"), mark+" ", 4), ""); got != want {
			t.Errorf("Apache's log:\n%swant\n%s", got, want)
		}
	})
}

// An aborted download has the line that Apache writes: X, the whole body, and less than that sent.
func TestAccessLogAborted(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true, Config: "GlobalLog ${TESTBED}/log/all \"%{X-Test}i %>s %B %X %O\"\n"})
	b.Put("large.png", content(20_000_000))
	own := filepath.Join(b.Dir, "hits.log")
	alone, _ := b.Alone()
	b.StartDaemon("--address", b.Address(false), "--access-log", own, "--access-log-format", "%{X-Test}i %>s %B %X %O", "--cache-size", "1GiB")
	known(t, b, b.Address(false), "GET /large.png HTTP/1.1|Host: a||")
	for address, file := range map[string]string{alone: filepath.Join(b.Dir, "log/all"), b.Address(false): own} {
		conn, err := b.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		say(t, conn, "GET /large.png HTTP/1.1\r\nHost: a\r\nX-Test: cut\r\n\r\n")
		if _, err := io.ReadFull(conn, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		lines := logged(b, file, "cut ", 1)
		var sent int
		if _, err := fmt.Sscanf(lines[0], "cut 200 20000000 X %d", &sent); err != nil || sent < 100_000 || sent >= 20_000_000 || len(lines) != 1 {
			t.Errorf("%s: %q, %v", address, lines, err)
		}
	}
}
