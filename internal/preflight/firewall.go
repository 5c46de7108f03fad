package preflight

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/xdp"
)

// A hand-over is a segment with ACK and data of a connection whose SYN the kernel's netfilter has never seen.
// Connection tracking calls it new if nf_conntrack_tcp_loose is 1, as it is unless somebody has changed it, and
// invalid otherwise. Whether the rules let it in is found by walking them with such a segment (walk.go), and what it
// means by comparing with a SYN.

const remedyNotrack = "Take these segments out of connection tracking, in both directions: nft add table inet xhttpd; " +
	"nft add chain inet xhttpd in '{ type filter hook prerouting priority raw; }'; nft add rule inet xhttpd in iifname %[1]s tcp dport %[2]d notrack; " +
	"nft add chain inet xhttpd out '{ type filter hook output priority raw; }'; nft add rule inet xhttpd out oifname %[1]s tcp sport %[2]d notrack; " +
	"and accept 'ct state untracked tcp dport %[2]d' where new connections are accepted."

func checkFirewall(m *machine) []Result {
	legacy := legacyTables(m.procNet)
	rules, err := readRuleset()
	switch {
	case errors.Is(err, os.ErrPermission):
		return result(Warn, "the rules of nftables may only be read with CAP_NET_ADMIN", "It is not known whether hand-overs would be dropped.", "Run the check as root.")
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, os.ErrNotExist):
		rules = &ruleset{} // a kernel without nftables
	case err != nil:
		return result(Warn, err.Error(), "It is not known whether hand-overs would be dropped.", "")
	}
	loose := true
	if v, err := readInt(m.procSys, "net/netfilter/nf_conntrack_tcp_loose"); err == nil && v == 0 {
		loose = false
	}
	var all []Result
	if legacy != nil {
		all = append(all, result(Warn, "there are rules of iptables-legacy ("+strings.Join(legacy, ", ")+")",
			"They are not looked into: hand-overs may be dropped if they want to see a SYN first.",
			"Move them to nftables (iptables-translate), or see that 'new, not SYN' and 'invalid' are accepted on the port.")...)
	}
	for _, v6 := range m.families() {
		all = append(all, m.judgeFirewall(rules, v6, loose)...)
	}
	if all == nil {
		return ok("no rule drops hand-overs (%d base chains of nftables)", len(rules.base))
	}
	return all
}

// judgeFirewall compares what becomes of a hand-over and of a client's SYN.
func (m *machine) judgeFirewall(rules *ruleset, v6, loose bool) []Result {
	p := packet{v6: v6, port: m.cfg.Port, ifname: m.cfg.Interface, flags: flagSYN, state: expr.CtStateBitNEW}
	if m.link != nil {
		p.ifindex = uint32(m.link.Attrs().Index)
	}
	syn := rules.fate(p)
	p.flags = flagPSH | flagACK
	if !loose {
		p.state = expr.CtStateBitINVALID
	}
	handover := rules.fate(p)
	family := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
	why := "they want to see a SYN first"
	if !loose {
		why = "they accept no invalid segments, which these are with nf_conntrack_tcp_loose=0"
	}
	remedy := fmt.Sprintf(remedyNotrack, m.cfg.Interface, m.cfg.Port)
	if !loose {
		remedy = "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1. Or else: " + remedy
	}
	switch {
	case syn == dropped:
		return result(Warn, fmt.Sprintf("the firewall lets no new %s connections to port %d in", family, m.cfg.Port),
			"Packets that xhttpd takes do not pass the firewall: clients would get files all the same, and nothing else.",
			"Open the port, or choose by --interface, --port and --address what is served.")
	case handover == dropped:
		return result(Fail, fmt.Sprintf("the firewall's rules drop hand-overs (%s): %s", family, why),
			"Every connection that is not answered from memory would hang.", remedy)
	case handover.has(dropped) && !syn.has(dropped):
		return result(Warn, fmt.Sprintf("the firewall's rules may drop hand-overs (%s): %s, but not all could be judged", family, why),
			"Connections that are not answered from memory might hang.", "Try it; if so: "+remedy)
	case syn.has(dropped):
		return result(Warn, fmt.Sprintf("the firewall drops some %s connections to port %d", family, m.cfg.Port),
			"Packets that xhttpd takes do not pass the firewall: clients that it keeps out would get files all the same.",
			"Do without xhttpd where files are not for everybody, or keep those clients out before this interface.")
	}
	return nil
}

