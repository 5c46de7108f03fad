package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asCommand makes the test's binary behave as the daemon's, so that tests can run it as a process.
const asCommand = "XHTTPD_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// xhttpd returns how to run the command.
func xhttpd(t *testing.T) (path string, env []string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path, append(os.Environ(), asCommand+"=1")
}

// exitCode returns a process's exit code, given what Run or Wait returned.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func TestExitCodes(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		name, args     string
		code           int
		stdout, stderr string // parts of it
	}{
		{"nothing", "", 0, "Usage: xhttpd <command>", ""},
		{"help", "--help", 0, "Exit codes: 0 all went well", ""},
		{"help of run", "run --help", 0, "--cache-size=256MiB", ""},
		{"help of check", "check --help", 0, "--json", ""},
		{"help of version", "version --help", 0, "Usage: xhttpd version", ""},
		{"version", "version", 0, "\nLinux ", ""},
		{"no such command", "serve", 2, "", "unexpected argument serve"},
		{"no such flag", "run --fast", 2, "", "unknown flag --fast"},
		{"no interface", "run --root .", 2, "", "--interface is empty"},
		{"empty root", "run -i lo --root=", 2, "", "--root is empty"},
		{"no root, builtin", "run -i lo --backend builtin", 2, "", "the builtin server serves one directory"},
		{"private and public", "run -i lo --private /a --public /a", 2, "", "it can't be both"},
		{"prefix", "run -i lo --private http://a/b", 2, "", "is not a prefix"},
		{"prefix of a query", "run -i lo --query-ignored a.test/b", 2, "", "without a host"},
		{"no such file", "run --config /nowhere/at/all", 2, "", "/nowhere/at/all"},
		{"no such command of Apache", "run -i lo --apache-command no-such-program", 1, "", "--apache-command"},
		{"nothing to purge", "purge", 2, "", "give URLs, or --all"},
		{"too much to purge", "purge --all /a", 2, "", "give URLs, or --all"},
		{"not a URL", "purge a.png", 2, "", "is not a URL that is served here"},
		{"URL of another protocol", "purge https://a/b", 2, "", "is not a URL that is served here"},
		{"no daemon", "purge --admin 127.0.0.1:1 /a", 1, "", "no daemon answers"},
		{"port 0", "run -i lo --root . --port 0", 2, "", "--port 0: give one from 1 to 65535"},
		{"port too large", "run -i lo --root . --port 65536", 2, "", "--port"},
		{"admin for all", "run -i lo --root . --admin 0.0.0.0:9180", 2, "", "can be reached by others"},
		{"backend", "run -i lo --root . --backend example.org:80", 2, "", "names are not looked up"},
		{"ignore", "check -i lo --ignore fire", 2, "", "there are only the checks kernel,"},
		{"no such interface", "run -i xhttpd-none --root " + root, 1, "", "There is nothing to receive from"},
		{"no such interface, check", "check -i xhttpd-none", 1, `interface "xhttpd-none"`, ""},
		{"no such root", "run -i lo --root " + root + "/none", 1, "", "There is nothing to serve"},
		{"root is a file", "check -i lo --root /proc/version", 1, "is not a directory", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, env := xhttpd(t)
			cmd := exec.Command(path, strings.Fields(c.args)...)
			cmd.Env = env
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			code := exitCode(t, cmd.Run())
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("exit code %d, want %d\nstdout, with %q:\n%s\nstderr, with %q:\n%s", code, c.code, c.stdout, &stdout, c.stderr, &stderr)
			}
			if c.code == 2 && !strings.Contains(stderr.String(), "see xhttpd --help") {
				t.Errorf("stderr does not say where help is:\n%s", &stderr)
			}
		})
	}
}
