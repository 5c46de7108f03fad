package identity

import (
	"fmt"
	"strings"
)

// smugglingCases are the ways known in public by which two servers in a row come to differ about where a request ends: those of
// smuggler, http-request-smuggler and the HTTP Garden, llhttp's tests, and what was found out about chunks since (TERM.EXT, SPILL and so on). Each goes to a script, which tells what body it
// got, and to a file, which xhttpd would answer if it overlooked the body. The body is itself a request, so that whoever reads too
// little of it answers once more; what follows (see way) is taken into it by whoever reads too much.
func smugglingCases() (all []testCase) {
	add := func(name, fields, body string) {
		all = append(all, odd(name+", POST to a script", "POST /cgi-bin/say HTTP/1.1\r\nHost: test\r\n"+fields+"\r\n"+body),
			odd(name+", GET of a file", "GET {png} HTTP/1.1\r\nHost: test\r\n"+fields+"\r\n"+body))
	}
	inner := "GET /none HTTP/1.1\r\nHost: test\r\n\r\n"
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	n := len(inner)
	const te = "Transfer-Encoding: chunked\r\n"

	add("CL.TE", "Content-Length: 6\r\n"+te, "0\r\n\r\nG")
	add("CL.TE, request behind", fmt.Sprintf("Content-Length: %d\r\n", 5+n)+te, "0\r\n\r\n"+inner)
	add("TE.CL", te+"Content-Length: 4\r\n", chunks)
	add("CL.0", fmt.Sprintf("Content-Length: %d\r\n", n), inner)
	add("0.CL", "Content-Length: 0\r\n", inner)

	for _, v := range []string{
		"+%d", "-%d", " %d ", "%d,", ",%d", "%d, %d", "%d,%d", "%d, 0", "0, %d", "%d 0", "%d;x", "%dx", "0x%x", "0%d", "000000000000000000000%d",
		"%d.0", "%de0", "\"%d\"", "%d\v", "\v%d", "%d\x00", "\x00%d", "1_0", "", " ", "x", "-0", "--1", "99999999999999999999",
		"18446744073709551616", "9223372036854775808", "4294967296",
		"٣", "NaN", "1e1", "０",
	} {
		value := v
		if k := strings.Count(v, "%"); k > 0 {
			args := []any{n, n}
			value = fmt.Sprintf(v, args[:k]...)
		}
		add(fmt.Sprintf("Content-Length %q", v), "Content-Length: "+value+"\r\n", inner)
	}
	same, other := fmt.Sprintf("Content-Length: %d\r\n", n), "Content-Length: 0\r\n"
	for name, fields := range map[string]string{
		"the same length twice": same + same, "two lengths": same + other, "two lengths, other order": other + same,
		"length and a folded one": "Content-Length:\r\n " + fmt.Sprint(n) + "\r\n", "folded length": fmt.Sprintf("Content-Length: %d\r\n 0\r\n", n),
		"length after a bare CR": "X: y\r" + same, "length after a bare LF": "X: y\n" + same,
		"space before the colon": fmt.Sprintf("Content-Length : %d\r\n", n),
		"tab before the colon":   fmt.Sprintf("Content-Length\t: %d\r\n", n), "name with NUL": fmt.Sprintf("Content-Length\x00: %d\r\n", n),
		"name with a space in it": fmt.Sprintf("Content Length: %d\r\n", n), "underscore": fmt.Sprintf("Content_Length: %d\r\n", n),
		"odd case": fmt.Sprintf("cONTENT-lENGTH: %d\r\n", n), "leading space": fmt.Sprintf(" Content-Length: %d\r\n", n),
		"no space":            fmt.Sprintf("Content-Length:%d\r\n", n),
		"named as hop-by-hop": same + "Connection: Content-Length\r\n", "with Upgrade": same + "Upgrade: h2c\r\nConnection: Upgrade\r\n",
		"with Expect": same + "Expect: 100-continue\r\n", "with an odd Expect": same + "Expect: y 100-continue\r\n",
		"two Hosts": same + "Host: one.test\r\n", "long name": strings.Repeat("X", 4000) + ": y\r\n" + same,
		"ninety-nine fields": strings.Repeat("X: y\r\n", 97) + same, "a hundred and one fields": strings.Repeat("X: y\r\n", 99) + same,
		"empty name":           ": x\r\n" + same,
		"with a folded Expect": same + "Expect:\r\n 100-continue\r\n", "with Expect twice": same + "Expect: 100-continue\r\nExpect: 100-continue\r\n",
		"with Expect and a list": same + "Expect: 100-continue, x\r\n", "with Expect in capitals": same + "EXPECT: 100-CONTINUE\r\n",
		"with Expect behind a bare LF": same + "X: y\nExpect: 100-continue\r\n", "with space before Expect's colon": same + "Expect : 100-continue\r\n",
		"with Upgrade to HTTP/2.0": same + "Upgrade: HTTP/2.0\r\nConnection: Upgrade\r\n", "with Upgrade alone": same + "Upgrade: h2c\r\n",
		"with Upgrade to TLS": same + "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n", "with Connection: close and more": same + "Connection: close, Content-Length\r\n",
		"Host as hop-by-hop": same + "Connection: Host\r\n", "with Proxy-Connection": same + "Proxy-Connection: keep-alive\r\n",
		"two Hosts, one folded": same + " Host: one.test\r\n", "two Hosts, in two cases": same + "hOsT: one.test\r\n",
		"Host with a path": same + "Host: test/x\r\n", "overridden method": same + "X-HTTP-Method-Override: POST\r\n",
		"overridden URL": same + "X-Original-URL: /none\r\nX-Rewrite-URL: /none\r\n", "with Trailer": same + "Trailer: Content-Length\r\n",
		"with TE": same + "TE: chunked\r\nConnection: TE\r\n", "behind a field of blanks": " \r\n" + same, "behind a lone CR": "\r" + same,
		"behind a line of one tab": "X: y\r\n\t\r\n" + same,
	} {
		add("length: "+name, fields, inner)
	}
	for _, field := range []string{
		"Transfer-Encoding: chunked", "Transfer-Encoding:chunked", "Transfer-Encoding:\tchunked", "Transfer-Encoding\t:\tchunked",
		"Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked", "Transfer Encoding: chunked",
		"Transfer_Encoding: chunked", "Transfer-Encoding:\vchunked", "Transfer-Encoding: \fchunked",
		"Transfer-Encoding: chunked, cow", "Transfer-Encoding: cow, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked,",
		"Transfer-Encoding: ,chunked", "Transfer-Encoding: identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, identity",
		"Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip", "Content-Encoding: chunked", "TE: chunked",
		"Transfer-Encoding:\n chunked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: chunked\r\n ,x", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: 'chunked'", "Transfer-Encoding: chunk", "Transfer-Encoding: chunkedx", "Transfer-Encoding: xchunked",
		"TrAnSFer-EnCODinG: cHuNkeD", "TRANSFER-ENCODING: CHUNKED", "Transfer-Encoding: chunked\r", "Transfer-Encoding: chunked\t",
		"Transfer-Encoding: chunked ",
		"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
		"Transfer\r-Encoding: chunked", "Transfer-Encoding: cow chunked bar", "Transfer-Encoding:\xffchunked", "Transfer-Encoding: ch\x96nked",
		"Transf\x82r-Encoding: chunked", "X:X\rTransfer-Encoding: chunked",
		"X:X\nTransfer-Encoding: chunked", "Transfer-Encoding", "Transfer-Encoding:", "Transfer-Encoding: \x00chunked",
		"Transfer-Encoding: chunked\x00", "Transfer-Encoding\x00: chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: chunked; x=y",
		"\x00Transfer-Encoding: chunked", "Transfer-Encoding\xa0: chunked", "Transfer-Encoding: chunked\x7f", "Transfer-Encoding: \x01chunked",
		"X: y\r\n\rTransfer-Encoding: chunked",
		"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "Foo: bar\r\n\rTransfer-Encoding: chunked", "Transfer-Encoding: chunKed",
		"Transfer-%45ncoding: chunked", "Transfer-Encoding: %63hunked", "Transfer-Encoding=chunked", "Transfer-Encoding\r\n: chunked",
		"Transfer-Encoding\r\n : chunked",
	} {
		add(fmt.Sprintf("%q", field), field+"\r\n", chunks)
		add(fmt.Sprintf("%q and a length", field), fmt.Sprintf("Content-Length: %d\r\n", len(chunks))+field+"\r\n", chunks)
	}
	for name, body := range map[string]string{
		"size in capitals": "A\r\n0123456789\r\n0\r\n\r\n", "size with zeros": "0000a\r\n0123456789\r\n0\r\n\r\n",
		"size with many zeros": strings.Repeat("0", 100) + "a\r\n0123456789\r\n0\r\n\r\n", "size with 0x": "0xa\r\n0123456789\r\n0\r\n\r\n",
		"size with plus": "+a\r\n0123456789\r\n0\r\n\r\n", "negative size": "-a\r\n0123456789\r\n0\r\n\r\n",
		"size with a blank behind": "a \r\n0123456789\r\n0\r\n\r\n", "size with a blank before": " a\r\n0123456789\r\n0\r\n\r\n",
		"size with a tab": "a\t\r\n0123456789\r\n0\r\n\r\n", "no size": "\r\n0123456789\r\n0\r\n\r\n",
		"size that is none": "x\r\n0123456789\r\n0\r\n\r\n", "size of 2^32": "100000000\r\n0123456789\r\n0\r\n\r\n",
		"size of 2^64 and ten": "1000000000000000a\r\n0123456789\r\n0\r\n\r\n", "size of all ones": "ffffffffffffffff\r\n0123456789\r\n0\r\n\r\n",
		"size with a comma": "a,b\r\n0123456789\r\n0\r\n\r\n", "size with an underscore": "1_0\r\n0123456789012345\r\n0\r\n\r\n",
		"extension": "a;x=y\r\n0123456789\r\n0\r\n\r\n", "extension with a quoted CRLF": "a;x=\"\r\n\"\r\n0123456789\r\n0\r\n\r\n",
		"extension with a bare LF": "a;x\nyyyy\r\n0123456789\r\n0\r\n\r\n", "extension with a bare CR": "a;x\ryyyy\r\n0123456789\r\n0\r\n\r\n",
		"extension with NUL": "a;\x00\r\n0123456789\r\n0\r\n\r\n", "long extension": "a;" + strings.Repeat("x", 9000) + "\r\n0123456789\r\n0\r\n\r\n",
		"extension without a name": "a;\r\n0123456789\r\n0\r\n\r\n", "extension with blanks": "a ; x = y\r\n0123456789\r\n0\r\n\r\n",
		"bare LF after the size": "a\n0123456789\r\n0\r\n\r\n", "bare LF after the data": "a\r\n0123456789\n0\r\n\r\n",
		"bare LFs": "a\n0123456789\n0\n\n", "bare CR after the size": "a\r0123456789\r\n0\r\n\r\n",
		"bare CR after the data": "a\r\n0123456789\r0\r\n\r\n", "nothing after the data": "a\r\n01234567890\r\n\r\n",
		"other octets after the data": "a\r\n0123456789xx0\r\n\r\n", "more data than said": "5\r\n0123456789\r\n0\r\n\r\n",
		"less data than said":   "c\r\n0123456789\r\n0\r\n\r\n",
		"last chunk with zeros": "a\r\n0123456789\r\n000\r\n\r\n", "last chunk with an extension": "a\r\n0123456789\r\n0;x\r\n\r\n",
		"trailer": "a\r\n0123456789\r\n0\r\nX: y\r\n\r\n", "trailer with a length": "a\r\n0123456789\r\n0\r\nContent-Length: 5\r\n\r\n",
		"trailer with Transfer-Encoding": "a\r\n0123456789\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"trailer with Host":              "a\r\n0123456789\r\n0\r\nHost: one.test\r\n\r\n", "odd trailer": "a\r\n0123456789\r\n0\r\nnonsense\r\n\r\n",
		"trailer with a bare LF": "a\r\n0123456789\r\n0\r\nX: y\n\r\n",
		"trailer without an end": "a\r\n0123456789\r\n0\r\nX: y\r\n", "no CRLF at the end": "a\r\n0123456789\r\n0\r\n",
		"bare LF at the end": "a\r\n0123456789\r\n0\r\n\n", "a request as a trailer": "0\r\n" + inner,
		"size of 2^31": "80000000\r\n0123456789\r\n0\r\n\r\n", "size of 2^63": "8000000000000000\r\n0123456789\r\n0\r\n\r\n",
		"size of 2^63 less one": "7fffffffffffffff\r\n0123456789\r\n0\r\n\r\n", "size of 17 digits": "0000000000000000a\r\n0123456789\r\n0\r\n\r\n",
		"size in quotes": "\"a\"\r\n0123456789\r\n0\r\n\r\n", "size with NUL": "a\x00\r\n0123456789\r\n0\r\n\r\n",
		"size with a vertical tab": "a\v\r\n0123456789\r\n0\r\n\r\n", "size and a colon": "a:\r\n0123456789\r\n0\r\n\r\n",
		"an empty line first": "\r\na\r\n0123456789\r\n0\r\n\r\n",
		// The extension ends at a bare LF for one reader, at CR LF for another (TERM.EXT, EXT.TERM).
		"extension that hides a chunk": "2;\nxx\r\n5a\r\n0\r\n\r\n" + inner + "\r\n0\r\n\r\n", "extension that hides the end": "2;\r\nxx\r\n0;\n\r\n\r\n" + inner,
		"extension with an 8-bit octet": "a;\xff\r\n0123456789\r\n0\r\n\r\n", "extension with CR CR": "a;\r\r\n0123456789\r\n0\r\n\r\n",
		// Some take two octets behind the data for its end, whatever they are (SPILL, ONE.TWO, ZERO.TWO).
		"CR and another octet after the data": "a\r\n0123456789\rX0\r\n\r\n", "LF and another octet after the data": "a\r\n0123456789\nX0\r\n\r\n",
		"one octet after the data": "a\r\n0123456789X0\r\n\r\n", "two octets that are a size after the data": "5\r\nAAAAA32\r\n" + inner + "\r\n0\r\n\r\n",
		"LF CR after the data": "a\r\n0123456789\n\r0\r\n\r\n", "CR CR LF after the data": "a\r\n0123456789\r\r\n0\r\n\r\n",
		"CR behind the last chunk": "a\r\n0123456789\r\n0\r\n\r", "LF LF behind the last chunk": "a\r\n0123456789\r\n0\n\n",
		"folded trailer": "a\r\n0123456789\r\n0\r\nX: y\r\n z\r\n\r\n", "trailer with NUL": "a\r\n0123456789\r\n0\r\nX: \x00\r\n\r\n",
		"trailer with space before the colon": "a\r\n0123456789\r\n0\r\nX : y\r\n\r\n", "many trailers": "a\r\n0123456789\r\n0\r\n" + strings.Repeat("X: y\r\n", 120) + "\r\n",
		"many chunks": strings.Repeat("1\r\nx\r\n", 500) + "0\r\n\r\n", "no chunk": "0\r\n\r\n", "nothing": "",
		"CR CR LF after the size": "a\r\r\n0123456789\r\n0\r\n\r\n", "two CRLFs after the data": "a\r\n0123456789\r\n\r\n0\r\n\r\n",
	} {
		add("chunks: "+name, te, body)
	}
	for name, text := range map[string]string{
		"Transfer-Encoding in 1.0":             "POST /cgi-bin/say HTTP/1.0\r\nHost: test\r\n" + te + "\r\n" + chunks,
		"Transfer-Encoding in 1.0, keep-alive": "POST /cgi-bin/say HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n" + te + "\r\n" + chunks,
		"both in 1.0, keep-alive": "POST /cgi-bin/say HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n" + fmt.Sprintf("Content-Length: %d\r\n",
			len(chunks)) + te + "\r\n" + chunks,
		"GET in 1.0 with chunks":   "GET {png} HTTP/1.0\r\nConnection: keep-alive\r\n" + te + "\r\n" + chunks,
		"GET in 1.0 with a length": "GET {png} HTTP/1.0\r\nConnection: keep-alive\r\n" + same + "\r\n" + inner,
		"HTTP/0.9 and more":        "GET {png}\r\n" + inner, "HTTP/0.9 with fields": "GET {png}\r\nHost: test\r\n\r\n" + inner,
		"a request in a field":         "GET {png} HTTP/1.1\r\nHost: test\r\nX: GET /none HTTP/1.1\r\n\r\n",
		"a request in the target":      "GET {png}?GET /none HTTP/1.1\r\nHost: test\r\n\r\n",
		"CRLF in the target, escaped":  "GET {png}%20HTTP/1.1%0d%0aHost:%20test%0d%0a%0d%0a HTTP/1.1\r\nHost: test\r\n\r\n",
		"line of the request folded":   "GET {png} HTTP/1.1\r\n X: y\r\nHost: test\r\n" + same + "\r\n" + inner,
		"absolute target, other Host":  "GET http://one.test/a.png HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"HEAD with a body":             "HEAD {png} HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"OPTIONS with a body":          "OPTIONS * HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"TRACE with a body":            "TRACE / HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"body behind close":            "GET {png} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" + same + "\r\n" + inner,
		"a method in front of another": "GET GET {png} HTTP/1.1\r\nHost: test\r\n\r\n",
		"LF ends the head":             "GET {png} HTTP/1.1\nHost: test\n" + same + "\n" + inner,
		"LF LF within":                 "GET {png} HTTP/1.1\r\nHost: test\r\nX: y\n\nGET /none HTTP/1.1\r\nHost: test\r\n\r\n",
		"CR CR within":                 "GET {png} HTTP/1.1\r\nHost: test\r\nX: y\r\rGET /none HTTP/1.1\r\nHost: test\r\n\r\n",
		"CR LF CR within":              "GET {png} HTTP/1.1\r\nHost: test\r\nX: y\r\n\rGET /none HTTP/1.1\r\nHost: test\r\n\r\n",
		"Upgrade h2c and its preface":  "GET {png} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"WebSocket and more":           "GET {png} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" + inner,
		"two versions":                 "GET {png} HTTP/1.1 HTTP/1.0\r\nHost: test\r\n" + same + "\r\n" + inner,
		"a tab before the version":     "GET {png}\tHTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"a vertical tab for a space":   "POST\v/cgi-bin/say HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"a form feed for a space":      "POST /cgi-bin/say\fHTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"HTTP/1.2 with a body":         "POST /cgi-bin/say HTTP/1.2\r\nHost: test\r\n" + same + "\r\n" + inner,
		"HTTP/2.0 with a body":         "POST /cgi-bin/say HTTP/2.0\r\nHost: test\r\n" + same + "\r\n" + inner,
		"preface of HTTP/2, then GET":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
		"preface of HTTP/2, behind":    "GET {png} HTTP/1.1\r\nHost: test\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/0.9, three of them":      "GET {png}\r\nGET {png}\r\nGET {png}\r\n",
		"HTTP/0.9 behind a hit":        "GET {png} HTTP/1.1\r\nHost: test\r\n\r\nGET {png}\r\n",
		"a body to a file":             "POST {png} HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"a body to nothing":            "POST /none HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"chunks to nothing":            "POST /none HTTP/1.1\r\nHost: test\r\n" + te + "\r\n" + chunks,
		"a body to what is for nobody": "DELETE {png} HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"CONNECT with a body":          "CONNECT test:80 HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"a range and a body":           "GET {png} HTTP/1.1\r\nHost: test\r\nRange: bytes=0-1\r\n" + same + "\r\n" + inner,
		"a tag and a body":             "GET {png} HTTP/1.1\r\nHost: test\r\nIf-None-Match: {etag}\r\n" + same + "\r\n" + inner,
		"an Expect without a body":     "GET {png} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n",
		"a body of none, and one":      "GET {png} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n" + inner,
		"denied with a body":           "POST /denied/a.png HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"redirected with a body":       "POST /list HTTP/1.1\r\nHost: test\r\n" + same + "\r\n" + inner,
		"bad Host with a body":         "POST / HTTP/1.1\r\nHost: a b\r\n" + same + "\r\n" + inner,
	} {
		all = append(all, odd(name, text))
	}
	return all
}
