package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// recovery finds out what was lost and says what to send again: RFC 6675 with SACK, RFC 6582 (NewReno)
// without, and after a time-out everything (RFC 5681, 3.1).
type recovery struct {
	sacked  [maxSacked]wire.Span // what the peer holds beyond SND.UNA: ascending, apart from each other
	recover wire.Seq             // SND.NXT when the loss was found: RecoveryPoint of RFC 6675, recover of RFC 6582
	rtxNxt  wire.Seq             // behind the last octet that was sent again: HighRxt + 1
	dupAcks uint8
	nSacked uint8
	mode    mode
}

// maxSacked bounds the memory for what peers say. If they tell of more, the smallest span is forgotten, and
// at worst sent again.
const maxSacked = 5

const dupThresh = 3

type mode uint8

const (
	modeOpen     mode = iota
	modeRecovery      // a loss was found by acknowledgments; over when SND.UNA reaches recover
	modeLoss          // the retransmission timer has expired; over likewise
)

func (r *recovery) init(una wire.Seq) {
	// RFC 6582, 3.2, step 1. Our recover is the number behind the one that is meant there.
	*r = recovery{recover: una - 1, rtxNxt: una}
}

// onDuplicateACK takes in one more acknowledgment of SND.UNA that tells of later segments.
func (c *Conn) onDuplicateACK() {
	if c.rec.dupAcks < 0xff {
		c.rec.dupAcks++
	}
	// After a time-out what was sent again causes duplicates, which say nothing.
	if c.rec.mode == modeOpen && c.findsLoss() {
		c.enterRecovery()
	}
	// RFC 3042 needs no more: a duplicate says that a segment has left the network, pipe is less by it, and
	// so a new one may go.
}

// findsLoss reports whether it is time for fast retransmit.
func (c *Conn) findsLoss() bool {
	if c.has(flagSACK) {
		return c.rec.dupAcks >= dupThresh || c.firstHoleLost() // RFC 6675, 5, (2)
	}
	// RFC 6582, 3.2, step 2: duplicates of what went before the last recovery don't count.
	return c.rec.dupAcks >= dupThresh && c.rec.recover.Less(c.snd.una)
}

func (c *Conn) enterRecovery() {
	flight := uint32(c.snd.nxt - c.snd.una)
	c.rec.mode = modeRecovery
	c.rec.recover = c.snd.nxt
	c.rec.rtxNxt = c.snd.una
	c.cc.onLoss(flight, c.payloadMSS())
	// RFC 6675, 5, (4.3): the first is sent whatever pipe says.
	c.flags |= flagForce
}

// onNewACK takes in that SND.UNA has moved by n octets while flight octets were in flight.
func (c *Conn) onNewACK(n, flight uint32) {
	mss := c.payloadMSS()
	c.rec.rtxNxt = wire.MaxSeq(c.rec.rtxNxt, c.snd.una)
	left := uint32(c.snd.nxt - c.snd.una)
	switch {
	case c.rec.mode == modeOpen:
		c.rec.dupAcks = 0
		c.rec.recover = wire.MaxSeq(c.rec.recover, c.snd.una-1)
		c.cc.onAck(n, flight, mss, false)
		if c.has(flagSACK) && c.rec.nSacked > 0 && c.firstHoleLost() {
			c.enterRecovery()
		}
	case c.rec.recover.LessEq(c.snd.una):
		if c.rec.mode == modeRecovery {
			c.cc.onRecovered(left, mss)
		} else {
			c.cc.onAck(n, flight, mss, true)
		}
		c.rec.mode, c.rec.dupAcks = modeOpen, 0
		c.flags &^= flagForce
	case c.rec.mode == modeLoss:
		c.cc.onAck(n, flight, mss, true)
	case !c.has(flagSACK):
		// RFC 6582, 3.2, step 3, partial acknowledgments: the next hole begins here. Of the duplicates, as
		// many as were acknowledged now no longer stand for anything in flight.
		c.rec.dupAcks -= uint8(min((n-1)/mss, uint32(c.rec.dupAcks)))
		c.rec.rtxNxt = c.snd.una
		c.flags |= flagForce
	}
}

