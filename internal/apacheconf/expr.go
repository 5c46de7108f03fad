package apacheconf

import (
	"regexp"
	"strings"
)

// plain are the variables of RewriteCond and of expressions whose values follow from what a cached answer is keyed by (local
// address, Host, target, Accept-Encoding), from the file, or from the configuration.
var plain = set(`REQUEST_URI REQUEST_FILENAME SCRIPT_FILENAME SCRIPT_NAME PATH_INFO QUERY_STRING DOCUMENT_URI DOCUMENT_ROOT
	DOCUMENT_NAME CONTEXT_PREFIX CONTEXT_DOCUMENT_ROOT HTTP_HOST SERVER_NAME SERVER_ADDR SERVER_PORT SERVER_ADMIN SERVER_SOFTWARE
	HTTPS REQUEST_SCHEME IS_SUBREQ API_VERSION HANDLER FILENAME LAST_MODIFIED CONTENT_TYPE IPV6 UNSET`)

// plainFields are request fields that a cached answer is keyed by, or with which a request is handed over anyway.
var plainFields = set(`HOST ACCEPT-ENCODING AUTHORIZATION PROXY-AUTHORIZATION UPGRADE EXPECT CONTENT-LENGTH TRANSFER-ENCODING CONTENT-TYPE`)

var (
	exprVariable = regexp.MustCompile(`%\{([^{}]*)\}`)
	exprCall     = regexp.MustCompile(`\b([A-Za-z_]\w*)\s*\(`)
	exprWord     = regexp.MustCompile(`\b([A-Za-z_]\w*)\s+(?:'|"|%)`)
	exprUnary    = regexp.MustCompile(`(?:^|[\s(!])-([A-Za-z])\s`)
)

// ofExpr returns what in an expression (ap_expr) depends on the client, or "".
func (c *Config) ofExpr(expr string) string {
	for _, m := range exprVariable.FindAllStringSubmatch(expr, -1) {
		if why := c.ofVariable(m[1]); why != "" {
			return why
		}
	}
	bare := withoutLiterals(expr)
	for _, m := range exprUnary.FindAllStringSubmatch(bare, -1) {
		if m[1] != "n" && m[1] != "z" && m[1] != "T" {
			return "-" + m[1] // of the client's address, or of a file that is not watched
		}
	}
	calls := append(exprCall.FindAllStringSubmatch(bare, -1), exprWord.FindAllStringSubmatch(bare, -1)...)
	for _, m := range calls {
		switch name := strings.ToLower(m[1]); name {
		case "and", "or", "not", "in", "eq", "ne", "lt", "le", "gt", "ge", "tolower", "toupper", "escape", "unescape", "base64", "unbase64", "md5", "sha1",
			"resp", "strmatch", "strcmatch", "fnmatch", "true", "false", "split", "join", "sub":
		case "env", "reqenv", "osenv", "req", "http", "req_novary", "note":
			if why := c.ofCall(name, expr); why != "" {
				return why
			}
		default:
			return m[1] + "()"
		}
	}
	return ""
}

// withoutLiterals empties the texts in an expression, and takes its regular expressions out.
func withoutLiterals(expr string) string {
	var b strings.Builder
	for k := 0; k < len(expr); k++ {
		c := expr[k]
		switch {
		case c == '\'' || c == '"':
			b.WriteByte(c)
			b.WriteByte(c)
			for k++; k < len(expr) && expr[k] != c; k++ {
				if expr[k] == '\\' {
					k++
				}
			}
		case c == '~' && k > 0 && (expr[k-1] == '=' || expr[k-1] == '!'):
			b.WriteByte(c)
			at := k + 1
			for at < len(expr) && (expr[at] == ' ' || expr[at] == '\t') {
				at++
			}
			if at+1 < len(expr) && expr[at] == 'm' {
				at++
			}
			if at >= len(expr) || strings.IndexByte("/#$%^|?!'\",;:._-", expr[at]) < 0 {
				continue // it comes from a variable
			}
			if end := strings.IndexByte(expr[at+1:], expr[at]); end < 0 {
				k = len(expr)
			} else {
				k = at + 1 + end // nothing escapes the separator
			}
			for k+1 < len(expr) && strings.IndexByte("ismg", expr[k+1]) >= 0 {
				k++
			}
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var exprArg = regexp.MustCompile(`\b(env|reqenv|osenv|req|http|req_novary|note)\s*\(?\s*['"]([^'"]*)['"]`)

func (c *Config) ofCall(name, expr string) string {
	found := false
	for _, m := range exprArg.FindAllStringSubmatch(expr, -1) {
		if m[1] != name {
			continue
		}
		found = true
		if why := c.ofVariable(name + ":" + m[2]); why != "" {
			return why
		}
	}
	if !found {
		return name + "()"
	}
	return ""
}

// ofVariable returns how a variable, as it stands between %{ and }, depends on the client, or "".
func (c *Config) ofVariable(name string) string {
	kind, arg, ok := strings.Cut(name, ":")
	if !ok {
		if plain[strings.ToUpper(name)] {
			return ""
		}
		return "%{" + name + "}"
	}
	switch strings.ToLower(kind) {
	case "env", "reqenv":
		return c.env.of(arg)
	case "osenv", "resp", "ssl", "tolower", "toupper":
		return ""
	case "http", "req", "req_novary":
		if plainFields[strings.ToUpper(arg)] {
			return ""
		}
		return "field " + arg
	}
	return "%{" + name + "}"
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(words) {
		all[w] = true
	}
	return all
}
