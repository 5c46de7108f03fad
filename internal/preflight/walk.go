package preflight

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// packet is what is known of a TCP segment to this host: what rules ask beyond that may be one way or the other.
type packet struct {
	v6      bool
	port    uint16 // destination
	flags   byte
	ifname  string
	ifindex uint32
	state   uint32 // of connection tracking, one of expr.CtStateBit…; 0: not known
}

// TCP flags.
const (
	flagSYN = 0x02
	flagPSH = 0x08
	flagACK = 0x10
)

// answer is whether a rule matches.
type answer uint8

const (
	no answer = iota
	maybe
	yes
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

func (a answer) not() answer { return yes - a }

// registers hold what is known; what is not there is unknown. Each rule begins with none.
type registers map[uint32][]byte

// match returns whether p matches a rule, and the rule's verdict; nil if it has none. A rule that takes p out of
// connection tracking notes that in p.
func (rs *ruleset) match(c *chain, exprs []expr.Any, p *packet) (answer, *expr.Verdict) {
	all := yes
	var verdict *expr.Verdict
	regs := make(registers)
	for _, e := range exprs {
		a := yes
		switch e := e.(type) {
		case *expr.Lookup:
			a, verdict = rs.lookup(c, e, regs, verdict)
		case *expr.Verdict:
			verdict = e
		case *expr.Reject, *expr.SynProxy:
			verdict = &expr.Verdict{Kind: expr.VerdictDrop}
		case *expr.Queue:
			verdict = &expr.Verdict{Kind: expr.VerdictQueue}
		case *expr.NAT, *expr.Redir, *expr.Masq, *expr.TProxy:
			verdict = &expr.Verdict{Kind: expr.VerdictAccept}
		case *expr.Notrack:
			p.untrack(all)
		case *expr.Target:
			verdict = target(e, p, all, verdict)
		default:
			a = regs.evaluate(e, p)
		}
		if all = min(all, a); all == no {
			return no, nil
		}
	}
	return all, verdict
}

// untrack notes that p is not tracked, or may not be.
func (p *packet) untrack(a answer) {
	p.state = expr.CtStateBitUNTRACKED
	if a == maybe {
		p.state = 0
	}
}

// evaluate returns whether p passes e, which may load registers.
func (regs registers) evaluate(e expr.Any, p *packet) answer {
	switch e := e.(type) {
	case *expr.Meta:
		if !e.SourceRegister {
			regs.load(e.Register, p.meta(e.Key))
		}
	case *expr.Payload:
		if e.OperationType == expr.PayloadLoad {
			regs.load(e.DestRegister, p.payload(e))
		}
	case *expr.Ct:
		if !e.SourceRegister {
			regs.load(e.Register, p.ct(e.Key))
		}
	case *expr.Immediate:
		regs.load(e.Register, e.Data)
	case *expr.Bitwise:
		regs.load(e.DestRegister, bitwise(regs[e.SourceRegister], e))
	case *expr.Cmp:
		return compare(regs[e.Register], e)
	case *expr.Range:
		return inRange(regs[e.Register], e)
	case *expr.Match:
		return xtMatch(e, p)
	case *expr.Counter, *expr.Log, *expr.Objref, *expr.FlowOffload: // pass everything
	case *expr.Fib, *expr.Rt, *expr.Hash, *expr.Numgen: // load what is not known
	default: // limits, sets that change
		return maybe
	}
	return yes
}

func (regs registers) load(register uint32, value []byte) {
	if value == nil {
		delete(regs, register)
		return
	}
	regs[register] = value
}

// meta returns what nft loads for key, nil if it is not known.
func (p *packet) meta(key expr.MetaKey) []byte {
	switch key {
	case expr.MetaKeyIIFNAME:
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, p.ifname)
		return name
	case expr.MetaKeyIIF:
		return binary.NativeEndian.AppendUint32(nil, p.ifindex)
	case expr.MetaKeyL4PROTO:
		return []byte{unix.IPPROTO_TCP}
	case expr.MetaKeyNFPROTO:
		if p.v6 {
			return []byte{unix.NFPROTO_IPV6}
		}
		return []byte{unix.NFPROTO_IPV4}
	case expr.MetaKeyPROTOCOL:
		if p.v6 {
			return binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)
		}
		return binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)
	}
	return nil
}

