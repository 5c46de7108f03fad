package system

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// hostsLog is what of a line names the site.
const hostsLog = `%{X-Test}i %v %V %p %{canonical}p %{local}p %{Host}i`

const logHosts = `
<Macro Site $name>
<VirtualHost *:80>
	ServerName $name
	ServerAlias www.$name *.in.$name
	UseCanonicalName On
	UseCanonicalPhysicalPort On
	DocumentRoot ${TESTBED}/www
</VirtualHost>
</Macro>
<VirtualHost *:80>
	ServerName One.test
	DocumentRoot ${TESTBED}/www
</VirtualHost>
<VirtualHost *:80>
	ServerName two.test:8080
	ServerAlias shared.test
	DocumentRoot ${TESTBED}/www
</VirtualHost>
<VirtualHost *:80>
	ServerName https://three.test
	ServerAlias shared.test 192.0.2.2
	DocumentRoot ${TESTBED}/www
</VirtualHost>
Use Site macro.test
<VirtualHost [2001:db8::2]:80 [2001:db8::33]:80>
	ServerName six.test
	DocumentRoot ${TESTBED}/www
</VirtualHost>
GlobalLog ${TESTBED}/log/all "` + hostsLog + `"
`

// With several virtual hosts, a line has the names and the port that Apache alone writes.
func TestAccessLogHosts(t *testing.T) {
	b := testbed.Start(t, testbed.Options{NoDaemon: true, Modules: []string{"macro"}, Config: logHosts})
	b.Put("a.png", content(1000))
	own := filepath.Join(b.Dir, "hits.log")
	alone4, alone6 := b.Alone()
	b.StartDaemon("--address", b.Address(false), "--address", b.Address(true), "--access-log", own, "--access-log-format", hostsLog, "--server-name", "nobody")
	families(t, func(t *testing.T, six bool) {
		alone, family := alone4, "4"
		if six {
			alone, family = alone6, "6"
		}
		var requests []string
		for _, host := range []string{
			"one.test", "ONE.test:80", "two.test", "Two.test:8080", "shared.test:81", "three.test", "192.0.2.2", "macro.test", "www.macro.test", "a.b.in.macro.test:1",
			"unknown.test", "test",
		} {
			requests = append(requests, "GET /a.png HTTP/1.1|Host: "+host+"||")
		}
		requests = append(requests, "GET /a.png HTTP/1.0||")
		for _, r := range requests {
			known(t, b, b.Address(six), r)
		}
		ask(t, b, alone, "alone"+family, requests...)
		ask(t, b, b.Address(six), "ours"+family, requests...)
		theirs := logged(b, filepath.Join(b.Dir, "log/all"), "alone"+family+" ", len(requests))
		ours := logged(b, own, "ours"+family+" ", len(requests))
		if len(theirs) != len(requests) || len(ours) != len(requests) {
			t.Fatalf("%d lines by Apache, %d by xhttpd, want %d", len(theirs), len(ours), len(requests))
		}
		for k := range requests {
			if theirs[k][len("alone"):] != ours[k][len("ours"):] {
				t.Errorf("%s\nApache %sxhttpd %s", requests[k], theirs[k], ours[k])
			}
		}
		if text := strings.Join(theirs, ""); strings.Count(text, " ") == 0 || !six && !strings.Contains(text, "macro.test macro.test") {
			t.Errorf("Apache's log is not what it is meant to be:\n%s", text)
		}
	})
}
