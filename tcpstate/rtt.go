package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// roundTrip estimates the round-trip time (RFC 6298). One round trip is measured at a time, as there.
type roundTrip struct {
	srtt, rttvar uint32   // microseconds; srtt 0: nothing measured yet
	seq          wire.Seq // what must be acknowledged to end the measurement
	at           uint32   // when it began, microseconds
}

const (
	// RFC 6298, 2.1 asks for 1 s before anything was measured, and, in 2.4, for 1 s at least; like Linux we
	// are content with 200 ms, above any delayed ACK that is in use.
	initialRTO = Second
	minRTO     = 200 * Millisecond
	maxRTO     = 60 * Second // RFC 6298, 2.5
)

// rto is the retransmission time-out before back-off.
func (c *Conn) rto() Time {
	if c.rtt.srtt == 0 {
		return initialRTO
	}
	return c.rtt.rto()
}

func (r *roundTrip) rto() Time {
	// RFC 6298, 2.3: SRTT + max(G, 4*RTTVAR); our timers count milliseconds.
	const granularity = uint32(Millisecond / Microsecond)
	d := Time(r.srtt+max(granularity, 4*r.rttvar)) * Microsecond
	return min(max(d, minRTO), maxRTO)
}

// sample takes a measured round trip in, in microseconds.
func (r *roundTrip) sample(us uint32) {
	us = min(max(us, 1), uint32(maxRTO/Microsecond))
	if r.srtt == 0 {
		r.srtt, r.rttvar = us, us/2 // RFC 6298, 2.2
		return
	}
	// RFC 6298, 2.3, with alpha = 1/8 and beta = 1/4.
	delta := r.srtt - us
	if us > r.srtt {
		delta = us - r.srtt
	}
	r.rttvar += delta/4 - r.rttvar/4
	r.srtt = max(r.srtt+us/8-r.srtt/8, 1)
}

// firstSample takes in how many milliseconds after our SYN/ACK the first segment came. That is a round trip and
// what the client took to ask, so at most too long; beyond a second the default does better (RFC 6298, 2.1).
func (r *roundTrip) firstSample(ms uint32) {
	if Time(ms)*Millisecond < initialRTO {
		r.sample((ms + 1) * uint32(Millisecond/Microsecond))
	}
}

// startTiming begins a measurement with a segment of new data that ends at end.
func (c *Conn) startTiming(end wire.Seq, now Time) {
	if !c.has(flagTiming) {
		c.flags = c.flags&^flagKarn | flagTiming
		c.rtt.seq, c.rtt.at = end, micros(now)
	}
}

// endTiming ends the measurement if the acknowledgment seg, which is new, covers it.
func (c *Conn) endTiming(seg *wire.Segment, now Time) {
	if !c.has(flagTiming) || seg.Ack.Less(c.rtt.seq) {
		return
	}
	c.flags &^= flagTiming
	switch {
	// RFC 6298, 3 (Karn): without timestamps nobody knows which copy was acknowledged.
	case c.has(flagKarn) && (!c.has(flagTS) || seg.Options.TSEcr == 0):
		return
	// RFC 7323, 4: the echo says which.
	case c.has(flagKarn):
		ms := Millis(now) + c.tsOffset - seg.Options.TSEcr
		if ms > uint32(maxRTO/Millisecond) {
			return // not an echo of ours
		}
		c.rtt.sample(max(ms, 1) * uint32(Millisecond/Microsecond))
	default:
		c.rtt.sample(micros(now) - c.rtt.at)
	}
	c.snd.backoff = 0 // RFC 6298, 5.7 and the note to 5.6: the estimate is fresh
}
