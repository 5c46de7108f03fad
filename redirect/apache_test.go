package redirect

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// apacheConf has what Debian's stock configuration has that matters to a connection: the event MPM, the
// accept filter (TCP_DEFER_ACCEPT), mod_reqtimeout, keep-alive of 5 s, a CGI directory.
const apacheConf = `
ServerRoot %[1]s
ServerName test
User www-data
Group www-data
PidFile apache.pid
ErrorLog error.log
LogLevel warn
%[2]s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule cgid_module /usr/lib/apache2/modules/mod_cgid.so
LoadModule reqtimeout_module /usr/lib/apache2/modules/mod_reqtimeout.so
TypesConfig /etc/mime.types
ScriptSock %[1]s/cgid.sock
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
DocumentRoot %[1]s/html
ScriptAlias /cgi-bin/ %[1]s/cgi-bin/
`

// cgiScript says who the client is, and what the body was.
const cgiScript = `#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "client $REMOTE_ADDR $REMOTE_PORT server $SERVER_ADDR $SERVER_PORT"
if [ -n "$CONTENT_LENGTH" ]; then sha256sum | cut -d' ' -f1; fi
`

// startApache runs a real Apache of its own in the thread's network namespace, until the test ends.
func startApache(t *testing.T, listen ...string) {
	t.Helper()
	binary, err := exec.LookPath("apache2")
	if err != nil {
		t.Skip("needs apache2: not installed")
	}
	dir := t.TempDir()
	must(t, "open the way for www-data", os.Chmod(filepath.Dir(dir), 0o755))
	for _, sub := range []string{"html", "cgi-bin"} {
		must(t, "make directory", os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	must(t, "write page", os.WriteFile(filepath.Join(dir, "html", "index.html"), []byte(page), 0o644))
	must(t, "write script", os.WriteFile(filepath.Join(dir, "cgi-bin", "who"), []byte(cgiScript), 0o755))
	conf := filepath.Join(dir, "apache2.conf")
	must(t, "write configuration", os.WriteFile(conf,
		fmt.Appendf(nil, apacheConf, dir, "Listen "+strings.Join(listen, "\nListen ")), 0o644))

	cmd := exec.Command(binary, "-f", conf, "-DFOREGROUND")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stderr = os.Stderr
	must(t, "start apache2", cmd.Start())
	t.Cleanup(func() {
		must(t, "stop apache2", cmd.Process.Signal(syscall.SIGTERM))
		err := cmd.Wait()
		if t.Failed() || err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("error.log:\n%s", log)
		}
		must(t, "end of apache2", err)
	})
	for _, addr := range listen {
		waitForListener(t, addr)
	}
}

const page = "<html><body>It works!</body></html>\n"

// waitForListener waits until the server answers, not only listens: it binds before it has read all of its configuration.
func waitForListener(t *testing.T, addr string) {
	t.Helper()
	if !strings.Contains(addr, ":") {
		addr = "127.0.0.1:" + addr
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := probe(addr)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("apache2 does not serve %s: %v", addr, err)
		}
	}
}

func probe(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
