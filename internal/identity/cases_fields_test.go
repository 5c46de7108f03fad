package identity

import (
	"fmt"
	"strings"
)

// What the fields of a well-formed request do.

func conditionalCases() (all []testCase) {
	const other = `"1-2"`
	for _, v := range []string{
		"{etag}", "W/{etag}", "*", other, other + ", {etag}", "{etag}, " + other, other + `, "3-4"`, "{etag},{etag}", " {etag} ", "{etag},",
		",{etag}", "", "x", `"`, `""`, "w/{etag}", "W/ {etag}", "W/*", "*, {etag}", "{etag}, *", `"*"`, "{etag} " + other,
		`"a b"`, `"a\"b", {etag}`, "\"\x80\", {etag}", strings.Repeat(other+", ", 100) + "{etag}", `"3e8-617c00000-gzip"`,
	} {
		name := v
		if len(name) > 60 {
			name = name[:60] + "…"
		}
		for _, file := range []string{"{png}", "{html}"} {
			all = append(all, one(fmt.Sprintf("If-None-Match %q of %s", name, file[1:len(file)-1]), get(file, "If-None-Match: "+v)))
		}
	}
	plain := []string{"GET {png}", "HEAD {png}", "GET {html}", "HEAD {html}"}
	for _, line := range plain {
		all = append(all, one("fresh by tag: "+line, request(line+" HTTP/1.1", "If-None-Match: {etag}")),
			one("fresh by date: "+line, request(line+" HTTP/1.1", "If-Modified-Since: {modified}")),
			one("changed by tag: "+line, request(line+" HTTP/1.1", "If-None-Match: "+other)),
			one("changed by date: "+line, request(line+" HTTP/1.1", "If-Modified-Since: Mon, 06 May 2024 07:08:08 GMT")),
			one("fresh by both: "+line, request(line+" HTTP/1.1", "If-None-Match: {etag}", "If-Modified-Since: {modified}")))
	}
	for _, v := range []string{
		"Mon, 06 May 2024 07:08:10 GMT", "Tue, 06 May 2025 07:08:09 GMT", "Sun, 06 May 2074 07:08:09 GMT", "Monday, 06-May-24 07:08:09 GMT",
		"Mon May  6 07:08:09 2024", "Mon, 06 May 2024 07:08:09", "Mon, 06 May 2024 07:08:09 UTC",
		"Mon, 06 May 2024 07:08:09 +0000", "Tue, 06 May 2024 07:08:09 GMT", "Mon, 6 May 2024 07:08:09 GMT", "06 May 2024 07:08:09 GMT",
		"Mon, 06 May 2024 07:08 GMT", "Mon, 06 May 2024 25:08:09 GMT", "Mon, 31 Feb 2024 07:08:09 GMT",
		"Mon, 06 May 1924 07:08:09 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "0", "now", "", "1714979289", "mon, 06 may 2024 07:08:09 gmt",
		"{modified}; length=1000", "\"{modified}\"", "{modified} ", "2024-05-06T07:08:09Z", "Mon, 06 May 24 07:08:09 GMT",
		"Mon, 06 May 2024 07:08:60 GMT", "Mon, 06 Mai 2024 07:08:09 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		all = append(all, one(fmt.Sprintf("If-Modified-Since %q", v), get("{png}", "If-Modified-Since: "+v)))
	}
	mixed := [][]string{
		{"If-None-Match: " + other, "If-Modified-Since: {modified}"}, {"If-None-Match: {etag}", "If-Modified-Since: Mon, 06 May 2024 07:08:08 GMT"},
		{"If-None-Match: {etag}", "If-Modified-Since: x"}, {"If-None-Match: *", "If-Modified-Since: {modified}"},
		{"If-Match: {etag}"}, {"If-Match: *"}, {"If-Match: " + other}, {"If-Match: W/{etag}"}, {"If-Match: {etag}", "If-None-Match: {etag}"},
		{"If-Unmodified-Since: {modified}"}, {"If-Unmodified-Since: Mon, 06 May 2024 07:08:08 GMT"}, {"If-Unmodified-Since: x"},
		{"If-Unmodified-Since: {modified}", "If-None-Match: {etag}"}, {"If-Unmodified-Since: {modified}", "If-Match: {etag}"}, {"If-Match: " + other + ", {etag}", "If-Modified-Since: {modified}"},
		{"If-None-Match: {etag}", "Range: bytes=0-1", "If-Range: {etag}"}, {"If-None-Match: W/{etag}", "Range: bytes=0-1"}, {"If-Modified-Since: {modified}", "Range: bytes=0-1"},
		{"If-Match: {etag}", "If-Unmodified-Since: {modified}", "If-None-Match: " + other, "If-Modified-Since: Mon, 06 May 2024 07:08:08 GMT", "Range: bytes=0-1", "If-Range: {modified}"},
		{"If-None-Match: {etag}", "If-None-Match: " + other}, {"If-None-Match: " + other, "If-None-Match: {etag}"},
		{"If-Modified-Since: {modified}", "If-Modified-Since: {modified}"}, {"If-Modified-Since: x", "If-Modified-Since: {modified}"},
		{"If-None-Match: {etag}", "Cache-Control: no-cache"}, {"If-Modified-Since: {modified}", "Pragma: no-cache"},
		{"If-None-Match: {etag}", "Accept-Encoding: gzip"}, {"If-None-Match: {etag}", "Range: bytes=0-1"},
		{"If-None-Match: {etag}", "Connection: close"}, {"If-Modified-Since: {modified}", "Connection: keep-alive"},
	}
	for _, fields := range mixed {
		all = append(all, one(strings.Join(fields, " "), get("{png}", fields...)), one("html: "+strings.Join(fields, " "), head("{html}", fields...)))
	}
	return append(all, one("1.0, fresh", request("GET {png} HTTP/1.0", "If-None-Match: {etag}")), one("on nothing", get("/none", "If-None-Match: *")),
		one("POST with a tag", request("POST {png} HTTP/1.1", "If-None-Match: {etag}", "Content-Length: 0")))
}

