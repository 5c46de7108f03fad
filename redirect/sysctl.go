package redirect

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Sysctls are the kernel's settings that a connection must obey so that it can be handed over: what the
// SYN/ACK offers must be what the kernel would have offered.
type Sysctls struct {
	Timestamps, SACK, WindowScaling bool
	SynCookies, ECN                 int
	CongestionControl               string
}

// ReadSysctls reads them from procSys, os.DirFS("/proc/sys"), which shows the network namespace of the calling thread.
func ReadSysctls(procSys fs.FS) (Sysctls, error) {
	var s Sysctls
	for _, v := range []struct {
		name string
		set  func(int)
	}{
		{"tcp_timestamps", func(n int) { s.Timestamps = n != 0 }},
		{"tcp_sack", func(n int) { s.SACK = n != 0 }},
		{"tcp_window_scaling", func(n int) { s.WindowScaling = n != 0 }},
		{"tcp_syncookies", func(n int) { s.SynCookies = n }},
		{"tcp_ecn", func(n int) { s.ECN = n }},
	} {
		b, err := fs.ReadFile(procSys, "net/ipv4/"+v.name)
		if err != nil {
			return s, fmt.Errorf("read sysctl: %w", err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return s, fmt.Errorf("read sysctl net.ipv4.%s: %w", v.name, err)
		}
		v.set(n)
	}
	name, err := fs.ReadFile(procSys, "net/ipv4/tcp_congestion_control")
	if err != nil {
		return s, fmt.Errorf("read sysctl: %w", err)
	}
	s.CongestionControl = strings.TrimSpace(string(name))
	return s, nil
}

// Err returns an error that says what to do if no connection could be handed over.
func (s Sysctls) Err() error {
	if s.SynCookies < 1 {
		return fmt.Errorf("net.ipv4.tcp_syncookies is 0: the kernel would answer each hand-over with RST; set it to 1")
	}
	return nil
}

// Warnings returns what works less well with these settings than it could, a sentence each.
func (s Sysctls) Warnings() []string {
	var w []string
	if !s.Timestamps {
		w = append(w, "net.ipv4.tcp_timestamps is off: no protection against old duplicates (PAWS), coarser round-trip times")
	}
	if !s.SACK {
		w = append(w, "net.ipv4.tcp_sack is off: more than one loss in a window costs a round trip each")
	}
	if !s.WindowScaling {
		w = append(w, "net.ipv4.tcp_window_scaling is off: no client can have more than 64 KiB under way")
	}
	return w
}
