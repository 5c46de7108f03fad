package filecache

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Site is what is known of the sites. It may become different while the cache is used: see SetSite.
type Site struct {
	// Roots are the directories that request targets are below, those of all sites. Which one belongs to which host shows by
	// what the server behind answers. Required.
	Roots []Root
	// Hosts are the names of the sites, in lower case. Their number does not count against the bound for names that clients invent.
	Hosts []string
	// Index are the names of files that stand for their directory. Default "index.html".
	Index []string
	// Agents are the clients to whom the server behind speaks in a way of its own. Default those of Debian's configuration of Apache.
	Agents []Agent
	// Private, if not nil, returns why an answer may depend on who asks, or "". host has no port, and is "" if there is no Host
	// field; path is decoded; file is what would be sent. Such an answer is left to the server behind. Any goroutine may
	// call it.
	Private func(host, path, file string) (why string)
	// Coding, if not nil, returns why an answer may depend on the text of Accept-Encoding in a way that two questions can't tell, or "". Such
	// an answer is for one Accept-Encoding only. It is called as Private is.
	Coding func(host, path, file string) (why string)
	// AccessFiles are the names of the files by which a directory has rules of its own. Default ".htaccess".
	AccessFiles []string
	// AccessFile, if not nil, returns why such a file makes answers depend on who asks, and why on the text of Accept-Encoding, or "". Any
	// goroutine may call it.
	AccessFile func(name string, content []byte) (client, coding string)
}

// Root is a directory, and the beginning of the paths of what is in it: "/", or another one that ends in '/' or not.
type Root struct{ Prefix, Dir string }

// under returns what of a path is below the prefix, beginning with '/'.
func (r *Root) under(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, strings.TrimSuffix(r.Prefix, "/"))
	return rest, ok && strings.HasPrefix(rest, "/")
}

func (s *Site) setDefaults() {
	if s.Index == nil {
		s.Index = []string{"index.html"}
	}
	if s.Agents == nil {
		for _, text := range []string{"Mozilla/2", "MSIE 4.0b2;", "RealPlayer 4.0", "Java/1.0", "JDK/1.0"} {
			s.Agents = append(s.Agents, Agent{Text: text})
		}
	}
	if s.AccessFiles == nil {
		s.AccessFiles = []string{".htaccess"}
	}
}

// SetSite begins anew with an empty cache, for sites that may have become others. If a root can't be opened, everything stays
// as it was.
func (c *Cache) SetSite(site Site) error {
	site.setDefaults()
	var roots []*root
	for _, r := range site.Roots {
		opened, err := openRoot(r, site.AccessFiles)
		if err != nil {
			for _, o := range roots {
				o.dir.Close() //nolint:errcheck // only read
			}
			return err
		}
		opened.strict = c.opts.Backend == nil
		roots = append(roots, opened)
	}
	sites := map[string]bool{}
	for _, name := range site.Hosts {
		sites[name] = true
	}
	c.agents.Store(newAgents(site.Agents))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropAll() // what is being filled is dropped, too, or not inserted: it was begun for another Site
	c.site, c.roots, c.sites = &site, roots, sites
	return nil
}

// judge asks what is known of the sites about the ways to what was asked for: why it is refused, and why it can't be for every
// Accept-Encoding.
func (s *Site) judge(q *question, ways []way) (_ Refusal, why, coding string) {
	host := ""
	if q.host != absentField {
		host = q.site()
	}
	for k := range ways {
		w := &ways[k]
		if s.Private != nil {
			if why := s.Private(host, w.path, filepath.Join(w.root.Dir, w.name)); why != "" {
				return Private, why, ""
			}
		}
		if s.Coding != nil && coding == "" {
			coding = s.Coding(host, w.path, filepath.Join(w.root.Dir, w.name))
		}
		if s.AccessFile == nil {
			continue
		}
		for _, name := range append(w.root.higher[:len(w.root.higher):len(w.root.higher)], w.access...) {
			content, ok := readSmall(name)
			if !ok {
				return Htaccess, name + " can't be read", ""
			}
			client, text := s.AccessFile(name, content)
			if client != "" {
				return Htaccess, client, ""
			}
			coding = cmp.Or(coding, text)
		}
	}
	return Taken, "", coding
}

// maxAccessFile is how large an access file may be, octets.
const maxAccessFile = 1 << 20

func readSmall(name string) ([]byte, bool) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, false
	}
	defer f.Close() //nolint:errcheck // only read
	content, err := io.ReadAll(io.LimitReader(f, maxAccessFile+1))
	return content, err == nil && len(content) <= maxAccessFile
}
