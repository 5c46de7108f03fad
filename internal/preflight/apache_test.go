package preflight

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/apacheconf"
	"github.com/xhttpd/xhttpd/internal/config"
)

// TestApache says what is found in a configuration, or in none.
func TestApache(t *testing.T) {
	if _, err := exec.LookPath("apache2"); err != nil {
		if os.Getenv("XHTTPD_REQUIRE") != "" {
			t.Fatal("apache2 is not installed")
		}
		t.Skip("needs Debian's package apache2")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "httpd.conf")
	pid := filepath.Join(dir, "pid")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(file, fmt.Sprintf(`
ServerName one.test
PidFile %s
ErrorLog /dev/null
DocumentRoot %s
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so
LoadModule usertrack_module /usr/lib/apache2/modules/mod_usertrack.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
<Location /members>
Require local
</Location>
CookieTracking on
BrowserMatch Old nokeepalive
SetEnvIf Accept-Encoding ^gzip$ exact
`, pid, dir))
	write(pid, "1")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(pid, later, later); err != nil {
		t.Fatal(err)
	}
	conf, err := apacheconf.Read(t.Context(), apacheconf.Options{Command: "apache2 -f " + file, Port: 80, Served: 80})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{cfg: &config.Common{}, apache: &Apache{Config: conf}}
	expect := func(results []Result, level Level, says string) {
		t.Helper()
		for _, r := range results {
			if r.Level == level && strings.Contains(r.Found+" "+r.Means+" "+r.Do, says) {
				return
			}
		}
		t.Errorf("no %s that says %q among %+v", level, says, results)
	}
	if all := checkApache(m); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	expect(checkApache(m), OK, "hosts: one.test")
	expect(checkScopes(m), OK, "/members: Require local ("+file+":12)")
	expect(checkScopes(m), Warn, "CookieTracking on ("+file+":14) Answers to all requests")
	expect(checkScopes(m), OK, `User-Agent contains "Old"`)
	expect(checkScopes(m), OK, "/: SetEnvIf Accept-Encoding ^gzip$ exact ("+file+":16) A file is held for each Accept-Encoding")
	expect(checkRoot(m), OK, dir+" is a directory")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(pid, long, long); err != nil {
		t.Fatal(err)
	}
	expect(checkApache(m), Warn, "changed since Apache has read them: "+file)

	m = &machine{cfg: &config.Common{}, apache: &Apache{Err: errors.New("no such thing")}}
	expect(checkApache(m), Fail, "--apache-command")
	m.cfg.Roots = []string{dir}
	m.cfg.Private, m.cfg.Public = []config.Prefix{{Path: "/x"}}, []config.Prefix{{Host: "a.test", Path: "/y"}}
	expect(checkApache(m), Warn, "no such thing")
	expect(checkScopes(m), OK, "/x: --private")
	expect(checkScopes(m), OK, "a.test/y: --public")
	if m.apache = nil; checkApache(m) != nil || len(checkScopes(m)) != 2 {
		t.Error("there is no Apache behind the builtin server")
	}
}
