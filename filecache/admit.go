package filecache

import "strings"

// What clients can name without end is bounded. Objects that nobody asks for are given up after a while (watch.go), so that names
// that somebody invented do not stay.
const (
	maxHosts     = 64 // Host fields besides Site.Hosts
	maxCodings   = 32 // Accept-Encoding fields
	maxSpellings = 16 // targets of one file
)

// admit decides what can be decided without looking at files, and returns the path that is meant.
func (c *Cache) admit(q *question) (path string, _ Refusal) {
	path, ok := decode(q.target)
	if !ok {
		return "", Missing
	}
	for _, s := range c.opts.Dynamic {
		if s != "" && (strings.Contains(q.target, s) || strings.Contains(path, s)) {
			return "", Dynamic
		}
	}
	return path, Taken
}

// names counts in how many ways the objects that are held, or are being proven, were asked for.
type names struct {
	hosts, codings map[string]int
	spellings      map[string]map[string]int // by file, then target
}

func newNames() names {
	return names{map[string]int{}, map[string]int{}, map[string]map[string]int{}}
}

// bounded judges a further object of file.
func (c *Cache) bounded(q *question, file string) Refusal {
	n := &c.named
	switch spellings := n.spellings[file]; {
	case n.hosts[q.host] == 0 && len(n.hosts) >= maxHosts+len(c.sites) && !c.sites[q.site()]:
		return TooManyHosts
	case q.coding != anyCoding && n.codings[q.coding] == 0 && len(n.codings) >= maxCodings:
		return TooManyCodings
	case spellings[q.target] == 0 && len(spellings) >= maxSpellings:
		return TooManySpellings
	}
	return Taken
}

// count adds by to what o is counted for.
func (n *names) count(q *question, file string, by int) {
	add(n.hosts, q.host, by)
	if q.coding != anyCoding {
		add(n.codings, q.coding, by)
	}
	if n.spellings[file] == nil {
		n.spellings[file] = map[string]int{}
	}
	if add(n.spellings[file], q.target, by); len(n.spellings[file]) == 0 {
		delete(n.spellings, file)
	}
}

func add(m map[string]int, key string, by int) {
	if m[key] += by; m[key] <= 0 {
		delete(m, key)
	}
}
