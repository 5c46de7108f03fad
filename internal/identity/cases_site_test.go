package identity

import "fmt"

// What the site's configuration and its files do to a response.

func sectionCases() (all []testCase) {
	for _, dir := range sectionDirs {
		for _, file := range []string{"a.png", "a.html"} {
			all = append(all, one(dir+"/"+file, get("/"+dir+"/"+file)), one("HEAD "+dir+"/"+file, head("/"+dir+"/"+file)))
		}
		all = append(all, one(dir+"/", get("/"+dir+"/")), one(dir+"/a.txt with gzip", get("/"+dir+"/a.txt", "Accept-Encoding: gzip")))
	}
	// What depends on the client's fields: a cache that has proven the file for another client must not answer.
	for _, field := range []string{"Cookie: member=yes", "Cookie: other=1", "Referer: http://evil/", "Referer: http://test/", "User-Agent: BadBot",
		"X-Key: secret", "X-Mode: loud", "X-Echo: hello"} {
		for _, dir := range []string{"cookie", "referer", "agent", "if", "ifheader", "expr", "env", "own"} {
			target := "/" + dir + "/a.png"
			if dir == "own" {
				target = "{png}"
			}
			all = append(all, one(dir+", "+field, get(target, field)))
		}
	}
	return append(all, one("query swap", get("/query/a.png?swap")), one("if, HEAD", head("/if/a.png", "X-Mode: loud")),
		one("headers, 404", get("/headers/none.png")), one("headers, 304", get("/headers/a.png", "If-Modified-Since: {modified}")),
		one("expires, 304", get("/expires/a.png", "If-Modified-Since: {modified}")), one("handler, status", get("/handler/none.txt")))
}

func htaccessCases() (all []testCase) {
	for dir := range access {
		for _, path := range []string{"a.png", "a.html", "below/a.png", "none.png", ""} {
			all = append(all, one(dir+"/"+path, get("/ht/"+dir+"/"+path)))
		}
	}
	return append(all,
		one("rewritten", get("/ht/rewrite/old.png")), one("moved", get("/ht/rewrite/moved.png")), one("gone", get("/ht/rewrite/gone.png")),
		one("the file itself", get("/ht/headers/.htaccess")),
		one("member", get("/ht/cookie/a.png", "Cookie: member")), one("by a link", get("/ht/into/a.png")),
		one("by a link, listing", get("/ht/into/")))
}

func accessCases() (all []testCase) {
	for _, dir := range []string{"ip-client", "ip-other", "ip-server", "local", "denied", "auth", "expr", "method", "env"} {
		for _, file := range []string{"a.css", "a.txt", "none.png"} {
			all = append(all, one(dir+"/"+file, get("/"+dir+"/"+file)), one("1.0 "+dir+"/"+file, "GET /"+dir+"/"+file+" HTTP/1.0\r\n\r\n"))
		}
		all = append(all, one("conditional "+dir, get("/"+dir+"/a.css", "If-Modified-Since: {modified}")),
			odd("POST "+dir, request("POST /"+dir+"/a.css HTTP/1.1", "Content-Length: 1")+"x"))
	}
	for _, value := range []string{"Basic am9objpkb2U=", "basic am9objpkb2U=", "Basic am9objp3cm9uZw==", "Basic !!!", "Basic", "", "Digest x",
		"Bearer abc"} {
		all = append(all, one("Authorization "+value, get("/auth/a.png", "Authorization: "+value)),
			one("Authorization where none is wanted "+value, get("{png}", "Authorization: "+value)))
	}
	return append(all, one("Proxy-Authorization", get("{png}", "Proxy-Authorization: Basic am9objpkb2U=")))
}

func linkCases() (all []testCase) {
	for _, name := range []string{
		"links/target.png", "links/same.png", "links/up.png", "links/absolute.png", "links/out.png", "links/outdir/a.png", "links/dir/100.png",
		"links/dir", "links/dir/", "links/twice.png", "links/broken.png",
		"links/loop.png", "links/hidden.png", "links/denied.png", "links/headers.png", "links/text.png", "links/hard.png", "nofollow/a.png",
		"nofollow/b.png", "owner/a.png", "owner/b.png",
	} {
		all = append(all, one(name, get("/"+name)), one("HEAD "+name, head("/"+name)))
	}
	return all
}

