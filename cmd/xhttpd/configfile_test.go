package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parse returns the settings of a command line and a file.
func parse(t *testing.T, text string, args ...string) (*cli, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "xhttpd.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := kong.New(&c, kong.Configuration(loadConfig), kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(&streams{}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append(args, "--config", file))
	return &c, err
}

func TestConfigFile(t *testing.T) {
	const text = `
# a comment
interface = "lo"
port = 8080
address = ["192.0.2.1", "2001:db8::1"]
root = ["/srv/a", "/srv/b,c"]
private = ["/members", "www.example.org/x"]
public = "/members/logo"
cache-size = "64MiB"
keepalive-timeout = "7s"
log-level = "debug"
dynamic = ["cgi", "a,b"]
ignore = "mtu"
`
	c, err := parse(t, text, "run", "--port", "81")
	if err != nil {
		t.Fatal(err)
	}
	r := &c.Run
	got := fmt.Sprint(r.Interface, r.Port, r.Addresses, strings.Join(r.Roots, "|"), r.Private, r.Public, r.CacheSize, r.KeepAliveTimeout, r.LogLevel,
		strings.Join(r.Dynamic, "|"), r.Ignore, r.MaxConnections)
	want := fmt.Sprint("lo", 81, "[192.0.2.1 2001:db8::1]", "/srv/a|/srv/b,c", "[/members www.example.org/x]", "[/members/logo]", "64MiB", 7*time.Second, "DEBUG",
		"cgi|a,b", "[mtu]", 65536)
	if strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(want), "") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// The same file is good for all commands: what is not theirs is left.
	if c, err = parse(t, text, "check"); err != nil || c.Check.Port != 8080 || len(c.Check.Roots) != 2 {
		t.Errorf("check: %v, %+v", err, c.Check)
	}
	if c, err = parse(t, "interface = \"lo\"\nadmin = \"127.0.0.1:99\"", "purge", "--all"); err != nil || c.Purge.Admin.Port() != 99 {
		t.Errorf("purge: %v, %+v", err, c.Purge)
	}
}

func TestConfigFileErrors(t *testing.T) {
	for text, says := range map[string]string{
		"interface = \"lo\"\nfast = true":                           `no setting "fast"`,
		"interface = \"lo\"\nconfig = \"x\"":                        `no setting "config"`,
		"interface = \"lo\"\n[run]\nport = 1":                       `no setting "run"`,
		"interface = \"lo\"\nport = \"http\"":                       "port",
		"interface = \"lo\"\nport = [80, 81]":                       "port: give one value, not a list",
		"interface = \"lo\"\nport = 1999-01-01":                     "port: 1999-01-01 is neither a text",
		"interface = \"lo\"\nport = ":                               "line 2, column",
		"interface = \"lo\"\nprivate = [\"members\"]":               `"members" is not a prefix`,
		"interface = \"lo\"\nprivate = [1]":                         "private: 1 is not a text",
		"interface = \"lo\"\naddress = [\"example.org\"]":           "example.org",
		"interface = \"lo\"\nmode = \"fast\"":                       "mode",
		"interface = \"lo\"\nmax-connections = 0":                   "--max-connections 0",
		"interface = \"lo\"\nprivate = [\"/a\"]\npublic = [\"/a\"]": "it can't be both",
	} {
		if _, err := parse(t, text, "run"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s\n%v, want one that says %q", text, err, says)
		}
	}
	std := &streams{new(bytes.Buffer), new(bytes.Buffer)}
	file := filepath.Join(t.TempDir(), "xhttpd.toml")
	if err := os.WriteFile(file, []byte("fast = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := execute(t.Context(), []string{"run", "--config", file}, std); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
