package preflight

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
)

func numCPU() int { return runtime.NumCPU() } // that this process may run on

// stateListen is TCP_LISTEN of net/tcp_states.h, as /proc/net/tcp shows it.
const stateListen = "0A"

// Listeners returns the local addresses of the TCP sockets that listen on port, from procNet, which is
// os.DirFS("/proc/thread-self/net").
func Listeners(procNet fs.FS, port uint16) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := procNet.Open(name)
		if name == "tcp6" && errors.Is(err, fs.ErrNotExist) {
			break // a kernel without IPv6
		}
		if err != nil {
			return all, fmt.Errorf("list listeners: %w", err)
		}
		found, err := readListeners(f, port)
		all = append(all, found...)
		if err = errors.Join(err, f.Close()); err != nil {
			return all, fmt.Errorf("list listeners in %s: %w", name, err)
		}
	}
	return all, nil
}

// readListeners reads lines like "   0: 00000000:0050 00000000:0000 0A …", after a headline. Listeners come first
// (tcp_seq_start in net/ipv4/tcp_ipv4.c), so that it need not read what may be a million connections.
func readListeners(r io.Reader, port uint16) ([]netip.Addr, error) {
	var found []netip.Addr
	lines := bufio.NewScanner(r)
	lines.Scan()
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return found, fmt.Errorf("line %q is not understood", lines.Text())
		}
		if fields[3] != stateListen {
			break
		}
		local, err := parseEndpoint(fields[1])
		if err != nil {
			return found, err
		}
		if local.Port() == port {
			found = append(found, local.Addr())
		}
	}
	return found, lines.Err()
}

// parseEndpoint reads an address in hexadecimal words of 32 bits in the machine's own order, and a port.
func parseEndpoint(s string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(s, ":")
	octets, err := hex.DecodeString(addr)
	if err != nil || len(octets)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q is not understood", s)
	}
	for i := 0; i < len(octets); i += 4 {
		binary.NativeEndian.PutUint32(octets[i:], binary.BigEndian.Uint32(octets[i:]))
	}
	ip, valid := netip.AddrFromSlice(octets)
	n, err := strconv.ParseUint(port, 16, 16)
	if !valid || err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q is not understood", s)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// Listening reports whether one of listeners takes connections to local address a. A listener on [::] is believed to
// take IPv4, too, as it does unless it was told otherwise.
func Listening(listeners []netip.Addr, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, l := range listeners {
		if l == a || l == netip.IPv6Unspecified() || l == netip.IPv4Unspecified() && a.Is4() {
			return true
		}
	}
	return false
}

func checkListener(m *machine) []Result {
	port := m.cfg.Backend.Port(m.cfg.Port)
	listeners, err := Listeners(m.procNet, port)
	if err != nil {
		return result(Warn, err.Error(), "It is not known whether there is a server behind.", "")
	}
	if m.cfg.Backend.Builtin {
		if len(listeners) > 0 {
			return result(Fail, fmt.Sprintf("somebody listens on port %d already", port), "The builtin server could not.",
				"Leave '--backend builtin' out, so that who listens there is the server behind; or stop it.")
		}
		return ok("port %d is free for the builtin server", port)
	}
	return m.judgeListeners(listeners, port)
}

func (m *machine) judgeListeners(listeners []netip.Addr, port uint16) []Result {
	var lacking []string
	for _, a := range m.wanted() {
		if !Listening(listeners, a) {
			lacking = append(lacking, a.String())
		}
	}
	multipath, err := m.multipath(port)
	switch {
	case err == nil && len(multipath) > 0:
		return result(Fail, fmt.Sprintf("who listens on port %d speaks Multipath TCP", port), "The kernel hands no connections to such a listener.",
			"Turn it off there (Go: GODEBUG=multipathtcp=0 or net.ListenConfig.SetMultipathTCP(false)), or for all: sysctl -w net.mptcp.enabled=0, and restart the server.")
	case len(listeners) == 0:
		return result(Warn, fmt.Sprintf("nobody listens on port %d", port),
			"Nothing can be proven, so nothing is answered; every connection is reset, as it would be without xhttpd.",
			"Start the web server; it may come later. Or say where it listens (--backend), or have a plain one (--backend builtin).")
	case lacking != nil:
		return result(Warn, fmt.Sprintf("nobody listens on port %d of %s", port, strings.Join(lacking, ", ")),
			"Files would be answered there by xhttpd alone, and everything else be reset.",
			"Have the web server listen there, or choose by --address what is served.")
	}
	return ok("somebody listens on port %d", port)
}

// wanted are the addresses that the server behind must listen on: its own if they were given, else those served.
func (m *machine) wanted() []netip.Addr {
	b := m.cfg.Backend
	var wanted []netip.Addr
	for _, a := range []netip.AddrPort{b.V4, b.V6} {
		if a.IsValid() && !a.Addr().IsUnspecified() {
			wanted = append(wanted, a.Addr())
		}
	}
	if wanted != nil {
		return wanted
	}
	if len(m.cfg.Addresses) > 0 {
		return m.cfg.Addresses
	}
	return m.own()
}
