package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// roundTrip estimates the round-trip time (RFC 6298) from each acknowledgment, as RFC 7323, Appendix G allows
// with care: the variance never makes the time-out shorter than the estimate and 200 ms.
type roundTrip struct {
	srtt, rttvar uint32 // µs; srtt 0: nothing measured yet
	least        uint32 // the shortest, µs; 0: none
}

const (
	// RFC 6298, 2.1 asks for 1 s before anything was measured, and, in 2.4, for 1 s at least; like Linux we
	// are content with 200 ms beyond the round trip, above any delayed ACK that is in use.
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
	// RFC 6298, 2.3: SRTT + max(G, 4*RTTVAR).
	return min(Time(r.srtt)*Microsecond+max(4*Time(r.rttvar)*Microsecond, minRTO), maxRTO)
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

// shortest takes in a round trip of octets that nothing has delayed.
func (r *roundTrip) shortest(us uint32) {
	if us = max(us, 1); r.least == 0 || us < r.least {
		r.least = us
	}
}

// firstSample takes in how many milliseconds after our SYN/ACK the first segment came. That is a round trip and
// what the client took to ask, so at most too long; beyond a second the default does better (RFC 6298, 2.1).
func (r *roundTrip) firstSample(ms uint32) {
	if Time(ms)*Millisecond < initialRTO {
		r.sample((ms + 1) * uint32(Millisecond/Microsecond))
	}
}

// measure takes the round trip of what e acknowledges.
func (c *Conn) measure(f *flight, e *ackEvent) {
	if e.hasLast {
		e.rtt = max(e.now-e.last, 1)
		c.rtt.shortest(e.rtt)
	}
	var us uint32
	switch {
	case e.hasFirst && !e.again:
		us = e.now - e.first
	case e.hasSACKFirst && !e.again:
		us = e.now - e.sackFirst
	// RFC 7323, 4: the echo says which copy it was.
	case e.acked > 0 && e.tsok && Time(e.echo)*Millisecond <= maxRTO:
		us = max(e.echo, 1) * uint32(Millisecond/Microsecond)
	default:
		return
	}
	c.rtt.sample(us)
	f.win.srtt = c.rtt.srtt
	c.snd.backoff = 0 // RFC 6298, 5.7 and the note to 5.6: the estimate is fresh
}

// echoed enters what the timestamp of seg says.
func (c *Conn) echoed(seg *wire.Segment, now Time, e *ackEvent) {
	if !c.has(flagTS) || seg.Options.TSEcr == 0 {
		return
	}
	ms := Millis(now) + c.tsOffset - seg.Options.TSEcr
	e.tsok, e.echo = int32(ms) >= 0, ms
}
