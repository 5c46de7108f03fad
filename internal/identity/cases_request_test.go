package identity

import (
	"fmt"
	"strings"
)

// The request line and the Host field.

func methodCases() (all []testCase) {
	all = append(all,
		one("GET png", get("{png}")), one("GET html", get("{html}")), one("GET txt", get("{txt}")),
		one("HEAD png", head("{png}")), one("HEAD html", head("{html}")), one("HEAD txt", head("{txt}")),
	)
	for _, m := range []string{"OPTIONS", "TRACE", "DELETE", "PATCH", "PROPFIND", "MKCOL", "COPY", "LOCK", "get", "Get", "GETT", "GE", "head", "HEADER",
		"PRI", "SPACEJUMP", "X", "M-SEARCH", "A!#$%&'*+-.^_`|~9"} {
		all = append(all, odd(m+" of a file", request(m+" {png} HTTP/1.1")))
	}
	for _, m := range []string{"POST", "PUT"} {
		all = append(all,
			odd(m+" to a file", request(m+" {png} HTTP/1.1", "Content-Length: 3")+"abc"),
			odd(m+" to a file, no length", request(m+" {png} HTTP/1.1")),
			odd(m+" to a script", request(m+" /cgi-bin/say/there?a=b HTTP/1.1", "Content-Length: 3")+"abc"),
		)
	}
	return append(all,
		odd("OPTIONS *", request("OPTIONS * HTTP/1.1")), odd("GET *", get("*")), odd("CONNECT", request("CONNECT test:80 HTTP/1.1")),
		odd("TRACE with fields", request("TRACE / HTTP/1.1", "X-A: b", "Cookie: c=d")),
		odd("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		one("GET of a script", get("/cgi-bin/say/x?y=z")), one("HEAD of a script", head("/cgi-bin/say/x?y=z")),
	)
}

func versionCases() (all []testCase) {
	all = append(all,
		one("1.0", request("GET {png} HTTP/1.0")), one("1.0 without Host", "GET {png} HTTP/1.0\r\n\r\n"),
		one("HEAD 1.0", "HEAD {png} HTTP/1.0\r\n\r\n"),
		one("1.0 keep-alive", request("GET {png} HTTP/1.0", "Connection: keep-alive")),
		one("1.0 close", request("GET {png} HTTP/1.0", "Connection: close")),
		one("1.0 Keep-Alive", request("GET {html} HTTP/1.0", "Connection: Keep-Alive")), one("1.0 html", request("GET {html} HTTP/1.0")),
		one("1.0 unknown", "GET /none HTTP/1.0\r\n\r\n"), odd("1.1 without Host", "GET {png} HTTP/1.1\r\n\r\n"),
		odd("0.9", "GET {png}\r\n"), odd("0.9 with an empty line", "GET {png}\r\n\r\n"), odd("0.9 and a space", "GET {png} \r\n"),
		odd("0.9 HEAD", "HEAD {png}\r\n"),
		odd("0.9 bare LF", "GET {png}\n"),
	)
	for _, v := range []string{"0.9", "1.2", "1.9", "2.0", "3.0", "1.10", "1.01", "01.1", "1", "1.", ".1", "1.1.1", "x.y", "-1.1", "1,1", "1.1x", "10.1",
		"1.1;"} {
		all = append(all, odd("HTTP/"+v, request("GET {png} HTTP/"+v)))
	}
	for _, v := range []string{"http/1.1", "Http/1.1", "HTTPS/1.1", "HTTP 1.1", "HTTP\\1.1", "HTTP/ 1.1", "HTTP /1.1", "ICAP/1.0", "HTTP", "H", "/1.1",
		"HTTP/1.1 HTTP/1.1", "\"HTTP/1.1\""} {
		all = append(all, odd(v, request("GET {png} "+v)))
	}
	return all
}

func hostCases() (all []testCase) {
	for _, h := range []string{"test", "TEST", "unknown.test", "localhost", "192.0.2.2", "192.0.2.2:80", "[2001:db8::2]", "[2001:db8::2]:80", "test:80",
		"a_b.test", "x", "xn--bcher-kva.test"} {
		all = append(all, one("default: "+h, get("{png}", "Host: "+h)))
	}
	for _, h := range []string{"one.test", "ONE.Test", "www.one.test", "any.one.example", "one.test:80", "two.test", "same.test", "same.test:80"} {
		all = append(all,
			one("vhost "+h+", default's file", get("{png}", "Host: "+h)), one("vhost "+h+", its own a.png", get("/a.png", "Host: "+h)),
			one("vhost "+h+", its root", get("/", "Host: "+h)), one("vhost "+h+", none", get("/only-one.png", "Host: "+h)))
	}
	for _, h := range []string{
		"eight.test", "eight.test:8080", "one.test:8080", "test:8080", "test:81", "one.test.", "test.", "", " ", ".", "..", "a..b", ":", ":80",
		"test:", "test:x", "test:0",
		"test:65536", "test:99999999", "test:-1", "test:+80", "test: 80", "te st", "test,one.test", "test, one.test", "one.test/", "one.test/path",
		"http://one.test", "user@test", "test@one.test",
		"test?x", "test#x", "test\\one", "te%73t", "*", "-", "-test", "test-", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "0x7f.1", "[::1",
		"::1", "[]", "[::1]x", "[::1]:", "[1.2.3.4]",
		"[fe80::1%eth0]", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:7:8:9]", "[::g]", "\"test\"", "tést", "test\tx", strings.Repeat("a", 63) + ".test",
		strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 130) + "test",
	} {
		name := h
		if len(name) > 30 {
			name = fmt.Sprintf("%s… %d octets", h[:30], len(h))
		}
		all = append(all, odd(fmt.Sprintf("Host %q", name), get("{png}", "Host: "+h)))
	}
	return append(all,
		odd("two Hosts", get("{png}", "Host: test", "Host: one.test")), odd("two equal Hosts", get("{png}", "Host: test", "Host: test")),
		odd("Host in lower case", get("{png}", "host: test")), odd("HOST", get("{png}", "HOST: test")),
		odd("Host without a space", get("{png}", "Host:test")), odd("Host and many spaces", get("{png}", "Host:   test   ")),
		odd("Host and tabs", get("{png}", "Host:\ttest\t")),
		odd("Host last", "GET {png} HTTP/1.1\r\nAccept: */*\r\nHost: test\r\n\r\n"),
		odd("two Hosts in 1.0", "GET {png} HTTP/1.0\r\nHost: test\r\nHost: one.test\r\n\r\n"),
		odd("vhost in 1.0", "GET {png} HTTP/1.0\r\nHost: one.test\r\n\r\n"), odd("odd Host in 1.0", "GET {png} HTTP/1.0\r\nHost: a b\r\n\r\n"),
		odd("absolute, same Host", get("http://test{png}")), odd("absolute, other Host", get("http://one.test/a.png", "Host: test")),
		odd("absolute, no Host", "GET http://one.test/a.png HTTP/1.1\r\n\r\n"), odd("absolute in 1.0", "GET http://one.test/a.png HTTP/1.0\r\n\r\n"),
		odd("absolute, vhost in Host", get("http://test{png}", "Host: one.test")), odd("absolute with port", get("http://one.test:80/a.png")),
		odd("absolute HTTP", get("HTTP://ONE.test/a.png")),
		odd("absolute https", get("https://test{png}")), odd("absolute without path", get("http://one.test")),
		odd("absolute without path, query", get("http://one.test?x")),
		odd("absolute with user", get("http://user:pass@test{png}")), odd("absolute, odd host", get("http://a b{png}")),
		odd("absolute, empty host", get("http:///a.png")),
		odd("X-Forwarded-Host", get("{png}", "X-Forwarded-Host: one.test")), odd("authority as target", get("one.test:80")),
		odd("ftp", get("ftp://test{png}")),
	)
}

