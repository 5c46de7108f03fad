package preflight

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/nstest"
)

// host is a machine on which everything is in order, so far as the tests below look at it.
func host(t *testing.T) *machine {
	t.Helper()
	types := filepath.Join(t.TempDir(), "mime.types")
	if err := os.WriteFile(types, []byte("text/html html\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &machine{
		cfg:       &config.Common{Interface: "eth0", Port: 80, Mode: "auto", ZeroCopy: "auto", MimeTypes: types},
		procSys:   sysctls(nil),
		procNet:   fstest.MapFS{"tcp": file(headline), "tcp6": file(headline + listen6("::", 80))},
		link:      &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "eth0", MTU: 1500, EncapType: "ether", Flags: net.FlagUp, RawFlags: 0x40}},
		features:  func(int) (features, error) { return featureBasic | featureRedirect, nil },
		segments:  func(string) (bool, error) { return false, nil },
		multipath: func(uint16) ([]netip.Addr, error) { return nil, nil },
	}
}

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

func sysctls(change map[string]string) fs.FS {
	f := fstest.MapFS{}
	for _, name := range []string{"tcp_timestamps", "tcp_sack", "tcp_window_scaling", "tcp_syncookies", "tcp_ecn", "tcp_congestion_control", "conf/all/rp_filter", "conf/eth0/rp_filter"} {
		f["net/ipv4/"+name] = file("1\n")
	}
	for name, value := range change {
		f["net/ipv4/"+name] = file(value + "\n")
	}
	return f
}

const headline = "  sl  local_address rem_address   st tx_queue rx_queue\n"

// line is one of /proc/net/tcp or tcp6.
func line(local netip.AddrPort, state string) string {
	b := local.Addr().AsSlice()
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	return fmt.Sprintf("   0: %X:%04X %0*X:0000 %s 00000000:00000000 00:00000000 00000000     0        0 1\n", b, local.Port(), 2*len(b), 0, state)
}

func listen6(addr string, port uint16) string {
	return line(netip.AddrPortFrom(netip.MustParseAddr(addr), port), stateListen)
}

func TestListeners(t *testing.T) {
	at := func(s, state string) string { return line(netip.MustParseAddrPort(s), state) }
	procNet := fstest.MapFS{
		"tcp":  file(headline + at("127.0.0.1:8080", "0A") + at("192.0.2.1:80", "0A") + at("0.0.0.0:443", "0A") + at("198.51.100.1:80", "01") + "not read\n"),
		"tcp6": file(headline + at("[2001:db8::1]:80", "0A")),
	}
	got, err := Listeners(procNet, 80)
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("listeners %v (%v), want %v", got, err, want)
	}
	delete(procNet, "tcp6")
	if got, err := Listeners(procNet, 443); err != nil || !slices.Equal(got, []netip.Addr{netip.IPv4Unspecified()}) {
		t.Errorf("without IPv6: %v (%v)", got, err)
	}
	for _, bad := range []string{"   0: 0100007F:0050\n", "   0: 01007F:0050 0 0A\n", "   0: 0100007Fx0050 0 0A\n", "   0: zz00007F:0050 0 0A\n"} {
		procNet["tcp"] = file(headline + bad)
		if got, err := Listeners(procNet, 80); err == nil {
			t.Errorf("%q was taken for %v", bad, got)
		}
	}
}

func TestListening(t *testing.T) {
	v4, v6, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")
	for _, c := range []struct {
		listener         string
		on4, on6, onMapd bool
	}{
		{"0.0.0.0", true, false, true}, {"::", true, true, true}, {"192.0.2.1", true, false, true}, {"2001:db8::1", false, true, false}, {"127.0.0.1", false, false, false},
	} {
		l := []netip.Addr{netip.MustParseAddr(c.listener)}
		if Listening(l, v4) != c.on4 || Listening(l, v6) != c.on6 || Listening(l, mapped) != c.onMapd {
			t.Errorf("%s: %v %v %v", c.listener, Listening(l, v4), Listening(l, v6), Listening(l, mapped))
		}
	}
}

