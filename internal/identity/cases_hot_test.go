package identity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// endless is a host whose connections may carry any number of requests, and may be idle for 2 s: so an answer to a client that sends
// "Connection: keep-alive" is the same each time, too.
const endless = "Host: endless.test"

// hotCases are about what comes before, between and behind answers that the XDP program gives. All that is asked for in them
// is in the cache.
func hotCases() (all []testCase) {
	const script = "GET /cgi-bin/say HTTP/1.1\r\nHost: test\r\n\r\n"
	var (
		hot                = func(n int) []string { return slices.Repeat([]string{ahead}, n) }
		byTurns            = func(n int, requests ...string) []string { return slices.Repeat(requests, n) }
		other, text        = get("/plain/100.png"), get("/plain/1023.html")
		vhost, kept        = get("/a.png", "Host: one.test"), get("/own/0000.png", "Connection: keep-alive")
		plain, plainKept   = get("/a.png", "Host: plain.test"), get("/a.png", "Host: plain.test", "Connection: keep-alive")
		gzip, brotli       = get("/plain/1023.html", "Accept-Encoding: gzip"), get("/admin/brotli/a.html", "Accept-Encoding: br")
		endlessKept        = get("/own/0000.png", endless, "Connection: keep-alive")
		endlessOld         = request("GET /own/0000.png HTTP/1.0", endless, "Connection: keep-alive")
		old, oldKept       = request("GET /own/0000.png HTTP/1.0"), request("GET /own/0000.png HTTP/1.0", "Connection: keep-alive")
		closing, fresh     = get("/own/0000.png", "Connection: close"), get("/own/0000.png", "If-None-Match: "+ownETag)
		part, big          = get("/own/0000.png", "Range: bytes=10-20"), get("/plain/65536.png")
		post               = request("POST /cgi-bin/say HTTP/1.1", "Content-Length: 5") + "hello"
		postOf, postChunks = request("POST /cgi-bin/say HTTP/1.1", fmt.Sprintf("Content-Length: %d", len(ahead))), request("POST /cgi-bin/say HTTP/1.1", "Transfer-Encoding: chunked")
	)
	say := func(name string, lead []string, send ...string) {
		all = append(all, testCase{theme: "hot", name: name, lead: lead, send: send, answers: unsaid})
	}

	say("the same twenty times", hot(20), ahead)
	say("two by turns", byTurns(6, ahead, other), ahead)
	say("of two hosts", byTurns(6, ahead, vhost), vhost)
	say("of three hosts, one of them ended", slices.Concat(hot(4), byTurns(3, vhost, get("/own/0000.png", endless)), byTurns(8, plain)), ahead)
	say("of several codings", byTurns(5, text, gzip, brotli), text, gzip, brotli)
	say("with empty and tiny ones", byTurns(5, get("/plain/0.png"), get("/plain/1.png"), get("/plain/2.png")), ahead)
	say("with one of a segment, and one that is a little longer", byTurns(4, get("/plain/1023.png"), get("/plain/1460.png"), ahead), ahead)
	for name, r := range map[string]string{
		"HEAD of the same": head("/own/0000.png"), "1.0": old, "1.0 keep-alive": oldKept, "close": closing, "keep-alive": kept, "304": fresh, "a part": part, "a large one": big,
		"none": get("/none"), "a script": script, "POST": post, "another host's": vhost, "plain": plain, "plain keep-alive": plainKept, "query": get("/own/0000.png?x"),
		"the name otherwise": get("/own/../own/0000.png"), "Host in another case": get("/own/0000.png", "Host: TEST"), "a field more": get("/own/0000.png", "X: y"),
		"fields otherwise": "GET /own/0000.png HTTP/1.1\r\nhost: test\r\n\r\n", "absolute": get("http://test/own/0000.png"), "OPTIONS": request("OPTIONS * HTTP/1.1"), "noise": "noise\r\n\r\n",
		"1.1 without Host": "GET /own/0000.png HTTP/1.1\r\n\r\n", "bare LFs": strings.ReplaceAll(ahead, "\r", ""), "Expect": request("POST /cgi-bin/say HTTP/1.1", "Expect: 100-continue", "Content-Length: 5"),
	} {
		say(name+" behind", hot(4), r)
		say(name+" behind, hot ones behind that", hot(4), r, ahead, ahead, ahead)
		say(name+" in the same segment", hot(4), ahead+r+ahead)
		if name == "Expect" { // of which the answer comes with the body
			continue
		}
		say(name+" between", slices.Concat(hot(3), []string{r}, hot(3)), r)
	}
	for _, r := range []string{kept, oldKept, plainKept} {
		say(fmt.Sprintf("max counts down through them: %q", r), slices.Concat(hot(3), []string{r}, hot(2), []string{r}, hot(1), []string{r}), r)
	}
	say("as many as may be", hot(105), ahead)
	say("as many as may be, told how many", byTurns(105, kept), kept)
	say("as many as may be of few, told how many", byTurns(leads+5, plainKept), plainKept)
	say("as many as may be, some told how many", byTurns(35, ahead, kept, ahead), kept)
	say("as many as may be of few", byTurns(leads+5, plain), plain)
	say("as many as may be of few, among others", slices.Concat(hot(leads+1), byTurns(4, plain)), plain)
	say("as many as one likes", byTurns(150, endlessKept), endlessKept)
	say("as many as one likes in 1.0", byTurns(20, endlessOld), endlessOld)

	// Several in a segment, something behind one, a part of one.
	say("two in a segment", hot(4), ahead+ahead, ahead)
	say("six in a segment", hot(4), strings.Repeat(ahead, 6), ahead, ahead+other, other+ahead)
	say("faster than they are answered", hot(4), byTurns(20, ahead)...)
	for _, rest := range []string{"\r", "\n", "\r\n", "\r\n\r\n", strings.Repeat("\r\n", 11), " ", "\x00", "G", "GET", "GET /own", "noise\r\n\r\n"} {
		say(fmt.Sprintf("with %q behind it", rest), hot(4), ahead+rest)
		say(fmt.Sprintf("with %q behind it, and more", rest), hot(4), ahead+rest+ahead)
	}
	for _, front := range []string{"\r\n", "\r\n\r\n", "\r", " ", "\x00", "X"} {
		say(fmt.Sprintf("with %q in front", front), hot(4), front+ahead)
	}
	for at := 1; at < len(ahead); at++ {
		say(fmt.Sprintf("cut at %d", at), hot(4), ahead[:at], ahead[at:])
		say(fmt.Sprintf("cut at %d, another behind", at), hot(4), ahead[:at], ahead[at:]+other)
		say(fmt.Sprintf("cut at %d, behind one in the same segment", at), hot(4), ahead+ahead[:at], ahead[at:])
	}
	for at := 1; at < len(post); at += 3 {
		say(fmt.Sprintf("POST cut at %d", at), hot(4), post[:at], post[at:], ahead)
	}
	say("octet by octet", hot(4), strings.Split(ahead+ahead, "")...)

	// Segments that look like one, and are a part of something else.
	say("as a body", hot(4), postOf, ahead, ahead)
	say("as a chunk", hot(4), postChunks+fmt.Sprintf("%x\r\n", len(ahead)), ahead, "\r\n0\r\n\r\n", ahead)
	say("as a field of another", hot(4), "GET /plain/100.png HTTP/1.1\r\nX: ", ahead, ahead)
	say("as a field of what there is not", hot(4), "GET /none HTTP/1.1\r\nHost: test\r\nX: ", ahead, ahead)
	say("as a query", hot(4), "GET /plain/100.png?", ahead, ahead)
	say("as a name", hot(4), "GET /", ahead, ahead)
	say("behind half a line", hot(4), "\r", ahead, ahead)

	// Time: the client's delayed acknowledgment (40 ms), the loop's look at what is lent (200 ms), and the end of what nobody asks for (5 s).
	for _, pause := range []time.Duration{30 * time.Millisecond, 60 * time.Millisecond, 250 * time.Millisecond, 1100 * time.Millisecond} {
		for _, behind := range []string{ahead, other, post, script, kept} {
			all = append(all, testCase{theme: "hot", name: fmt.Sprintf("%v between, then %q", pause, behind), lead: hot(4), send: []string{ahead, ahead, behind, ahead}, pause: pause, answers: unsaid})
		}
	}

	// The end of a connection: by both, with the last octets, by the server, which may not wait longer or shorter.
	for name, lead := range map[string][]string{"hot": hot(5), "kept, as long as one likes": byTurns(5, endlessKept), "of two hosts": append(hot(4), byTurns(2, get("/own/0000.png", endless))...)} {
		for _, last := range []string{lead[len(lead)-1], other, ahead + ahead, ahead + "GET", script} {
			c := testCase{theme: "hot", lead: lead, send: []string{last}, answers: unsaid}
			c.name, c.corked = fmt.Sprintf("%s, FIN with %.30q, %d octets", name, last, len(last)), true
			all = append(all, c)
			if !strings.HasSuffix(last, "GET") { // for the rest of which both wait for 20 s
				c.name, c.corked, c.waits = fmt.Sprintf("%s, idle behind %.30q, %d octets", name, last, len(last)), false, true
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, func(a, b testCase) int { return strings.Compare(a.name, b.name) }) // some come out of maps
	for k := range all {
		all[k].six, all[k].quick = k%2 == 1, k%8 >= 6
	}
	return all
}
