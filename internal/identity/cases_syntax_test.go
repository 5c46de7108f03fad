package identity

import (
	"fmt"
	"strings"
)

// What is odd in the syntax, at the limits, has a body, or comes in pieces.

func syntaxCases() (all []testCase) {
	for name, head := range map[string]string{
		"bare LF everywhere": "GET {png} HTTP/1.1\nHost: test\n\n", "bare LF after the request line": "GET {png} HTTP/1.1\nHost: test\r\n\r\n",
		"bare LF after a field": "GET {png} HTTP/1.1\r\nHost: test\nX: y\r\n\r\n", "bare LF at the end": "GET {png} HTTP/1.1\r\nHost: test\r\n\n",
		"bare CR after the request line": "GET {png} HTTP/1.1\rHost: test\r\n\r\n",
		"bare CR after a field":          "GET {png} HTTP/1.1\r\nHost: test\rX: y\r\n\r\n", "bare CR at the end": "GET {png} HTTP/1.1\r\nHost: test\r\n\r",
		"CR CR LF": "GET {png} HTTP/1.1\r\r\nHost: test\r\n\r\n", "CR CR LF after a field": "GET {png} HTTP/1.1\r\nHost: test\r\r\n\r\n",
		"LF CR": "GET {png} HTTP/1.1\n\rHost: test\n\r\n\r", "leading CRLF": "\r\nGET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"leading LF": "\nGET {png} HTTP/1.1\r\nHost: test\r\n\r\n", "leading CR": "\rGET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"many leading CRLFs":           strings.Repeat("\r\n", 20) + "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"leading space":                " GET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"obs-fold":                     "GET {png} HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n",
		"obs-fold by tab":              "GET {png} HTTP/1.1\r\nHost: test\r\nX: a\r\n\tb\r\n\r\n",
		"obs-fold of Host":             "GET {png} HTTP/1.1\r\nHost:\r\n one.test\r\n\r\n",
		"obs-fold of Connection":       "GET {png} HTTP/1.1\r\nHost: test\r\nConnection: keep-alive,\r\n close\r\n\r\n",
		"obs-fold first":               "GET {png} HTTP/1.1\r\n Host: test\r\n\r\n",
		"obs-fold of nothing":          "GET {png} HTTP/1.1\r\nHost: test\r\n \r\n\r\n",
		"obs-fold of the request line": "GET {png}\r\n HTTP/1.1\r\nHost: test\r\n\r\n",
		"a field of blanks":            "GET {png} HTTP/1.1\r\nHost: test\r\n\t \r\nX: y\r\n\r\n",
		"space before colon":           "GET {png} HTTP/1.1\r\nHost : test\r\n\r\n", "tab before colon": "GET {png} HTTP/1.1\r\nHost\t: test\r\n\r\n",
		"space in a name": "GET {png} HTTP/1.1\r\nHost: test\r\nX Y: z\r\n\r\n", "no name": "GET {png} HTTP/1.1\r\nHost: test\r\n: z\r\n\r\n",
		"no colon": "GET {png} HTTP/1.1\r\nHost: test\r\nnonsense\r\n\r\n", "only a colon": "GET {png} HTTP/1.1\r\nHost: test\r\n:\r\n\r\n",
		"NUL in a value": "GET {png} HTTP/1.1\r\nHost: test\r\nX: a\x00b\r\n\r\n",
		"NUL in a name":  "GET {png} HTTP/1.1\r\nHost: test\r\nX\x00: b\r\n\r\n", "NUL in Host": "GET {png} HTTP/1.1\r\nHost: te\x00st\r\n\r\n",
		"NUL in the version": "GET {png} HTTP/1.1\x00\r\nHost: test\r\n\r\n", "NUL first": "\x00GET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"NUL at the end of Host": "GET {png} HTTP/1.1\r\nHost: test\x00\r\n\r\n", "NULs only": "\x00\x00\x00\x00",
		"two spaces": "GET  {png} HTTP/1.1\r\nHost: test\r\n\r\n", "two spaces before the version": "GET {png}  HTTP/1.1\r\nHost: test\r\n\r\n",
		"space after the version": "GET {png} HTTP/1.1 \r\nHost: test\r\n\r\n", "tabs": "GET\t{png}\tHTTP/1.1\r\nHost: test\r\n\r\n",
		"vertical tabs": "GET\v{png}\vHTTP/1.1\r\nHost: test\r\n\r\n", "form feeds": "GET {png}\fHTTP/1.1\r\nHost: test\r\n\r\n",
		"no-break space": "GET\xa0{png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"empty":          "\r\n\r\n", "CRLF only": "\r\n", "method only": "GET\r\n\r\n", "method and space": "GET \r\n\r\n",
		"no space": "GET{png}HTTP/1.1\r\nHost: test\r\n\r\n", "TLS": "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "SSH": "SSH-2.0-OpenSSH_9.2\r\n",
		"8-bit noise": "\xff\xfe\xfd\xfc\r\n\r\n", "a colon first": ": x\r\n\r\n", "a response": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"DEL in a value":     "GET {png} HTTP/1.1\r\nHost: test\r\nX: \x7f\r\n\r\n",
		"control in a value": "GET {png} HTTP/1.1\r\nHost: test\r\nX: \x01\r\n\r\n",
		"ESC in a value":     "GET {png} HTTP/1.1\r\nHost: test\r\nX: \x1b[0m\r\n\r\n",
		"8-bit name":         "GET {png} HTTP/1.1\r\nHost: test\r\nX\xe9: y\r\n\r\n", "bracketed name": "GET {png} HTTP/1.1\r\nHost: test\r\n(X): y\r\n\r\n",
		"slash in a name": "GET {png} HTTP/1.1\r\nHost: test\r\na/b: y\r\n\r\n",
		"quoted name":     "GET {png} HTTP/1.1\r\nHost: test\r\n\"X\": y\r\n\r\n",
		"quoted value":    "GET {png} HTTP/1.1\r\nHost: test\r\nX: \"unended\r\n\r\n", "two colons": "GET {png} HTTP/1.1\r\nHost: test\r\nX:: y\r\n\r\n",
		"value of colons": "GET {png} HTTP/1.1\r\nHost: test\r\nX: :y:\r\n\r\n", "method with a colon": "GET: {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"trailing blanks of a value": "GET {png} HTTP/1.1\r\nHost: test \t \r\nX: y\t\r\n\r\n",
		"blanks only as a value":     "GET {png} HTTP/1.1\r\nHost: test\r\nX: \t \r\n\r\n",
		"fragment of a head":         "GET {png} HT", "head without its end": "GET {png} HTTP/1.1\r\nHost: test\r\n",
		"head without its last LF": "GET {png} HTTP/1.1\r\nHost: test\r\n\r", "request line only": "GET {png} HTTP/1.1\r\n", "G": "G",
		"one octet of nothing": "\x01", "CRLF behind": "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n\r\n",
		"noise behind": "GET {png} HTTP/1.1\r\nHost: test\r\n\r\nnoise\r\n\r\n", "spaces behind": "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n   ",
		"LF behind": "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n\n", "NUL behind": "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n\x00",
		"many CRLFs behind":      "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n" + strings.Repeat("\r\n", 30),
		"close and noise behind": "GET {png} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nnoise",
	} {
		all = append(all, odd(name, head))
	}
	return append(all, emptyLineCases()...)
}

