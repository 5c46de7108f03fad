package preflight

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/redirect"
	"github.com/xhttpd/xhttpd/xdp"
)

// The oldest kernel with bpf_sk_assign_tcp_reqsk, by which connections are handed over.
const minMajor, minMinor = 6, 9

func checkKernel(*machine) []Result {
	release := kernelRelease()
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err == nil && (major < minMajor || major == minMajor && minor < minMinor) {
		return result(Fail, "Linux "+release, "Connections could not be handed to the server behind.",
			fmt.Sprintf("Run Linux %d.%d or later.", minMajor, minMinor))
	}
	if err := redirect.Supported(); err != nil { // by the kernel's type information, whatever it calls itself
		return result(Fail, err.Error(), "Connections could not be handed to the server behind.",
			fmt.Sprintf("Run a kernel of %d.%d or later, built with CONFIG_DEBUG_INFO_BTF and CONFIG_SYN_COOKIES, as distributions do.", minMajor, minMinor))
	}
	return ok("Linux %s has what hand-overs need (bpf_sk_assign_tcp_reqsk)", release)
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func checkInterface(m *machine) []Result {
	name := m.cfg.Interface
	if m.linkErr != nil {
		return result(Fail, fmt.Sprintf("interface %q: %v", name, m.linkErr), "There is nothing to receive from.",
			"Give the name of an interface that 'ip link' lists, in this network namespace.")
	}
	attrs := m.link.Attrs()
	switch {
	case attrs.EncapType != "ether" && attrs.EncapType != "loopback":
		return result(Fail, fmt.Sprintf("%s carries no Ethernet frames, but %q", name, attrs.EncapType), "Its frames would not be understood.",
			"Give an Ethernet interface.")
	case attrs.Flags&net.FlagUp == 0:
		return result(Fail, name+" is down", "Nothing is received, and AF_XDP sockets cannot be bound.", "ip link set dev "+name+" up")
	case attrs.MasterIndex != 0:
		return result(Warn, name+" is a part of a bridge or a bond", "Only what this interface itself receives is served; a bridge may send answers another way.",
			"Have the bridge's ports or the bond itself in mind; serving is tried on plain interfaces only.")
	case attrs.RawFlags&unix.IFF_RUNNING == 0:
		return result(Warn, name+" is up, but has no carrier", "Nothing is received until the link comes.", "See to the cable or the peer.")
	}
	return ok("%s is up", name)
}

func checkAddresses(m *machine) []Result {
	if m.linkErr != nil {
		return nil
	}
	own, err := xdp.Addresses(m.cfg.Interface)
	if err != nil {
		return result(Fail, err.Error(), "It is not known what is to be served.", "")
	}
	if len(m.cfg.Addresses) == 0 {
		return servedAddresses(m, own)
	}
	has := make(map[netip.Addr]bool)
	for _, a := range own {
		has[a] = true
	}
	var all []Result
	for _, a := range m.cfg.Addresses {
		if !has[a.Unmap().WithZone("")] {
			all = append(all, result(Warn, fmt.Sprintf("--address %s is not an address of %s", a, m.cfg.Interface),
				"Connections to it that come in here are served, but answers of the server behind may go out elsewhere.",
				"Check for a typing error; addresses of another interface of this machine are fine.")...)
		}
	}
	if all == nil {
		return ok("%d addresses are served, as given", len(m.cfg.Addresses))
	}
	return all
}

func servedAddresses(m *machine, own []netip.Addr) []Result {
	var served, left []string
	for _, a := range own {
		if m.cfg.Backend.Takes(a) {
			served = append(served, a.String())
		} else {
			left = append(left, a.String())
		}
	}
	if len(served) == 0 {
		return result(Warn, fmt.Sprintf("%s has no address that could be served", m.cfg.Interface),
			"Nothing is served until it gets one; that is noticed.", "ip address add … dev "+m.cfg.Interface)
	}
	all := ok("served: %s", strings.Join(served, ", "))
	if left != nil {
		all = append(all, result(Warn, "not served: "+strings.Join(left, ", "),
			"The backend "+m.cfg.Backend.String()+" takes no connections of that address family.",
			"Give a backend of both families, as in 'localhost:PORT' or ':PORT', if they are to be served.")...)
	}
	return all
}

func checkSysctls(m *machine) []Result {
	s, err := redirect.ReadSysctls(m.procSys)
	if err != nil {
		return result(Fail, err.Error(), "It is not known what connections may be offered.", "Mount /proc.")
	}
	if err := s.Err(); err != nil {
		return result(Fail, "net.ipv4.tcp_syncookies is 0", "The kernel would answer each hand-over with RST.", "sysctl -w net.ipv4.tcp_syncookies=1")
	}
	var all []Result
	for _, w := range s.Warnings() {
		found, means, _ := strings.Cut(w, ": ")
		name, _, _ := strings.Cut(found, " ")
		all = append(all, result(Warn, found, "So it is in user space, too, since connections are handed over: "+means+".", "sysctl -w "+name+"=1")...)
	}
	if all == nil {
		return ok("tcp_syncookies is %d; timestamps, SACK and window scaling are on", s.SynCookies)
	}
	return all
}

func checkRPFilter(m *machine) []Result {
	// The kernel takes the larger of the two.
	strict := false
	for _, dir := range []string{"all", m.cfg.Interface} {
		v, err := readInt(m.procSys, "net/ipv4/conf/"+dir+"/rp_filter")
		strict = strict || err == nil && v == 1
	}
	if strict {
		return ok("strict (1): the kernel drops packets whose sender it would not reach by this interface, and hand-overs of their connections with them, as it would without xhttpd")
	}
	return ok("not strict")
}

// checkRoot looks at the directories that were set; at those of Apache's configuration, too, but they are Apache's matter.
func checkRoot(m *machine) (all []Result) {
	for _, dir := range m.cfg.Roots {
		all = append(all, judgeRoot(dir, m.cfg.Backend.Builtin))
	}
	if len(all) > 0 || m.apache == nil || m.apache.Config == nil {
		return all
	}
	for _, dir := range m.apache.Config.Roots() {
		r := judgeRoot(dir, m.cfg.Backend.Builtin)
		if r.Level == Fail {
			r.Level, r.Means, r.Do = Warn, "Its files are left to Apache.", ""
		}
		all = append(all, r)
	}
	return all
}

func judgeRoot(dir string, builtin bool) Result {
	const give = "Give a directory that the server behind serves, or leave --root out."
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Result{Level: Fail, Found: fmt.Sprintf("root %q: %v", dir, err), Means: "There is nothing to serve.", Do: give}
	}
	info, err := os.Stat(real)
	if err != nil || !info.IsDir() {
		return Result{Level: Fail, Found: fmt.Sprintf("root %q is not a directory", dir), Means: "There is nothing to serve.", Do: give}
	}
	f, err := os.Open(real)
	if err != nil {
		return Result{Level: Fail, Found: fmt.Sprintf("root %q: %v", dir, err), Means: "It could not be read.", Do: "Run as a user who may."}
	}
	defer f.Close() //nolint:errcheck // only read
	if builtin && info.Mode().Perm()&0o001 == 0 {
		return Result{
			Level: Warn, Found: fmt.Sprintf("root %q may not be searched by everybody (mode %04o)", dir, info.Mode().Perm()),
			Means: "Then its files are not for everybody either: all of them are left to the server behind.",
			Do:    "chmod o+x " + dir + ", if they are meant to be public.",
		}
	}
	return Result{Level: OK, Found: dir + " is a directory"}
}

func checkMimeTypes(m *machine) []Result {
	if !m.cfg.Backend.Builtin {
		return ok("media types are the server's behind")
	}
	f, err := os.Open(m.cfg.MimeTypes)
	if err != nil {
		return result(Fail, "table of media types: "+err.Error(), "Without it, no file's type is known.",
			"Install one (Debian: apt install media-types), or give another by --mime-types.")
	}
	defer f.Close() //nolint:errcheck // only read
	return ok("%s", m.cfg.MimeTypes)
}
