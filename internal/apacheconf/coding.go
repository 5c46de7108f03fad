package apacheconf

import "strings"

// asksCoding reports whether a directive looks at the text of the field Accept-Encoding. What then depends on it is not asked: a
// condition on the whole field may hold for one client and neither for one that accepts nothing nor for one that accepts everything. That the
// modules for compression look at it does not matter; they say so in Vary.
func asksCoding(n *node) bool {
	const field = "accept-encoding"
	args := strings.ToLower(n.args)
	if !strings.Contains(args, field) || harmless[n.name] {
		return false
	}
	if n.name != "header" {
		return true
	}
	// Most say something like "append Vary Accept-Encoding".
	for _, w := range n.words() {
		if w = strings.ToLower(w); strings.HasPrefix(w, "expr=") && strings.Contains(w, field) {
			return true
		}
	}
	return false
}

// codingDependence notes that answers within s depend on the text of Accept-Encoding because of n.
func (j *judge) codingDependence(n *node, s Scope) {
	s.Why, s.At = n.directive(), n.at
	j.Codings = append(j.Codings, &s)
}

// Coding returns why the answer to a request may depend on the text of its Accept-Encoding field, and not only on which codings that
// names, or "". The arguments are those of Private.
func (c *Config) Coding(host, p, file string) string {
	return firstOf(c.Codings, c.place(host, p, file))
}

// firstOf returns the first of the scopes that a request is in, for people; "" if there is none.
func firstOf(scopes []*Scope, w *where) string {
	for _, s := range scopes {
		if s.match(w) {
			return s.reason()
		}
	}
	return ""
}

func (s *Scope) reason() string { return s.Why + " (" + s.At.String() + ")" }
