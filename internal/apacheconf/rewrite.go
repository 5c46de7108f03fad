package apacheconf

import (
	"slices"
	"strings"
)

// rules judges the RewriteCond and RewriteRule directives of one section, in order.
func (j *judge) rules(kids []*node, s Scope) {
	var conds []*node
	for _, n := range kids {
		switch n.name {
		case "rewritecond":
			conds = append(conds, n)
		case "rewriterule":
			j.rule(n, conds, s)
			conds = nil
		}
	}
}

func (j *judge) rule(rule *node, conds []*node, s Scope) {
	if j.sparesFiles(rule, conds) {
		return
	}
	var why string
	var at *node
	// All that depends on the client are texts in User-Agent: then, for one without them, all these conditions are false.
	agentsOnly := true
	var found []Agent
	for _, cond := range conds {
		w := j.ofCond(cond)
		if w == "" {
			continue
		}
		if why == "" {
			why, at = w, cond
		}
		some, ok := condAgents(cond)
		agentsOnly = agentsOnly && ok
		found = append(found, some...)
	}
	if w := j.ofRule(rule); w != "" && why == "" {
		why, at, agentsOnly = w, rule, false
	}
	switch {
	case why == "":
	case agentsOnly:
		for k := range found {
			found[k].Why, found[k].At = at.directive(), at.at
		}
		j.Agents = append(j.Agents, found...)
	default:
		if p := literalPrefix(rule.word(0)); strings.HasPrefix(p, "/") && len(s.urls)+len(s.dirs) == 0 {
			s.urls = append(slices.Clone(s.urls), pattern{prefix: p})
		}
		j.add(at, s, "depends on "+why, false)
	}
}

// sparesFiles reports whether a rule does not touch a path behind which there is a file: a condition says so, as those of most
// front controllers, or it only sets variables, which are judged where they are used.
func (j *judge) sparesFiles(rule *node, conds []*node) bool {
	ors := slices.ContainsFunc(conds, func(c *node) bool { return slices.ContainsFunc(flags(c, 2), isOr) })
	for _, c := range conds {
		if !ors && ownFile[c.word(0)] && c.word(1) == "!-f" {
			return true
		}
	}
	if rule.word(1) != "-" {
		return false
	}
	for _, flag := range ruleFlags(rule) {
		if _, env := cutFold(flag, "e=", "env="); !env && !strings.EqualFold(flag, "nc") && !strings.EqualFold(flag, "nocase") {
			return false
		}
		if set, env := cutFold(flag, "e=", "env="); env {
			if name, _, _ := strings.Cut(strings.TrimPrefix(set, "!"), ":"); effects[name] {
				return false
			}
		}
	}
	return len(ruleFlags(rule)) > 0
}

var ownFile = set(`%{REQUEST_FILENAME} %{SCRIPT_FILENAME} %{DOCUMENT_ROOT}%{REQUEST_URI} %{DOCUMENT_ROOT}/%{REQUEST_URI}
	%{LA-U:REQUEST_FILENAME} %{DOCUMENT_ROOT}$1 %{DOCUMENT_ROOT}/$1`)

// watchedFile reports whether a file that a condition is about is the one that would be sent, or one that may be given instead of it, with a
// coding: filecache watches both.
func watchedFile(test string) bool {
	for _, coding := range []string{".gz", ".br", ".zst"} {
		if rest, ok := strings.CutSuffix(test, coding); ok {
			test = strings.TrimSuffix(rest, `\`) // as Apache's manual has it
			break
		}
	}
	return ownFile[test]
}

// ofCond returns how a condition depends on the client, or "".
func (j *judge) ofCond(cond *node) string {
	test, want := cond.word(0), strings.TrimPrefix(cond.word(1), "!")
	if strings.EqualFold(test, "expr") {
		return j.ofExpr(cond.word(1))
	}
	if why := j.ofText(test); why != "" {
		return why
	}
	if len(want) == 2 && want[0] == '-' && strings.Contains("dfFHhlLsUx", want[1:]) {
		if want[1] == 'F' || want[1] == 'U' {
			return "what the client may have (" + want + ")"
		}
		if !watchedFile(test) {
			return "another file, which is not watched"
		}
	}
	return ""
}

// ofText returns how a text with variables depends on the client, or "".
func (j *judge) ofText(text string) string {
	for _, m := range exprVariable.FindAllStringSubmatch(text, -1) {
		name := m[1]
		if why := j.ofVariable(name); why != "" {
			return why
		}
	}
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, "${")
		if !ok {
			return ""
		}
		name, _, _ := strings.Cut(after, ":")
		if j.maps[name] {
			return "map " + name
		}
		rest = after
	}
}

// ofRule returns how the rule itself depends on the client, or "".
func (j *judge) ofRule(rule *node) string {
	if why := j.ofText(rule.word(1)); why != "" {
		return why
	}
	for _, flag := range ruleFlags(rule) {
		switch f := strings.ToLower(flag); {
		case f == "p" || f == "proxy":
			return "another server"
		case strings.HasPrefix(f, "h=") && f != "h=default-handler", strings.HasPrefix(f, "handler="):
			return "a handler"
		case strings.HasPrefix(f, "co=") || strings.HasPrefix(f, "cookie="):
			return "a cookie that is set"
		}
	}
	return ""
}

// condAgents returns the texts that User-Agent has if a condition is true; false if there are none.
func condAgents(cond *node) ([]Agent, bool) {
	w := cond.word(1)
	test := strings.ToUpper(cond.word(0))
	if test != "%{HTTP_USER_AGENT}" && test != "%{HTTP:USER-AGENT}" || w == "" || strings.ContainsAny(w[:1], "!<>=-") {
		return nil, false
	}
	fold := slices.ContainsFunc(flags(cond, 2), func(f string) bool {
		f = strings.ToLower(f)
		return f == "nc" || f == "nocase"
	})
	return agents(w, fold)
}

func isOr(flag string) bool {
	return strings.EqualFold(flag, "or") || strings.EqualFold(flag, "ornext")
}

func ruleFlags(rule *node) []string { return flags(rule, 2) }

// flags returns those of "[A,B=c]", the k-th argument.
func flags(n *node, k int) []string {
	w := n.word(k)
	if !strings.HasPrefix(w, "[") {
		return nil
	}
	all := strings.Split(strings.Trim(w, "[]"), ",")
	for k := range all {
		all[k] = strings.TrimSpace(all[k])
	}
	return all
}

// literalPrefix returns the text that every text begins with which a regular expression matches from its beginning.
func literalPrefix(expr string) string {
	rest, ok := strings.CutPrefix(expr, "^")
	if !ok || strings.ContainsRune(expr, '|') {
		return ""
	}
	end := strings.IndexAny(rest, `\.+*?()[]{}$|^`)
	if end < 0 {
		return rest
	}
	if end > 0 && strings.IndexByte("*?{", rest[end]) >= 0 {
		end-- // what stands before it may be missing
	}
	return rest[:end]
}