// jumbo gives an interface a larger MTU, and a driver that takes it.
func jumbo(mtu int) func(*machine) {
	return func(m *machine) {
		m.link.Attrs().MTU = mtu
		m.features = func(int) (features, error) { return featureBasic | featureRedirect | featureBuffers, nil }
	}
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*machine)
		check  func(*machine) []Result
		want   Level
		says   string
	}{
		{"sysctls", func(*machine) {}, checkSysctls, OK, "are on"},
		{"no cookies", func(m *machine) { m.procSys = sysctls(map[string]string{"tcp_syncookies": "0"}) }, checkSysctls, Fail, "sysctl -w net.ipv4.tcp_syncookies=1"},
		{"no timestamps", func(m *machine) { m.procSys = sysctls(map[string]string{"tcp_timestamps": "0"}) }, checkSysctls, Warn, "sysctl -w net.ipv4.tcp_timestamps=1"},
		{"no SACK", func(m *machine) { m.procSys = sysctls(map[string]string{"tcp_sack": "0"}) }, checkSysctls, Warn, "sysctl -w net.ipv4.tcp_sack=1"},
		{"no /proc", func(m *machine) { m.procSys = fstest.MapFS{} }, checkSysctls, Fail, "read sysctl"},
		{"rp_filter", func(*machine) {}, checkRPFilter, OK, "strict (1)"},
		{"interface", func(*machine) {}, checkInterface, OK, "eth0 is up"},
		{"no interface", func(m *machine) { m.linkErr = errors.New("Link not found") }, checkInterface, Fail, "ip link"},
		{"down", func(m *machine) { m.link.Attrs().Flags = 0 }, checkInterface, Fail, "ip link set dev eth0 up"},
		{"tunnel", func(m *machine) { m.link.Attrs().EncapType = "none" }, checkInterface, Fail, "Ethernet"},
		{"no carrier", func(m *machine) { m.link.Attrs().RawFlags = 0 }, checkInterface, Warn, "no carrier"},
		{"part of a bridge", func(m *machine) { m.link.Attrs().MasterIndex = 7 }, checkInterface, Warn, "bridge"},
		{"MTU", func(*machine) {}, checkMTU, OK, "1500"},
		{"largest MTU", func(m *machine) { m.link.Attrs().MTU = 3506 }, checkMTU, OK, "3506"},
		{"larger MTU", func(m *machine) { m.link.Attrs().MTU = 3507 }, checkMTU, Warn, "ip link set dev eth0 mtu 3506"},
		{"larger MTU, silent driver", func(m *machine) {
			m.link.Attrs().MTU = 3507
			m.features = func(int) (features, error) { return featureBuffers, errors.New("silence") }
		}, checkMTU, Warn, "may refuse native mode"},
		{"MTU of a frame", jumbo(3826), checkMTU, OK, "MTU 3826"},
		{"MTU above a frame", jumbo(3827), checkMTU, OK, "segments of at most 3786 octets (IPv6: 3766)"},
		{"jumbo", jumbo(9000), checkMTU, OK, "MTU 9000, segments of at most 3786 octets"},
		{"jumbo, generic", func(m *machine) { m.link.Attrs().MTU, m.cfg.Mode = 9000, config.ModeGeneric }, checkMTU, OK, "MTU 9000, segments of at most 3786 octets"},
		{"tiny MTU", func(m *machine) { m.link.Attrs().MTU = 600 }, checkMTU, Fail, "1280"},
		{"native", func(*machine) {}, checkXDP, OK, "no zero copy"},
		{"zero copy", func(m *machine) { m.features = func(int) (features, error) { return 0xff, nil } }, checkXDP, OK, "native mode, zero copy"},
		{"no zero copy asked for", func(m *machine) {
			m.features = func(int) (features, error) { return 0xff, nil }
			m.cfg.ZeroCopy = config.ZeroCopyOff
		}, checkXDP, OK, "copies, as asked for"},
		{"no native", func(m *machine) { m.features = func(int) (features, error) { return 0, nil } }, checkXDP, Warn, "generic mode"},
		{"native asked for", func(m *machine) {
			m.features = func(int) (features, error) { return 0, nil }
			m.cfg.Mode = config.ModeNative
		}, checkXDP, Fail, "cannot be had"},
		{"generic asked for", func(m *machine) { m.cfg.Mode = config.ModeGeneric }, checkXDP, Warn, "generic mode as asked for"},
		{"silent driver", func(m *machine) { m.features = func(int) (features, error) { return 0, errors.New("silence") } }, checkXDP, Warn, "silence"},
		{"long segments", func(*machine) {}, checkKernelAbove, OK, "no response is left to the server behind for its length (long segments, which the kernel cuts)"},
		{"long segments, TSO", func(m *machine) { m.segments = func(string) (bool, error) { return true, nil } }, checkKernelAbove, OK, "which the card cuts"},
		{"copies", func(m *machine) { m.cfg.Segmentation = config.SegmentationOff }, checkKernelAbove, OK,
			"more than 1MiB are left to the server behind, and their connections with them (each packet is copied)"},
		{"copies, TSO", func(m *machine) {
			m.cfg.Segmentation, m.segments = config.SegmentationOff, func(string) (bool, error) { return true, nil }
		}, checkKernelAbove, OK, "more than 256KiB"},
		{"offloads not known", func(m *machine) {
			m.segments = func(string) (bool, error) { return false, errors.New("silence") }
		}, checkKernelAbove, OK, "which the kernel cuts; silence"},
		{"zero copy, TSO", func(m *machine) {
			m.segments = func(string) (bool, error) { return true, nil }
			m.features = func(int) (features, error) { return 0xff, nil }
		}, checkKernelAbove, OK, "no response is left to the server behind for its length (zero copy)"},
		{"zero copy that generic mode lacks", func(m *machine) {
			m.features, m.cfg.Mode = func(int) (features, error) { return 0xff, nil }, config.ModeGeneric
		}, checkKernelAbove, OK, "long segments"},
		{"all kept", func(m *machine) {
			if err := m.cfg.KernelAbove.UnmarshalText([]byte("off")); err != nil {
				t.Fatal(err)
			}
		}, checkKernelAbove, OK, "(as asked for)"},
		{"other XDP", func(*machine) {}, checkOtherXDP, OK, "no other"},
		{"listener", func(*machine) {}, checkListener, OK, "somebody listens on port 80"},
		{"no listener", func(m *machine) { m.cfg.Port = 81 }, checkListener, Warn, "nobody listens on port 81"},
		{"listener elsewhere", func(m *machine) {
			m.cfg.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			m.procNet = fstest.MapFS{
				"tcp": file(headline + line(netip.MustParseAddrPort("127.0.0.1:80"), "0A"))}
		}, checkListener, Warn, "nobody listens on port 80 of 192.0.2.1"},
		{"backend elsewhere", func(m *machine) { backend(t, m, "127.0.0.1:8080") }, checkListener, Warn, "port 8080"},
		{"builtin, but taken", func(m *machine) { backend(t, m, "builtin") }, checkListener, Fail, "already"},
		{"builtin", func(m *machine) { backend(t, m, "builtin"); m.cfg.Port = 81 }, checkListener, OK, "free"},
		{"multipath", func(m *machine) {
			m.multipath = func(uint16) ([]netip.Addr, error) { return []netip.Addr{netip.IPv6Unspecified()}, nil }
		}, checkListener, Fail, "Multipath TCP"},
		{"root", func(m *machine) { m.cfg.Roots = []string{dir(t, 0o755)} }, checkRoot, OK, "is a directory"},
		{"private root", func(m *machine) { m.cfg.Roots = []string{dir(t, 0o750)}; m.cfg.Backend.Builtin = true }, checkRoot, Warn, "chmod o+x"},
		{"private root of another server", func(m *machine) { m.cfg.Roots = []string{dir(t, 0o750)} }, checkRoot, OK, "is a directory"},
		{"no root", func(m *machine) { m.cfg.Roots = []string{"/nowhere/at/all"} }, checkRoot, Fail, "nothing to serve"},
		{"types of the server behind", func(m *machine) { m.cfg.MimeTypes += "x" }, checkMimeTypes, OK, "server's behind"},
		{"types", func(m *machine) { m.cfg.Backend.Builtin = true }, checkMimeTypes, OK, "mime.types"},
		{"no types", func(m *machine) { m.cfg.Backend.Builtin = true; m.cfg.MimeTypes += "x" }, checkMimeTypes, Fail, "apt install media-types"},
	} {
		m := host(t)
		c.change(m)
		results := c.check(m)
		text := fmt.Sprint(results)
		if Worst(results) != c.want || len(results) == 0 || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s %s\nwant %s with %q", c.name, Worst(results), text, c.want, c.says)
		}
		for _, r := range results {
			if r.Level != OK && r.Means == "" {
				t.Errorf("%s: %q does not say what it means", c.name, r.Found)
			}
		}
	}
}

