package preflight

import (
	"encoding/binary"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// rules is a builder of rulesets, as nft and iptables-nft make them.
type rules struct{ ruleset }

func newRules() *rules {
	return &rules{ruleset{chains: make(map[chainKey]*chain), sets: make(map[setKey]*set)}}
}

var filter = &nftables.Table{Family: nftables.TableFamilyINet, Name: "filter"}

func (r *rules) input(policy nftables.ChainPolicy, list ...[]expr.Any) *rules {
	return r.base(nftables.ChainHookInput, 0, policy, list...)
}

func (r *rules) base(hook *nftables.ChainHook, priority nftables.ChainPriority, policy nftables.ChainPolicy, list ...[]expr.Any) *rules {
	r.add(&nftables.Chain{Name: "base", Table: filter, Hooknum: hook, Priority: &priority, Policy: &policy}, made(list))
	return r
}

func (r *rules) chain(name string, list ...[]expr.Any) *rules {
	r.add(&nftables.Chain{Name: name, Table: filter}, made(list))
	return r
}

func (r *rules) set(name string, interval bool, elements ...nftables.SetElement) *rules {
	r.sets[setKey{tableKey{filter.Family, filter.Name}, name}] = &set{interval, elements}
	return r
}

func made(list [][]expr.Any) (rules []*nftables.Rule) {
	for _, exprs := range list {
		rules = append(rules, &nftables.Rule{Exprs: exprs})
	}
	return rules
}

// rule joins parts of a rule.
func rule(parts ...[]expr.Any) (all []expr.Any) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func verdict(kind expr.VerdictKind, chain ...string) []expr.Any {
	v := &expr.Verdict{Kind: kind}
	if chain != nil {
		v.Chain = chain[0]
	}
	return []expr.Any{&expr.Counter{}, v}
}

var accept, drop = verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func ctState(states uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(states), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

func ctLookup(set string, verdicts bool) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, &expr.Lookup{SourceRegister: 1, SetName: set, IsDestRegSet: verdicts}}
}

// tcpFlags is "tcp flags & mask == value", or "!=".
func tcpFlags(mask, value byte, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: 1, Data: []byte{value}},
	}
}

func port(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

func portIn(set string, invert bool) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: set, Invert: invert},
	}
}

func source(addr ...byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr},
	}
}

func iifname(name string) []expr.Any {
	data := append([]byte(name), 0)
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data}}
}

func match(name string, info xt.InfoAny) []expr.Any {
	return []expr.Any{&expr.Match{Name: name, Info: info}}
}

func element(key []byte) nftables.SetElement { return nftables.SetElement{Key: key} }
func port16(p uint16) []byte                 { return binary.BigEndian.AppendUint16(nil, p) }

func xtStates(states uint16) []expr.Any {
	info := &xt.ConntrackMtinfo3{}
	info.MatchFlags, info.StateMask = uint16(xt.ConntrackState), states
	return match("conntrack", info)
}

