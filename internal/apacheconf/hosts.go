package apacheconf

import (
	"net"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Host is a virtual host, or what is outside of all of them.
type Host struct {
	// Names are ServerName and ServerAlias, in lower case, the latter perhaps with * and ?. Empty for the main server
	// if it has no name.
	Names []string
	// Mappings say which directories are behind which paths, the more specific first.
	Mappings []Mapping
	At       Place
	groups   []string // the addresses of <VirtualHost>, which are of one of the ports that matter
	names    []*regexp.Regexp
}

// Mapping is a DocumentRoot (Prefix "/") or an Alias.
type Mapping struct{ Prefix, Dir string }

// under returns what of the path is below the prefix.
func (m Mapping) under(p string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(p, m.Prefix); !ok {
		return "", false
	}
	return rest, rest == "" || strings.HasSuffix(m.Prefix, "/") || rest[0] == '/'
}

func (h *Host) named(name string) bool {
	return slices.ContainsFunc(h.names, func(re *regexp.Regexp) bool { return re.MatchString(name) })
}

// candidates returns the hosts one of which answers to name: by which address a request comes is not asked, so there is one
// for each address that a <VirtualHost> names.
func (c *Config) candidates(name string) (found []*Host) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for _, group := range c.groups {
		var chosen *Host
		for _, h := range c.Hosts {
			if !slices.Contains(h.groups, group) {
				continue
			}
			if chosen == nil {
				chosen = h // the first one is the group's default
			}
			if h.named(name) {
				chosen = h
				break
			}
		}
		if !slices.Contains(found, chosen) {
			found = append(found, chosen)
		}
	}
	if !c.anyGroup {
		found = append(found, c.main)
	}
	return found
}

// readHosts makes the hosts of the tree that answer on one of the ports.
func (c *Config) readHosts(root *node, ports []string) map[*node]*Host {
	c.main = newHost(root.kids, nil, Place{})
	byNode := map[*node]*Host{}
	for _, n := range root.kids {
		if n.name != "<virtualhost" {
			continue
		}
		groups := onPorts(n.words(), ports)
		if len(groups) == 0 {
			continue
		}
		h := newHost(n.kids, c.main, n.at)
		h.groups = groups
		c.Hosts = append(c.Hosts, h)
		byNode[n] = h
		for _, g := range groups {
			if !slices.Contains(c.groups, g) {
				c.groups = append(c.groups, g)
			}
			c.anyGroup = c.anyGroup || strings.HasPrefix(g, "*")
		}
	}
	return byNode
}

// onPorts returns the addresses that are of one of the ports or of any, with "_default_" as "*".
func onPorts(addresses, ports []string) (kept []string) {
	for _, a := range addresses {
		if host, port := splitAddress(a); port == "*" || slices.Contains(ports, port) {
			kept = append(kept, host)
		}
	}
	return kept
}

// splitAddress takes an argument of <VirtualHost> apart.
func splitAddress(a string) (host, port string) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		host, port = strings.Trim(a, "[]"), "*"
	}
	if host == "_default_" || host == "" {
		host = "*"
	}
	return strings.ToLower(host), port
}

func newHost(directives []*node, main *Host, at Place) *Host {
	h := &Host{At: at}
	root := ""
	for _, n := range directives {
		switch n.name {
		case "servername":
			h.addName(n.word(0))
		case "serveralias":
			for _, a := range n.words() {
				h.addName(a)
			}
		case "documentroot":
			root = path.Clean(n.word(0))
		case "alias":
			if w := n.words(); len(w) == 2 && strings.HasPrefix(w[0], "/") {
				h.Mappings = append(h.Mappings, Mapping{w[0], strings.TrimSuffix(w[1], "/")})
			}
		}
	}
	if main != nil {
		for _, m := range main.Mappings {
			if m.Prefix != "/" || root == "" {
				h.Mappings = append(h.Mappings, m)
			}
		}
	}
	if root != "" {
		h.Mappings = append(h.Mappings, Mapping{"/", root})
	}
	slices.SortStableFunc(h.Mappings, func(a, b Mapping) int { return len(b.Prefix) - len(a.Prefix) })
	return h
}

func (h *Host) addName(name string) {
	if _, after, ok := strings.Cut(name, "://"); ok {
		name = after
	}
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if name = strings.ToLower(name); name == "" || slices.Contains(h.Names, name) {
		return
	}
	h.Names = append(h.Names, name)
	h.names = append(h.names, regexp.MustCompile("^"+globbed(name, ".*")+"$"))
}

// globbed returns the regular expression of a pattern with * and ?; star is what * means.
func globbed(glob, star string) string {
	var b strings.Builder
	for _, r := range glob {
		switch r {
		case '*':
			b.WriteString(star)
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}
