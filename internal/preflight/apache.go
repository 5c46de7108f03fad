package preflight

import (
	"fmt"
	"os"
	"strings"

	"github.com/xhttpd/xhttpd/internal/apacheconf"
)

// Apache is what is known of the server behind.
type Apache struct {
	Config *apacheconf.Config
	Err    error // why it is not known
}

const toSay = "Name a command that prints Apache's configuration by --apache-command; or say by --root which directories are served, and by --private for which paths Apache shall answer."

func checkApache(m *machine) []Result {
	switch a := m.apache; {
	case a == nil: // the builtin server
		return nil
	case a.Err != nil && len(m.cfg.Roots) == 0:
		return result(Fail, "Apache's configuration: "+a.Err.Error(), "It is not known which directories are served.", toSay)
	case a.Err != nil:
		return result(Warn, "Apache's configuration: "+a.Err.Error(),
			"It is not known which answers depend on the client: an answer that a stranger gets is taken for everybody's. Nor is it seen when Apache reads its configuration again.", toSay)
	}
	c := m.apache.Config
	all := ok("configuration of %s: %d files, %s", c.Server, len(c.Files), hostNames(c))
	if newer := newerFiles(c); len(newer) > 0 {
		all = append(all, result(Warn, "changed since Apache has read them: "+strings.Join(newer, ", "),
			"What they say now is not what Apache does.", "apache2ctl graceful")...)
	}
	return all
}

func hostNames(c *apacheconf.Config) string {
	var names []string
	for _, h := range c.Answering() {
		if len(h.Names) > 0 {
			names = append(names, h.Names[0])
		} else {
			names = append(names, "a host without a name")
		}
	}
	return "hosts: " + strings.Join(names, ", ")
}

// newerFiles returns the files that were changed after Apache has noted its process, which it does when it has read them.
func newerFiles(c *apacheconf.Config) (newer []string) {
	noted, err := os.Stat(c.PidFile)
	if err != nil {
		return nil // it does not run, or somewhere else
	}
	for _, name := range c.Files {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(noted.ModTime()) {
			newer = append(newer, name)
		}
	}
	return newer
}

// checkScopes lists where answers depend on the client.
func checkScopes(m *machine) (all []Result) {
	for _, p := range m.cfg.Private {
		all = append(all, Result{Level: OK, Found: p.String() + ": --private", Means: "The server behind answers there."})
	}
	for _, p := range m.cfg.Public {
		all = append(all, Result{Level: OK, Found: p.String() + ": --public", Means: "The same for all clients, whatever is said below."})
	}
	if m.apache == nil || m.apache.Config == nil {
		return all
	}
	for _, s := range m.apache.Config.Scopes {
		r := Result{Level: OK, Found: fmt.Sprintf("%s: %s (%s)", s, s.Why, s.At), Means: "Answers depend on the client: Apache gives them."}
		if s.Doubt {
			r.Level, r.Means, r.Do = Warn, "Answers may depend on the client: Apache gives them.", "If they don't, say so by --public."
		}
		if s.Everything() {
			r.Level, r.Means = Warn, "Answers to all requests may depend on the client: Apache gives them, and xhttpd is of no use."
			r.Do = "Narrow it to where it is needed; or say by --public for which paths it does not matter."
		}
		all = append(all, r)
	}
	for _, s := range m.apache.Config.Codings {
		all = append(all, Result{Level: OK, Found: fmt.Sprintf("%s: %s (%s)", s, s.Why, s.At), Means: "A file is held for each Accept-Encoding by itself."})
	}
	for _, a := range m.apache.Config.Agents {
		all = append(all, Result{Level: OK, Found: fmt.Sprintf("clients whose User-Agent contains %q: %s (%s)", a.Contains, a.Why, a.At), Means: "Apache answers them."})
	}
	return all
}
