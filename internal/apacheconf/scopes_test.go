package apacheconf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

var testModules = []string{"actions", "cache", "cache_disk", "ext_filter", "file_cache", "headers", "http2", "include", "lua", "macro", "proxy", "proxy_http", "ratelimit", "request", "rewrite",
	"session", "session_cookie", "cgi", "substitute", "unique_id", "usertrack", "expires", "vhost_alias"}

// TestScopes has the real Apache read snippets, and says what of a site depends on the client by them.
func TestScopes(t *testing.T) {
	s := newStock(t, testModules, "")
	known := scopesOf(s.read()) // those of Debian's configuration
	cmd, err := find(s.options())
	s.must(err)
	for _, c := range []struct {
		text string
		want string // "SCOPE: WHY" of each, with | between
	}{
		{"", ""},
		{"<Directory WWW/a>\nRequire all granted\n</Directory>", ""},
		{"<Directory WWW/a>\nRequire all denied\n</Directory>", ""},
		{"<Directory WWW/a>\nRequire ip 10.0.0.0/8\n</Directory>", "/ in directory WWW/a: Require ip 10.0.0.0/8"},
		{"<Directory WWW/a>\nRequire local\n</Directory>", "/ in directory WWW/a: Require local"},
		{"<Directory WWW/a>\nRequire host example.org\n</Directory>", "/ in directory WWW/a: Require host example.org"},
		{"<Directory WWW/a>\nRequire expr \"%{HTTP_USER_AGENT} != 'x'\"\n</Directory>", "/ in directory WWW/a: Require expr \"%{HTTP_USER_AGENT} != 'x'\""},
		{"<Location /a>\n<RequireAny>\n<RequireAll>\nRequire all granted\nRequire not ip 10.0.0.1\n</RequireAll>\n</RequireAny>\n</Location>", "/a: Require not ip 10.0.0.1"},
		{"<Location /a>\nAuthType Basic\nAuthName x\nRequire valid-user\n</Location>", "/a: AuthType Basic|/a: Require valid-user"},
		{"<Location /a>\nAuthType None\nRequire all granted\n</Location>", ""},
		{"<Location /a>\nOrder deny,allow\nDeny from all\nAllow from 10.0.0.1\n</Location>", "/a: Allow from 10.0.0.1"},
		{"<Location /a>\nOrder allow,deny\nAllow from all\n</Location>", ""},
		{"<Location /a>\nSetEnvIf X-Key secret in\nDeny from all\nAllow from env=in\n</Location>", "/a: Allow from env=in"},
		{"SetEnvIf Request_URI ^/a in\n<Location /a>\nAllow from env=in\n</Location>", ""},
		{"<LocationMatch ^/(a|b)/>\nRequire local\n</LocationMatch>", "~^/(a|b)/: Require local"},
		{"<Location ~ \"/(?<x>a)(?=b)\">\nRequire local\n</Location>", ": Require local"}, // only Apache's library knows this expression
		{"<FilesMatch \"\\.secret$\">\nRequire local\n</FilesMatch>", "/ for files ~\\.secret$: Require local"},
		{"<Files *.secret>\nRequire local\n</Files>", "/ for files ~^.*\\.secret$: Require local"},
		{"<Directory /srv/*/private>\nRequire local\n</Directory>", "/ in directory ~^/srv/[^/]*/private(/|$): Require local"},
		{"<DirectoryMatch ^WWW/(a|b)>\n<Files x>\nRequire local\n</Files>\n</DirectoryMatch>", "/ in directory ~^WWW/(a|b) for files ~^x$: Require local"},
		{"<Location /a>\n<LimitExcept GET POST>\nRequire all denied\nRequire local\n</LimitExcept>\n</Location>", ""},
		{"<Location /a>\n<LimitExcept POST>\nRequire local\n</LimitExcept>\n</Location>", "/a: Require local"},
		{"<Location /a>\n<Limit GET>\nRequire local\n</Limit>\n</Location>", "/a: Require local"},
		{"<Location /a>\n<Limit PUT>\nRequire local\n</Limit>\n</Location>", ""},
		{"<VirtualHost *:80>\nServerName b\n<Location /a>\nRequire local\n</Location>\n</VirtualHost>", "b/a: Require local"},
		{"<VirtualHost *:443>\nServerName b\n<Location /a>\nRequire local\n</Location>\n</VirtualHost>", ""},

		{"<Location /a>\n<If \"req('X') == 'y'\">\nHeader set A b\n</If>\n</Location>", "/a: <If \"req('X') == 'y'\">: depends on field X"},
		{"<If \"%{REMOTE_ADDR} == '10.0.0.1'\">\nHeader set A b\n</If>", "/: <If \"%{REMOTE_ADDR} == '10.0.0.1'\">: depends on %{REMOTE_ADDR}"},
		{"<If \"-R '10.0.0.0/8'\">\nHeader set A b\n</If>", "/: <If \"-R '10.0.0.0/8'\">: depends on -R"},
		{"<If \"%{TIME_HOUR} -gt 8\">\nHeader set A b\n</If>", "/: <If \"%{TIME_HOUR} -gt 8\">: depends on %{TIME_HOUR}"},
		{"<If \"%{HTTP_HOST} == 'a' || %{REQUEST_URI} =~ m#^/x>(y|z)# && tolower(%{QUERY_STRING}) in {'a', 'b'}\">\nHeader set A b\n</If>", ""},
		{"<If \"%{HTTP_HOST} =~ m#x'y#i && req('X') == 'y'\">\nHeader set A b\n</If>", "/: <If \"%{HTTP_HOST} =~ m#x'y#i && req('X') == 'y'\">: depends on field X"},
		{"<If \"%{HTTP_HOST} !~ /a(b).c/ && 'x' == http('Cookie')\">\nHeader set A b\n</If>", "/: <If \"%{HTTP_HOST} !~ /a(b).c/ && 'x' == http('Cookie')\">: depends on field Cookie"},
		{"<If \"%{HTTP_HOST} == 'a -f b req(c)' || %{REQUEST_URI} =~ /x(y) -R z/\">\nHeader set A b\n</If>", ""},
		{"<If \"-f '/etc/maintenance'\">\nHeader set A b\n</If>", "/: <If \"-f '/etc/maintenance'\">: depends on -f"},

		{"<Directory WWW/a>\nRewriteEngine on\nRewriteCond %{HTTP_COOKIE} member\nRewriteRule ^a$ /b\n</Directory>", "/ in directory WWW/a: RewriteCond %{HTTP_COOKIE} member: depends on %{HTTP_COOKIE}"},
		{"RewriteEngine on\nRewriteCond %{REMOTE_ADDR} ^10\\.\nRewriteRule ^/a/.*$ /b", "/a/: RewriteCond %{REMOTE_ADDR} ^10\\.: depends on %{REMOTE_ADDR}"},
		{"RewriteCond %{TIME_HOUR} >12\nRewriteRule ^/a(b)?$ /b", "/a: RewriteCond %{TIME_HOUR} >12: depends on %{TIME_HOUR}"},
		{"RewriteCond %{REQUEST_METHOD} POST\nRewriteRule ^ /b", "/: RewriteCond %{REQUEST_METHOD} POST: depends on %{REQUEST_METHOD}"},
		{"RewriteCond %{HTTP_HOST} !^www\\.\nRewriteCond %{HTTPS} off\nRewriteCond %{QUERY_STRING} x\nRewriteRule ^ https://www.%{HTTP_HOST}%{REQUEST_URI} [R=301,L]", ""},
		{"RewriteCond %{REQUEST_FILENAME}.gz -f\nRewriteRule ^(.*)\\.css$ $1.css.gz", ""},
		{"RewriteCond \"%{REQUEST_FILENAME}\\.br\" \"-s\"\nRewriteRule ^(.*)\\.css$ $1.css.br", ""},
		{"RewriteCond %{REQUEST_FILENAME}.bak -f\nRewriteRule ^/c $1.css.gz", "/c: RewriteCond %{REQUEST_FILENAME}.bak -f: depends on another file, which is not watched"},
		{"RewriteCond %{REQUEST_FILENAME} !-f\nRewriteCond %{HTTP_COOKIE} x\nRewriteRule ^ /index.php [L]", ""},
		{"RewriteCond %{REQUEST_FILENAME} !-f [OR]\nRewriteCond %{HTTP_COOKIE} x\nRewriteRule ^/c /index.php [L]", "/c: RewriteCond %{HTTP_COOKIE} x: depends on %{HTTP_COOKIE}"},
		{"RewriteCond /srv/maintenance.html -f\nRewriteRule ^ /maintenance.html [L]", "/: RewriteCond /srv/maintenance.html -f: depends on another file, which is not watched"},
		{"RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]", ""},
		{"RewriteRule .* - [E=no-gzip:1]", ""},
		{"RewriteCond %{HTTP_USER_AGENT} BadBot [NC]\nRewriteRule .* - [F]", ""},
		{"RewriteCond %{HTTP_USER_AGENT} !Mozilla\nRewriteRule .* - [F]", "/: RewriteCond %{HTTP_USER_AGENT} !Mozilla: depends on %{HTTP_USER_AGENT}"},
		{"RewriteRule ^/app/(.*) http://127.0.0.1:9/$1 [P]", "/app/: RewriteRule ^/app/(.*) http://127.0.0.1:9/$1 [P]: depends on another server"},
		{"RewriteRule ^/v$ /by/%{REMOTE_ADDR}", "/v: RewriteRule ^/v$ /by/%{REMOTE_ADDR}: depends on %{REMOTE_ADDR}"},
		{"RewriteMap low int:tolower\nRewriteRule ^/v(.*)$ /w${low:$1}", ""},
		{"RewriteMap some rnd:DIR/conf/ports.conf\nRewriteRule ^/v(.*)$ /w${some:$1}", "/v: RewriteRule ^/v(.*)$ /w${some:$1}: depends on map some"},
		{"RewriteRule ^/(a|b) - [CO=x:y:z]", "/: RewriteRule ^/(a|b) - [CO=x:y:z]: depends on a cookie that is set"},

		{"BrowserMatch Old nokeepalive", ""},
		{"BrowserMatch ^(?!New) nokeepalive", "/: BrowserMatch ^(?!New) nokeepalive: depends on field User-Agent"},
		{"SetEnvIf X-Old yes nokeepalive", "/: SetEnvIf X-Old yes nokeepalive: depends on field or attribute X-Old"},
		{"SetEnvIf Remote_Addr ^10 no-gzip", "/: SetEnvIf Remote_Addr ^10 no-gzip: depends on field or attribute Remote_Addr"},
		{"SetEnvIf Accept-Encoding gzip no-gzip\nSetEnvIf Request_URI x no-gzip\nSetEnvIf X y z", ""},
		{"SetEnvIfExpr \"%{REMOTE_ADDR} == 'x'\" no-gzip", "/: SetEnvIfExpr \"%{REMOTE_ADDR} == 'x'\" no-gzip: depends on %{REMOTE_ADDR}"},

		{"Header set A b\nHeader always append C d\nHeader unset Server early\nRequestHeader unset X", ""},
		{"SetEnvIf X y z\nHeader set A b env=z", "/: Header set A b env=z: depends on field or attribute X"},
		{"SetEnv z 1\nHeader set A b env=z", ""},
		{"Header set A b \"expr=%{REMOTE_ADDR} == 'x'\"", "/: Header set A b \"expr=%{REMOTE_ADDR} == 'x'\": depends on %{REMOTE_ADDR}"},
		{"Header set A \"expr=%{HTTP_HOST}\"", ""},
		{"Header echo ^X-", "/: Header echo ^X-: gives back a field of the request"},
		{"Header set A \"%t 100%%\"", "/: Header set A \"%t 100%%\": depends on the time"},
		{"Header set A \"100%%true\"", ""},
		{"Header set A %{UNIQUE_ID}e", "/: Header set A %{UNIQUE_ID}e: depends on variable UNIQUE_ID"},
		{"RequestHeader set Accept-Encoding gzip env=z", "/: RequestHeader set Accept-Encoding gzip env=z: depends on variable z"},

		{"ScriptAlias /run/ DIR/other/", "/run/: ScriptAlias /run/ DIR/other/: a program"},
		{"ProxyPass /app http://127.0.0.1:9/", "/app: ProxyPass /app http://127.0.0.1:9/: another server"},
		{"ProxyPass /app/static !", ""},
		{"<Location /app>\nProxyPass http://127.0.0.1:9/\n</Location>", "/app: ProxyPass http://127.0.0.1:9/: another server"},
		{"ProxyPassMatch ^/app(/.*)$ http://127.0.0.1:9$1", "~^/app(/.*)$: ProxyPassMatch ^/app(/.*)$ http://127.0.0.1:9$1: another server"},
		{"<FilesMatch \"\\.php$\">\nSetHandler application/x-httpd-php\n</FilesMatch>", "/ for files ~\\.php$: SetHandler application/x-httpd-php"},
		{"<Location /a>\nSetHandler default-handler\n</Location>", ""},
		{"AddHandler cgi-script .cgi pl", "/ for files ~(?i)\\.(cgi|pl)(\\.|$): AddHandler cgi-script .cgi pl: a handler"},
		{"AddOutputFilter INCLUDES .inc", "/ for files ~(?i)\\.(inc)(\\.|$): AddOutputFilter INCLUDES .inc: answers are changed on their way"},
		{"SetOutputFilter DEFLATE", ""},
		{"<Location /slow>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 100\n</Location>", "/slow: SetOutputFilter RATE_LIMIT: answers are changed on their way"},
		{"ExtFilterDefine up mode=output cmd=/bin/cat\n<Location /x>\nSetOutputFilter up\n</Location>", "/x: SetOutputFilter up: answers are changed on their way"},
		{"AddOutputFilterByType SUBSTITUTE text/html", "/: AddOutputFilterByType SUBSTITUTE text/html: answers are changed on their way"},
		{"FilterDeclare gz\nFilterProvider gz DEFLATE \"%{CONTENT_TYPE} =~ m#^text/#\"\nFilterChain gz", ""},
		{"FilterProvider gz DEFLATE \"req('X') == 'y'\"", "/: FilterProvider gz DEFLATE \"req('X') == 'y'\": depends on field X"},
		{"<Location /a>\nSession On\nSessionCookieName s path=/\n</Location>", "/a: Session On"},
		{"CookieTracking on", "/: CookieTracking on"},
		{"Protocols h2c http/1.1", "/: Protocols h2c http/1.1: a connection's first answer offers HTTP/2"},
		{"Protocols h2 http/1.1\nH2Direct off", ""},
		{"LimitRequestFields 20", "/: LimitRequestFields 20: refuses requests that xhttpd takes"},
		{"LimitRequestFields 200", ""},
		{"<Location /l>\nLuaHookFixups DIR/x.lua go\n</Location>", "/l: luahookfixups DIR/x.lua go: a program"},
		{"Action image/gif /cgi-bin/x", "/: Action image/gif /cgi-bin/x: a program"},
		{"CacheEnable disk /", "/: CacheEnable disk /: another cache answers"},
		{"<Macro M $d>\n<Location $d>\nRequire local\n</Location>\n</Macro>\nUse M /m", "/m: Require local"},
		{"<IfModule mod_rewrite.c>\n<Location /m>\nRequire local\n</Location>\n</IfModule>\n<IfModule !mod_rewrite.c>\n<Location /n>\nRequire local\n</Location>\n</IfModule>", "/m: Require local"},
	} {
		s.write(c.text)
		read, err := cmd.readTree(t.Context(), facts{}, s.options())
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := scopesOf(read)
		got = slices.DeleteFunc(got, func(g string) bool { return slices.Contains(known, g) })
		want := strings.NewReplacer("WWW", s.www, "DIR", s.dir).Replace(c.want)
		if g := strings.Join(got, "|"); g != want {
			t.Errorf("%s\nis %q\nwant %q", c.text, g, want)
		}
	}
}

func scopesOf(c *Config) (all []string) {
	for _, s := range c.Scopes {
		all = append(all, fmt.Sprintf("%s: %s", s, s.Why))
		if s.Doubt {
			all[len(all)-1] += " (doubtful)"
		}
	}
	return all
}