func targetCases() (all []testCase) {
	for _, n := range names {
		path := "/plain/" + n
		if e := "/plain/" + escaped(n); e == path {
			all = append(all, one("file "+n, get(path)))
			continue
		} else {
			all = append(all, one(fmt.Sprintf("file %q, escaped", n), get(e)))
		}
		all = append(all, odd(fmt.Sprintf("file %q, raw", n), get(path)))
	}
	for _, t := range []string{
		"", "/", "//", "///", "/.", "/..", "/./", "/../", "own", "/own", "/own/", "/own/.", "/own/..", "/./sentinel.txt", "/../sentinel.txt",
		"/own/../sentinel.txt", "//sentinel.txt", "/own//../sentinel.txt",
		"/sentinel.txt/", "/sentinel.txt/x", "/sentinel.txt?", "/sentinel.txt?a=b", "/sentinel.txt#x", "/sentinel.txt;x", "/sentinel.txt%00",
		"/sentinel.txt%20", "/sentinel.txt%0d%0a", "/sentinel.txt.", "/sentinel.txt~",
		"/%73entinel.txt", "/%2e%2e/sentinel.txt", "/own/%2e%2e/sentinel.txt", "/own%2f..%2fsentinel.txt", "/%2Fsentinel.txt", "/%5csentinel.txt",
		"/\\sentinel.txt", "/%", "/%4", "/%zz", "/%u0073entinel.txt", "/%c0%af", "/%ff",
		"/sentinel.TXT", "/SENTINEL.txt", "?", "?x", "#", "sentinel.txt", "./sentinel.txt", "*/sentinel.txt", "/sentinel.txt\x00",
		"/sentinel.txt\x01", "/sentinel.txt\x7f", "/sentinel.txt\xff", "/sent\tinel.txt", "/sentinel.txt\v", "/sentinel.txt\f",
		"/none", "/none.png", "/none/none.png", "/plain", "/plain/", "/withindex", "/withindex/", "/withindex/index.html", "/withindex/?x",
		"/plain/sub/deep/er/a.png", "/plain/sub/deep/er/", "/plain/sub/deep/../../100.png",
		"/alias/a.png", "/alias", "/match/100.png", "/cgi-bin/", "/cgi-bin", "/cgi-bin/none", "/cgi-bin/say", "/cgi-bin/say.png",
		"/cgi-bin/say/a.png", "/cgi-bin/say?{png}", "/location", "/location/a.png", "/icons/", "/icons/blank.gif",
		"/server-status", "/.htaccess", "/ht/.htpasswd", "/own/.htaccess", "/.git/config", "/:80/", "/http://test/", "/~root", "/~root/",
		"/mode/secret.png", "/mode/run.png", "/mode/group.png", "/mode/closed/a.png", "/mode/closed/", "/mode/",
		"/" + strings.Repeat("a", 300), "/" + strings.Repeat("a/", 300), "/own/" + strings.Repeat("../", 50) + "etc/passwd",
		"/" + strings.Repeat("./", 100) + "sentinel.txt", "/own/0000.png/../0000.png",
	} {
		name := t
		if len(name) > 40 {
			name = fmt.Sprintf("%s… %d octets", t[:40], len(t))
		}
		all = append(all, odd(fmt.Sprintf("target %q", name), get(t)))
	}
	return all
}

func fileCases() (all []testCase) {
	for _, size := range sizes {
		for _, ext := range []string{"png", "html"} {
			all = append(all, one(fmt.Sprintf("GET %d.%s", size, ext), get(fmt.Sprintf("/plain/%d.%s", size, ext))),
				one(fmt.Sprintf("HEAD %d.%s", size, ext), head(fmt.Sprintf("/plain/%d.%s", size, ext))))
		}
	}
	return all
}
