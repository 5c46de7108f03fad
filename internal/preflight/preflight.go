package preflight

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"

	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/xdp"
)

// Level says how a check went.
type Level uint8

// The levels.
const (
	OK Level = iota
	Warn
	Fail
)

// String returns the level as it is printed.
func (l Level) String() string { return [...]string{"ok", "warn", "fail"}[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Result is what one check found.
type Result struct {
	Check string `json:"check"` // its name, as --ignore takes it
	Level Level  `json:"level"`
	Found string `json:"found"`           // what is the case
	Means string `json:"means,omitempty"` // for the daemon
	Do    string `json:"do,omitempty"`    // about it
}

// check is one thing to look at. It returns a Result for each finding; the name is filled in by Run.
type check struct {
	name string
	run  func(*machine) []Result
}

// checks are in the order in which a person would ask: the later ones take for granted what the earlier ones found.
var checks = []check{
	{"kernel", checkKernel},
	{"capabilities", checkCapabilities},
	{"memlock", checkMemlock},
	{"interface", checkInterface},
	{"addresses", checkAddresses},
	{"mtu", checkMTU},
	{"xdp", checkXDP},
	{"queues", checkQueues},
	{"kernel-above", checkKernelAbove},
	{"other-xdp", checkOtherXDP},
	{"sysctls", checkSysctls},
	{"rp-filter", checkRPFilter},
	{"listener", checkListener},
	{"firewall", checkFirewall},
	{"apache", checkApache},
	{"scopes", checkScopes},
	{"root", checkRoot},
	{"mime-types", checkMimeTypes},
}

// Names returns the names of all checks.
func Names() []string {
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.name
	}
	return names
}

// machine is what checks look at, and how: tests bring their own.
type machine struct {
	cfg    *config.Common
	apache *Apache // nil: there is none behind

	procSys fs.FS // /proc/sys
	procNet fs.FS // /proc/thread-self/net
	link    netlink.Link
	linkErr error

	features  func(ifindex int) (features, error)
	segments  func(ifname string) (bool, error)
	multipath func(port uint16) ([]netip.Addr, error) // listeners that speak Multipath TCP
}

// Run runs all checks, on cfg and on what is known of the Apache behind, nil if another server is. Checks that cfg ignores
// warn where they would fail.
func Run(cfg *config.Common, apache *Apache) []Result {
	runtime.LockOSThread() // /proc/thread-self and the namespace are the thread's
	defer runtime.UnlockOSThread()
	m := &machine{
		cfg: cfg, apache: apache,
		procSys: os.DirFS("/proc/sys"), procNet: os.DirFS("/proc/thread-self/net"),
		features: deviceFeatures, segments: xdp.Segments, multipath: multipathListeners,
	}
	m.link, m.linkErr = netlink.LinkByName(cfg.Interface)
	return m.run(checks)
}

func (m *machine) run(checks []check) []Result {
	ignored := make(map[string]bool)
	for _, name := range m.cfg.Ignore {
		ignored[name] = true
	}
	var all []Result
	for _, c := range checks {
		for _, r := range c.run(m) {
			r.Check = c.name
			if r.Level == Fail && ignored[c.name] {
				r.Level = Warn
				r.Means += " (ignored, as was asked for)"
			}
			all = append(all, r)
		}
	}
	return all
}

// Worst returns the highest level among results.
func Worst(results []Result) Level {
	worst := OK
	for _, r := range results {
		worst = max(worst, r.Level)
	}
	return worst
}

func ok(format string, args ...any) []Result {
	return []Result{{Level: OK, Found: fmt.Sprintf(format, args...)}}
}

func result(l Level, found, means, do string) []Result {
	return []Result{{Level: l, Found: found, Means: means, Do: do}}
}
