package apacheconf

import (
	"regexp"
	"slices"
	"strings"
)

// judge walks the tree and notes scopes and agents.
type judge struct {
	*Config
	hosts map[*node]*Host
}

// add notes that answers within s depend on the client because of n.
func (j *judge) add(n *node, s Scope, meaning string, doubt bool) {
	s.Why, s.At, s.Doubt = n.directive(), n.at, doubt
	if meaning != "" {
		s.Why += ": " + meaning
	}
	for _, other := range j.Scopes {
		if other.Why == s.Why && other.At == s.At && other.String() == s.String() {
			return
		}
	}
	j.Scopes = append(j.Scopes, &s)
}

// walk judges the content of a section whose scope is s.
func (j *judge) walk(section *node, s Scope) {
	j.rules(section.kids, s)
	for _, n := range section.kids {
		if asksCoding(n) {
			j.codingDependence(n, s)
		}
		if n.section() {
			j.section(n, s)
		} else {
			j.directive(n, s)
		}
	}
}

// within returns s, narrowed.
func (s Scope) within(list func(*Scope) *[]pattern, p pattern) Scope {
	l := list(&s)
	*l = append(slices.Clone(*l), p)
	return s
}

func ofDirs(s *Scope) *[]pattern  { return &s.dirs }
func ofURLs(s *Scope) *[]pattern  { return &s.urls }
func ofNames(s *Scope) *[]pattern { return &s.names }

func (j *judge) section(n *node, s Scope) {
	w := n.words()
	isRegexp := strings.HasSuffix(n.name, "match")
	if len(w) > 1 && w[0] == "~" {
		isRegexp, w = true, w[1:]
	}
	arg := ""
	if len(w) > 0 {
		arg = w[0]
	}
	switch n.name {
	case "<virtualhost":
		h := j.hosts[n]
		if h == nil {
			return // of another port
		}
		s.host = h
	case "<directory", "<directorymatch":
		s = s.within(ofDirs, pathPattern(arg, isRegexp))
	case "<location", "<locationmatch":
		s = s.within(ofURLs, pathPattern(arg, isRegexp))
	case "<files", "<filesmatch":
		if isRegexp {
			s = s.within(ofNames, regexpPattern(arg))
		} else {
			s = s.within(ofNames, pattern{re: regexp.MustCompile("^" + globbed(arg, ".*") + "$")})
		}
	case "<limit", "<limitexcept":
		if get := slices.ContainsFunc(w, func(m string) bool { return m == "GET" }); get == (n.name == "<limitexcept") {
			return // not about GET, which HEAD goes along with; all other methods are Apache's
		}
	case "<if", "<elseif":
		if why := j.ofExpr(strings.Trim(n.args, `"`)); why != "" {
			j.add(n, s, "depends on "+why, false)
		}
	case "<else", "<requireall", "<requireany", "<requirenone", "<requirenotall":
	case "<proxy", "<proxymatch", "<authnprovideralias", "<authzprovideralias", "<authtprovideralias", "<mdomain", "<mdomainset", "<macro":
		return // they concern what is private by other directives
	case "<ifmodule", "<ifdefine", "<ifversion", "<iffile", "<ifdirective", "<ifsection": // of an access file: taken to be true
	default:
		j.add(n, s, "unknown", true)
	}
	j.walk(n, s)
}

// pathPattern is that of <Directory> or <Location>.
func pathPattern(arg string, isRegexp bool) pattern {
	switch {
	case isRegexp:
		return regexpPattern(arg)
	case strings.ContainsAny(arg, "*?["):
		if strings.Contains(arg, "[") {
			return pattern{prefix: arg[:strings.IndexAny(arg, "*?[")]}
		}
		return pattern{re: regexp.MustCompile("^" + globbed(strings.TrimSuffix(arg, "/"), "[^/]*") + "(/|$)")}
	}
	if len(arg) > 1 {
		arg = strings.TrimSuffix(arg, "/")
	}
	return pattern{prefix: arg, whole: true}
}

// regexpPattern is a regular expression, or, if it is one that only Apache's library knows, what it begins with.
func regexpPattern(expr string) pattern {
	if re, err := regexp.Compile(expr); err == nil {
		return pattern{re: re}
	}
	return pattern{prefix: literalPrefix(expr)}
}

func (j *judge) directive(n *node, s Scope) {
	if harmless[n.name] {
		return
	}
	if do := judged[n.name]; do != nil {
		do(j, n, s)
		return
	}
	if j.otherwise(n, s) {
		return
	}
	j.add(n, s, "unknown to xhttpd", true)
}

// otherwise judges directives by the beginning of their name.
func (j *judge) otherwise(n *node, s Scope) bool {
	for _, p := range harmlessPrefixes {
		if strings.HasPrefix(n.name, p) {
			return true
		}
	}
	for _, p := range privatePrefixes {
		if strings.HasPrefix(n.name, p.prefix) {
			j.add(n, s, p.why, false)
			return true
		}
	}
	return false
}

// modules notes those that work without a directive, and those that nobody knows.
func (j *judge) modules(loaded []string) {
	for _, m := range loaded {
		n := &node{name: "module " + m, at: Place{File: "LoadModule"}}
		if why, ok := wholeServer[m]; ok {
			j.add(n, Scope{}, why, false)
		} else if !knownModules[m] && !slices.ContainsFunc(knownModulePrefixes, func(p string) bool { return strings.HasPrefix(m, p) }) {
			j.add(n, Scope{}, "unknown to xhttpd", true)
		}
	}
}
