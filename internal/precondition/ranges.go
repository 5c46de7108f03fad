package precondition

// MaxParts is how many ranges a response of ours has at most. More are the server behind's.
const MaxParts = 8

// maxMerges is how many ranges may be found to touch others, in the order in which they were sent. Apache sends the whole if there are more
// than 20, or what its configuration says: beyond a few, it shall answer.
const maxMerges = 8

// Probe is a Range field that goes to both limits: a server that makes MaxParts of it has limits of its own (MaxRanges, MaxRangeOverlaps
// and MaxRangeReversals of Apache) that do not matter to us. It needs ProbeLength octets, or the server may send the whole.
const (
	Probe       = "bytes=8-8,7-7,6-6,5-5,4-4,3-3,2-2,1-1,0-0,10-10,12-12,14-14,16-16,18-18,20-20,22-22"
	ProbeLength = 32
)

// MaxLength is the largest length of a representation. Several ranges of what is longer than maxSeveral are the server behind's, so
// that they take no more than 32 bits each, and the octets of a response with them neither.
const (
	MaxLength  = 1<<40 - 1
	maxSeveral = 1<<32 - 1<<16
)

// Part is a range of octets, [From, To): both count from 0, modulo 2³².
type Part struct{ From, To uint32 }

// Parts are the ranges of a response, in its order.
type Parts struct {
	List   [MaxParts]Part
	N      uint8
	Merges uint8    // how many that were asked for became a part of others
	high   [2]uint8 // of List[0], if it is the only one: bits 32 to 39 of From and To
}

// All returns them.
func (p *Parts) All() []Part { return p.List[:p.N] }

// Only returns the octets [from, to) of the only range.
func (p *Parts) Only() (from, to uint64) {
	return uint64(p.high[0])<<32 | uint64(p.List[0].From), uint64(p.high[1])<<32 | uint64(p.List[0].To)
}

// setOnly sets the only range.
func (p *Parts) setOnly(from, to uint64) {
	p.List[0], p.N, p.high = Part{uint32(from), uint32(to)}, 1, [2]uint8{uint8(from >> 32), uint8(to >> 32)}
}

// ranges reads the Range field (RFC 9110, 14.2) as Apache's ap_set_byterange: a field that is not quite right means
// nothing, and a range that touches the one before it becomes one with it.
func (e *evaluation) ranges(parts *Parts) Verdict {
	length := int64(e.v.Length)
	list, ok := specs(e.r.Range)
	if !ok || length == 0 {
		return Whole
	}
	m := merger{parts: parts, length: length}
	unsatisfiable := false
	for len(list) > 0 {
		var spec []byte
		if spec, list = next(list); len(spec) == 0 {
			break // a comma in front; those behind or between others are skipped
		}
		first, last, ok := readSpec(spec, length)
		switch {
		case !ok:
			return Whole
		case first == 0 && last == toEnd:
			// "0-": Apache forgets all others, those before it too.
			*parts = Parts{Merges: parts.Merges}
			m.open, m.sum = false, 0
			list = nil
		case first >= length:
			unsatisfiable = true
			continue
		}
		if last == toEnd {
			last = length - 1
		}
		if !m.add(first, min(last, length-1)) {
			return Unsure
		}
	}
	if !m.flush() {
		return Unsure
	}
	switch {
	case parts.N == 0 && unsatisfiable:
		return Unsure // 416
	case parts.N == 0, m.sum > length:
		return Whole
	}
	return Partial
}

// specs returns what follows "bytes=", in whatever case it is written.
func specs(value []byte) (list []byte, ok bool) {
	const unit = "bytes="
	if len(value) < len(unit) {
		return nil, false
	}
	for k := range len(unit) {
		if c := value[k]; c != unit[k] && ('A' > c || c > 'Z' || c+'a'-'A' != unit[k]) {
			return nil, false
		}
	}
	return value[len(unit):], true
}

// next cuts the first element off a list, and the commas behind it.
func next(list []byte) (spec, rest []byte) {
	k := 0
	for k < len(list) && list[k] != ',' {
		k++
	}
	spec = list[:k]
	for k < len(list) && list[k] == ',' {
		k++
	}
	return spec, list[k:]
}

// toEnd is what readSpec returns for the last octet of a range without one, such as "5-".
const toEnd = -1

// readSpec reads one range, without a blank anywhere: "0-499", "500-" or "-500". first may be beyond the end, and last too.
func readSpec(spec []byte, length int64) (first, last int64, ok bool) {
	dash := 0
	for dash < len(spec) && spec[dash] != '-' {
		dash++
	}
	if dash == len(spec) {
		return 0, 0, false
	}
	before, after := spec[:dash], spec[dash+1:]
	if dash == 0 {
		suffix, ok := readLength(after)
		return max(0, length-suffix), length - 1, ok && suffix > 0
	}
	if first, ok = readLength(before); !ok || len(after) == 0 {
		return first, toEnd, ok
	}
	last, ok = readLength(after)
	return first, last, ok && first <= last
}

// readLength reads a number that fits into 63 bits.
func readLength(b []byte) (n int64, ok bool) {
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// merger makes one range of those that touch, as they come.
type merger struct {
	parts       *Parts
	length      int64
	first, last int64 // the range that may still grow
	open        bool
	sum         int64 // octets of parts
}

// add reports false if there are too many ranges.
func (m *merger) add(first, last int64) bool {
	if m.open && first <= m.last+1 && last >= m.first-1 {
		m.first, m.last = min(m.first, first), max(m.last, last)
		m.parts.Merges++
		return m.parts.Merges <= maxMerges
	}
	if !m.flush() {
		return false
	}
	m.first, m.last, m.open = first, last, true
	return true
}

func (m *merger) flush() bool {
	if !m.open {
		return true
	}
	switch p := m.parts; {
	case p.N == 0:
		p.setOnly(uint64(m.first), uint64(m.last)+1)
	case p.N == MaxParts, m.length > maxSeveral:
		return false
	default:
		p.List[p.N] = Part{uint32(m.first), uint32(m.last) + 1}
		p.N++
	}
	m.sum += m.last - m.first + 1
	m.open = false
	return true
}
