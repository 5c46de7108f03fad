package tcpstate

// congestion is NewReno's window (RFC 5681), counted in octets (RFC 3465). It is told what happened and
// answers with cwnd; it knows nothing of sequence numbers. Another algorithm can take its place.
type congestion struct {
	cwnd     uint32
	ssthresh uint32
	acked    uint32 // octets acknowledged since cwnd last grew, in congestion avoidance
}

const maxCwnd = 1 << 30

// initialWindow is RFC 6928, 2.
func initialWindow(mss uint32) uint32 { return min(10*mss, max(2*mss, 14600)) }

func (g *congestion) init(mss uint32) {
	*g = congestion{cwnd: initialWindow(mss), ssthresh: maxCwnd}
}

// onAck takes in that n octets were acknowledged while flight octets were in flight before that. afterRTO
// says that what was lost is still being sent again.
func (g *congestion) onAck(n, flight, mss uint32, afterRTO bool) {
	if g.cwnd < g.ssthresh {
		// A window that the sender does not fill proves nothing about the path (RFC 7661, 3).
		if flight < g.cwnd/2 {
			return
		}
		// RFC 3465, 2.2 and 2.3: by what was acknowledged, not by the number of ACKs, at most two
		// segments for each, and one while recovering from a time-out.
		limit := 2 * mss
		if afterRTO {
			limit = mss
		}
		g.cwnd = min(g.cwnd+min(n, limit), maxCwnd)
		return
	}
	if flight+2*mss < g.cwnd {
		return
	}
	// RFC 3465, 2.1: one segment for each window that was acknowledged.
	g.acked += min(n, g.cwnd)
	if g.acked >= g.cwnd {
		g.acked -= g.cwnd
		g.cwnd = min(g.cwnd+mss, maxCwnd)
	}
}

// onLoss takes in a loss that was found while flight octets were in flight (RFC 5681, 3.2; RFC 6675, 5).
func (g *congestion) onLoss(flight, mss uint32) {
	g.ssthresh = max(flight/2, 2*mss)
	g.cwnd = g.ssthresh
	g.acked = 0
}

// onRTO takes in a time-out with flight octets in flight (RFC 5681, 3.1). again says that it is one more
// for the same octets: then ssthresh stays.
func (g *congestion) onRTO(flight, mss uint32, again bool) {
	if !again {
		g.ssthresh = max(flight/2, 2*mss)
	}
	g.cwnd = mss
	g.acked = 0
}

// onRecovered takes in that the lost octets have arrived, with flight octets in flight.
func (g *congestion) onRecovered(flight, mss uint32) {
	// RFC 6582, 3.2, step 3, full acknowledgments, (1): no burst.
	g.cwnd = min(g.ssthresh, max(flight, mss)+mss)
}

// onIdle takes in that nothing was sent for longer than the retransmission time-out (RFC 5681, 4.1).
func (g *congestion) onIdle(mss uint32) { g.cwnd = min(g.cwnd, initialWindow(mss)) }

// restartAfterIdle is called when a connection leaves a phase in which it sent nothing.
func (c *Conn) restartAfterIdle() {
	idle := Time(c.tick()-c.tmr.mark) * Millisecond
	if c.tmr.phase != phaseSending && idle > c.rto() {
		c.cc.onIdle(c.payloadMSS())
	}
}
