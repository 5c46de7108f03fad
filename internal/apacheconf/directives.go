package apacheconf

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// judged are the directives whose arguments say whether they depend on the client.
var judged map[string]func(j *judge, n *node, s Scope)

func init() {
	judged = map[string]func(*judge, *node, Scope){
		"require":               require,
		"allow":                 allowDeny,
		"deny":                  allowDeny,
		"authtype":              unless("none"),
		"header":                header,
		"requestheader":         header,
		"setenvif":              setEnvIf,
		"setenvifnocase":        setEnvIf,
		"browsermatch":          browserMatch,
		"browsermatchnocase":    browserMatch,
		"setenvifexpr":          setEnvIfExpr,
		"scriptalias":           byPrefix("a program"),
		"proxypass":             proxyPass,
		"scriptaliasmatch":      byRegexp("a program"),
		"proxypassmatch":        byRegexp("another server"),
		"wsgiscriptalias":       byPrefix("a program"),
		"jkmount":               byPrefix("another server"),
		"sethandler":            unless("none", "default-handler"),
		"addhandler":            byExtension,
		"addinputfilter":        ignore,
		"setinputfilter":        ignore,
		"setoutputfilter":       outputFilter,
		"addoutputfilter":       outputFilter,
		"addoutputfilterbytype": outputFilter,
		"filterchain":           ignore, // FilterProvider says of what
		"filterprovider":        filterProvider,
		"session":               unless("off"),
		"cookietracking":        unless("off"),
		"xbithack":              unless("off"),
		"action":                always("a program"),
		"cacheenable":           always("another cache answers"),
		"substitute":            always("answers are changed on their way"),
		"outputsed":             always("answers are changed on their way"),
		"secruleengine":         unless("off"),
		"protocols":             protocols,
		"limitrequestfields":    lessThan(100),
		"limitrequestfieldsize": lessThan(8190),
		"limitrequestline":      lessThan(8190),
		"rewritecond":           ignore, // rules has judged it
		"rewriterule":           ignore,
		"alias":                 expression,
		"redirect":              expression,
		"redirectpermanent":     expression,
		"redirecttemp":          expression,
		"metafiles":             unless("off"),
		"serverpath":            always("another site for some clients"),
		"cachefile":             always("changes of files are not seen"),
		"mmapfile":              always("changes of files are not seen"),
		"sslrequire":            always(""),
	}
}

func ignore(*judge, *node, Scope) {}

func always(meaning string) func(*judge, *node, Scope) {
	return func(j *judge, n *node, s Scope) { j.add(n, s, meaning, false) }
}

// unless is for directives that depend on the client but for some values.
func unless(values ...string) func(*judge, *node, Scope) {
	return func(j *judge, n *node, s Scope) {
		if !slices.Contains(values, strings.ToLower(n.word(0))) {
			j.add(n, s, "", false)
		}
	}
}

// lessThan is for limits that answer requests otherwise that we would take.
func lessThan(least int) func(*judge, *node, Scope) {
	return func(j *judge, n *node, s Scope) {
		if k, err := strconv.Atoi(n.word(0)); err != nil || k > 0 && k < least {
			j.add(n, s, "refuses requests that xhttpd takes", false)
		}
	}
}

// expression is for directives one of whose arguments may be an expression.
func expression(j *judge, n *node, s Scope) {
	if why := j.ofText(n.args); why != "" {
		j.add(n, s, "depends on "+why, false)
	}
}

func require(j *judge, n *node, s Scope) {
	w := strings.ToLower(strings.Join(n.words(), " "))
	if w != "all granted" && w != "all denied" {
		j.add(n, s, "", false)
	}
}

func allowDeny(j *judge, n *node, s Scope) {
	for _, from := range n.words()[min(1, len(n.words())):] {
		if strings.EqualFold(from, "all") {
			continue
		}
		if v, ok := cutFold(from, "env="); ok && j.env.of(strings.TrimPrefix(v, "!")) == "" {
			continue
		}
		j.add(n, s, "", false)
		return
	}
}

var perRequest = regexp.MustCompile(`%[tDlib](?:$|[^%A-Za-z{])`)

// header judges Header and RequestHeader [condition] action field [value] [env=…|expr=…|early].
func header(j *judge, n *node, s Scope) {
	w := n.words()
	if len(w) > 0 && (strings.EqualFold(w[0], "always") || strings.EqualFold(w[0], "onsuccess")) {
		w = w[1:]
	}
	if len(w) > 0 && strings.EqualFold(w[0], "echo") {
		j.add(n, s, "gives back a field of the request", false)
		return
	}
	for k, arg := range w {
		if k < 2 {
			continue
		}
		var why string
		if v, ok := cutFold(arg, "env="); ok {
			why = j.env.of(strings.TrimPrefix(v, "!"))
		} else if v, ok := cutFold(arg, "expr="); ok {
			why = j.ofExpr(v)
		} else {
			why = j.ofFormat(arg)
		}
		if why != "" {
			j.add(n, s, "depends on "+why, false)
			return
		}
	}
}

var formatted = regexp.MustCompile(`%\{([^}]*)\}([a-z])`)

