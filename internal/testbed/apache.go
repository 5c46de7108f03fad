package testbed

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// site is what the tests add to Debian's configuration: a CGI script, and the document root.
const site = `ServerName test
ScriptSock %[1]s/run/cgid.sock
ScriptAlias /cgi-bin/ %[1]s/cgi-bin/
<Directory %[1]s/cgi-bin>
	Require all granted
</Directory>
<Directory %[2]s>
	Options Indexes FollowSymLinks
	AllowOverride All
	Require all granted
</Directory>
`

// script says who the client is, and what the body was.
const script = `#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "client $REMOTE_ADDR $REMOTE_PORT"
[ "$REQUEST_METHOD" != POST ] || sha256sum
`

// StartApache starts a private Apache with a copy of Debian's stock configuration.
func (b *Bed) StartApache() {
	b.Helper()
	binary := nstest.RequireTool(b.TB, "apache2", "apache2")
	conf := filepath.Join(b.Dir, "conf")
	if _, err := os.Stat(conf); err != nil {
		b.configureApache(conf)
	}
	cmd := b.command(binary, "-d", conf, "-f", "apache2.conf", "-DFOREGROUND")
	cmd.Env = append(os.Environ(), "LANG=C", "APACHE_RUN_USER=www-data", "APACHE_RUN_GROUP=www-data", "APACHE_CONFDIR="+conf,
		"APACHE_PID_FILE="+b.Dir+"/run/pid", "APACHE_RUN_DIR="+b.Dir+"/run", "APACHE_LOCK_DIR="+b.Dir+"/lock", "APACHE_LOG_DIR="+b.Dir+"/log", "TESTBED="+b.Dir)
	cmd.Stderr = b.log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // a killed one would leave its children
	b.Server.Start(cmd)
	b.apache = cmd
	b.Cleanup(b.StopApache) // kindly, before it is killed: it has children
	b.Until("Apache answers", func() bool { return b.probe() == nil })
}

func (b *Bed) configureApache(conf string) {
	b.Helper()
	b.must(exec.Command("cp", "-a", "/etc/apache2", conf).Run())
	for _, dir := range []string{"run", "lock", "log", "cgi-bin"} {
		b.must(os.MkdirAll(filepath.Join(b.Dir, dir), 0o755))
	}
	b.replace(filepath.Join(conf, "apache2.conf"), "/etc/apache2", conf)
	b.replace(filepath.Join(conf, "sites-available/000-default.conf"), "/var/www/html", b.Root)
	for _, module := range append([]string{"cgid"}, b.modules...) {
		for _, name := range []string{module + ".load", module + ".conf"} {
			link := filepath.Join(conf, "mods-enabled", name)
			os.Remove(link)                                                                 //nolint:errcheck // usually not there
			if _, err := os.Stat(filepath.Join(conf, "mods-available", name)); err == nil { // not all have a .conf
				b.must(os.Symlink("../mods-available/"+name, link))
			}
		}
	}
	b.must(os.WriteFile(filepath.Join(conf, "conf-enabled/serve-cgi-bin.conf"), fmt.Appendf(nil, site, b.Dir, b.Root), 0o644))
	b.must(os.WriteFile(filepath.Join(conf, "sites-enabled/zz-test.conf"), []byte(b.config), 0o644))
	b.must(os.WriteFile(filepath.Join(b.Dir, "cgi-bin/who"), []byte(script), 0o755))
}

func (b *Bed) replace(path, from, to string) {
	b.Helper()
	text, err := os.ReadFile(path)
	b.must(err)
	b.must(os.WriteFile(path, []byte(strings.ReplaceAll(string(text), from, to)), 0o644))
}

// Reload replaces what Apache reads after everything else, and has it read its configuration again, gracefully.
func (b *Bed) Reload(config string) {
	b.Helper()
	b.must(os.WriteFile(filepath.Join(b.Dir, "conf/sites-enabled/zz-test.conf"), []byte(config), 0o644))
	b.must(b.apache.Process.Signal(syscall.SIGUSR1))
}

// probe connects to Apache within the server's namespace.
func (b *Bed) probe() error {
	conn, err := b.dialer(b.Server)(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", "80"))
	if err != nil {
		return err
	}
	return conn.Close()
}

// StopApache stops it and its children.
func (b *Bed) StopApache() {
	if b.apache == nil {
		return
	}
	b.apache.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	b.apache.Wait()                          //nolint:errcheck // after a signal
	b.apache = nil
}