// emptyLineCases have empty lines behind a request. Those that come with it are skipped in another way than those that come
// later, so of the latter there are only such as are the same to Apache however soon it looks.
func emptyLineCases() (all []testCase) {
	const file = "GET {png} HTTP/1.1\r\nHost: test\r\n\r\n"
	for _, n := range []int{2, 9, 10, 11, 12, 500} {
		for name, line := range map[string]string{"LFs": "\n", "CRLFs": "\r\n", "LFs and CRLFs": "\n\r\n"} {
			lines := strings.Repeat(line, n)[:n*len(line)/strings.Count(line, "\n")]
			all = append(all,
				odd(fmt.Sprintf("%d %s behind", n, name), file+lines), odd(fmt.Sprintf("%d %s between", n, name), file+lines+file),
				odd(fmt.Sprintf("%d %s in front of a script", n, name), file+lines+"GET /cgi-bin/say HTTP/1.1\r\nHost: test\r\n\r\n"+lines+file))
		}
	}
	for name, lines := range map[string]string{
		"CR": "\r", "CR CR": "\r\r", "CR CR LF": "\r\r\n", "LF CR": "\n\r", "CRLF CR": "\r\n\r", "LF space LF": "\n \n", "LF NUL LF": "\n\x00\n",
		"10 LFs and CR": strings.Repeat("\n", 10) + "\r", "10 LFs and CR CR": strings.Repeat("\n", 10) + "\r\r",
	} {
		all = append(all, odd(name+" behind", file+lines), odd(name+" between", file+lines+file))
	}
	return append(all,
		odd("CRLF in two", file+"\r", "\n"+file), odd("CRLF later", file, "\r\n"+file), odd("5 LFs, then 5 CRLFs", file+"\n\n\n\n\n", "\r\n\r\n\r\n\r\n\r\n"+file),
		odd("CRLF behind each of several", file+"\r\n"+file+"\r\n", "\r\n"+file+"\r\n"), odd("LF behind a hit that closes", get("{png}", "Connection: close")+"\n"+file),
		odd("LFs between several", file+"\n"+file+"\n\n"+file+"\n\n\n"+get("/cgi-bin/say")+"\n\n\n\n"+file+"\n"),
		odd("LF behind a HEAD", head("{png}")+"\n"+file), odd("LF behind a large one", get("/plain/300000.png")+"\n"+file))
}