// families returns whether IPv4 and IPv6 (true) are to be looked at.
func (m *machine) families() []bool {
	var has4, has6 bool
	addresses := m.cfg.Addresses
	if len(addresses) == 0 {
		addresses = m.own()
	}
	for _, a := range addresses {
		has4 = has4 || a.Unmap().Is4()
		has6 = has6 || !a.Unmap().Is4()
	}
	var families []bool
	if has4 || !has6 {
		families = append(families, false)
	}
	if has6 {
		families = append(families, true)
	}
	return families
}

// own are the interface's addresses that would be served, link-local ones left out.
func (m *machine) own() []netip.Addr {
	all, err := xdp.Addresses(m.cfg.Interface)
	if err != nil {
		return nil // checkAddresses has said it
	}
	var own []netip.Addr
	for _, a := range all {
		if m.cfg.Backend.Takes(a) && !a.IsLinkLocalUnicast() {
			own = append(own, a)
		}
	}
	return own
}

// legacyTables returns the tables that iptables-legacy has made. It needs root; without, there are none.
func legacyTables(procNet fs.FS) []string {
	var tables []string
	for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
		if b, err := fs.ReadFile(procNet, name); err == nil {
			for _, table := range strings.Fields(string(b)) {
				tables = append(tables, strings.TrimSuffix(name, "_tables_names")+" "+table)
			}
		}
	}
	return tables
}

// readRuleset reads all rules of nftables, those made by iptables-nft included.
func readRuleset() (*ruleset, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("read the firewall's rules: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("read the firewall's chains: %w", err)
	}
	rs := &ruleset{chains: make(map[chainKey]*chain), sets: make(map[setKey]*set)}
	for _, c := range chains {
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			return nil, fmt.Errorf("read the firewall's rules of %s: %w", c.Name, err)
		}
		rs.add(c, rules)
	}
	return rs, rs.readSets(conn)
}

// readSets reads the sets that rules look into.
func (rs *ruleset) readSets(conn *nftables.Conn) error {
	for key := range rs.sets {
		s, err := conn.GetSetByName(key.table.nft(), key.name)
		if err != nil {
			return fmt.Errorf("read the firewall's set %s: %w", key.name, err)
		}
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("read the firewall's set %s: %w", key.name, err)
		}
		if s.IsMap {
			for i := range elements {
				elements[i].VerdictData = decodeVerdict(elements[i].Val)
			}
		}
		rs.sets[key] = &set{interval: s.Interval, elements: elements}
	}
	return nil
}

// decodeVerdict reads the value of a map's element as a verdict, nil if it is none: nested attributes, which the
// library leaves as they came.
func decodeVerdict(value []byte) *expr.Verdict {
	attrs, err := nl.ParseRouteAttr(value)
	if err != nil {
		return nil
	}
	var v *expr.Verdict
	for _, a := range attrs {
		switch a.Attr.Type & nl.NLA_TYPE_MASK {
		case unix.NFTA_VERDICT_CODE:
			if len(a.Value) != 4 {
				return nil
			}
			v = &expr.Verdict{Kind: expr.VerdictKind(int32(binary.BigEndian.Uint32(a.Value)))}
		case unix.NFTA_VERDICT_CHAIN:
			if v == nil {
				return nil
			}
			v.Chain = strings.TrimRight(string(a.Value), "\x00")
		}
	}
	return v
}
