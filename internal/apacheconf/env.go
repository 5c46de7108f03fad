package apacheconf

import (
	"regexp/syntax"
	"strings"
)

// variables are the environment variables that the configuration sets, with why they depend on the client, or "". One of
// which nothing is known may come from any module, and so depends on it.
type variables map[string]string

func (v variables) of(name string) string {
	why, known := v[name]
	if !known && name != "REDIRECT_STATUS" && name != "HTTPS" {
		return "variable " + name
	}
	return why
}

func (v variables) set(name, why string) {
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "!"), "=")
	if name != "" && (why != "" || v[name] == "") {
		v[name] = why
	}
}

// collect notes what one directive sets. RewriteRule's are judged with their conditions, and set here as depending on the
// client if anything in them may.
func (v variables) collect(n *node) {
	w := n.words()
	switch n.name {
	case "setenv", "unsetenv", "passenv", "define":
		for k, name := range w {
			if k == 0 || n.name != "setenv" {
				v.set(name, "")
			}
		}
	case "setenvif", "setenvifnocase":
		for _, name := range w[min(2, len(w)):] {
			v.set(name, v.ofAttribute(n.word(0)))
		}
	case "browsermatch", "browsermatchnocase":
		for _, name := range w[min(1, len(w)):] {
			v.set(name, "field User-Agent")
		}
	case "setenvifexpr":
		for _, name := range w[min(1, len(w)):] {
			v.set(name, (&Config{env: v}).ofExpr(n.word(0)))
		}
	case "rewriterule":
		for _, flag := range ruleFlags(n) {
			if set, ok := cutFold(flag, "e=", "env="); ok {
				name, _, _ := strings.Cut(set, ":")
				v.set(name, "variable "+name+" of a RewriteRule")
			}
		}
	}
}

// ofAttribute returns how the attribute of a SetEnvIf depends on the client, or "".
func (v variables) ofAttribute(attribute string) string {
	switch strings.ToLower(attribute) {
	case "request_uri", "server_addr":
		return ""
	}
	if plainFields[strings.ToUpper(attribute)] {
		return ""
	}
	if why, known := v[attribute]; known {
		return why
	}
	return "field or attribute " + attribute
}

// effects are variables that Apache itself obeys when it answers with a file.
var effects = set(`nokeepalive downgrade-1.0 force-response-1.0 no-gzip no-brotli gzip-only-text/html force-gzip no-vary force-no-vary
	no-cache prefer-language dont-vary no-etag filter-errordocs`)

// Agent is a text that User-Agent contains if Apache treats such a client in a way of its own.
type Agent struct {
	Contains string
	Fold     bool // without regard to case
	Why      string
	At       Place
}

// agentOf returns a text that every text has in it which a regular expression matches; false if there is none that says much.
func agentOf(expr string, fold bool) (Agent, bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return Agent{}, false
	}
	literal, folded := longest(re.Simplify())
	if len(literal) < 3 {
		return Agent{}, false
	}
	return Agent{Contains: literal, Fold: fold || folded}, true
}

// longest returns the longest literal that must occur.
func longest(re *syntax.Regexp) (text string, fold bool) {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune), re.Flags&syntax.FoldCase != 0
	case syntax.OpCapture, syntax.OpPlus:
		return longest(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if t, f := longest(sub); len(t) > len(text) {
				text, fold = t, f
			}
		}
	}
	return text, fold
}

// agents returns the texts for a pattern on User-Agent: one for each of its alternatives.
func agents(expr string, fold bool) ([]Agent, bool) {
	re, err := syntax.Parse(expr, syntax.Perl&^syntax.OneLine)
	if err != nil {
		return nil, false
	}
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpAlternate {
		a, ok := agentOf(expr, fold)
		return []Agent{a}, ok
	}
	var all []Agent
	for _, sub := range re.Sub {
		a, ok := agentOf(sub.String(), fold)
		if !ok {
			return nil, false
		}
		all = append(all, a)
	}
	return all, true
}

func cutFold(s string, prefixes ...string) (rest string, ok bool) {
	for _, p := range prefixes {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return s[len(p):], true
		}
	}
	return "", false
}
