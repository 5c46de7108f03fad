package identity

// known are the cases in which xhttpd does not answer as Apache, and why. The test fails when one of them has come to be the
// same, so that nothing stays here for nothing.
var known = map[string]string{}

func init() {
	for _, k := range []struct {
		why   string
		cases []string
	}{
		{"README: what --root holds is taken to be the site of any Host", []string{
			"hosts/vhost one.test, default's file", "hosts/vhost ONE.Test, default's file", "hosts/vhost www.one.test, default's file",
			"hosts/vhost any.one.example, default's file", "hosts/vhost one.test:80, default's file",
			"hosts/vhost two.test, default's file", "hosts/vhost same.test, default's file", "hosts/vhost same.test:80, default's file",
			"hosts/vhost in 1.0", `hosts/Host "one.test:8080"`,
		}},
		{"README: what Apache gives to this host but not to strangers must not lie below --root: Apache is asked from here", []string{
			"sections/local/a.png", "sections/local/a.html", "sections/HEAD local/a.png", "sections/HEAD local/a.html", "access/local/a.css",
			"access/local/a.txt", "access/1.0 local/a.css", "access/1.0 local/a.txt", "access/conditional local",
			"sections/ip-server/a.png", "sections/ip-server/a.html", "sections/HEAD ip-server/a.png", "sections/HEAD ip-server/a.html",
			"access/ip-server/a.css", "access/ip-server/a.txt", "access/1.0 ip-server/a.css", "access/1.0 ip-server/a.txt",
			"access/conditional ip-server",
		}},
		{"Apache is asked once, without the fields by which its configuration distinguishes clients", []string{
			"sections/cookie, Cookie: member=yes", "sections/referer, Referer: http://evil/", "sections/agent, User-Agent: BadBot",
			"sections/ifheader, X-Echo: hello",
		}},
		{"Debian's setenvif.conf takes persistence, or HTTP/1.1, from old browsers", []string{
			"connection/User-Agent Mozilla/2.0", "connection/keep-alive, User-Agent Mozilla/2.0", "connection/1.0, User-Agent Mozilla/2.0",
			"ranges/Request-Range and MSIE 3", "connection/1.0, User-Agent RealPlayer 4.0", "connection/1.0, User-Agent Java/1.0",
			"connection/1.0, User-Agent JDK/1.0.2",
			"connection/User-Agent Mozilla/4.0 (compatible; MSIE 4.0b2; Windows 95)",
			"connection/keep-alive, User-Agent Mozilla/4.0 (compatible; MSIE 4.0b2; Windows 95)",
			"connection/1.0, User-Agent Mozilla/4.0 (compatible; MSIE 4.0b2; Windows 95)",
		}},
		{"Apache is more patient with empty lines between requests than with those before the first one, which they become by the hand-over",
			[]string{
				"syntax/LF behind", "syntax/many CRLFs behind", "syntax/leading LF", "syntax/many leading CRLFs",
			}},
		{"Apache counts the requests of a connection from its own first one on", []string{"pipelines/more than may be, across a hand-over"}},
	} {
		for _, name := range k.cases {
			known[name] = k.why
		}
	}
}
