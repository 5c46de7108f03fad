package config

import (
	"fmt"
	"net/url"
	"strings"
)

// Sites are the settings that say what is served. All of them may be left out: then Apache's configuration says it.
type Sites struct {
	Roots         []string `name:"root" placeholder:"DIR" sep:"none" help:"Directory of static files that the server behind serves; may be repeated. Without it, those that Apache's configuration names. With '--backend builtin', there must be one."`
	Private       []Prefix `placeholder:"[HOST]/PATH" sep:"none" help:"Requests for what begins so are the server's behind; may be repeated. The longest prefix of --private and --public counts, and both count more than what Apache's configuration says."`
	Public        []Prefix `placeholder:"[HOST]/PATH" sep:"none" help:"Answers to requests for what begins so are the same for all clients that Apache gives the file to at all, although its configuration looks otherwise; may be repeated."`
	ApacheCommand string   `placeholder:"COMMAND" help:"Command that prints Apache's configuration when options such as '-t -D DUMP_CONFIG' are added, like apache2ctl or '/usr/sbin/httpd -f /etc/my.conf'. Without it, the program that listens, with its own options and environment. Nothing is changed by it."`
}

func (s *Sites) validate() error {
	for _, dir := range s.Roots {
		if dir == "" {
			return fmt.Errorf("--root is empty: give a directory of static files, or leave it out")
		}
	}
	for _, private := range s.Private {
		for _, public := range s.Public {
			if private == public {
				return fmt.Errorf("--private %s and --public %s: it can't be both", private, public)
			}
		}
	}
	return nil
}

// Judge returns which of the prefixes counts for a request: the longest one, of those that are as long one that names the
// host. If none does, known is false.
func (s *Sites) Judge(host, path string) (p Prefix, private, known bool) {
	longer := func(q Prefix) bool {
		return q.match(host, path) && (!known || len(q.Path) > len(p.Path) || len(q.Path) == len(p.Path) && p.Host == "")
	}
	for _, q := range s.Private {
		if longer(q) {
			p, private, known = q, true, true
		}
	}
	for _, q := range s.Public {
		if longer(q) {
			p, private, known = q, false, true
		}
	}
	return p, private, known
}

// Prefix is the beginning of decoded paths, of one host or of any.
type Prefix struct {
	Host string // in lower case, without port; "": any
	Path string // begins with '/'
}

// UnmarshalText reads [HOST]/PATH.
func (p *Prefix) UnmarshalText(text []byte) error {
	s := string(text)
	k := strings.IndexByte(s, '/')
	if strings.Contains(s, "://") || k < 0 {
		return fmt.Errorf("%q is not a prefix: write it like /members/ or www.example.org/members/", s)
	}
	path, err := url.PathUnescape(s[k:])
	if err != nil {
		return fmt.Errorf("%q is not a prefix: %w", s, err)
	}
	if strings.ContainsAny(s[:k], ":*? ") {
		return fmt.Errorf("%q: the host is a name without port and without patterns", s)
	}
	*p = Prefix{strings.ToLower(s[:k]), path}
	return nil
}

// String returns the prefix as it can be written.
func (p Prefix) String() string { return p.Host + p.Path }

// match reports whether a request for path at host, without its port, begins so. A whole component ends where the prefix
// does, or the prefix ends in '/'.
func (p Prefix) match(host, path string) bool {
	if p.Host != "" && !strings.EqualFold(p.Host, host) {
		return false
	}
	rest, ok := strings.CutPrefix(path, p.Path)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(p.Path, "/"))
}
