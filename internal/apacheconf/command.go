package apacheconf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// command is how Apache is asked about its configuration.
type command struct {
	path    string
	args    []string // before those of the question
	env     []string // nil: ours
	user    *syscall.Credential
	modules string // directory of its modules, "" if unknown
}

func (c *command) String() string { return strings.Join(append([]string{c.path}, c.args...), " ") }

// find returns the command of the Apache that is meant.
func find(opts Options) (*command, error) {
	if opts.Command != "" {
		words := (&node{args: opts.Command}).words()
		path, err := exec.LookPath(words[0])
		if err != nil {
			return nil, fmt.Errorf("find Apache's command: %w", err)
		}
		return &command{path: path, args: words[1:]}, nil
	}
	p, err := Listening(opts.Port)
	if err == nil {
		return p.command()
	}
	if !errors.Is(err, ErrNobody) {
		return nil, err
	}
	for _, name := range []string{"apache2ctl", "httpd", "apachectl"} {
		if path, err := exec.LookPath(name); err == nil {
			return &command{path: path}, nil
		}
	}
	return nil, fmt.Errorf("nobody listens on port %d, and there is no apache2ctl, httpd or apachectl in PATH", opts.Port)
}

// command returns how to ask a process's program with the options, the environment and the rights of the process: what it
// is told to load must not get more rights from us than it has.
func (p *Process) command() (*command, error) {
	if name := filepath.Base(p.Program); !slices.Contains([]string{"apache2", "httpd"}, name) {
		return nil, fmt.Errorf("process %d, which listens, is %s, not Apache", p.PID, p.Program)
	}
	args, err := p.read("cmdline")
	if err != nil {
		return nil, err
	}
	env, err := p.read("environ")
	if err != nil {
		return nil, err
	}
	c := &command{path: p.Program, args: configArgs(args), env: env, modules: p.modules()}
	if p.UID != uint32(os.Geteuid()) {
		c.user = &syscall.Credential{Uid: p.UID, Gid: p.GID}
	}
	return c, nil
}

// configArgs returns those of a command line's arguments that say which configuration is meant.
func configArgs(args []string) (kept []string) {
	for k := 1; k < len(args); k++ {
		a := args[k]
		if len(a) < 2 || a[0] != '-' || !strings.Contains("dfDCc", a[1:2]) {
			continue
		}
		value := a[2:]
		if value == "" && k+1 < len(args) {
			k++
			value = args[k]
		}
		kept = append(kept, a[:2], value)
	}
	return kept
}

// run asks Apache, and returns what it has printed, and what it has remarked.
func (c *command) run(ctx context.Context, question ...string) (printed, remarks []byte, _ error) {
	cmd := exec.CommandContext(ctx, c.path, append(slices.Clone(c.args), question...)...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = c.env, "/", time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	if err := cmd.Run(); err != nil {
		return nil, nil, fmt.Errorf("have %q print its configuration: %w: %s", c, err, complaint(complained.String()))
	}
	return said.Bytes(), complained.Bytes(), nil
}

// complaint returns what Apache has said is wrong, without its remarks about names and directories.
func complaint(text string) string {
	var kept []string
	for l := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if !strings.HasPrefix(l, "AH00558") && !strings.HasPrefix(l, "AH00112") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, " ")
}

// modulePath returns where a module is, as well as can be told.
func (c *command) modulePath(name string) string {
	for _, dir := range []string{c.modules, "/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules", "/usr/local/apache2/modules"} {
		if dir == "" {
			continue
		}
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return "modules/" + name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
