package apacheconf

import (
	"maps"
	"strings"
)

// AccessFile returns why answers below an access file (.htaccess) may depend on the client, and why on the text of Accept-Encoding; "" if
// they don't. What an <IfModule> or the like holds is taken to be in force.
func (c *Config) AccessFile(name string, content []byte) (client, coding string) {
	judged := *c
	judged.Scopes, judged.Codings, judged.Agents, judged.env = nil, nil, nil, maps.Clone(c.env)
	j := judge{Config: &judged}
	root := parseFile(name, string(content))
	root.each(judged.env.collect)
	j.walk(root, Scope{})
	if len(judged.Codings) > 0 {
		coding = judged.Codings[0].reason()
	}
	switch {
	case len(judged.Scopes) > 0:
		client = judged.Scopes[0].reason()
	case len(judged.Agents) > 0: // in one directory only, while agents are handed over everywhere
		a := judged.Agents[0]
		client = a.Why + ": depends on field User-Agent (" + a.At.String() + ")"
	}
	return client, coding
}

// parseFile makes the tree of a file as Apache's ap_cfg_getline and ap_build_config do. What can't be understood becomes an
// unknown directive.
func parseFile(name, content string) *node {
	root := &node{}
	stack := []*node{root}
	lines := strings.Split(content, "\n")
	for k := 0; k < len(lines); k++ {
		at := Place{name, k + 1}
		text := strings.TrimSuffix(lines[k], "\r")
		for strings.HasSuffix(text, `\`) && !strings.HasSuffix(text, `\\`) && k+1 < len(lines) {
			k++
			text = strings.TrimSuffix(text, `\`) + strings.TrimSuffix(lines[k], "\r")
		}
		text = strings.TrimSpace(text)
		top := stack[len(stack)-1]
		switch {
		case text == "" || text[0] == '#':
		case strings.HasPrefix(text, "</") && len(stack) > 1:
			stack = stack[:len(stack)-1]
		default:
			n := newNode(text, at)
			top.kids = append(top.kids, n)
			if n.section() && !strings.HasPrefix(text, "</") {
				stack = append(stack, n)
			}
		}
	}
	return root
}