// payload returns octets of p's headers, nil if they are not known.
func (p *packet) payload(e *expr.Payload) []byte {
	transport, network := e.Base == expr.PayloadBaseTransportHeader, e.Base == expr.PayloadBaseNetworkHeader
	switch {
	case transport && e.Offset == 2 && e.Len == 2:
		return binary.BigEndian.AppendUint16(nil, p.port)
	case transport && e.Offset == 13 && e.Len == 1:
		return []byte{p.flags}
	case network && e.Len == 1 && (!p.v6 && e.Offset == 9 || p.v6 && e.Offset == 6):
		return []byte{unix.IPPROTO_TCP}
	}
	return nil
}

func (p *packet) ct(key expr.CtKey) []byte {
	if key == expr.CtKeySTATE && p.state != 0 {
		return binary.NativeEndian.AppendUint32(nil, p.state)
	}
	return nil
}

func bitwise(value []byte, e *expr.Bitwise) []byte {
	if value == nil || len(value) < len(e.Mask) || len(e.Xor) < len(e.Mask) {
		return nil
	}
	result := make([]byte, len(e.Mask))
	for i := range result {
		result[i] = value[i]&e.Mask[i] ^ e.Xor[i]
	}
	return result
}

func compare(value []byte, e *expr.Cmp) answer {
	if len(value) < len(e.Data) || value == nil {
		return maybe
	}
	c := bytes.Compare(value[:len(e.Data)], e.Data)
	switch e.Op {
	case expr.CmpOpEq:
		return answerOf(c == 0)
	case expr.CmpOpNeq:
		return answerOf(c != 0)
	case expr.CmpOpLt:
		return answerOf(c < 0)
	case expr.CmpOpLte:
		return answerOf(c <= 0)
	case expr.CmpOpGt:
		return answerOf(c > 0)
	case expr.CmpOpGte:
		return answerOf(c >= 0)
	}
	return maybe
}

func inRange(value []byte, e *expr.Range) answer {
	if value == nil || len(value) != len(e.FromData) || len(value) != len(e.ToData) {
		return maybe
	}
	in := bytes.Compare(value, e.FromData) >= 0 && bytes.Compare(value, e.ToData) <= 0
	return answerOf(in == (e.Op == expr.CmpOpEq))
}

// lookup evaluates a look-up in a set, or in a map of verdicts.
func (rs *ruleset) lookup(c *chain, e *expr.Lookup, regs registers, verdict *expr.Verdict) (answer, *expr.Verdict) {
	value, s := regs[e.SourceRegister], rs.sets[setKey{c.key.table, e.SetName}]
	isVerdicts := e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT
	if value == nil || s == nil {
		if isVerdicts {
			verdict = s.worst()
		}
		return maybe, verdict
	}
	element := s.find(value)
	if isVerdicts && element != nil {
		verdict = element.VerdictData
	}
	a := answerOf(element != nil)
	if e.Invert {
		a = a.not()
	}
	return a, verdict
}

// find returns the element that value is in.
func (s *set) find(value []byte) *nftables.SetElement {
	var best *nftables.SetElement
	for i := range s.elements {
		el := &s.elements[i]
		if bytes.Equal(el.Key, value) && !el.IntervalEnd {
			return el
		}
		// An interval goes from its element to the next one, which says that there it ends.
		if s.interval && len(el.Key) == len(value) && bytes.Compare(el.Key, value) <= 0 &&
			(best == nil || bytes.Compare(el.Key, best.Key) > 0) {
			best = el
		}
	}
	if best != nil && best.IntervalEnd {
		return nil
	}
	return best
}

