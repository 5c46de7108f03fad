package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// apt, with directories of its own and nothing of the machine's, fetches the lists and all packages of a repository, which it
// verifies by checksums; then it finds the lists unchanged, and the one package that has changed.
func TestApt(t *testing.T) {
	nstest.RequireTool(t, "apt-get", "apt")
	nstest.RequireTool(t, "apt-ftparchive", "apt-utils")
	s := newStage(t, testbed.Options{})
	r := newRepository(s)
	var all, debs []string
	for k := range 40 {
		all = append(all, fmt.Sprintf("thing%d", k))
		debs = append(debs, "debian/flat/"+r.build(all[k], "1.0", 1+k*3000))
	}
	r.index()
	s.warm(false, debs)
	r.apt("update")
	s.answered(36, func() {
		for _, name := range all {
			os.Remove(filepath.Join(s.dir, name+"_1.0_all.deb")) //nolint:errcheck // not there yet, but the first time
		}
		r.apt(append([]string{"download"}, all...)...)
	})
	r.same(all, "1.0")
	// The newest list names a newer package.
	r.build("thing7", "2.0", 70_000)
	r.index()
	s.Until("apt sees the new package", func() bool {
		r.apt("update")
		return strings.Contains(r.apt("--print-uris", "download", "thing7"), "thing7_2.0")
	})
	r.apt("download", "thing7")
	r.same([]string{"thing7"}, "2.0")
	// A package whose first part is there already.
	whole, err := os.ReadFile(filepath.Join(s.Root, "debian/flat/thing39_1.0_all.deb"))
	s.must(err)
	s.must(os.Remove(filepath.Join(s.dir, "thing39_1.0_all.deb")))
	partial := filepath.Join(r.root, "var/cache/apt/archives/partial")
	s.must(os.WriteFile(filepath.Join(partial, "thing39_1.0_all.deb"), whole[:len(whole)/2], 0o644))
	r.apt("install", "--download-only", "-y", "thing39")
	if got, err := os.ReadFile(filepath.Join(r.root, "var/cache/apt/archives/thing39_1.0_all.deb")); err != nil || string(got) != string(whole) {
		t.Errorf("the rest of a package: %d octets of %d, %v", len(got), len(whole), err)
	}
}

// repository is one of packages, below the document root, with an apt that knows no other.
type repository struct {
	*stage
	root string // apt's
}

func newRepository(s *stage) *repository {
	s.Helper()
	r := &repository{s, filepath.Join(s.dir, "apt")}
	s.must(os.MkdirAll(filepath.Join(s.Root, "debian/flat"), 0o755))
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"} {
		s.must(os.MkdirAll(filepath.Join(r.root, dir), 0o755))
	}
	s.must(os.WriteFile(filepath.Join(r.root, "etc/apt/sources.list"), []byte("deb [trusted=yes] "+s.URL(false, "/debian")+" flat/\n"), 0o644))
	s.must(os.WriteFile(filepath.Join(r.root, "var/lib/dpkg/status"), nil, 0o644))
	return r
}

// build makes a package with some octets in it, an hour old, and returns its file's name.
func (r *repository) build(name, version string, size int) string {
	r.Helper()
	tree := filepath.Join(r.dir, "build", name+version)
	r.must(os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755))
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@test>\nDescription: octets\n", name, version)
	r.must(os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644))
	r.must(os.WriteFile(filepath.Join(tree, "octets"), content(size), 0o644))
	file := name + "_" + version + "_all.deb"
	r.run("dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, filepath.Join(r.Root, "debian/flat", file))
	r.age("debian/flat/" + file)
	return file
}

// index writes the lists anew.
func (r *repository) index() {
	r.Helper()
	in := func(command string) string {
		out, _ := r.run("sh", "-c", "cd "+filepath.Join(r.Root, "debian")+" && "+command)
		return out
	}
	r.must(os.WriteFile(filepath.Join(r.Root, "debian/flat/Packages"), []byte(in("apt-ftparchive packages flat")), 0o644))
	in("gzip -nkf flat/Packages")
	r.must(os.WriteFile(filepath.Join(r.Root, "debian/flat/Release"), []byte(in("apt-ftparchive release flat")), 0o644))
}

func (r *repository) apt(args ...string) string {
	r.Helper()
	out, _ := r.run("apt-get", append([]string{"-q", "-o", "Dir=" + r.root, "-o", "Dir::State::status=" + r.root + "/var/lib/dpkg/status",
		"-o", "Dir::Etc::parts=" + r.root + "/etc/apt/apt.conf.d", "-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=all", "-o", "Acquire::http::Proxy=false",
		"-o", "Acquire::Languages=none", "-o", "Acquire::Retries=0", "-o", "Acquire::Check-Valid-Until=false"}, args...)...)
	return out
}

// same fails the test unless the clients' directory has the packages as they were built.
func (r *repository) same(packages []string, version string) {
	r.Helper()
	for _, name := range packages {
		file := name + "_" + version + "_all.deb"
		want, err := os.ReadFile(filepath.Join(r.Root, "debian/flat", file))
		r.must(err)
		r.stage.same(file, want)
	}
}