// onRTO takes in that the retransmission timer has expired (RFC 6298, 5.4 to 5.7).
func (c *Conn) onRTO() {
	c.flags |= flagKarn
	if c.snd.window() == 0 {
		c.flags |= flagProbe // the peer has taken its window back
		return
	}
	again := c.rec.mode == modeLoss
	c.cc.onRTO(uint32(c.snd.nxt-c.snd.una), c.payloadMSS(), again)
	c.rec.mode = modeLoss
	c.rec.recover = c.snd.nxt
	c.rec.rtxNxt = c.snd.una
	c.rec.dupAcks = 0
	c.rec.nSacked = 0 // RFC 2018, 8: the peer may have dropped what it had reported
	c.flags &^= flagForce
}

// onRetransmitted notes that [seq, end) was sent again.
func (c *Conn) onRetransmitted(seq, end wire.Seq) {
	c.rec.rtxNxt = end
	c.flags |= flagKarn
	if c.has(flagForce) {
		c.flags &^= flagForce
		c.startRTO() // a time-out while this is under way would be too early
	}
}

// nextLost returns what of the lost octets is sent next.
func (c *Conn) nextLost() plan {
	switch {
	case c.rec.mode == modeLoss:
		lo, hi := c.holeFrom(c.rec.rtxNxt)
		return c.resend(lo, wire.MinSeq(hi, c.rec.recover))
	case !c.has(flagSACK) || c.has(flagForce):
		if c.rec.rtxNxt != c.snd.una {
			return plan{}
		}
		_, hi := c.holeFrom(c.snd.una)
		return c.resend(c.snd.una, hi)
	}
	// RFC 6675, 4, NextSeg, (1).
	lo, hi := c.holeFrom(c.rec.rtxNxt)
	if !c.isLost(lo) {
		return plan{}
	}
	return c.resend(lo, hi)
}

// nextDoubtful returns what is sent if nothing is known to be lost and nothing is new: the next hole below
// what the peer has reported (RFC 6675, 4, NextSeg, (3)). Rule (4), the rescue of the last segment, is left
// to the retransmission timer.
func (c *Conn) nextDoubtful() plan {
	if c.rec.mode != modeRecovery || c.rec.nSacked == 0 {
		return plan{}
	}
	lo, hi := c.holeFrom(c.rec.rtxNxt)
	if c.rec.highest().LessEq(lo) {
		return plan{}
	}
	return c.resend(lo, hi)
}

// pipe estimates how many octets are in the network (RFC 6675, 4, SetPipe).
func (c *Conn) pipe() uint32 {
	if c.rec.mode == modeOpen && c.rec.nSacked == 0 && c.rec.dupAcks == 0 {
		return uint32(c.snd.nxt - c.snd.una)
	}
	if !c.has(flagSACK) && c.rec.mode != modeLoss {
		return c.pipeReno()
	}
	// From the end to the beginning, because what is lost shows in what arrived behind it.
	var pipe uint32
	end, n := c.snd.nxt, int(c.rec.nSacked)
	for i := n; i >= 0; i-- {
		begin := c.snd.una
		if i > 0 {
			begin = c.rec.sacked[i-1].Hi
		}
		pipe += c.holePipe(begin, end)
		if i > 0 {
			end = c.rec.sacked[i-1].Lo
		}
	}
	return pipe
}

// holePipe returns what of a hole is in the network: the originals unless lost, and what was sent again.
func (c *Conn) holePipe(lo, hi wire.Seq) (n uint32) {
	again := wire.MinSeq(hi, c.rec.rtxNxt)
	if c.rec.mode != modeOpen && lo.Less(again) {
		n = uint32(again - lo)
	}
	switch {
	case c.rec.mode == modeLoss:
		lo = wire.MaxSeq(lo, wire.MinSeq(c.rec.recover, hi))
	case c.isLost(lo):
		return n
	}
	return n + uint32(hi-lo)
}

// pipeReno is pipe without SACK: each duplicate stands for a segment that has left the network.
func (c *Conn) pipeReno() uint32 {
	mss := c.payloadMSS()
	flight := uint32(c.snd.nxt - c.snd.una)
	first := min(flight, mss)
	pipe := flight - min(uint32(c.rec.dupAcks)*mss, flight-first)
	if c.rec.mode == modeRecovery {
		pipe = pipe - first + uint32(c.rec.rtxNxt-c.snd.una)
	}
	return pipe
}