// worst returns the verdict of s that matters most where it is not known which one it is.
func (s *set) worst() *expr.Verdict {
	if s == nil {
		return &expr.Verdict{Kind: expr.VerdictQueue}
	}
	var worst *expr.Verdict
	for i := range s.elements {
		switch v := s.elements[i].VerdictData; {
		case v == nil:
		case v.Kind == expr.VerdictDrop:
			return v
		default:
			worst = v
		}
	}
	return worst
}

// target evaluates a target of iptables-nft.
func target(e *expr.Target, p *packet, matched answer, verdict *expr.Verdict) *expr.Verdict {
	switch e.Name {
	case "REJECT", "DROP", "SYNPROXY", "TARPIT":
		return &expr.Verdict{Kind: expr.VerdictDrop}
	case "ACCEPT", "DNAT", "REDIRECT", "TPROXY":
		return &expr.Verdict{Kind: expr.VerdictAccept}
	case "NFQUEUE":
		return &expr.Verdict{Kind: expr.VerdictQueue}
	case "NOTRACK":
		p.untrack(matched)
	case "CT": // struct xt_ct_target_info begins with flags, of which the first is XT_CT_NOTRACK
		if info, ok := e.Info.(*xt.Unknown); ok && len(*info) > 1 && binary.NativeEndian.Uint16(*info)&1 != 0 {
			p.untrack(matched)
		}
	}
	return verdict // others change something and go on
}

// xtMatch evaluates a match of iptables-nft.
func xtMatch(e *expr.Match, p *packet) answer {
	switch info := e.Info.(type) {
	case *xt.Comment:
		return yes
	case *xt.Tcp:
		return xtTCP(info, p)
	case *xt.ConntrackMtinfo1:
		return xtConntrack(&info.ConntrackMtinfoBase, uint32(info.StateMask), p)
	case *xt.ConntrackMtinfo2:
		return xtConntrack(&info.ConntrackMtinfoBase, uint32(info.StateMask), p)
	case *xt.ConntrackMtinfo3:
		return xtConntrack(&info.ConntrackMtinfoBase, uint32(info.StateMask), p)
	case *xt.Unknown:
		if e.Name == "state" && len(*info) >= 4 {
			return xtState(binary.NativeEndian.Uint32(*info), p)
		}
	}
	return maybe
}

func xtTCP(t *xt.Tcp, p *packet) answer {
	dst := answerOf(t.DstPorts[0] <= p.port && p.port <= t.DstPorts[1])
	if t.InvFlags&xt.TcpInvDestPorts != 0 {
		dst = dst.not()
	}
	flags := answerOf(p.flags&t.FlagsMask == t.FlagsCmp)
	if t.InvFlags&xt.TcpInvFlags != 0 {
		flags = flags.not()
	}
	src := maybe
	if t.SrcPorts == [2]uint16{0, 65535} {
		src = answerOf(t.InvFlags&xt.TcpInvSrcPorts == 0)
	}
	option := yes
	if t.Option != 0 {
		option = maybe
	}
	return min(dst, flags, src, option)
}

func xtConntrack(info *xt.ConntrackMtinfoBase, states uint32, p *packet) answer {
	flags := xt.ConntrackFlags(info.MatchFlags)
	if flags&xt.ConntrackState == 0 {
		return maybe
	}
	a := xtState(states, p)
	if xt.ConntrackFlags(info.InvertFlags)&xt.ConntrackState != 0 {
		a = a.not()
	}
	if flags&^(xt.ConntrackState|xt.ConntrackStateAlias) != 0 { // something else, too
		a = min(a, maybe)
	}
	return a
}

// xtUntracked is XT_CONNTRACK_STATE_UNTRACKED; the other bits are as nft has them.
const xtUntracked = 1 << 8

func xtState(states uint32, p *packet) answer {
	switch p.state {
	case 0:
		return maybe
	case expr.CtStateBitUNTRACKED:
		return answerOf(states&xtUntracked != 0)
	}
	return answerOf(states&p.state != 0)
}
