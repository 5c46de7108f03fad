package identity

// sectionDirs are directories that Apache's own configuration treats in a special way, each with the same files.
var sectionDirs = []string{
	"headers", "append", "unset", "expires", "modification", "nodeflate", "type", "defaultcharset", "language", "noetag", "nokeepalive",
	"ip-client", "ip-other", "ip-server", "local", "denied", "auth", "expr", "method", "env",
	"cookie", "referer", "agent", "if", "ifheader", "query", "handler", "redirected", "include",
}

// config is what Apache reads beside Debian's own files.
const config = `
LogLevel crit
Listen 8080
<VirtualHost *:80>
	ServerName one.test
	ServerAlias www.one.test *.one.example
	DocumentRoot ${TESTBED}/one
	Header set X-Site one
</VirtualHost>
<VirtualHost *:80>
	ServerName two.test
	DocumentRoot ${TESTBED}/two
</VirtualHost>
<VirtualHost *:80>
	ServerName same.test
	DocumentRoot ${TESTBED}/www
	Header set X-Site same
</VirtualHost>
<VirtualHost *:8080>
	ServerName eight.test
	DocumentRoot ${TESTBED}/eight
</VirtualHost>
<DirectoryMatch "^${TESTBED}/(one|two|eight|outside)">
	Require all granted
</DirectoryMatch>

# A script's Content-Length counts: else Apache sends one or not, as the script ends early or late.
<Directory ${TESTBED}/cgi-bin>
	SetEnv ap_trust_cgilike_cl 1
</Directory>

Alias /alias ${TESTBED}/one
Redirect permanent /redirected/a.png /own/0000.png
RedirectMatch 303 ^/match/(.*)$ /plain/$1

<Directory ${TESTBED}/www/headers>
	Header set X-Test yes
	Header set Cache-Control "max-age=3600, public"
	Header always set X-Always always
</Directory>
<Directory ${TESTBED}/www/append>
	Header append Vary Accept-Language
	Header add X-Twice 1
	Header add X-Twice 2
</Directory>
<Directory ${TESTBED}/www/unset>
	Header unset Last-Modified
	Header unset Accept-Ranges
</Directory>
<Directory ${TESTBED}/www/expires>
	ExpiresActive on
	ExpiresDefault "access plus 1 hour"
</Directory>
<Directory ${TESTBED}/www/modification>
	ExpiresActive on
	ExpiresByType text/html "modification plus 1 year"
	ExpiresByType image/png "access plus 1 hour"
</Directory>
<Directory ${TESTBED}/www/nodeflate>
	SetEnv no-gzip 1
</Directory>
<Directory ${TESTBED}/www/type>
	ForceType application/x-special
</Directory>
<Directory ${TESTBED}/www/defaultcharset>
	AddDefaultCharset iso-8859-15
</Directory>
<Directory ${TESTBED}/www/language>
	DefaultLanguage nl
</Directory>
<Directory ${TESTBED}/www/noetag>
	FileETag None
</Directory>
<Directory ${TESTBED}/www/nokeepalive>
	SetEnv nokeepalive 1
</Directory>
<Directory ${TESTBED}/www/ip-client>
	Require ip 192.0.2.1 2001:db8::1
</Directory>
<Directory ${TESTBED}/www/ip-other>
	Require ip 198.51.100.0/24
</Directory>
<Directory ${TESTBED}/www/ip-server>
	Require ip 192.0.2.2 2001:db8::2
</Directory>
<Directory ${TESTBED}/www/local>
	Require local
</Directory>
<Directory ${TESTBED}/www/denied>
	Require all denied
</Directory>
<Directory ${TESTBED}/www/auth>
	AuthType Basic
	AuthName "the members"
	AuthUserFile ${TESTBED}/www/auth/users
	Require valid-user
</Directory>
<Directory ${TESTBED}/www/expr>
	Require expr "%{HTTP_USER_AGENT} != 'BadBot'"
</Directory>
<Directory ${TESTBED}/www/method>
	<LimitExcept GET>
		Require all denied
	</LimitExcept>
</Directory>
<Directory ${TESTBED}/www/env>
	SetEnvIf X-Key secret let_in
	Require env let_in
</Directory>
<Directory ${TESTBED}/www/cookie>
	RewriteEngine on
	RewriteCond %{HTTP_COOKIE} member
	RewriteRule ^a\.png$ /cookie/b.html
</Directory>
<Directory ${TESTBED}/www/referer>
	RewriteEngine on
	RewriteCond %{HTTP_REFERER} !^$
	RewriteCond %{HTTP_REFERER} !^http://test/
	RewriteRule \.png$ - [F]
</Directory>
<Directory ${TESTBED}/www/agent>
	RewriteEngine on
	RewriteCond %{HTTP_USER_AGENT} BadBot
	RewriteRule .* - [F]
</Directory>
<Directory ${TESTBED}/www/if>
	<If "req('X-Mode') == 'loud'">
		Header set X-Loud yes
	</If>
</Directory>
<Directory ${TESTBED}/www/ifheader>
	Header echo ^X-Echo
</Directory>
<Directory ${TESTBED}/www/query>
	RewriteEngine on
	RewriteCond %{QUERY_STRING} swap
	RewriteRule ^a\.png$ /query/b.html
</Directory>
<Directory ${TESTBED}/www/handler>
	<Files a.txt>
		SetHandler default-handler
	</Files>
	<Files a.html>
		SetHandler default-handler
	</Files>
</Directory>
<Directory ${TESTBED}/www/include>
	Options +Includes
	AddOutputFilter INCLUDES .html
</Directory>
<Directory ${TESTBED}/www/nofollow>
	Options -FollowSymLinks
</Directory>
<Directory ${TESTBED}/www/owner>
	Options -FollowSymLinks +SymLinksIfOwnerMatch
</Directory>
<Directory ${TESTBED}/www/pre>
	RemoveType .gz .br
	AddEncoding gzip .gz
	AddEncoding br .br
	Options +MultiViews
	SetEnvIf Accept-Encoding gzip no-gzip
</Directory>
<Directory ${TESTBED}/www/lang>
	Options +MultiViews
	LanguagePriority en de fr
	ForceLanguagePriority Prefer Fallback
</Directory>
<Directory ${TESTBED}/www/charset>
	AddCharset utf-8 .utf8
	AddCharset iso-8859-1 .latin1
</Directory>
<Location /location>
	Header set X-Location yes
</Location>
`
