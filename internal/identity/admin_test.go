package identity

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// What an administrator would try, each in a directory of its own with the same files: adminSections say what Apache's
// configuration has there, adminAccess what the directory's .htaccess says.
var adminSections = map[string]string{
	"header-expr":    "Header set X-Expr \"expr=%{REQUEST_URI}\"\nHeader set X-Png yes \"expr=%{REQUEST_URI} =~ /png$/\"",
	"header-edit":    "Header edit ETag \"^\\\"(.*)\\\"$ \" \"\\\"x$1\\\"\"\nHeader edit* Content-Type e E\nHeader edit Last-Modified GMT GMT",
	"header-etag":    "Header set ETag \"\\\"fixed\\\"\"",
	"header-weak":    "Header edit ETag ^ W/",
	"header-notype":  "Header unset Content-Type",
	"header-server":  "Header always set Server something\nHeader always set Connection-Test keep",
	"header-keep":    "Header set Keep-Alive \"timeout=99\"",
	"header-close":   "Header set Connection close",
	"header-vary":    "Header merge Vary Accept-Encoding\nHeader merge Vary Host",
	"header-agent":   "Header append Vary User-Agent",
	"header-star":    "Header set Vary *",
	"header-cookie":  "Header set Set-Cookie a=b",
	"header-private": "Header set Cache-Control private",
	"header-shared":  "Header set Cache-Control \"public, s-maxage=30, stale-while-revalidate=60\"",
	"header-age":     "Header set Age 100\nHeader set Cache-Control max-age=200",
	"header-old":     "Header set Age 300\nHeader set Cache-Control max-age=200",
	"header-pragma":  "Header set Pragma no-cache\nHeader set Expires 0",
	"header-env":     "SetEnvIf Request_URI \\.png$ picture\nHeader set X-Picture %{picture}e env=picture",
	"header-host":    "SetEnvIf Host ^one one\nHeader set X-One yes env=one\nHeader set X-Other yes env=!one",
	"header-link":    "Header add Link \"</a.css>; rel=preload\"\nHeader add Link \"</b.js>; rel=preload\"",
	"header-length":  "Header set Content-Length 5",
	"header-ranges":  "Header set Accept-Ranges none",
	"rewrite-env":    "RewriteEngine on\nRewriteRule \\.png$ - [E=kind:png]\nHeader set X-Kind %{kind}e env=kind",
	"rewrite-type":   "RewriteEngine on\nRewriteRule \\.txt$ - [T=text/x-special]",
	"rewrite-file":   "RewriteEngine on\nRewriteRule ^pretty/(\\w+)$ $1.png",
	"rewrite-host":   "RewriteEngine on\nRewriteCond %{HTTP_HOST} ^one\nRewriteRule ^a\\.png$ b.png",
	"rewrite-query":  "RewriteEngine on\nRewriteCond %{QUERY_STRING} (.+)\nRewriteRule ^a\\.png$ b.png",
	"rewrite-scheme": "RewriteEngine on\nRewriteCond %{HTTPS} on\nRewriteRule ^a\\.png$ b.png",
	"rewrite-method": "RewriteEngine on\nRewriteCond %{REQUEST_METHOD} HEAD\nRewriteRule ^a\\.png$ - [F]",
	"rewrite-exact":  "RewriteEngine on\nRewriteCond %{HTTP:Accept-Encoding} ^gzip$\nRewriteRule ^a\\.png$ b.png",
	"rewrite-not":    "RewriteEngine on\nRewriteCond %{HTTP:Accept-Encoding} gzip\nRewriteCond %{HTTP:Accept-Encoding} !br\nRewriteRule ^a\\.png$ b.png",
	"rewrite-gz": "RewriteEngine on\nRewriteCond %{HTTP:Accept-Encoding} gzip\nRewriteCond %{REQUEST_FILENAME}.gz -f\nRewriteRule ^(.*)\\.css$ $1.css.gz [L]\n" +
		"RewriteRule \\.css\\.gz$ - [T=text/css,E=no-gzip:1]\n<FilesMatch \\.css\\.gz$>\nHeader set Content-Encoding gzip\nHeader append Vary Accept-Encoding\n</FilesMatch>",
	"env-exact":     "SetEnvIf Accept-Encoding ^gzip$ exact\nHeader set X-Exact yes env=exact",
	"if-exact":      "<If \"%{HTTP:Accept-Encoding} == 'gzip'\">\nHeader set X-If yes\n</If>",
	"if-path":       "<If \"%{REQUEST_URI} =~ /png/\">\nHeader set X-If yes\n</If>\n<Else>\nHeader set X-Else yes\n</Else>",
	"if-language":   "<If \"%{HTTP:Accept-Language} =~ /de/\">\nHeader set X-If yes\n</If>",
	"expr-exact":    "Header set X-Expr yes \"expr=req('Accept-Encoding') == 'gzip'\"",
	"etag-all":      "FileETag INode MTime Size",
	"etag-size":     "FileETag Size",
	"etag-minus":    "FileETag All -MTime",
	"etag-digest":   "FileETag Digest",
	"expires-short": "ExpiresActive on\nExpiresDefault A3",
	"expires-now":   "ExpiresActive on\nExpiresByType text/html A0\nExpiresByType image/png \"access plus 1 hour\"",
	"expires-year":  "ExpiresActive on\nExpiresDefault \"modification plus 10 years\"",
	"deflate-all":   "SetOutputFilter DEFLATE\nSetEnvIfNoCase Request_URI \\.png$ no-gzip dont-vary",
	"brotli":        "SetOutputFilter BROTLI_COMPRESS;DEFLATE",
	"inflate":       "SetOutputFilter INFLATE",
	"force-gzip":    "SetEnv force-gzip 1",
	"charset":       "AddDefaultCharset On\nAddCharset utf-16 .txt",
	"nocharset":     "AddDefaultCharset Off",
	"slash-off":     "DirectorySlash Off",
	"index-list":    "DirectoryIndex none.html a.txt a.html",
	"index-off":     "DirectoryIndex disabled",
	"index-other":   "DirectoryIndex b.png",
	"index-redir":   "DirectoryIndex a.html\nDirectoryIndexRedirect on",
	"fallback":      "FallbackResource /admin/fallback/a.html",
	"listing-off":   "Options -Indexes",
	"multiviews":    "Options +MultiViews",
	"pathinfo":      "AcceptPathInfo On",
	"nopathinfo":    "AcceptPathInfo Off",
	"spelling":      "CheckSpelling on",
	"files":         "<Files a.png>\nHeader set X-Files one\n</Files>\n<FilesMatch \"\\.(html|txt)$\">\nHeader set X-Files match\n</FilesMatch>",
	"files-denied":  "<FilesMatch \\.png$>\nRequire all denied\n</FilesMatch>",
	"noranges":      "MaxRanges none",
	"fewranges":     "MaxRanges 2",
	"downgrade":     "SetEnv downgrade-1.0 1",
	"force-1.0":     "SetEnv force-response-1.0 1",
	"digest":        "ContentDigest On",
	"xbithack":      "Options +Includes\nXBitHack full",
	"methods":       "AllowMethods GET",
	"limit":         "<Limit POST>\nRequire all denied\n</Limit>",
	"substitute":    "AddOutputFilterByType SUBSTITUTE text/html\nSubstitute s/quick/slow/",
	"ratelimit":     "SetOutputFilter RATE_LIMIT\nSetEnv rate-limit 4000",
	"mmap-off":      "EnableMMAP Off\nEnableSendfile On",
	"nothandled":    "AddHandler send-as-is .txt",
	"remove-type":   "RemoveType .png\nForceType None",
	"nothing":       "",
}

