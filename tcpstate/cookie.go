package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// A cookie is an initial sequence number that carries what a SYN offered (RFC 4987, 3.6):
//
//	ISS  =  F1(flow)  +  count << 24  +  (F2(flow, irs, count) + data) mod 2²⁴
//
// F1 and F2 are keyed hashes, so nobody else can make or read one. count grows by one in 64 s: the numbers
// of a flow's successive incarnations advance at 4 µs each as RFC 6528, 3 has it, and a cookie's age shows.
// data is what the peer offered, in 9 bits:
//
//	 8   7   6   5   4   3   2   1   0
//	┌───┬───────────┬───────────────┬───┐
//	│ E │ MSS index │ window scale  │ S │   window scale 15: not offered; S: SACK permitted; E: ECN
//	└───┴───────────┴───────────────┴───┘
type cookie uint16

const cookieBits = 9

const (
	countPeriod = 64 * Second
	// maxAge is how many counts old a cookie may be: between 128 and 192 s.
	maxAge = 2

	noWScale = 15
)

func newCookie(mssIndex int, wscale uint8, sack, ecn bool) cookie {
	d := cookie(mssIndex)<<5 | cookie(wscale&15)<<1
	if sack {
		d |= 1
	}
	if ecn {
		d |= 1 << 8
	}
	return d
}

func (d cookie) mssIndex() int { return int(d>>5) & 7 }
func (d cookie) wscale() uint8 { return uint8(d>>1) & 15 }
func (d cookie) sack() bool    { return d&1 != 0 }
func (d cookie) ecn() bool     { return d>>8 != 0 }

// Words that keep the uses of one key apart.
const (
	labelF1 = iota + 1
	labelF2
	labelTS
)

func countAt(now Time) uint64 { return uint64(now / countPeriod) }

func (l *Listener) f1(flow *wire.Flow) uint32 { return uint32(l.key.Hash(flow, labelF1, 0)) }

func (l *Listener) f2(flow *wire.Flow, irs wire.Seq, count uint64) uint32 {
	return uint32(l.key.Hash(flow, labelF2|uint64(irs)<<32, count))
}

// tsOffset is what the flow's timestamps are ahead of the clock (RFC 7323, 7.1).
func (l *Listener) tsOffset(flow *wire.Flow) uint32 { return uint32(l.key.Hash(flow, labelTS, 0)) }

// iss returns the initial sequence number that carries d.
func (l *Listener) iss(flow *wire.Flow, irs wire.Seq, now Time, d cookie) wire.Seq {
	count := countAt(now)
	low := (l.f2(flow, irs, count) + uint32(d)) & (1<<24 - 1)
	return wire.Seq(l.f1(flow) + uint32(count)<<24 + low)
}

// proof is what a cookie turned out to be.
type proof uint8

const (
	proofNone  proof = iota
	proofCount       // its count is a recent one, but it was not made for this irs
	proofFull
)

// check looks at a number that a peer says we began with. A number that was not ours has a recent count by
// chance in 3 of 256 cases, and passes in full in 6 of 2²⁴.
func (l *Listener) check(flow *wire.Flow, iss, irs wire.Seq, now Time) (cookie, proof) {
	x := uint32(iss) - l.f1(flow)
	current := countAt(now)
	age := uint64(uint8(current) - uint8(x>>24))
	if age > maxAge {
		return 0, proofNone
	}
	d := (x - l.f2(flow, irs, current-age)) & (1<<24 - 1)
	if d >= 1<<cookieBits {
		return 0, proofCount
	}
	return cookie(d), proofFull
}
