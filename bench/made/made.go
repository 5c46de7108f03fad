// Package made says of what a benchmark's results are, so that they can be made again.
package made

import (
	"os/exec"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Commit returns the commit of the source, with "-dirty" behind it if anything but earlier results differs from it: as it was when this was called first, for measuring
// takes so long that another may be checked out by the end. It is "unknown" outside of a repository.
var Commit = sync.OnceValue(func() string {
	commit, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changes, err := git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)bench/results"); err != nil || changes != "" {
		commit += "-dirty"
	}
	return commit
})

func git(args ...string) (string, error) {
	out, err := exec.Command("git", args...).Output()
	return strings.TrimSpace(string(out)), err
}

// Kernel returns the release of the kernel that runs.
func Kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