// ofFormat returns how the value of a field depends on the request, or "".
func (j *judge) ofFormat(value string) string {
	value = strings.ReplaceAll(value, "%%", "")
	for _, m := range formatted.FindAllStringSubmatch(value, -1) {
		if m[2] == "s" {
			continue // of TLS, which we do not see
		}
		if why := j.env.of(m[1]); why != "" {
			return why
		}
	}
	if perRequest.MatchString(value) {
		return "the time"
	}
	return ""
}

// setEnvIf judges SetEnvIf attribute pattern variables.
func setEnvIf(j *judge, n *node, s Scope) {
	w := n.words()
	if len(w) < 3 {
		return
	}
	j.effect(n, s, w[2:], j.env.ofAttribute(w[0]), strings.EqualFold(w[0], "User-Agent"), w[1])
}

func browserMatch(j *judge, n *node, s Scope) {
	if w := n.words(); len(w) >= 2 {
		j.effect(n, s, w[1:], "field User-Agent", true, w[0])
	}
}

func setEnvIfExpr(j *judge, n *node, s Scope) {
	if w := n.words(); len(w) >= 2 {
		j.effect(n, s, w[1:], j.ofExpr(w[0]), false, "")
	}
}

// effect judges variables that Apache obeys when it sends a file. All others are judged where they are used.
func (j *judge) effect(n *node, s Scope, variables []string, why string, ofAgent bool, expr string) {
	obeyed := func(v string) bool {
		name, _, _ := strings.Cut(strings.TrimPrefix(v, "!"), "=")
		return effects[name]
	}
	if why == "" || !slices.ContainsFunc(variables, obeyed) {
		return
	}
	if ofAgent {
		if found, ok := agents(expr, strings.HasSuffix(n.name, "nocase")); ok {
			for _, a := range found {
				a.Why, a.At = n.directive(), n.at
				j.Agents = append(j.Agents, a)
			}
			return
		}
	}
	j.add(n, s, "depends on "+why, false)
}

// byPrefix is for directives whose first argument is a path, unless they stand in a <Location>.
func byPrefix(meaning string) func(*judge, *node, Scope) {
	return func(j *judge, n *node, s Scope) {
		if p := n.word(0); strings.HasPrefix(p, "/") {
			s = s.within(ofURLs, pattern{prefix: strings.TrimRight(p, "*|")})
		}
		j.add(n, s, meaning, false)
	}
}

func byRegexp(meaning string) func(*judge, *node, Scope) {
	return func(j *judge, n *node, s Scope) {
		if len(n.words()) > 1 {
			s = s.within(ofURLs, regexpPattern(n.word(0)))
		}
		j.add(n, s, meaning, false)
	}
}

func proxyPass(j *judge, n *node, s Scope) {
	if w := n.words(); slices.Contains(w[:min(2, len(w))], "!") {
		return // not to another server
	}
	byPrefix("another server")(j, n, s)
}

// byExtension judges AddHandler handler extensions.
func byExtension(j *judge, n *node, s Scope) {
	w := n.words()
	if len(w) < 2 || slices.Contains([]string{"none", "default-handler"}, strings.ToLower(w[0])) {
		return
	}
	j.add(n, s.within(ofNames, extensions(w[1:])), "a handler", false)
}

// extensions are names that have one of these among their extensions.
func extensions(all []string) pattern {
	var quoted []string
	for _, e := range all {
		quoted = append(quoted, regexp.QuoteMeta(strings.TrimPrefix(e, ".")))
	}
	return pattern{re: regexp.MustCompile(`(?i)\.(` + strings.Join(quoted, "|") + `)(\.|$)`)}
}

// codings are output filters whose result is told by Accept-Encoding alone.
var codings = set("DEFLATE INFLATE BROTLI_COMPRESS BUFFER NONE CHARSET")

// outputFilter judges the list of filters of SetOutputFilter, AddOutputFilter and AddOutputFilterByType.
func outputFilter(j *judge, n *node, s Scope) {
	for f := range strings.SplitSeq(n.word(0), ";") {
		if codings[strings.ToUpper(f)] {
			continue
		}
		if w := n.words(); n.name == "addoutputfilter" && len(w) > 1 {
			s = s.within(ofNames, extensions(w[1:]))
		}
		j.add(n, s, "answers are changed on their way", false)
		return
	}
}

// filterProvider judges FilterProvider name provider expression.
func filterProvider(j *judge, n *node, s Scope) {
	w := n.words()
	if len(w) < 3 {
		return
	}
	if !codings[strings.ToUpper(w[1])] {
		j.add(n, s, "answers are changed on their way", false)
	} else if why := j.ofExpr(w[2]); why != "" {
		j.add(n, s, "depends on "+why, false)
	}
}

// protocols judges Protocols: with h2c, the first answer of a connection offers it.
func protocols(j *judge, n *node, s Scope) {
	if slices.ContainsFunc(n.words(), func(p string) bool { return strings.EqualFold(p, "h2c") }) {
		j.add(n, s, "a connection's first answer offers HTTP/2", false)
	}
}