func TestFate(t *testing.T) {
	const (
		invalid, established, newState = expr.CtStateBitINVALID, expr.CtStateBitESTABLISHED, expr.CtStateBitNEW
		synRstAckFin                   = 0x17
		either                         = accepted | dropped
	)
	acceptPolicy, dropPolicy := nftables.ChainPolicyAccept, nftables.ChainPolicyDrop
	known := ctState(established | expr.CtStateBitRELATED)
	for _, c := range []struct {
		name                 string
		rules                *rules
		syn, loose, handover outcome // handover: with nf_conntrack_tcp_loose=0
	}{
		{"none", newRules(), accepted, accepted, accepted},
		{"invalid: drop", newRules().input(acceptPolicy, rule(ctState(invalid), drop)), accepted, accepted, dropped},
		{"stateful, open port", newRules().input(dropPolicy, rule(known, accept), rule(port(80), ctState(newState), accept)), accepted, accepted, dropped},
		{"stateful, open port for SYN", newRules().input(dropPolicy,
			rule(known, accept), rule(tcpFlags(synRstAckFin, flagSYN, expr.CmpOpEq), port(80), accept)), accepted, dropped, dropped},
		{"new, not SYN: drop", newRules().input(acceptPolicy,
			rule(ctState(newState), tcpFlags(synRstAckFin, flagSYN, expr.CmpOpNeq), drop)), accepted, dropped, accepted},
		{"new, not SYN: drop, on another interface", newRules().input(acceptPolicy,
			rule(iifname("eth9"), ctState(newState), tcpFlags(synRstAckFin, flagSYN, expr.CmpOpNeq), drop)), accepted, accepted, accepted},
		{"new, not SYN: drop, in prerouting", newRules().base(nftables.ChainHookPrerouting, -150, acceptPolicy,
			rule(ctState(newState), tcpFlags(synRstAckFin, flagSYN, expr.CmpOpNeq), drop)).input(acceptPolicy), accepted, dropped, accepted},
		{"map of verdicts", newRules().input(acceptPolicy, ctLookup("v", true)).set("v", false,
			nftables.SetElement{Key: native(established), VerdictData: &expr.Verdict{Kind: expr.VerdictAccept}},
			nftables.SetElement{Key: native(invalid), VerdictData: &expr.Verdict{Kind: expr.VerdictDrop}}), accepted, accepted, dropped},
		{"set of states", newRules().input(dropPolicy, rule(ctLookup("s", false), accept)).set("s", false,
			element(native(established)), element(native(newState))), accepted, accepted, dropped},
		{"set of ports", newRules().input(dropPolicy, rule(portIn("p", false), accept)).set("p", false,
			element(port16(22)), element(port16(80))), accepted, accepted, accepted},
		{"set of other ports", newRules().input(dropPolicy, rule(portIn("p", false), accept)).set("p", false, element(port16(22))), dropped, dropped, dropped},
		{"all ports but", newRules().input(dropPolicy, rule(portIn("p", true), accept)).set("p", false, element(port16(22))), accepted, accepted, accepted},
		{"ranges of ports", newRules().input(dropPolicy, rule(portIn("p", false), accept)).set("p", true,
			element(port16(79)), nftables.SetElement{Key: port16(82), IntervalEnd: true}), accepted, accepted, accepted},
		{"between ranges of ports", newRules().input(dropPolicy, rule(portIn("p", false), accept)).set("p", true,
			element(port16(20)), nftables.SetElement{Key: port16(26), IntervalEnd: true}, element(port16(443)), nftables.SetElement{Key: port16(444), IntervalEnd: true}),
			dropped, dropped, dropped},
		{"some clients", newRules().input(acceptPolicy, rule(source(192, 0, 2, 1), drop)), either, either, either},
		{"some clients only", newRules().input(dropPolicy, rule(source(192, 0, 2, 1), accept)), either, either, either},
		{"limit", newRules().input(dropPolicy, rule([]expr.Any{&expr.Limit{}}, accept)), either, either, either},
		{"a program decides", newRules().input(dropPolicy, []expr.Any{&expr.Queue{}}), either, either, either},
		{"jump", newRules().input(acceptPolicy, rule(port(80), verdict(expr.VerdictJump, "web"))).chain("web",
			rule(known, accept), rule(tcpFlags(synRstAckFin, flagSYN, expr.CmpOpEq), accept), drop), accepted, dropped, dropped},
		{"jump and return", newRules().input(dropPolicy, verdict(expr.VerdictJump, "web"), accept).chain("web",
			rule(port(80), verdict(expr.VerdictReturn)), drop), accepted, accepted, accepted},
		{"goto does not come back", newRules().input(dropPolicy, verdict(expr.VerdictGoto, "web"), accept).chain("web"), dropped, dropped, dropped},
		{"a jump that may come back", newRules().input(acceptPolicy, verdict(expr.VerdictJump, "web"), drop).chain("web",
			rule(source(192, 0, 2, 1), accept)), either, either, either},
		{"endless jumps", newRules().input(acceptPolicy, verdict(expr.VerdictJump, "web")).chain("web", verdict(expr.VerdictJump, "web")), either, either, either},
		{"reject", newRules().input(acceptPolicy, rule(port(80), []expr.Any{&expr.Reject{}})), dropped, dropped, dropped},
		{"notrack", newRules().base(nftables.ChainHookPrerouting, -300, acceptPolicy, rule(port(80), []expr.Any{&expr.Notrack{}})).
			input(dropPolicy, rule(ctState(invalid), drop), rule(ctState(established|expr.CtStateBitUNTRACKED), accept)), accepted, accepted, accepted},
		{"notrack for some", newRules().base(nftables.ChainHookPrerouting, -300, acceptPolicy, rule(source(192, 0, 2, 1), []expr.Any{&expr.Notrack{}})).
			input(acceptPolicy, rule(ctState(invalid), drop)), either, either, either},
		{"other hooks", newRules().base(nftables.ChainHookForward, 0, dropPolicy).base(nftables.ChainHookOutput, 0, dropPolicy), accepted, accepted, accepted},
		{"xtables: new, not SYN", newRules().input(acceptPolicy,
			rule(match("tcp", &xt.Tcp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{0, 65535}, FlagsMask: synRstAckFin, FlagsCmp: flagSYN, InvFlags: xt.TcpInvFlags}),
				xtStates(uint16(newState)), drop)), accepted, dropped, accepted},
		{"xtables: port", newRules().input(dropPolicy,
			rule(match("tcp", &xt.Tcp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{80, 80}}), accept)), accepted, accepted, accepted},
		{"xtables: invalid", newRules().input(acceptPolicy, rule(xtStates(uint16(invalid)), drop)), accepted, accepted, dropped},
		{"xtables: state", newRules().input(acceptPolicy, rule(match("state", unknown(native(invalid)...)), drop)), accepted, accepted, dropped},
		{"xtables: what it does not know", newRules().input(acceptPolicy, rule(match("recent", unknown(1)), drop)), either, either, either},
		{"xtables: reject", newRules().input(acceptPolicy, []expr.Any{&expr.Target{Name: "REJECT"}}), dropped, dropped, dropped},
		{"xtables: log", newRules().input(acceptPolicy, []expr.Any{&expr.Target{Name: "LOG"}}), accepted, accepted, accepted},
		{"xtables: notrack", newRules().base(nftables.ChainHookPrerouting, -300, acceptPolicy, []expr.Any{&expr.Target{Name: "CT", Info: unknown(1, 0, 0, 0)}}).
			input(acceptPolicy, rule(xtStates(uint16(invalid)), drop)), accepted, accepted, accepted},
	} {
		p := packet{port: 80, ifname: "eth0", ifindex: 2}
		for _, f := range []struct {
			name  string
			flags byte
			state uint32
			want  outcome
		}{
			{"SYN", flagSYN, newState, c.syn},
			{"hand-over", flagACK | flagPSH, newState, c.loose},
			{"hand-over, loose=0", flagACK | flagPSH, invalid, c.handover},
		} {
			p.flags, p.state = f.flags, f.state
			if got := c.rules.fate(p); got != f.want {
				t.Errorf("%s: %s: %s, want %s", c.name, f.name, got.describe(), f.want.describe())
			}
		}
	}
}

