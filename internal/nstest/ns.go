package nstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NS is a network namespace. The fields after Name are set by Pair.
type NS struct {
	Name      string // for messages; not a name in the file system
	Interface string
	Index     int
	MAC       net.HardwareAddr
	IPv4      netip.Addr
	IPv6      netip.Addr
	Wire      *NS // what its cable leads to, with that end's interface; nil if that is the other namespace itself

	t      testing.TB
	handle netns.NsHandle
}

// New makes a namespace with its loopback interface up. It is gone when the test ends.
func New(t testing.TB, name string) *NS {
	t.Helper()
	Require(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatalf("get network namespace: %v", err)
	}
	defer func() { _ = home.Close() }()
	handle, err := netns.New() // moves this thread there
	if err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
	if err := netns.Set(home); err != nil {
		panic("cannot return to the network namespace that the test came from: " + err.Error())
	}
	n := &NS{Name: name, t: t, handle: handle}
	t.Cleanup(func() { _ = n.handle.Close() })
	n.Do(func() {
		n.Sysctl("net/ipv6/conf/default/accept_dad", "0") // addresses are usable at once
		n.Sysctl("net/ipv6/conf/all/accept_dad", "0")
		n.up("lo")
	})
	return n
}

// Do calls f on a thread that is in the namespace; sockets that f makes stay in it. Goroutines that f starts are elsewhere:
// they must call Do themselves. f may end the test (t.Fatal).
func (n *NS) Do(f func()) {
	n.t.Helper()
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		n.t.Fatalf("get network namespace: %v", err)
	}
	defer func() { // also when f ends the test by runtime.Goexit
		if err := netns.Set(home); err != nil {
			panic("cannot return to the network namespace that the test came from: " + err.Error())
		}
		_ = home.Close()
		runtime.UnlockOSThread()
	}()
	if err := netns.Set(n.handle); err != nil {
		n.t.Fatalf("enter network namespace %s: %v", n.Name, err)
	}
	f()
}

// Command returns a command that will run in the namespace when started by Start. It is killed when the test ends, or
// when the test's process is.
func (n *NS) Command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	n.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Start starts a command in the namespace and sees to it that it has ended before the test's cleanups go on.
func (n *NS) Start(cmd *exec.Cmd) {
	n.t.Helper()
	n.Do(func() {
		if err := cmd.Start(); err != nil {
			n.t.Fatalf("%s: start %s: %v", n.Name, cmd, err)
		}
	})
	n.t.Cleanup(func() {
		if cmd.ProcessState == nil { // nobody has waited for it
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

// Exec runs a command in the namespace to its end and returns what it wrote. The test fails if the command does.
func (n *NS) Exec(name string, args ...string) string {
	n.t.Helper()
	cmd := n.Command(name, args...)
	var out []byte
	var err error
	n.Do(func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		n.t.Fatalf("%s: %s: %v\n%s", n.Name, strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// Path returns a name of the namespace for programs that want one, as in nsenter --net=PATH, while the test runs.
func (n *NS) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(n.handle))
}

// Sysctl sets a network sysctl of the namespace, named by its path below /proc/sys.
func (n *NS) Sysctl(path, value string) {
	n.t.Helper()
	n.Do(func() {
		if err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0); err != nil {
			n.t.Fatalf("%s: %v", n.Name, err)
		}
	})
}

// AddAddress gives the interface a further address.
func (n *NS) AddAddress(ifname string, prefix netip.Prefix) {
	n.t.Helper()
	n.Do(func() {
		link := n.link(ifname)
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP:   prefix.Addr().AsSlice(),
			Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}}
		if prefix.Addr().Is6() {
			addr.Flags = syscall.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			n.t.Fatalf("%s: add %s to %s: %v", n.Name, prefix, ifname, err)
		}
	})
}

func (n *NS) link(name string) netlink.Link {
	n.t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		n.t.Fatalf("%s: interface %s: %v", n.Name, name, err)
	}
	return link
}

func (n *NS) up(name string) {
	n.t.Helper()
	if err := netlink.LinkSetUp(n.link(name)); err != nil {
		n.t.Fatalf("%s: set %s up: %v", n.Name, name, err)
	}
}