func rangeCases() (all []testCase) {
	for _, v := range []string{
		"bytes=0-0", "bytes=0-99", "bytes=500-", "bytes=-1", "bytes=-100", "bytes=0-", "bytes=999-999", "bytes=1000-", "bytes=1000-2000",
		"bytes=900-5000", "bytes=-5000", "bytes=-0", "bytes=5-2", "bytes=0-0,2-3", "bytes=0-1,1-2", "bytes=10-20, 30-40, -5",
		"bytes=0-999,0-999", "bytes=", "bytes", "bytes=a-b", "bytes=-", "bytes= 0-1", "bytes=0 - 1", "bytes =0-1", "BYTES=0-1", "octets=0-1", "0-1",
		"", "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=0-1,", "bytes=,0-1", "bytes=0-1;2-3", "bytes=+0-1", "bytes=0x0-1",
		"bytes=" + strings.Repeat("0-0,", 199) + "0-0", "bytes=" + strings.Repeat("0-0,2-2,", 110) + "0-0",
	} {
		name := v
		if len(name) > 60 {
			name = name[:60] + "…"
		}
		all = append(all, one(fmt.Sprintf("Range %q", name), get("{png}", "Range: "+v)))
	}
	for _, v := range []string{"{etag}", `"other"`, "W/{etag}", "{modified}", "Mon, 06 May 2024 07:08:08 GMT", "x", ""} {
		all = append(all, one(fmt.Sprintf("If-Range %q", v), get("{png}", "Range: bytes=1-5", "If-Range: "+v)),
			one(fmt.Sprintf("If-Range alone %q", v), get("{png}", "If-Range: "+v)))
	}
	const several = "Range: bytes=0-9,20-29,-5"
	for _, file := range []string{"{png}", "{html}", "/plain/none"} {
		all = append(all, one("several of "+file, get(file, several)), one("HEAD, several of "+file, head(file, several)),
			one("1.0, several of "+file, request("GET "+file+" HTTP/1.0", several)), one("close, several of "+file, get(file, several, "Connection: close")),
			one("keep-alive, several of "+file, get(file, several, "Connection: keep-alive")), one("gzip, several of "+file, get(file, several, "Accept-Encoding: gzip")),
			one("several of "+file+" by its date", get(file, several, "If-Range: {modified}")),
			one("as many as may be, of "+file, get(file, "Range: bytes="+strings.Repeat("0-0,2-2,", 4))), one("one more, of "+file, get(file, "Range: bytes=5-5,"+strings.Repeat("0-0,2-2,", 4))))
	}
	pipelined := testCase{name: "pipelined", send: []string{get("{png}", several) + head("{png}", several) + get("{png}", "Range: bytes=5-") + get("{png}") + get("{png}", several)}, answers: 5}
	return append(all, pipelined, one("HEAD", head("{png}", "Range: bytes=0-9")), one("1.0", request("GET {png} HTTP/1.0", "Range: bytes=0-9")),
		odd("twice", get("{png}", "Range: bytes=0-1", "Range: bytes=2-3")), one("Request-Range", get("{png}", "Request-Range: bytes=0-1")),
		one("Request-Range and MSIE 3", get("{png}", "Request-Range: bytes=0-1,5-6", "User-Agent: Mozilla/2.0 (compatible; MSIE 3.0)")),
		one("gzip", get("{html}", "Range: bytes=0-9", "Accept-Encoding: gzip")), one("of nothing", get("/plain/0.png", "Range: bytes=0-0")),
		one("of nothing, from behind", get("/plain/0.png", "Range: bytes=-1")),
		one("of a listing", get("/list/", "Range: bytes=0-9")), one("of a script", get("/cgi-bin/say", "Range: bytes=0-9")),
		one("with a tag that fits", get("{png}", "Range: bytes=0-9", "If-Match: {etag}")))
}

