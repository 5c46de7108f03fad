package apacheconf

import "strings"

// The directives of Apache 2.4's own modules, and of some others that are widely used, that cannot make an answer from a file
// depend on the client: what they do is the same for everybody, or happens to other answers, or is judged by another
// directive without which they do nothing.
var harmless = set(`
	acceptfilter acceptpathinfo accessfilename adddefaultcharset allowencodedslashes allowhandlers allowmethods allowoverride
	allowoverridelist asyncfilter asyncrequestworkerfactor cgimapextension cgipassauth cgivar contentdigest coredumpdirectory
	defaultruntimedir defaultstatedir defaulttype define documentroot enableexceptionhook enablemmap enablesendfile error
	errordocument errorlog errorlogformat extendedstatus fileetag flushmaxpipelined flushmaxthreshold forcetype gprofdir group
	hostnamelookups httpcontentlengthheadzero httpexpectstrict httpprotocoloptions include includeoptional keepalive
	keepalivetimeout limitinternalrecursion limitrequestbody limitxmlrequestbody listen listenbacklog
	listencoresbucketsratio loadfile loadmodule loglevel logleveloverride maxclients maxconnectionsperchild maxkeepaliverequests
	maxmemfree maxrangeoverlaps maxrangereversals maxranges maxrequestsperchild maxrequestworkers maxspareservers
	maxsparethreads mergeslashes mergetrailers minspareservers minsparethreads mutex namevirtualhost options pidfile protocol
	protocolshonororder qualifyredirecturl readbuffersize receivebuffersize regexdefaultoptions registerhttpmethod rlimitcpu
	rlimitmem rlimitnproc scoreboardfile seerequesttail sendbuffersize serveradmin serveralias serverlimit servername
	serverroot serversignature servertokens startservers startthreads stricthostcheck suexec suexecusergroup threadlimit
	threadsperchild threadstacksize timeout traceenable unclist undefine use undefmacro usecanonicalname
	usecanonicalphysicalport user chrootdir warning watchdoginterval unsetenv setenv passenv order satisfy
	addcharset addencoding addlanguage addtype defaultlanguage mimeoptions modmimeusepathinfo multiviewsmatch removecharset
	removeencoding removehandler removeinputfilter removelanguage removeoutputfilter removetype typesconfig mimemagicfile
	addalt addaltbyencoding addaltbytype adddescription addicon addiconbyencoding addiconbytype defaulticon fancyindexing
	headername readmename indexforbiddenreturn404 indexheadinsert indexignore indexignorereset indexoptions indexorderdefault
	indexstylesheet aliasmatch aliaspreservepath redirectmatch redirectrelative directorycheckhandler directoryindex
	directoryindexredirect directoryslash fallbackresource forcelanguagepriority languagepriority cachenegotiateddocs
	rewritebase rewriteengine rewritemap rewriteoptions userdir expiresactive expiresbytype expiresdefault
	identitycheck identitychecktimeout noproxy allowconnect reflectorheader requestreadtimeout keptbodysize inputsed
	filterdeclare filterprotocol filtertrace scriptlog scriptlogbuffer scriptloglength scriptsock script addmoduleinfo
	customlog globallog logformat transferlog bufferedlogs logmessage forensiclog loglevel
	cookiedomain cookieexpires cookiehttponly cookiename cookiesamesite cookiesecure cookiestyle metadir metasuffix
	virtualdocumentroot virtualdocumentrootip virtualscriptalias virtualscriptaliasip
	substituteinheritbefore substitutemaxlinelength memcacheconnttl redisconnpoolttl redistimeout
	luaroot luapackagepath luapackagecpath luascope luacodecache luainherit`)

// harmlessPrefixes are the same for families of directives; what of them matters is among those that are judged.
var harmlessPrefixes = []string{
	"anonymous", "apreq2_", "auth", "balancer", "brotli", "buffer", "cache", "cgid", "cgiscript", "charset", "check", "crypto", "dav", "dbd", "deflate", "dumpio",
	"extfilter", "fcgid", "firehose", "geoip", "gssapi", "h2", "heartbeat", "imap", "jk", "ldap", "maxminddb", "md", "php_", "proxy", "remoteip", "session", "ssi", "ssl", "svn",
	"wsgi", "xml2", "xsendfile",
}

// privatePrefixes are families of directives in whose scope anything may happen.
var privatePrefixes = []struct{ prefix, why string }{
	{"bandwidth", "limits clients"}, {"dos", "limits clients"}, {"lua", "a program"}, {"<lua", "a program"}, {"maxconnperip", "limits clients"},
	{"modpagespeed", "answers are changed on their way"}, {"passenger", "a program"}, {"perl", "a program"}, {"qs_", "limits clients"}, {"sec", "filters requests"},
}

// wholeServer are modules that look at every request without a directive in its scope.
var wholeServer = map[string]string{
	"bw_module": "limits clients", "cband_module": "limits clients", "evasive20_module": "limits clients", "evasive_module": "limits clients",
	"limitipconn_module": "limits clients", "pagespeed_module": "answers are changed on their way", "perl_module": "a program may do anything",
	"qos_module": "limits clients", "security2_module": "filters requests", "security3_module": "filters requests",
}

// knownModules do what their directives say.
var knownModules = set(`core_module so_module http_module watchdog_module unixd_module version_module systemd_module access_compat_module actions_module
	alias_module allowmethods_module allowhandlers_module asis_module autoindex_module brotli_module buffer_module case_filter_module
	case_filter_in_module bucketeer_module cern_meta_module cgi_module cgid_module charset_lite_module data_module dbd_module
	deflate_module dialup_module dir_module dumpio_module echo_module env_module expires_module ext_filter_module
	fcgid_module file_cache_module filter_module geoip_module headers_module heartbeat_module heartmonitor_module
	http2_module ident_module imagemap_module include_module info_module jk_module ldap_module lua_module macro_module
	maxminddb_module md_module mime_module mime_magic_module negotiation_module passenger_module ratelimit_module
	reflector_module remoteip_module reqtimeout_module request_module rewrite_module sed_module setenvif_module
	speling_module ssl_module status_module substitute_module suexec_module tls_module unique_id_module userdir_module
	usertrack_module vhost_alias_module wsgi_module xml2enc_module xsendfile_module`)

var knownModulePrefixes = []string{
	"auth", "cache_", "cache_module", "dav", "lbmethod_", "log", "mpm_", "php", "proxy_", "session_", "slotmem_", "socache_",
}

// spelled are names as Apache's manual writes them, of directives that people get to read.
var spelled = map[string]string{}

func init() {
	for name := range set(`Require RequireAll RequireAny RequireNone Allow Deny AuthType Header RequestHeader SetEnvIf SetEnvIfNoCase SetEnvIfExpr
		BrowserMatch BrowserMatchNoCase ScriptAlias ScriptAliasMatch ProxyPass ProxyPassMatch SetHandler AddHandler SetOutputFilter
		AddOutputFilter AddOutputFilterByType FilterProvider Session CookieTracking XBitHack Action CacheEnable Substitute
		OutputSed SecRuleEngine Protocols LimitRequestFields LimitRequestFieldSize LimitRequestLine RewriteCond RewriteRule If
		ElseIf Else Alias Redirect MetaFiles ServerPath CacheFile MMapFile SSLRequire WSGIScriptAlias JkMount`) {
		spelled[strings.ToLower(name)] = name
	}
}
