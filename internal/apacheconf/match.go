package apacheconf

import (
	"path"
	"regexp"
	"strings"
)

// pattern says which texts are meant. The zero value: all.
type pattern struct {
	prefix string
	whole  bool // the prefix ends where a component of the path does
	re     *regexp.Regexp
}

func (p pattern) match(s string) bool {
	if !strings.HasPrefix(s, p.prefix) {
		return false
	}
	if p.whole && len(s) > len(p.prefix) && !strings.HasSuffix(p.prefix, "/") && s[len(p.prefix)] != '/' {
		return false
	}
	return p.re == nil || p.re.MatchString(s)
}

func (p pattern) String() string {
	if p.re != nil {
		return "~" + p.re.String()
	}
	return p.prefix
}

// Scope is a part of the site in which answers depend on the client, or may.
type Scope struct {
	host  *Host     // nil: any
	dirs  []pattern // of the file's path
	urls  []pattern // of the decoded path of the request
	names []pattern // of the file's last component
	// Why is the directive, and what it means if that is not obvious.
	Why string
	At  Place
	// Doubt: it may depend on the client; nobody knows.
	Doubt bool
}

// where is what a request means to Apache's configuration.
type where struct {
	hosts []*Host
	path  string
	files []string // that the path may lead to
	names []string
}

func (s *Scope) match(w *where) bool {
	if s.host != nil {
		found := false
		for _, h := range w.hosts {
			found = found || h == s.host
		}
		if !found {
			return false
		}
	}
	for _, p := range s.urls {
		if !p.match(w.path) {
			return false
		}
	}
	return anyMatch(s.names, w.names) && anyDirMatch(s.dirs, w.files)
}

// anyMatch reports whether one of the texts fits all patterns.
func anyMatch(patterns []pattern, texts []string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, t := range texts {
		fits := true
		for _, p := range patterns {
			fits = fits && p.match(t)
		}
		if fits {
			return true
		}
	}
	return false
}

// anyDirMatch reports whether all patterns fit one of the files, or a directory that it is in.
func anyDirMatch(patterns []pattern, files []string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, f := range files {
		fits := true
		for _, p := range patterns {
			fits = fits && dirMatch(p, f)
		}
		if fits {
			return true
		}
	}
	return false
}

func dirMatch(p pattern, file string) bool {
	if p.re == nil {
		return p.match(file)
	}
	// Apache matches each directory on the way, with and without a slash behind, as versions differ.
	for dir := file; ; dir = path.Dir(dir) {
		if p.match(dir) || p.match(dir+"/") {
			return true
		}
		if dir == "/" || dir == "." {
			return false
		}
	}
}

// Private returns why the answer to a request may depend on the client, or "". host is the Host field without its port, ""
// if there is none; p is the decoded path. file is the path of the file that would be sent, "" if unknown.
func (c *Config) Private(host, p, file string) string {
	return firstOf(c.Scopes, c.place(host, p, file))
}

func (c *Config) place(host, p, file string) *where {
	w := &where{hosts: c.candidates(host), path: path.Clean("/" + p)}
	if strings.HasSuffix(p, "/") && w.path != "/" {
		w.path += "/"
	}
	if file != "" {
		w.files = append(w.files, file)
	}
	for _, h := range w.hosts {
		for _, m := range h.Mappings {
			if rest, ok := m.under(w.path); ok {
				w.files = append(w.files, path.Join(m.Dir, rest))
			}
		}
	}
	for _, f := range w.files {
		w.names = append(w.names, path.Base(f))
	}
	if file == "" && strings.HasSuffix(w.path, "/") {
		w.names = c.indexes
	}
	return w
}

// Everything reports whether it covers all requests.
func (s *Scope) Everything() bool { return s.host == nil && len(s.dirs)+len(s.urls)+len(s.names) == 0 }

// String returns what the scope covers.
func (s *Scope) String() string {
	var b strings.Builder
	if s.host != nil && len(s.host.Names) > 0 {
		b.WriteString(s.host.Names[0])
	}
	for _, p := range s.urls {
		b.WriteString(p.String())
	}
	if len(s.urls) == 0 {
		b.WriteString("/")
	}
	for _, p := range s.dirs {
		b.WriteString(" in directory " + p.String())
	}
	for _, p := range s.names {
		b.WriteString(" for files " + p.String())
	}
	return b.String()
}