func connectionCases() (all []testCase) {
	for _, v := range []string{
		"close", "keep-alive", "Keep-Alive", "CLOSE", "Close", "close, keep-alive", "keep-alive, close", "keep-alive, keep-alive", "close,close", "",
		",", "close,", ", close", "x", "close, x", "x, close", "keep-alive, x", "closed", "notclose", "\"close\"", "close;q=0", "Upgrade", "TE",
		"Host", "keep-alive, Host",
		" close ", "\tclose", "close\t,\tx", "keep alive", "clo se",
	} {
		all = append(all, one(fmt.Sprintf("Connection %q", v), get("{png}", "Connection: "+v)),
			one(fmt.Sprintf("1.0, Connection %q", v), request("GET {png} HTTP/1.0", "Connection: "+v)))
	}
	for _, fields := range [][]string{
		{"Connection: close", "Connection: keep-alive"}, {"Connection: keep-alive", "Connection: close"},
		{"Connection: keep-alive", "Connection: keep-alive"}, {"Proxy-Connection: keep-alive"}, {"Proxy-Connection: close"},
		{"Keep-Alive: timeout=300"},
		{"Keep-Alive: 300", "Connection: keep-alive"},
		{"Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"},
		{"Upgrade: TLS/1.0", "Connection: Upgrade"}, {"Upgrade: h2c"}, {"Connection: Upgrade"}, {"Upgrade: ", "Connection: upgrade"},
		{"HTTP2-Settings: x"}, {"Via: 1.0 proxy"}, {"Via: 1.1 proxy", "Connection: keep-alive"},
	} {
		all = append(all, one(strings.Join(fields, " "), get("{png}", fields...)),
			one("HEAD html "+strings.Join(fields, " "), head("{html}", fields...)))
	}
	all = append(all, one("close of nothing", get("/none", "Connection: close")),
		one("keep-alive of nothing", get("/none", "Connection: keep-alive")), one("close of a script", get("/cgi-bin/say", "Connection: close")),
		one("1.0 keep-alive of a script", request("GET /cgi-bin/say HTTP/1.0", "Connection: keep-alive")))
	for _, agent := range []string{"Mozilla/2.0", "Mozilla/4.0 (compatible; MSIE 4.0b2; Windows 95)", "RealPlayer 4.0", "Java/1.0", "JDK/1.0.2", "Java/1.8",
		"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/120.0", "curl/8.5.0", "", "MS FrontPage 4.0", "WebDAVFS/1.2",
		"Microsoft Data Access Internet Publishing Provider"} {
		all = append(all, one("User-Agent "+agent, get("{png}", "User-Agent: "+agent)),
			one("keep-alive, User-Agent "+agent, get("{png}", "User-Agent: "+agent, "Connection: keep-alive")),
			one("1.0, User-Agent "+agent, request("GET {png} HTTP/1.0", "User-Agent: "+agent, "Connection: keep-alive")),
			one("directory, User-Agent "+agent, get("/list", "User-Agent: "+agent)))
	}
	return all
}

