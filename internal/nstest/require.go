package nstest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The oldest kernel that xhttpd supports: bpf_sk_assign_tcp_reqsk.
const minMajor, minMinor = 6, 9

var needed = []struct {
	bit  uint
	name string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW"},
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{unix.CAP_BPF, "CAP_BPF"},
	{unix.CAP_PERFMON, "CAP_PERFMON"},   // subtracts packet pointers in BPF
	{unix.CAP_IPC_LOCK, "CAP_IPC_LOCK"}, // locks a UMEM beyond the usual limit
}

// Require ends the test unless it may make namespaces, load BPF programs and open AF_XDP sockets. Without privileges, or on a
// kernel before 6.9, the test is skipped; as root on a later kernel it fails, so that a machine that runs the privileged
// tests cannot pass by running none of them.
func Require(t testing.TB) {
	t.Helper()
	major, minor := kernelVersion(t)
	if major < minMajor || major == minMajor && minor < minMinor {
		t.Skipf("needs Linux %d.%d, this is %d.%d", minMajor, minMinor, major, minor)
	}
	missing := missingCapabilities(t)
	if len(missing) == 0 {
		return
	}
	if os.Geteuid() == 0 {
		t.Fatalf("root, but without %s: give them to this container", strings.Join(missing, ", "))
	}
	t.Skipf("needs %s: run as root", strings.Join(missing, ", "))
}

func kernelVersion(t testing.TB) (major, minor int) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatalf("uname: %v", err)
	}
	release, _, _ := bytes.Cut(u.Release[:], []byte{0})
	if _, err := fmt.Sscanf(string(release), "%d.%d", &major, &minor); err != nil {
		t.Fatalf("kernel release %q: %v", release, err)
	}
	return major, minor
}

func missingCapabilities(t testing.TB) (missing []string) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // version 3 takes two words of 32 bits
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatalf("capget: %v", err)
	}
	for _, c := range needed {
		if data[c.bit/32].Effective&(1<<(c.bit%32)) == 0 {
			missing = append(missing, c.name)
		}
	}
	return missing
}

// RequireTool returns the path of a program. Without it the test is skipped, naming Debian's package of it; where XHTTPD_REQUIRE is
// set, it fails.
func RequireTool(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("XHTTPD_REQUIRE") != "":
		t.Fatalf("%s is not installed: Debian has it in %s", name, debian)
	}
	t.Skipf("needs %s: Debian has it in %s", name, debian)
	return ""
}
