package apacheconf

import (
	"strings"
	"testing"
)

// Each of these looks at the text of Accept-Encoding, in its scope.
func TestCoding(t *testing.T) {
	for text, want := range map[string]string{ // that, and the paths
		"RewriteEngine on\nRewriteCond %{HTTP:Accept-Encoding} ^gzip$\nRewriteRule . - [E=x:1]":          "/ /in/a.png /in/deep/",
		"<Directory WWW/in>\nRewriteCond %{HTTP:accept-encoding} gzip\nRewriteRule a b\n</Directory>":    "/in/a.png /in/deep/",
		"<Location /in/deep>\nSetEnvIf Accept-Encoding ^gzip$ no-gzip\n</Location>":                      "/in/deep/",
		"<Files a.png>\nSetEnvIfNoCase ACCEPT-ENCODING \"^br$\" x\n</Files>":                             "/in/a.png",
		"SetEnvIfExpr \"req('Accept-Encoding') == 'br'\" x":                                              "/ /in/a.png /in/deep/",
		"<Location /in>\n<If \"%{HTTP:Accept-Encoding} == 'gzip'\">\nHeader set A b\n</If>\n</Location>": "/in/a.png /in/deep/",
		"Header set A b \"expr=%{HTTP:Accept-Encoding} == 'gzip'\"":                                      "/ /in/a.png /in/deep/",
		"RequestHeader edit Accept-Encoding gzip br":                                                     "/ /in/a.png /in/deep/",
		"Header append Vary Accept-Encoding":                                                             "",
		"LogFormat \"%{Accept-Encoding}i\" x":                                                            "",
		"Header set Cache-Control public\nSetEnvIf Host x y":                                             "",
	} {
		c := newStock(t, []string{"headers", "rewrite"}, text).read()
		var found []string
		for _, path := range []string{"/", "/in/a.png", "/in/deep/"} {
			if why := c.Coding("a.test", path, ""); why != "" {
				found = append(found, path)
				if !strings.Contains(strings.ToLower(why), "accept-encoding") || !strings.Contains(why, "zz-test.conf:") {
					t.Errorf("%s: %s", text, why)
				}
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s\nmatters for %q, want %q", text, got, want)
		}
	}
	c := Unknown()
	for text, matters := range map[string]bool{"RewriteCond %{HTTP:Accept-Encoding} ^br$\nRewriteRule a b\n": true, "RewriteRule a b\n": false} {
		if client, coding := c.AccessFile("/x/.htaccess", []byte(text)); client != "" || (coding != "") != matters {
			t.Errorf("%q: %q, %q", text, client, coding)
		}
	}
}