func listingCases() (all []testCase) {
	for _, target := range []string{
		"/list/", "/list", "/list/?C=N;O=D", "/list/?C=M;O=A", "/list/?C=S;O=A", "/list/?F=0", "/list/?F=1", "/list/?F=2;P=*.png", "/list/?V=1",
		"/list/sub/", "/list/sub", "/list/a%20b.png", "/list/b.html", "/plain/", "/ht/", "/links/", "/own?", "/lang/",
	} {
		all = append(all, one(target, get(target)))
	}
	return append(all, one("HEAD", head("/list/")), one("1.0", "GET /list/ HTTP/1.0\r\n\r\n"), one("gzip", get("/list/", "Accept-Encoding: gzip")),
		one("conditional", get("/list/", "If-Modified-Since: {modified}")),
		one("redirect in a vhost", get("/list", "Host: same.test")), odd("POST", request("POST /list/ HTTP/1.1", "Content-Length: 0")))
}

func negotiationCases() (all []testCase) {
	for _, target := range []string{"/pre/page", "/pre/page.html", "/pre/page.html.gz", "/pre/page.html.br", "/pre/lib.js", "/pre/lib.js.gz", "/pre/lib",
		"/pre/none"} {
		for _, coding := range []string{"gzip", "br", "gzip, br;q=0.5", "identity"} {
			all = append(all, one(target+" "+coding, get(target, "Accept-Encoding: "+coding)))
		}
		all = append(all, one(target, get(target)))
	}
	for _, target := range []string{"/lang/doc", "/lang/doc.html", "/lang/doc.html.de", "/lang/plain.html", "/lang/plain", "/lang/pic", "/lang/pic.png",
		"/lang/doc.de", "/map/doc.var", "/map/en.html"} {
		for _, language := range []string{"de", "fr;q=0.9, en;q=0.1", "xx", "*"} {
			all = append(all, one(target+" "+language, get(target, "Accept-Language: "+language)))
		}
		all = append(all, one(target, get(target)))
	}
	for _, accept := range []string{"*/*", "image/png", "text/html", "image/*;q=0", "", "nonsense"} {
		all = append(all, one(fmt.Sprintf("Accept %q of a file", accept), get("{png}", "Accept: "+accept)),
			one(fmt.Sprintf("Accept %q, negotiated", accept), get("/lang/pic", "Accept: "+accept)))
	}
	for _, target := range []string{"/charset/a.html.utf8", "/charset/b.html.latin1", "/charset/c.html", "/charset/d.txt", "/charset/e.png"} {
		all = append(all, one(target, get(target)), one(target+" with Accept-Charset", get(target, "Accept-Charset: utf-8;q=0.1")))
	}
	return all
}

func codingCases() (all []testCase) {
	for _, value := range []string{
		"gzip", "GZIP", "deflate", "br", "zstd", "identity", "*", "", "gzip, deflate", "gzip, deflate, br, zstd", "gzip;q=0", "gzip;q=1.0",
		"gzip; q=0.5", "identity;q=0", "*;q=0", "gzip;q=0, *", "x-gzip", "compress", "gzip,", ", gzip",
		"identity, gzip;q=0", "identity;q=1, *;q=0", "gzip;q=abc", "xgzip", "gzipx", "\"gzip\"",
	} {
		all = append(all, one(fmt.Sprintf("png %q", value), get("{png}", "Accept-Encoding: "+value)),
			one(fmt.Sprintf("html %q", value), get("{html}", "Accept-Encoding: "+value)))
	}
	for _, target := range []string{"/plain/0.html", "/plain/1.html", "/plain/100.html", "/plain/8000.html", "/plain/300000.html", "/plain/a.css",
		"/plain/a.js", "/plain/a.xml", "/plain/a.svg", "/plain/a.json", "/plain/a.wasm", "/plain/a.txt"} {
		all = append(all, one("gzip of "+target, get(target, "Accept-Encoding: gzip")),
			one("HEAD gzip of "+target, head(target, "Accept-Encoding: gzip")),
			one("1.0 gzip of "+target, request("GET "+target+" HTTP/1.0", "Accept-Encoding: gzip")))
	}
	return append(all, odd("two fields", get("{html}", "Accept-Encoding: br", "Accept-Encoding: gzip")),
		one("TE", get("{html}", "TE: gzip", "Connection: TE")), one("TE trailers", get("{html}", "TE: trailers")),
		one("404 with gzip", get("/none", "Accept-Encoding: gzip")), one("script with gzip", get("/cgi-bin/say", "Accept-Encoding: gzip")))
}
