package apacheconf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const hosts = `
ServerName main.test
AccessFileName .htaccess .acl
Alias /pics DIR/other
<VirtualHost *:80>
	ServerName one.test:80
	ServerAlias WWW.One.test *.one.example
	DocumentRoot DIR/one
	Alias /pics/big/ DIR/big/
	<Location /members>
		Require user bob
	</Location>
</VirtualHost>
<VirtualHost 127.0.0.1:80>
	ServerName two.test
	DocumentRoot DIR/two
	<Directory DIR/two/in>
		Require local
	</Directory>
</VirtualHost>
<VirtualHost *:443>
	ServerName three.test
	DocumentRoot DIR/three
</VirtualHost>
<Directory DIR/other/in>
	Require local
</Directory>
<Files *.key>
	Require local
</Files>
`

// TestConfig reads what is not a scope, and says by host, target and file what is private.
func TestConfig(t *testing.T) {
	s := newStock(t, nil, strings.ReplaceAll(hosts, "WWW.", "www.")) // WWW stands for the root
	c := s.read()
	if c.PidFile != s.dir+"/run/pid" ||
		!slices.Equal(c.AccessFiles, []string{".htaccess", ".acl"}) {
		t.Errorf("%+v", c)
	}
	for _, name := range []string{"apache2.conf", "ports.conf", "sites-enabled/zz-test.conf", "mods-enabled/setenvif.conf"} {
		if !slices.Contains(c.Files, s.conf(name)) {
			t.Errorf("%s is not among the files that were read: %q", name, c.Files)
		}
	}
	roots := c.Roots()
	slices.Sort(roots)
	want := []string{s.dir + "/big", s.dir + "/one", s.dir + "/other", s.dir + "/two", "/usr/share/apache2/icons", s.www}
	slices.Sort(want)
	if !slices.Equal(roots, want) {
		t.Errorf("roots %q, want %q", roots, want)
	}
	var names []string
	for _, h := range c.Hosts {
		names = append(names, fmt.Sprint(h.Names))
	}
	if got := strings.Join(names, " "); got != "[] [one.test www.one.test *.one.example] [two.test]" {
		t.Errorf("hosts %s", got)
	}
	for _, q := range []struct {
		host, target, file string
		private            bool
	}{
		{"one.test", "/a", "", false},
		{"one.test", "/members", "", true},
		{"one.test", "/members/x", "", true},
		{"ONE.test.", "/members/x", "", true},
		{"one.test", "//members/./x", "", true},
		{"one.test", "/membership", "", false},
		{"x.one.example", "/members", "", true},
		{"other.test", "/members", "", false},
		{"", "/members", "", false},
		{"two.test", "/in/x", "", true},
		{"one.test", "/in/x", "", true}, // asked at 127.0.0.1, it is that of two.test
		{"one.test", "/inside/x", "", false},
		{"one.test", "/pics/in/x", "", true}, // by an Alias of the main server
		{"one.test", "/pics/x", "", false},
		{"three.test", "/pics/in/x", "", true},
		{"one.test", "/pics/big/in/x", "", false},
		{"one.test", "/x", s.dir + "/other/in/x", true},
		{"one.test", "/x.key", "", true},
		{"one.test", "/x.keys", "", false},
		{"one.test", "/x", s.dir + "/one/x.key", true},
		{"one.test", "/", "", false},
		{"one.test", "/", s.dir + "/one/index.key", true},
		{"one.test", "/server-status", "", true}, // Debian's
	} {
		if why := c.Private(q.host, q.target, q.file); (why != "") != q.private {
			t.Errorf("%s %s %s: %q, want private: %v", q.host, q.target, q.file, why, q.private)
		}
	}
}

// TestAgents expects the texts that Debian's setenvif.conf treats in a way of its own, and only what has an effect on files.
func TestAgents(t *testing.T) {
	s := newStock(t, []string{"rewrite"}, `
RewriteCond %{HTTP_USER_AGENT} (BadBot|^Evil.*Spider) [NC]
RewriteRule .* - [F]
BrowserMatchNoCase "W(E)bTV" no-gzip
`)
	var got []string
	for _, a := range s.read().Agents {
		text := a.Contains
		if a.Fold {
			text += "/i"
		}
		got = append(got, text)
	}
	slices.Sort(got)
	want := []string{"BadBot/i", "Java/1.0", "JDK/1.0", "MSIE 4.0b2;", "Mozilla/2", "RealPlayer 4.0", "Spider/i", "bTV/i"}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestErrors(t *testing.T) {
	s := newStock(t, nil, "NoSuchDirective on\n")
	if _, err := Read(t.Context(), s.options()); err == nil || !strings.Contains(err.Error(), "NoSuchDirective") || !strings.Contains(err.Error(), "zz-test.conf") {
		t.Errorf("a configuration with an error: %v", err)
	}
	for command, says := range map[string]string{"no-such-program": "no-such-program", "true": "no configuration"} {
		if _, err := Read(t.Context(), Options{Command: command}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want one that says %q", command, err, says)
		}
	}
}

func TestUnknown(t *testing.T) {
	c := Unknown()
	private := func(text string) bool {
		why, _ := c.AccessFile(".htaccess", []byte(text))
		return why != ""
	}
	if !private("SetEnvIf X y z\nHeader set A b env=z\n") || private("Options -Indexes\n") {
		t.Error("an access file is judged in another way when nothing else is known")
	}
	if why := c.Private("a", "/b", "/c"); why != "" {
		t.Error(why)
	}
}

func TestAccessFile(t *testing.T) {
	s := newStock(t, nil, "RewriteEngine off\n")
	s.write("SetEnv fixed 1\n")
	c := s.read()
	for text, says := range map[string]string{
		"": "", "# Require local\n": "", "Options -Indexes\nHeader set A b\nExpiresActive on\n": "", "Require all denied\n": "",
		"Require valid-user\n": ".htaccess:1",
		"\n<IfModule mod_authz_host.c>\nRequire \\\n  local\n</IfModule>":                                         "Require local",
		"RewriteEngine on\nRewriteCond %{HTTP_COOKIE} x\nRewriteRule ^a - [F]\n":                                  "HTTP_COOKIE",
		"RewriteCond %{REQUEST_FILENAME} !-f\r\nRewriteCond %{HTTP_COOKIE} x\r\nRewriteRule . /index.php [L]\r\n": "",
		"RewriteCond %{HTTP_USER_AGENT} Bot\nRewriteRule . - [F]\n":                                               "User-Agent",
		"BrowserMatch Old no-gzip\n":                     "User-Agent",
		"Header set A b env=fixed\n":                     "",
		"Header set A b env=other\n":                     "other",
		"SetEnvIf X y other\nHeader set A b env=other\n": "other",
		"SetEnv other y\nHeader set A b env=other\n":     "",
		"NoSuchDirective on\n":                           "NoSuchDirective",
		"<Strange>\n</Strange>":                          "unknown",
		"<Files x.png>\nAllow from 10.0.0.1\n</Files>":   "10.0.0.1",
		"</Files>\n": "unknown",
		"<If \"req('X') == 'y'\">\nHeader set A b\n</If>": "field X",
	} {
		why, _ := c.AccessFile("/x/.htaccess", []byte(text))
		if (why == "") != (says == "") || !strings.Contains(strings.ToLower(why), strings.ToLower(says)) {
			t.Errorf("%q: %q, want one that says %q", text, why, says)
		}
	}
}