func unknown(b ...byte) *xt.Unknown {
	u := xt.Unknown(b)
	return &u
}

func (o outcome) describe() string {
	return map[outcome]string{accepted: "accepted", dropped: "dropped", accepted | dropped: "either"}[o]
}

func TestFateByFamily(t *testing.T) {
	r := newRules()
	policy, priority := nftables.ChainPolicyDrop, nftables.ChainPriority(0)
	r.add(&nftables.Chain{
		Name: "INPUT", Table: &nftables.Table{Family: nftables.TableFamilyIPv6, Name: "filter"}, Hooknum: nftables.ChainHookInput, Priority: &priority, Policy: &policy,
	}, nil)
	r.add(&nftables.Chain{
		Name: "in", Table: &nftables.Table{Family: nftables.TableFamilyNetdev, Name: "dev"}, Hooknum: nftables.ChainHookIngress, Priority: &priority, Policy: &policy, Device: "eth9",
	}, nil)
	if got := r.fate(packet{port: 80, ifname: "eth0"}); got != accepted {
		t.Errorf("IPv4: %s", got.describe())
	}
	if got := r.fate(packet{v6: true, port: 80, ifname: "eth0"}); got != dropped {
		t.Errorf("IPv6: %s", got.describe())
	}
	if got := r.fate(packet{port: 80, ifname: "eth9"}); got != dropped {
		t.Errorf("ingress of eth9: %s", got.describe())
	}
}
