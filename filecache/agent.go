package filecache

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

// Agent is a part of the User-Agent field of some clients.
type Agent struct {
	Text string
	Fold bool // without regard to case, in ASCII
	low  []byte
}

// in reports whether an agent's field has the text in it.
func (a *Agent) in(field []byte) bool {
	if !a.Fold {
		return bytes.Contains(field, a.low)
	}
	for len(field) >= len(a.low) {
		if equalFold(field[:len(a.low)], a.low) {
			return true
		}
		field = field[1:]
	}
	return false
}

// equalFold compares b with low, which is in lower case and as long.
func equalFold(b, low []byte) bool {
	for k, c := range low {
		if d := b[k]; d != c && !('A' <= d && d <= 'Z' && d+'a'-'A' == c) {
			return false
		}
	}
	return true
}

// agents are those to whom the server behind speaks in a way of its own. Most requests come from others, of few kinds: those are
// remembered by a keyed hash of the field, so that looking for each text is spared.
type agents struct {
	list   []Agent
	seed   maphash.Seed
	others [256]atomic.Uint64
}

func newAgents(list []Agent) *agents {
	a := &agents{list: make([]Agent, len(list)), seed: maphash.MakeSeed()}
	for k, agent := range list {
		if agent.low = []byte(agent.Text); agent.Fold {
			agent.low = bytes.ToLower(agent.low)
		}
		a.list[k] = agent
	}
	return a
}

// known reports whether the client of a User-Agent field is one of them.
func (a *agents) known(field []byte) bool {
	h := maphash.Bytes(a.seed, field) | 1 // 0 is nobody
	other := &a.others[h>>8%uint64(len(a.others))]
	if other.Load() == h {
		return false
	}
	for k := range a.list {
		if a.list[k].in(field) {
			return true
		}
	}
	other.Store(h)
	return false
}
