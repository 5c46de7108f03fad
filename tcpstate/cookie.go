package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// A cookie is an initial sequence number by which we know a handshake of ours again (RFC 4987, 3.6):
//
//	ISS  =  F1(flow)  +  count << 26  +  (F2(flow, irs, count) + data) mod 2²⁶
//
// F1 and F2 are keyed hashes, so nobody else can make or read one. count grows by one in 64 s: the numbers
// of a flow's successive incarnations advance at about 1 µs each, in the spirit of RFC 6528, 3, and a cookie's
// age shows. A later segment of the same handshake passes for its first by chance, once in 2²⁶ cases over the
// values that data may have.
//
// What the peer offered comes back in the timestamp that it echoes: ours is ahead of the clock by a hash of the
// flow, and by that in its upper 9 bits; the lower 23 tell the cookie's age again. data is 0 then. To a peer
// without timestamps there is no ECN, few window scales, and data is 1 more than these 7 bits:
//
//	 8   7   6   5   4   3   2   1   0            6   5   4   3   2   1   0
//	┌───┬───────────┬───────────────┬───┐       ┌───────────┬───────────┬───┐
//	│ E │ MSS index │ window scale  │ S │       │ MSS index │ index of  │ S │
//	└───┴───────────┴───────────────┴───┘       └───────────┴───────────┴───┘
//	window scale 15: not offered; S: SACK permitted; E: ECN
type cookie uint16

const (
	countPeriod = 64 * Second
	countShift  = 26
	// maxAge is how many counts old a cookie may be: between 128 and 192 s.
	maxAge = 2

	noWScale = 15

	echoShift = 23
	dataBits  = 7 // without timestamps
)

// scales are the shifts that data has numbers for: those that systems offer which know no timestamps.
var scales = [8]uint8{noWScale, 0, 2, 6, 7, 8, 9, 10}

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

// data returns d in 7 bits. Its window scale must be one of scales, and there is no ECN.
func (d cookie) data() uint32 {
	n := uint32(0)
	for i, s := range scales {
		if s == d.wscale() {
			n = uint32(i)
		}
	}
	return uint32(d.mssIndex())<<4 | n<<1 | uint32(d&1)
}

func cookieOf(data uint32) cookie {
	return newCookie(int(data>>4), scales[data>>1&7], data&1 != 0, false)
}

// scaleWithoutTimestamps returns the shift that can be agreed upon with a peer that has no timestamps: the one
// that it offers, or none.
func scaleWithoutTimestamps(offered uint8) uint8 {
	for _, s := range scales {
		if s == offered {
			return s
		}
	}
	return noWScale
}

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

// tsOffset is what the timestamps of a connection of flow with d are ahead of the clock (RFC 7323, 7.1).
func (l *Listener) tsOffset(flow *wire.Flow, d cookie) uint32 {
	return uint32(l.key.Hash(flow, labelTS, 0)) + uint32(d)<<echoShift
}

// echoed reads what seg echoes of a SYN/ACK of ours: d, and how many milliseconds ago that was sent. ok is false
// if it is no such echo: of random numbers, all but one in forty.
func (l *Listener) echoed(flow *wire.Flow, seg *wire.Segment, now Time) (d cookie, age uint32, ok bool) {
	if !l.cfg.Timestamps || !seg.Options.HasTS {
		return 0, 0, false
	}
	v := seg.Options.TSEcr - l.tsOffset(flow, 0) - Millis(now+ahead)
	d = cookie((v + 1<<echoShift - 1) >> echoShift)
	age = uint32(d)<<echoShift - v
	early := min(age, uint32(ahead/Millisecond))
	return d, age - early, age-early <= echoMaxAge
}

// ahead is how far the clock of who has answered a SYN may be ahead of ours: another loop, or the steering program, which look at
// the same clock, but perhaps later than we did.
const ahead = Second / 4

// echoMaxAge is the age of the oldest cookie, ms.
const echoMaxAge = uint32((maxAge + 1) * countPeriod / Millisecond)

// iss returns the initial sequence number that carries data.
func (l *Listener) iss(flow *wire.Flow, irs wire.Seq, now Time, data uint32) wire.Seq {
	count := countAt(now)
	low := (l.f2(flow, irs, count) + data) & (1<<countShift - 1)
	return wire.Seq(l.f1(flow) + uint32(count)<<countShift + low)
}

// proof is what a cookie turned out to be.
type proof uint8

const (
	proofNone  proof = iota
	proofCount       // its count is a recent one, but it was not made for this irs
	proofFull
)

// check looks at a number that a peer says we began with, and at what seg echoes. A number that was not ours has
// a recent count by chance in 3 of 64 cases.
func (l *Listener) check(flow *wire.Flow, seg *wire.Segment, now Time) (d cookie, age uint32, stamps bool, p proof) {
	iss, irs := seg.Ack.Add(^uint32(0)), seg.Seq.Add(^uint32(0))
	x := uint32(iss) - l.f1(flow)
	current := countAt(now)
	old := uint64(uint8(current-uint64(x>>countShift)) & (1<<(32-countShift) - 1))
	if old > maxAge {
		if current = countAt(now + ahead); uint8(current-uint64(x>>countShift))&(1<<(32-countShift)-1) != 0 {
			return 0, 0, false, proofNone
		}
		old = 0
	}
	data := (x - l.f2(flow, irs, current-old)) & (1<<countShift - 1)
	d, age, stamps = l.echoed(flow, seg, now)
	switch {
	case stamps && data == 0:
		return d, age, true, proofFull
	// RFC 7323, 3.2: a timestamp on a connection that did not negotiate them is ignored.
	case data > 0 && data <= 1<<dataBits && !stamps:
		return cookieOf(data - 1), 0, false, proofFull
	}
	return 0, age, stamps, proofCount
}
