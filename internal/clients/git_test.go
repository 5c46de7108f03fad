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

// A repository of packs and loose objects, of which the server knows nothing but that they are files (git's dumb HTTP): git
// clones it, and fetches what came later. It verifies every object by its name.
func TestGit(t *testing.T) {
	nstest.RequireTool(t, "git", "git")
	s := newStage(t, testbed.Options{})
	work, bare := filepath.Join(s.dir, "work"), filepath.Join(s.Root, "repo.git")
	git := func(args ...string) string {
		t.Helper()
		out, errors, err := s.try([]string{"GIT_SMART_HTTP=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}, "git", append([]string{
			"-c", "user.name=nobody", "-c", "user.email=nobody@test", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", "-c", "protocol.version=0"}, args...)...)
		if err != nil {
			t.Fatalf("git %v: %v\n%s\n%s", args, err, out, errors)
		}
		return out
	}
	publish := func(repack ...string) {
		t.Helper()
		git("-C", work, "push", "-q", bare, "main")
		for _, args := range [][]string{repack, {"update-server-info"}} {
			if len(args) > 0 {
				git(append([]string{"-C", bare}, args...)...)
			}
		}
		s.must(filepath.WalkDir(bare, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, old, old)
		}))
	}
	commit := func(from, to int) {
		t.Helper()
		for k := from; k < to; k++ {
			s.must(os.WriteFile(filepath.Join(work, fmt.Sprintf("%d.bin", k%20)), content(1+k*997%50_000), 0o644))
			git("-C", work, "add", ".")
			git("-C", work, "commit", "-qm", fmt.Sprint(k))
		}
	}
	git("init", "-q", work)
	git("init", "-q", "--bare", bare)
	commit(0, 10)
	publish("repack", "-qd") // a first pack
	commit(10, 20)
	publish("repack", "-qd") // a second one
	commit(20, 26)
	publish() // loose objects
	s.must(os.Chmod(bare, 0o755))

	git("clone", "-q", s.URL(false, "/repo.git"), "first")
	git("-C", "first", "fsck", "--full", "--strict")
	s.warmTree("repo.git") // as curl says: nothing of it varies
	s.answered(gitShare, func() {
		s.must(os.RemoveAll(filepath.Join(s.dir, "second")))
		git("clone", "-q", s.URL(false, "/repo.git"), "second")
	})
	commit(26, 30)
	publish()
	head := git("-C", work, "rev-parse", "main")
	for _, clone := range []string{"first", "second"} {
		s.Until("git sees the new commits", func() bool {
			git("-C", clone, "pull", "-q")
			return git("-C", clone, "rev-parse", "HEAD") == head
		})
		git("-C", clone, "fsck", "--full", "--strict")
		for k := range 20 {
			name := fmt.Sprintf("%d.bin", k)
			want, err := os.ReadFile(filepath.Join(work, name))
			s.must(err)
			s.same(clone+"/"+name, want)
		}
		if log := git("-C", clone, "log", "--oneline"); strings.Count(log, "\n") != 30 {
			t.Errorf("%s has %d commits", clone, strings.Count(log, "\n"))
		}
	}
}
