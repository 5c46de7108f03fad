package apacheconf

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options say which Apache is meant.
type Options struct {
	// Command is a command line to which Apache's options can be added, such as "apache2ctl". Empty: the program, arguments
	// and environment of the process that listens on Port; if nobody does, apache2ctl or httpd, whichever there is.
	Command string
	// Port is where Apache listens, Served where clients think that it does.
	Port, Served uint16
}

// Config is what is known of a configuration. It does not change.
type Config struct {
	// Server is the command that told it.
	Server string
	// Hosts are the virtual hosts that answer on the served port. Main is what is outside of them.
	Hosts []*Host
	// Scopes are where answers depend on the client, in the order of the configuration.
	Scopes []*Scope
	// Codings are where answers depend on the text of Accept-Encoding.
	Codings []*Scope
	// Agents are the clients that Apache treats in a way of their own, by User-Agent.
	Agents []Agent
	// AccessFiles are the names of files like .htaccess.
	AccessFiles []string
	// PidFile is written anew when Apache reads its configuration again. Files are what it reads then.
	PidFile string
	Files   []string

	vhosts     []*group
	mainServer *server

	main     *Host
	groups   []string // of addresses, in <VirtualHost>
	anyGroup bool     // one of the groups is of all addresses
	indexes  []string // of DirectoryIndex
	env      variables
	maps     map[string]bool // RewriteMaps that are more than a function of the text
}

// Unknown is a configuration of which nothing is known. It can still judge access files.
func Unknown() *Config {
	return newConfig("", &node{}, facts{}, nil, Options{})
}

// Main returns what is outside of all virtual hosts. It answers if there are none for an address.
func (c *Config) Main() *Host { return c.main }

// Answering returns the hosts that may answer: the virtual ones, and the main server if an address is left to it.
func (c *Config) Answering() []*Host {
	if c.anyGroup {
		return c.Hosts
	}
	return append(slices.Clone(c.Hosts), c.main)
}

// Mapped returns the mappings of all hosts, each once, the most general ones first.
func (c *Config) Mapped() (all []Mapping) {
	for _, h := range c.Answering() {
		for _, m := range h.Mappings {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Mapping) int { return len(a.Prefix) - len(b.Prefix) })
	return all
}

// Indexes returns the names of files that stand for their directory, as far as they are the same in all of them.
func (c *Config) Indexes() (names []string) {
	for _, name := range c.indexes {
		if !strings.Contains(name, "/") && name != "disabled" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Roots returns the directories of all mappings, each once.
func (c *Config) Roots() (dirs []string) {
	for _, m := range c.Mapped() {
		if !slices.Contains(dirs, m.Dir) {
			dirs = append(dirs, m.Dir)
		}
	}
	return dirs
}

// readTimeout is how long Apache may take to read its configuration; more than it may take to restart, for most.
const readTimeout = 20 * time.Second

// Read finds Apache, has it print its configuration, and judges it.
func Read(ctx context.Context, opts Options) (*Config, error) {
	cmd, err := find(opts)
	if err != nil {
		return nil, err
	}
	return cmd.read(ctx, opts)
}

func (c *command) read(ctx context.Context, opts Options) (*Config, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	printed, remarks, err := c.run(ctx, "-t", "-D", "DUMP_VHOSTS", "-D", "DUMP_RUN_CFG", "-D", "DUMP_MODULES", "-D", "DUMP_INCLUDES")
	if err != nil {
		return nil, err
	}
	f := parseFacts(printed)
	f.vhosts, f.name = parseVHosts(append(printed, remarks...))
	return c.readTree(ctx, f, opts)
}

func (c *command) readTree(ctx context.Context, f facts, opts Options) (*Config, error) {
	args := []string{"-t", "-D", "DUMP_CONFIG"}
	if !slices.Contains(f.modules, "info_module") {
		args = append(args, "-c", "LoadModule info_module "+strconv.Quote(c.modulePath("mod_info.so")))
	}
	dump, _, err := c.run(ctx, args...)
	if err != nil {
		return nil, err
	}
	root, files, err := parseDump(bytes.NewReader(dump))
	if err != nil {
		return nil, fmt.Errorf("understand what %q has printed: %w", c, err)
	}
	if len(root.kids) == 0 {
		return nil, fmt.Errorf("%q has printed no configuration: is its module mod_info.so missing?", c)
	}
	return newConfig(c.String(), root, f, append(files, f.files...), opts), nil
}

func newConfig(server string, root *node, f facts, files []string, opts Options) *Config {
	c := &Config{
		Server: server, PidFile: f.pidFile,
		AccessFiles: []string{".htaccess"}, env: variables{}, maps: map[string]bool{},
	}
	slices.Sort(files)
	c.Files = slices.Compact(files)
	for _, n := range root.kids {
		if n.name == "accessfilename" {
			c.AccessFiles = n.words()
		}
	}
	root.each(func(n *node) {
		switch {
		case n.name == "directoryindex":
			c.indexes = append(c.indexes, n.words()...)
		case n.name == "rewritemap" && !strings.HasPrefix(strings.ToLower(n.word(1)), "int:"):
			c.maps[n.word(0)] = true
		}
		c.env.collect(n)
	})
	if len(c.indexes) == 0 {
		c.indexes = []string{"index.html"}
	}
	hosts := c.readHosts(root, []string{strconv.Itoa(int(opts.Port)), strconv.Itoa(int(opts.Served))})
	c.readServers(root, f)
	j := judge{Config: c, hosts: hosts}
	j.modules(f.modules)
	j.walk(root, Scope{})
	return c
}

// facts are what Apache prints about itself.
type facts struct {
	vhosts  []*group
	name    string // that Apache takes for lack of a ServerName
	pidFile string
	modules []string
	files   []string
}

func parseFacts(text []byte) (f facts) {
	inModules, serverRoot := false, ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		word := strings.Fields(line)
		if !strings.HasPrefix(line, " ") {
			inModules = strings.HasPrefix(line, "Loaded Modules:")
		}
		switch {
		case strings.HasPrefix(line, "PidFile:"):
			f.pidFile = strings.Trim(strings.TrimSpace(strings.TrimPrefix(line, "PidFile:")), `"`)
		case strings.HasPrefix(line, "ServerRoot:"):
			serverRoot = strings.Trim(strings.TrimSpace(strings.TrimPrefix(line, "ServerRoot:")), `"`)
		case inModules && len(word) == 2 && strings.HasPrefix(line, " "):
			f.modules = append(f.modules, word[0])
		case strings.HasPrefix(line, "  ") && strings.Contains(line, ") /"): // "    (146) /etc/apache2/…"
			_, name, _ := strings.Cut(line, ") ")
			f.files = append(f.files, name)
		}
	}
	if f.pidFile != "" && !filepath.IsAbs(f.pidFile) {
		f.pidFile = filepath.Join(serverRoot, f.pidFile)
	}
	return f
}