var adminAccess = map[string]string{
	"ht-exact":   "RewriteEngine on\nRewriteCond %{HTTP:Accept-Encoding} ^gzip$\nRewriteRule ^a\\.png$ b.png\n",
	"ht-files":   "<Files a.png>\nHeader set X-Files yes\n</Files>\n",
	"ht-env":     "SetEnvIf Accept-Encoding ^gzip$ exact\nHeader set X-Exact yes env=exact\n",
	"ht-expires": "ExpiresActive on\nExpiresByType image/png \"access plus 1 hour\"\n",
	"ht-slash":   "DirectorySlash Off\nOptions -Indexes\n",
	"ht-error":   "ErrorDocument 404 \"not here\"\nErrorDocument 403 /own/0000.png\n",
	"ht-links":   "Options -FollowSymLinks\n",
	"ht-type":    "AddType text/x-png .png\nAddCharset utf-8 .html\n",
}

// adminConfig is what Apache reads besides.
func adminConfig() string {
	var b strings.Builder
	for _, dir := range slices.Sorted(maps.Keys(adminSections)) {
		fmt.Fprintf(&b, "<Directory ${TESTBED}/www/admin/%s>\n%s\n</Directory>\n", dir, adminSections[dir])
	}
	return b.String() + `
UserDir ${TESTBED}/users/*/pub
<Directory ${TESTBED}/users>
	Require all granted
</Directory>
AliasMatch ^/matched/(.*)\.pic$ ${TESTBED}/one/$1.png
Alias /linked ${TESTBED}/link
<Directory ${TESTBED}/link>
	Require all granted
</Directory>
<LocationMatch "^/admin/nothing/.*\.html$">
	Header set X-Location match
</LocationMatch>
<Location /server-info>
	SetHandler server-info
</Location>
<VirtualHost *:80>
	ServerName limits.test
	DocumentRoot ${TESTBED}/www
	LimitRequestFields 3
	LimitRequestLine 60
	MergeSlashes Off
</VirtualHost>
<VirtualHost *:80>
	ServerName plain.test
	ServerAlias *.plain.test plain
	DocumentRoot ${TESTBED}/www/admin/nothing
	KeepAliveTimeout 17
	MaxKeepAliveRequests 3
	UseCanonicalName On
	ErrorDocument 404 /a.html
	Header always set X-Plain yes
	Header set X-Early yes early
</VirtualHost>
<VirtualHost *:80>
	ServerName closes.test
	DocumentRoot ${TESTBED}/www
	KeepAlive Off
</VirtualHost>
`
}

