package apacheconf

import (
	"bufio"
	"bytes"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Server is what Apache calls the server that answers.
type Server struct {
	// Name is its ServerName, or what Apache takes for it without one.
	Name string
	// Port is that of ServerName, or of the <VirtualHost>, or 80.
	Port uint16
	// Canonical says that the name by which a client has asked does not matter (UseCanonicalName On).
	Canonical bool
}

// group is the virtual hosts that share an address.
type group struct {
	addr    netip.Addr // not valid: any
	port    uint16     // 0: any
	servers []*server  // the first one is the default
}

// server is a virtual host, or the main server.
type server struct {
	Server
	defined string   // where, as Apache says it
	names   []string // in lower case
	wild    []*regexp.Regexp
	args    []string // of <VirtualHost>, which count as names, but after the names of others
}

// ServerFor returns what answers on a connection to an address of Apache's. host is the Host field in lower case, without port,
// brackets and a final dot; "" if there is none. It is what ap_update_vhost_given_ip and update_server_from_aliases do.
func (c *Config) ServerFor(local netip.AddrPort, host string) Server {
	g := c.groupFor(local)
	if g == nil {
		return c.mainServer.Server
	}
	if host != "" {
		for _, s := range g.servers {
			if slices.Contains(s.names, host) || slices.ContainsFunc(s.wild, func(re *regexp.Regexp) bool { return re.MatchString(host) }) {
				return s.Server
			}
		}
		for _, s := range g.servers {
			if slices.Contains(s.args, host) {
				return s.Server
			}
		}
	}
	return g.servers[0].Server
}

// groupFor returns the group of an address: one that names it goes before one of all, a port before any.
func (c *Config) groupFor(local netip.AddrPort) (best *group) {
	rank := 0
	for _, g := range c.vhosts {
		if g.addr.IsValid() && g.addr != local.Addr() || g.port != 0 && g.port != local.Port() || len(g.servers) == 0 {
			continue
		}
		r := 1
		if g.addr.IsValid() {
			r += 2
		}
		if g.port != 0 {
			r++
		}
		if r > rank {
			best, rank = g, r
		}
	}
	return best
}

var (
	vhostGroup = regexp.MustCompile(`^(\S+):(\d+|\*)\s+(?:is a NameVirtualHost|(\S+) \((.*)\))$`)
	vhostNamed = regexp.MustCompile(`^ +port (?:\d+|\*) namevhost (\S+) \((.*)\)$`)
	vhostFirst = regexp.MustCompile(`^ +default server (\S+) \((.*)\)$`)
	vhostAlias = regexp.MustCompile(`^ +(wild )?alias (.*)$`)
	unnamed    = regexp.MustCompile(`^AH00558: .*, using (\S+)\. Set `)
)

// parseVHosts reads what Apache prints for -D DUMP_VHOSTS, and which name it takes for lack of a ServerName outside of virtual hosts.
func parseVHosts(text []byte) (groups []*group, name string) {
	byPlace := map[string]*server{}
	of := func(name, defined string) *server {
		s := byPlace[defined]
		if s == nil {
			s = &server{Server: Server{Name: name, Port: 80}, defined: defined, names: []string{strings.ToLower(name)}}
			byPlace[defined] = s
		}
		return s
	}
	var g *group
	var last *server // whose aliases come
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if m := unnamed.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := vhostGroup.FindStringSubmatch(line); m != nil {
			g, last = &group{}, nil
			if m[1] != "*" {
				addr, err := netip.ParseAddr(strings.Trim(m[1], "[]"))
				if err != nil {
					g = nil // none of ours
					continue
				}
				g.addr = addr
			}
			port, _ := strconv.ParseUint(m[2], 10, 16) // "*" is 0
			g.port = uint16(port)
			if m[3] != "" {
				g.servers = []*server{of(m[3], m[4])}
			}
			groups = append(groups, g)
		} else if g == nil {
			continue
		} else if m := vhostFirst.FindStringSubmatch(line); m != nil {
			g.servers = []*server{of(m[1], m[2])}
		} else if m := vhostNamed.FindStringSubmatch(line); m != nil {
			if last = of(m[1], m[2]); !slices.Contains(g.servers, last) {
				g.servers = append(g.servers, last)
			}
		} else if m := vhostAlias.FindStringSubmatch(line); m != nil && last != nil {
			last.alias(strings.ToLower(m[2]), m[1] != "")
		}
	}
	return groups, name
}

func (s *server) alias(name string, wild bool) {
	if !wild {
		s.names = append(s.names, name)
	} else {
		s.wild = append(s.wild, regexp.MustCompile("^"+globbed(name, ".*")+"$"))
	}
}

// readServers completes what Apache has told of the virtual hosts by their directives.
func (c *Config) readServers(root *node, f facts) {
	c.vhosts = f.vhosts
	c.mainServer = &server{Server: Server{Name: f.name, Port: 80}}
	c.mainServer.configure(root.kids, 0, Server{})
	for _, n := range root.kids {
		if n.name != "<virtualhost" {
			continue
		}
		for _, g := range c.vhosts {
			for _, s := range g.servers {
				if s.defined != n.defined || s.args != nil {
					continue
				}
				port := c.mainServer.Port
				for _, a := range n.words() {
					host, p := splitAddress(a)
					if k, err := strconv.ParseUint(p, 10, 16); err == nil && k != 0 && s.args == nil {
						port = uint16(k) // of the first one
					}
					s.args = append(s.args, host)
				}
				s.configure(n.kids, port, c.mainServer.Server)
			}
		}
	}
}

// configure takes from the directives of a server what they say; port is the one without them.
func (s *server) configure(directives []*node, port uint16, inherited Server) {
	s.Canonical = inherited.Canonical
	if port != 0 {
		s.Port = port
	}
	for _, n := range directives {
		switch n.name {
		case "servername":
			s.Name, s.Port = serverName(n.word(0))
		case "usecanonicalname":
			s.Canonical = !strings.EqualFold(n.word(0), "off")
		}
	}
}

// serverName reads the argument of ServerName.
func serverName(arg string) (name string, port uint16) {
	port = 80
	if scheme, after, ok := strings.Cut(arg, "://"); ok {
		if arg = after; strings.EqualFold(scheme, "https") {
			port = 443
		}
	}
	name, text, _ := strings.Cut(arg, ":")
	if k, err := strconv.ParseUint(text, 10, 16); err == nil && k != 0 {
		port = uint16(k)
	}
	return name, port
}
