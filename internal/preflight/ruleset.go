package preflight

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// outcome is a set of what may become of a packet.
type outcome uint8

const (
	accepted outcome = 1 << iota
	dropped
	fellThrough // the end of a chain, or return
)

func (o outcome) has(x outcome) bool { return o&x != 0 }

type tableKey struct {
	family nftables.TableFamily
	name   string
}

func (k tableKey) nft() *nftables.Table { return &nftables.Table{Family: k.family, Name: k.name} }

type chainKey struct {
	table tableKey
	name  string
}

type setKey chainKey

// chain is a list of rules; a base chain has a hook.
type chain struct {
	key      chainKey
	rules    [][]expr.Any
	order    int // of base chains: first by hook, then by priority
	policy   outcome
	device   string
	priority int32
}

type set struct {
	interval bool
	elements []nftables.SetElement
}

// ruleset is all of nftables that a packet to this host may meet.
type ruleset struct {
	chains map[chainKey]*chain
	base   []*chain // in the order in which a packet meets them
	sets   map[setKey]*set
}

// add takes a chain in, and notes which sets its rules look into.
func (rs *ruleset) add(c *nftables.Chain, rules []*nftables.Rule) {
	table := tableKey{c.Table.Family, c.Table.Name}
	ch := &chain{key: chainKey{table, c.Name}, policy: accepted, device: c.Device}
	for _, r := range rules {
		ch.rules = append(ch.rules, r.Exprs)
		for _, e := range r.Exprs {
			if l, ok := e.(*expr.Lookup); ok {
				rs.sets[setKey{table, l.SetName}] = nil
			}
		}
	}
	rs.chains[ch.key] = ch
	order, ok := hookOrder(c)
	if !ok {
		return
	}
	ch.order = order
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		ch.policy = dropped
	}
	if c.Priority != nil {
		ch.priority = int32(*c.Priority)
	}
	rs.base = append(rs.base, ch)
	slices.SortStableFunc(rs.base, func(a, b *chain) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return int(a.priority) - int(b.priority)
	})
}

// inetIngress is NF_INET_INGRESS of linux/netfilter.h.
const inetIngress = 5

// hookOrder returns when a packet that comes in by an interface, for this host, meets a base chain.
func hookOrder(c *nftables.Chain) (int, bool) {
	if c.Hooknum == nil {
		return 0, false
	}
	hook := *c.Hooknum
	switch c.Table.Family {
	case nftables.TableFamilyNetdev:
		return 0, hook == unix.NF_NETDEV_INGRESS
	case nftables.TableFamilyINet, nftables.TableFamilyIPv4, nftables.TableFamilyIPv6:
		switch hook {
		case inetIngress:
			return 0, true
		case unix.NF_INET_PRE_ROUTING:
			return 1, true
		case unix.NF_INET_LOCAL_IN:
			return 2, true
		}
	}
	return 0, false // bridge and arp, and what goes out
}

// sees reports whether packets like p come to base chain c.
func (c *chain) sees(p *packet) bool {
	if c.device != "" && c.device != p.ifname {
		return false
	}
	switch c.key.table.family {
	case nftables.TableFamilyIPv4:
		return !p.v6
	case nftables.TableFamilyIPv6:
		return p.v6
	}
	return true
}

// fate returns what may become of p: accepted, dropped, or both where that depends on what is not known of p.
func (rs *ruleset) fate(p packet) outcome {
	all := accepted
	for _, c := range rs.base {
		if !c.sees(&p) {
			continue
		}
		o := rs.walk(c, &p, 0)
		if o.has(fellThrough) {
			o = o&^fellThrough | c.policy
		}
		if o == dropped {
			return all&dropped | dropped // unless an earlier chain was not sure, which comes to the same
		}
		all |= o & dropped
	}
	return all
}

// maxDepth is the kernel's limit to jumps (NFT_JUMP_STACK_SIZE).
const maxDepth = 16

// walk returns what rules of c may do with p. It notes in p what they change.
func (rs *ruleset) walk(c *chain, p *packet, depth int) outcome {
	var all outcome
	for _, exprs := range c.rules {
		matches, v := rs.match(c, exprs, p)
		if matches == no || v == nil {
			continue
		}
		o := rs.apply(c, v, p, depth)
		if o == 0 { // goes on with the next rule
			continue
		}
		goto1 := v.Kind == expr.VerdictGoto || v.Kind == expr.VerdictReturn
		all |= o &^ fellThrough
		if goto1 && o.has(fellThrough) {
			all |= fellThrough
		}
		if matches == yes && (goto1 || !o.has(fellThrough)) {
			return all
		}
	}
	return all | fellThrough
}

// apply returns what verdict v of a rule in c leads to; 0 means nothing.
func (rs *ruleset) apply(c *chain, v *expr.Verdict, p *packet, depth int) outcome {
	switch v.Kind {
	case expr.VerdictAccept, expr.VerdictStop:
		return accepted
	case expr.VerdictDrop, expr.VerdictStolen:
		return dropped
	case expr.VerdictQueue:
		return accepted | dropped // a program decides
	case expr.VerdictReturn:
		return fellThrough
	case expr.VerdictJump, expr.VerdictGoto:
		to := rs.chains[chainKey{c.key.table, v.Chain}]
		if to == nil || depth == maxDepth {
			return accepted | dropped
		}
		return rs.walk(to, p, depth+1)
	}
	return 0
}