var adminFiles = []string{"a.png", "b.png", "a.html", "a.txt", "a.css"}

// adminSite makes the files.
func (s *stage) adminSite() {
	s.Helper()
	for _, dir := range adminDirs() {
		for k, name := range adminFiles {
			s.put("www/admin/"+dir+"/"+name, words(600+k))
		}
		s.put("www/admin/"+dir+"/a.css.gz", zipped(words(604)))
		s.link("www/admin/"+dir+"/l.png", "a.png")
		if text := adminAccess[dir]; text != "" {
			s.put("www/admin/"+dir+"/.htaccess", []byte(text))
		}
	}
	s.put("users/john/pub/a.png", words(222))
	s.link("link", filepath.Join(s.Dir, "one"))
}

func adminDirs() []string {
	return append(slices.Sorted(maps.Keys(adminSections)), slices.Sorted(maps.Keys(adminAccess))...)
}

// adminCodings are what clients accept; what they are given may depend on the text.
var adminCodings = []string{"gzip, deflate, br, zstd", "gzip", "br", "identity"}

func adminCases() (all []testCase) {
	for _, dir := range adminDirs() {
		at := "/admin/" + dir + "/"
		for _, file := range append(adminFiles, "l.png", "", "none.png") {
			all = append(all, one(dir+"/"+file, get(at+file)))
		}
		for _, coding := range adminCodings {
			all = append(all, one(dir+"/a.png for "+coding, get(at+"a.png", "Accept-Encoding: "+coding)),
				one(dir+"/a.css for "+coding, get(at+"a.css", "Accept-Encoding: "+coding)))
		}
		all = append(all, one(dir+", HEAD", head(at+"a.png")), one(dir+", kept", get(at+"a.png", "Connection: keep-alive")),
			one(dir+", 1.0", "GET "+at+"a.png HTTP/1.0\r\n\r\n"), one(dir+", without its slash", get("/admin/"+dir)),
			one(dir+", unchanged", get(at+"a.png", "If-Modified-Since: {modified}")), one(dir+", any tag", get(at+"a.html", "If-None-Match: *")),
			one(dir+", a range", get(at+"a.png", "Range: bytes=1-10")), one(dir+", three ranges", get(at+"a.png", "Range: bytes=0-0,5-6,300-")),
			one(dir+", query", get(at+"a.png?x=1")), one(dir+", another host", get(at+"a.png", "Host: one.test")), one(dir+", same host", get(at+"a.png", "Host: same.test")),
			one(dir+", more", get(at+"a.png/more")))
	}
	for _, target := range []string{
		"/~john/a.png", "/~nobody/a.png", "/matched/a.pic", "/linked/a.png", "/linked/", "/server-status", "/server-status?auto", "/server-info", "/admin/spelling/A.png",
		"/admin/rewrite-file/pretty/a", "/icons/", "/icons/a.gif", "/icons/README", "/admin/multiviews/a", "/admin/xbithack/a.html",
	} {
		all = append(all, one(target, get(target)), one(target+" for gzip", get(target, "Accept-Encoding: gzip")))
	}
	for _, host := range []string{"plain.test", "a.plain.test", "PLAIN", "plain:80", "closes.test", "limits.test"} {
		for _, target := range []string{"/a.png", "/admin/nothing/a.png", "//admin//nothing//a.png", "/none", "/admin/nothing/a.png?a+long+query+that+takes+some+room"} {
			all = append(all, one(host+target, get(target, "Host: "+host)), one(host+target+", kept", get(target, "Host: "+host, "Connection: keep-alive")),
				one(host+target+", fields", get(target, "Host: "+host, "A: 1", "B: 2", "C: 3", "D: 4")))
		}
	}
	return append(all, odd("hosts by turns", strings.Repeat(get("/admin/nothing/a.png", "Host: same.test", "Connection: keep-alive")+get("/a.png", "Host: plain.test", "Connection: keep-alive"), 3)))
}
