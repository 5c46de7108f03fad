package wire

// Seq is a TCP sequence number: a point in a space modulo 2³². It is compared by its methods, never with
// the operators, because the space wraps (RFC 9293, 3.4).
type Seq uint32

// Add returns the sequence number n octets after s.
func (s Seq) Add(n uint32) Seq { return s + Seq(n) }

// Sub returns the signed distance from t to s, in octets: positive if s is after t.
func (s Seq) Sub(t Seq) int32 { return int32(s - t) }

// Less reports whether s is before t.
func (s Seq) Less(t Seq) bool { return int32(s-t) < 0 }

// LessEq reports whether s is t or before it.
func (s Seq) LessEq(t Seq) bool { return int32(s-t) <= 0 }

// In reports whether s is one of the size numbers that begin with first.
func (s Seq) In(first Seq, size uint32) bool { return uint32(s-first) < size }

// MaxSeq returns the later of a and b.
func MaxSeq(a, b Seq) Seq {
	if a.Less(b) {
		return b
	}
	return a
}

// MinSeq returns the earlier of a and b.
func MinSeq(a, b Seq) Seq {
	if b.Less(a) {
		return b
	}
	return a
}
