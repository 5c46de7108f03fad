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

func checkRoot(m *machine) []Result {
	if m.root == "" {
		return nil
	}
	real, err := filepath.EvalSymlinks(m.root)
	if err != nil {
		return result(Fail, fmt.Sprintf("root %q: %v", m.root, err), "There is nothing to serve.", "Give the directory that the server behind serves as '/'.")
	}
	info, err := os.Stat(real)
	if err != nil || !info.IsDir() {
		return result(Fail, fmt.Sprintf("root %q is not a directory", m.root), "There is nothing to serve.", "Give the directory that the server behind serves as '/'.")
	}
	dir, err := os.Open(real)
	if err != nil {
		return result(Fail, fmt.Sprintf("root %q: %v", m.root, err), "It could not be read.", "Run as a user who may.")
	}
	defer dir.Close() //nolint:errcheck // only read
	if m.cfg.Backend.Builtin && info.Mode().Perm()&0o001 == 0 {
		return result(Warn, fmt.Sprintf("root %q may not be searched by everybody (mode %04o)", m.root, info.Mode().Perm()),
			"Then its files are not for everybody either: all of them are left to the server behind.", "chmod o+x "+m.root+", if they are meant to be public.")
	}
	return ok("%s is a directory", m.root)
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