func backend(t *testing.T, m *machine, text string) {
	t.Helper()
	if err := m.cfg.Backend.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func dir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	d := t.TempDir()
	if err := os.Chmod(d, mode); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestIgnore(t *testing.T) {
	m := host(t)
	list := []check{
		{"one", func(*machine) []Result { return result(Fail, "bad", "Bad.", "Mend it.") }},
		{"two", func(*machine) []Result { return ok("good") }},
	}
	if got := m.run(list); Worst(got) != Fail || got[0].Check != "one" || got[1].Check != "two" {
		t.Errorf("%+v", got)
	}
	m.cfg.Ignore = []string{"one"}
	if got := m.run(list); Worst(got) != Warn || !strings.Contains(got[0].Means, "ignored") {
		t.Errorf("ignored: %+v", got)
	}
}

// inNamespace runs all checks on a veth interface and returns the results of one.
func inNamespace(ns *nstest.NS, cfg config.Common, name string) []Result {
	var results []Result
	cfg.Interface, cfg.Mode, cfg.ZeroCopy, cfg.MimeTypes = ns.Interface, "auto", "auto", "/etc/mime.types"
	ns.Do(func() {
		for _, r := range Run(&cfg, nil) {
			if r.Check == name {
				results = append(results, r)
			}
		}
	})
	return results
}

func TestDevice(t *testing.T) {
	_, ns := nstest.Pair(t, nstest.Options{Queues: 2})
	cfg := config.Common{Port: 80}
	for check, says := range map[string]string{
		"kernel": "bpf_sk_assign_tcp_reqsk", "capabilities": "CAP_BPF", "memlock": "", "interface": "veth is up", "addresses": "192.0.2.2, 2001:db8::2",
		"mtu": "1500", "xdp": "driver veth, native mode, copies", "queues": "2 receive queues", "other-xdp": "no other",
	} {
		if got := inNamespace(ns, cfg, check); Worst(got) != OK || !strings.Contains(fmt.Sprint(got), says) {
			t.Errorf("%s: %+v", check, got)
		}
	}
	ns.Do(func() { // somebody else's program
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "stranger", Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ns.Index})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = l.Close(), p.Close() })
	})
	if got := inNamespace(ns, cfg, "other-xdp"); Worst(got) != Fail || !strings.Contains(fmt.Sprint(got), "stranger") {
		t.Errorf("other-xdp: %+v", got)
	}
}