// limitCases are about LimitRequestLine and LimitRequestFieldSize (8190), LimitRequestFields (100), and xhttpd's own limit of 8 KB for a head.
func limitCases() (all []testCase) {
	for _, n := range []int{7000, 8100, 8160, 8170, 8173, 8174, 8175, 8176, 8177, 8178, 8179, 8180, 8190, 8191, 8192, 8193, 8200, 9000, 16384, 70000} {
		pad := strings.Repeat("a", n)
		all = append(all,
			odd(fmt.Sprintf("query of %d", n), get("{png}?"+pad)), odd(fmt.Sprintf("path of %d", n), get("/"+pad)),
			odd(fmt.Sprintf("value of %d", n), get("{png}", "X: "+pad)),
			odd(fmt.Sprintf("name of %d", n), get("{png}", pad+": x")), odd(fmt.Sprintf("method of %d", n), request(pad+" / HTTP/1.1")))
		if n < 8190 { // beyond it, Apache answers or not, as the end comes early or late
			all = append(all, odd(fmt.Sprintf("unended line of %d", n), "GET /"+pad))
		}
	}
	for _, n := range []int{50, 97, 98, 99, 100, 101, 102, 150, 1000} {
		all = append(all, odd(fmt.Sprintf("%d fields", n+1), get("{png}", many(n, "x")...)),
			odd(fmt.Sprintf("%d fields of one name", n+1),
				get("{png}", strings.Split(strings.TrimSuffix(strings.Repeat("X: y\n", n), "\n"), "\n")...)))
	}
	for _, n := range []int{60, 70, 80, 90, 98} {
		all = append(all, odd(fmt.Sprintf("%d fields of 100", n), get("{png}", many(n, strings.Repeat("v", 100))...)))
	}
	return append(all,
		odd("folded lines to 9000", "GET {png} HTTP/1.1\r\nHost: test\r\nX: a\r\n"+strings.Repeat(" "+strings.Repeat("b", 99)+"\r\n", 90)+"\r\n"),
		odd("blanks in front of a value", get("{png}", "X:"+strings.Repeat(" ", 8000)+"y")),
		odd("blanks behind a value", get("{png}", "X: y"+strings.Repeat(" ", 8000))))
}

