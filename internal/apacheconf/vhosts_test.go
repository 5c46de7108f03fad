package apacheconf

import (
	"net/netip"
	"strings"
	"testing"
)

const named = `
ServerName Main.Test:8000
<Macro Site $name>
<VirtualHost *:80>
	ServerName $name
	ServerAlias www.$name *.in.$name
	UseCanonicalName On
</VirtualHost>
</Macro>
<VirtualHost *:80>
	ServerName First.test
</VirtualHost>
Use Site macro.test
<VirtualHost *:80>
	ServerName two.test:8080
	ServerAlias Shared.test
	UseCanonicalName Off
</VirtualHost>
<VirtualHost *:80>
	ServerName three.test
	ServerAlias shared.test
</VirtualHost>
<VirtualHost 192.0.2.7:80 [2001:db8::7]:80>
	ServerName https://seven.test
</VirtualHost>
<VirtualHost 192.0.2.7:80>
	ServerName seventh.test
</VirtualHost>
<VirtualHost 192.0.2.8:80>
	ServerName eight.test
</VirtualHost>
<VirtualHost 192.0.2.8:*>
	ServerAlias nothing
</VirtualHost>
<VirtualHost 192.0.2.9:81>
	ServerName nine.test
</VirtualHost>
`

// TestServerFor says what answers, and what Apache calls it: TestAccessLogHosts in internal/system asks a real one.
func TestServerFor(t *testing.T) {
	s := newStock(t, []string{"macro"}, named)
	s.replace("sites-enabled/000-default.conf", "<VirtualHost *:80>", "<VirtualHost 192.0.2.77:77>")
	c := s.read()
	for question, want := range map[string]Server{
		"192.0.2.1:80 first.test":           {"First.test", 80, false},
		"192.0.2.1:80 ":                     {"First.test", 80, false},
		"192.0.2.1:80 unknown.test":         {"First.test", 80, false},
		"[2001:db8::1]:80 www.macro.test":   {"macro.test", 80, true},
		"192.0.2.1:80 a.b.in.macro.test":    {"macro.test", 80, true},
		"192.0.2.1:80 two.test":             {"two.test", 8080, false},
		"192.0.2.1:80 shared.test":          {"two.test", 8080, false},
		"192.0.2.1:80 three.test":           {"three.test", 80, false},
		"192.0.2.1:80 seven.test":           {"First.test", 80, false},
		"192.0.2.7:80 two.test":             {"seven.test", 443, false},
		"192.0.2.7:80 seventh.test":         {"seventh.test", 80, false},
		"[2001:db8::7]:80 seventh.test":     {"seven.test", 443, false},
		"192.0.2.8:80 ":                     {"eight.test", 80, false},
		"192.0.2.9:80 two.test":             {"two.test", 8080, false},
		"192.0.2.9:81 two.test":             {"nine.test", 80, false},
		"192.0.2.1:82 two.test":             {"Main.Test", 8000, false},
		"[2001:db8::1]:80 not.in.macro.tes": {"First.test", 80, false},
	} {
		local, host, _ := strings.Cut(question, " ")
		if got := c.ServerFor(netip.MustParseAddrPort(local), host); got != want {
			t.Errorf("%s: %+v, want %+v", question, got, want)
		}
	}
	if got := c.ServerFor(netip.MustParseAddrPort("192.0.2.8:8888"), ""); got.Port != 8000 || got.Name == "eight.test" {
		t.Errorf("a port of its own, no name: %+v", got)
	}
}

// Without a ServerName, Apache says what it takes for it.
func TestServerWithoutName(t *testing.T) {
	c := newStock(t, nil, "").read()
	got := c.ServerFor(netip.MustParseAddrPort("192.0.2.1:80"), "a.test")
	if got.Name == "" || got != c.ServerFor(netip.MustParseAddrPort("192.0.2.1:81"), "") {
		t.Errorf("%+v", got)
	}
}

// What stands in an empty section's place, as mod_info prints one, has a scope of its own.
func TestEmptySections(t *testing.T) {
	s := newStock(t, nil, `
<VirtualHost *:80>
	ServerName one.test
	<Directory WWW/empty>
	</Directory>
</VirtualHost>
<Location /none>
</Location>
<Location /local>
	<Limit GET>
	</Limit>
	Require local
</Location>
<VirtualHost *:80>
</VirtualHost>
`)
	c := s.read()
	for path, private := range map[string]bool{"/": false, "/none/a": false, "/local/a": true, "/empty/a": false} {
		if why := c.Private("one.test", path, ""); (why != "") != private {
			t.Errorf("%s: %q", path, why)
		}
	}
	if len(c.Hosts) != 3 {
		t.Errorf("%d virtual hosts", len(c.Hosts))
	}
}