func TestListenerInNamespace(t *testing.T) {
	_, ns := nstest.Pair(t, nstest.Options{})
	listen := func(port string, multipath bool) {
		ns.Do(func() {
			var lc net.ListenConfig
			lc.SetMultipathTCP(multipath)
			l, err := lc.Listen(context.Background(), "tcp", ":"+port)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		})
	}
	levels := map[uint16]Level{80: OK, 82: Warn}
	listen("80", false)
	if _, err := os.Stat("/proc/sys/net/mptcp/enabled"); err == nil { // a kernel without it has no such listeners
		listen("81", true)
		levels[81] = Fail
	}
	for port, want := range levels {
		if got := inNamespace(ns, config.Common{Port: port}, "listener"); Worst(got) != want {
			t.Errorf("port %d: %+v, want %s", port, got, want)
		}
	}
}

// TestFirewall gives rules to the real tools, as administrators write them.
func TestFirewall(t *testing.T) {
	_, ns := nstest.Pair(t, nstest.Options{})
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft (Debian: apt install nftables)")
	}
	const chain = "table inet t { chain in { type filter hook input priority 0; policy %s; %s\n}\n}\n"
	for _, c := range []struct {
		name, policy, rules string
		loose, strict       Level // by nf_conntrack_tcp_loose
	}{
		{"nothing", "accept", "", OK, OK},
		{"invalid", "accept", "ct state invalid drop", OK, Fail},
		{"map", "drop", "ct state vmap { established : accept, related : accept, invalid : drop }; tcp dport { 22, 80, 443 } accept", OK, Fail},
		{"stateful", "drop", "ct state established,related accept; iifname \"lo\" accept; ip protocol icmp accept; tcp dport 80 ct state new accept; meta nfproto ipv6 tcp dport 80 accept", OK, Fail},
		{"SYN only", "drop", "ct state established,related accept; tcp flags & (fin|syn|rst|ack) == syn tcp dport 80 accept", Fail, Fail},
		{"new, not SYN", "accept", "tcp flags & (fin|syn|rst|ack) != syn ct state new counter log prefix \"x\" drop", Fail, OK},
		{"closed", "drop", "ct state established,related accept; tcp dport 22 accept", Warn, Warn},
		{"ranges", "drop", "ct state established accept; tcp dport 1-1024 accept", OK, OK},
		{"banned", "accept", "ip saddr 198.51.100.0/24 drop", Warn, Warn},
		{"jump", "accept", "tcp dport 80 jump web\n}\nchain web { ct state invalid reject with tcp reset;", OK, Fail},
		{"notrack", "drop", "ct state invalid drop; ct state established,untracked accept\n}\nchain raw { type filter hook prerouting priority raw; iifname \"veth\" tcp dport 80 notrack;", OK, OK},
	} {
		ns.Exec("nft", "flush ruleset; "+fmt.Sprintf(chain, c.policy, c.rules))
		wantFirewall(t, ns, c.name, c.loose, c.strict)
	}
	if _, err := exec.LookPath("iptables-nft"); err != nil {
		t.Skip("the rest needs iptables-nft (Debian: apt install iptables)")
	}
	for _, c := range []struct {
		name, rule    string
		loose, strict Level
	}{
		{"iptables: new, not SYN", "-A INPUT -p tcp ! --syn -m state --state NEW -j DROP", Fail, OK},
		{"iptables: conntrack", "-A INPUT -p tcp ! --syn -m conntrack --ctstate NEW -m comment --comment x -j REJECT", Fail, OK},
		{"iptables: invalid", "-A INPUT -m conntrack --ctstate INVALID -j DROP", OK, Fail},
		{"iptables: port", "-A INPUT -p tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT", OK, OK},
		{"iptables: recent", "-A INPUT -p tcp --dport 80 -m hashlimit --hashlimit-above 10/sec --hashlimit-name x -j DROP", Warn, Warn},
	} {
		ns.Exec("nft", "flush ruleset")
		ns.Exec("iptables-nft", strings.Fields(c.rule)...)
		wantFirewall(t, ns, c.name, c.loose, c.strict)
	}
}

func wantFirewall(t *testing.T, ns *nstest.NS, name string, loose, strict Level) {
	t.Helper()
	for value, want := range map[string]Level{"1": loose, "0": strict} {
		ns.Sysctl("net/netfilter/nf_conntrack_tcp_loose", value)
		if got := inNamespace(ns, config.Common{Port: 80}, "firewall"); Worst(got) != want {
			t.Errorf("%s, with nf_conntrack_tcp_loose=%s: %+v, want %s", name, value, got, want)
		}
	}
}