func bodyCases() (all []testCase) {
	const chunked = "Transfer-Encoding: chunked"
	for name, r := range map[string]string{
		"POST to a script":            request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 5") + "hello",
		"POST of nothing":             request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 0"),
		"PUT to a script":             request("PUT /cgi-bin/say HTTP/1.1", "Content-Length: 5") + "hello",
		"chunked":                     request("POST /cgi-bin/say HTTP/1.1", chunked) + "5\r\nhello\r\n0\r\n\r\n",
		"chunked, trailers":           request("POST /cgi-bin/say HTTP/1.1", chunked, "Trailer: X") + "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"chunked, extensions":         request("POST /cgi-bin/say HTTP/1.1", chunked) + "5;a=b\r\nhello\r\n0;c\r\n\r\n",
		"1 MB":                        request("POST /cgi-bin/say/sum HTTP/1.1", "Content-Length: 1000000") + strings.Repeat("0123456789", 100_000),
		"GET of a file with a body":   get("{png}", "Content-Length: 5") + "hello",
		"GET of a file with chunks":   get("{png}", chunked) + "5\r\nhello\r\n0\r\n\r\n",
		"HEAD of a file with a body":  head("{png}", "Content-Length: 5") + "hello",
		"GET of a script with a body": get("/cgi-bin/say", "Content-Length: 5") + "hello",
		"body for nothing":            request("POST /none HTTP/1.1", "Content-Length: 5") + "hello",
		"body for what is denied":     request("POST /denied/a.png HTTP/1.1", "Content-Length: 5") + "hello",
		"body that is a request":      request("POST /none HTTP/1.1", "Content-Length: 46") + get("/sentinel.txt", "X-Y: abc"),
		"body cut off":                request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 500") + "hello",
		"chunks cut off":              request("POST /cgi-bin/say HTTP/1.1", chunked) + "5\r\nhel",
		"1.0 with a body":             "POST /cgi-bin/say HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
		"1.0 without a length":        "POST /cgi-bin/say HTTP/1.0\r\n\r\nhello",
		"form":                        request("POST /cgi-bin/say HTTP/1.1", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 7") + "a=b&c=d",
		"body of NULs":                request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 4") + "\x00\x00\x00\x00",
	} {
		all = append(all, odd(name, r))
	}
	hello := "hello"
	return append(all,
		odd("Expect, body at once", request("POST /cgi-bin/say HTTP/1.1", "Expect: 100-continue", "Content-Length: 5")+hello),
		odd("Expect, body later", request("POST /cgi-bin/say HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"), hello),
		odd("Expect for nothing", request("POST /none HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"), hello),
		odd("Expect, GET of a file", get("{png}", "Expect: 100-continue", "Content-Length: 5"), hello),
		odd("body later", request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 5"), hello),
		odd("body octet by octet", append([]string{request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 5")}, strings.Split(hello, "")...)...),
		odd("chunks in pieces", request("POST /cgi-bin/say HTTP/1.1", chunked), "5\r", "\nhel", "lo\r\n0", "\r\n\r", "\n"))
}

func pipelineCases() (all []testCase) {
	const script, nothing, file = "GET /cgi-bin/say HTTP/1.1\r\nHost: test\r\n\r\n", "GET /none HTTP/1.1\r\nHost: test\r\n\r\n",
		"GET {png} HTTP/1.1\r\nHost: test\r\n\r\n"
	text, fresh, old := get("{txt}"), get("{png}", "If-None-Match: {etag}"), request("GET {png} HTTP/1.0", "Connection: keep-alive")
	post := request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 5") + "hello"
	vhost, closing, big := get("/a.png", "Host: one.test"), get("{png}", "Connection: close"), get("/plain/300000.png")
	for name, requests := range map[string][]string{
		"two files": {file, text}, "ten files": {file, text, file, text, file, text, file, text, file, text},
		"HEADs and GETs": {head("{png}"), file, head("{txt}"), text, head("{png}")}, "files, then a script": {file, text, script},
		"script, then files": {script, file, text},
		"file, script, file": {file, script, file}, "file, post, file": {file, post, file}, "file, nothing, file": {file, nothing, file},
		"304s": {fresh, fresh, file, fresh}, "keep-alive in 1.0": {old, old, old}, "1.0 among 1.1": {file, old, file},
		"to another vhost and back": {file, vhost, file}, "large ones": {big, big, file}, "large one, then a script": {big, script, big},
		"file, bad one": {file, "nonsense\r\n\r\n"}, "file, part of one": {file, file[:20]}, "file, HTTP/0.9": {file, "GET {png}\r\n"},
		"posts":                     {post, post, file, post},
		"files and ranges":          {file, get("{png}", "Range: bytes=0-1"), file},
		"files and compressed ones": {text, get("{txt}", "Accept-Encoding: gzip"), text},
		"file, OPTIONS, file":       {file, request("OPTIONS * HTTP/1.1"), file}, "file and TRACE": {file, request("TRACE / HTTP/1.1"), file},
	} {
		n := len(requests)
		if strings.Contains(name, "bad") || strings.Contains(name, "part") || strings.Contains(name, "0.9") {
			n = unsaid
		}
		all = append(all, testCase{name: name + ", at once", send: []string{strings.Join(requests, "")}, answers: n},
			testCase{name: name + ", apart", send: requests, answers: n})
	}
	hundred := strings.Repeat(head("{png}"), 99)
	return append(all,
		testCase{name: "close in the middle", send: []string{file, closing, file}, answers: 2},
		testCase{name: "close in the middle, at once", send: []string{file + closing + file}, answers: 2},
		testCase{name: "1.0 in the middle", send: []string{file + "GET {png} HTTP/1.0\r\n\r\n" + file}, answers: 2},
		testCase{name: "as many as may be, keep-alive asked for", send: []string{hundred + head("{png}", "Connection: keep-alive")}, answers: 100},
		testCase{name: "more than may be", send: []string{hundred + hundred}, answers: unsaid},
		testCase{name: "more than may be, keep-alive asked for", send: []string{strings.Repeat(get("{png}", "Connection: keep-alive"), 105)},
			answers: unsaid},
		testCase{name: "more than may be, across a hand-over",
			send: []string{strings.Repeat(get("{png}", "Connection: keep-alive"),
				60) + script + strings.Repeat(get("{png}", "Connection: keep-alive"), 60)}, answers: unsaid},
		testCase{name: "octet by octet", send: []string{file + text + script}, bytewise: true, answers: 3},
		testCase{name: "CRLF between", send: []string{file + "\r\n" + file}, answers: 2},
		testCase{name: "CRLFs between", send: []string{file + "\r\n\r\n\r\n" + file}, answers: 2},
	)
}