func fieldCases() (all []testCase) {
	for _, f := range []string{
		"Accept: */*", "Accept-Language: de", "Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: only-if-cached",
		"Pragma: no-cache", "Cookie: a=b; c=d", "Referer: http://elsewhere/", "Origin: http://elsewhere", "DNT: 1", "Sec-Fetch-Mode: navigate",
		"Upgrade-Insecure-Requests: 1", "X-Forwarded-For: 10.0.0.1", "X-Empty:", "X-Empty: ", "X-Tab:\tx", "X-Latin: \xe9\xe8", "X-UTF8: ü",
		"X: " + strings.Repeat("v", 1000), strings.Repeat("N", 1000) + ": x", "Max-Forwards: 0", "From: a@b", "Date: Mon, 06 May 2024 07:08:09 GMT",
		"Warning: x", "Forwarded: for=1.2.3.4;host=one.test",
		"X-HTTP-Method-Override: DELETE", "X-Original-URL: /none", "X-Rewrite-URL: /none", "Content-Type: text/plain", "Content-Encoding: gzip",
		"Content-Range: bytes 0-1/2", "Destination: /x", "Depth: 0", "A-IM: feed", "Alt-Used: x", "Priority: u=1", "X_Under_Score: a",
		"!#$%&'*+-.^_`|~: token", "1: digit",
	} {
		name := f
		if len(name) > 50 {
			name = name[:50] + "…"
		}
		all = append(all, one(fmt.Sprintf("%q", name), get("{png}", f)))
	}
	for _, fields := range [][]string{
		{"Expect: 100-continue"}, {"Expect: 100-Continue"}, {"Expect: x"}, {"Expect: "}, {"Expect: 100-continue, x"}, {"Trailer: X"},
		{"Content-Length: 0"}, {"Content-MD5: x"}, {"Accept: a", "Accept: b"}, {"Cookie: a", "Cookie: b"}, {"User-Agent: a", "User-Agent: b"},
		{"Accept-Encoding: identity", "Accept-Encoding: identity"},
	} {
		all = append(all, one(strings.Join(fields, " "), get("{png}", fields...)))
	}
	return append(all, one("forty fields", get("{png}", many(40, "x")...)),
		one("fields in odd cases", get("{png}", "hOsT: test", "aCCept-ENCODING: identity", "cOnnEction: kEEp-Alive")))
}

// many returns n fields.
func many(n int, value string) (fields []string) {
	for k := range n {
		fields = append(fields, fmt.Sprintf("X-%d: %s", k, value))
	}
	return fields
}
