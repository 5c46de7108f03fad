package apacheconf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stock is a copy of Debian's configuration, with further modules and text.
type stock struct {
	*testing.T
	dir string // everything
	www string // document root
}

func newStock(t *testing.T, modules []string, text string) *stock {
	t.Helper()
	if _, err := exec.LookPath("apache2"); err != nil {
		if os.Getenv("XHTTPD_REQUIRE") != "" {
			t.Fatal("apache2 is not installed")
		}
		t.Skip("needs Debian's package apache2")
	}
	s := &stock{T: t, dir: t.TempDir()}
	s.www = filepath.Join(s.dir, "www")
	s.must(exec.Command("cp", "-a", "/etc/apache2", s.conf("")).Run())
	for _, dir := range []string{"run", "lock", "log", "www", "other"} {
		s.must(os.Mkdir(filepath.Join(s.dir, dir), 0o755))
	}
	s.must(os.Chmod(s.dir, 0o755))
	s.must(os.Chmod(filepath.Dir(s.dir), 0o755)) // for Apache's user
	s.replace("apache2.conf", "/etc/apache2", s.conf(""))
	s.replace("sites-available/000-default.conf", "/var/www/html", s.www)
	for _, m := range modules {
		s.must(os.Symlink("../mods-available/"+m+".load", s.conf("mods-enabled/"+m+".load")))
	}
	s.write(text)
	return s
}

func (s *stock) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stock) conf(name string) string { return filepath.Join(s.dir, "conf", name) }

// write replaces the text that Apache reads last; WWW and DIR in it are directories.
func (s *stock) write(text string) {
	s.Helper()
	text = strings.NewReplacer("WWW", s.www, "DIR", s.dir).Replace(text)
	s.must(os.WriteFile(s.conf("sites-enabled/zz-test.conf"), []byte(text), 0o644))
}

func (s *stock) replace(name, from, to string) {
	s.Helper()
	text, err := os.ReadFile(s.conf(name))
	s.must(err)
	s.must(os.WriteFile(s.conf(name), []byte(strings.ReplaceAll(string(text), from, to)), 0o644))
}

func (s *stock) env() []string {
	return []string{
		"LANG=C", "APACHE_RUN_USER=www-data", "APACHE_RUN_GROUP=www-data", "APACHE_CONFDIR=" + s.conf(""), "APACHE_PID_FILE=" + s.dir + "/run/pid",
		"APACHE_RUN_DIR=" + s.dir + "/run", "APACHE_LOCK_DIR=" + s.dir + "/lock", "APACHE_LOG_DIR=" + s.dir + "/log",
	}
}

// options name this configuration's Apache, which need not run.
func (s *stock) options() Options {
	return Options{
		Command: fmt.Sprintf("env %s apache2 -d %q -f apache2.conf", strings.Join(s.env(), " "), s.conf("")),
		Port:    80, Served: 80,
	}
}

func (s *stock) read() *Config {
	s.Helper()
	c, err := Read(s.Context(), s.options())
	s.must(err)
	return c
}
