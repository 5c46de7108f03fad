package tcpclient

import "github.com/xhttpd/xhttpd/internal/wire"

// measure ends the measurement of a round trip if what was sent then is acknowledged (RFC 6298, 2).
func (s *Stack) measure(c *Conn, now int64) {
	if c.flags&timing == 0 || c.sndUna.Less(c.timedSeq) {
		return
	}
	c.flags &^= timing
	rtt := int32(min((now-c.timedAt)/1000, maxRTO))
	if c.srtt == 0 {
		c.srtt, c.rttvar = max(rtt, 1), rtt/2
		return
	}
	c.rttvar += (max(c.srtt-rtt, rtt-c.srtt) - c.rttvar) / 4
	c.srtt = max(c.srtt+(rtt-c.srtt)/8, 1)
}

// rto is the retransmission time-out, nanoseconds.
func (c *Conn) rto() int64 {
	rto := int64(firstRTO)
	if c.srtt != 0 {
		rto = max(minRTO, int64(c.srtt)+4*int64(c.rttvar))
	}
	return min(rto<<c.backoff, maxRTO) * 1000
}

// arm starts the retransmission timer anew.
func (s *Stack) arm(k int32, now int64) {
	c := &s.conns[k]
	c.rtxAt = tick(now+c.rto()) + 1
	s.schedule(k)
}

// disarm stops it.
func (s *Stack) disarm(k int32) {
	c := &s.conns[k]
	if c.rtxAt = 0; c.ackAt == 0 {
		s.wheel.Clear(k)
	}
}

// linger gives the server a second to end a connection that we are done with.
func (s *Stack) linger(k int32, now int64) {
	c := &s.conns[k]
	c.rtxAt = tick(now+lingerNanos) + 1
	s.schedule(k)
}

// schedule has the wheel call at the earlier one of the connection's two times.
func (s *Stack) schedule(k int32) {
	c := &s.conns[k]
	at := c.rtxAt
	if at == 0 || c.ackAt != 0 && c.ackAt < at {
		at = c.ackAt
	}
	if at != 0 {
		s.wheel.setTick(k, at)
	}
}

// Expire does what is due by now. An event asks for octets to be sent again; call it until ok is false.
func (s *Stack) Expire(now int64) (e Event, ok bool) {
	for {
		k, found := s.wheel.Due(now)
		if !found {
			return Event{Conn: none}, false
		}
		c := &s.conns[k]
		if c.state == Closed {
			continue
		}
		if c.ackAt != 0 && c.ackAt <= s.wheel.done+1 {
			c.ackAt = 0
			if c.rcvNxt != c.ackSent && c.state != SynSent {
				s.ack(k)
			}
		}
		if c.rtxAt == 0 || c.rtxAt > s.wheel.done+1 {
			s.schedule(k)
			continue
		}
		if s.retransmit(k, now) {
			return Event{Conn: k, What: Resend, Seq: c.sndUna}, true
		}
	}
}

// retransmit handles a retransmission time-out (RFC 6298, 5.4). It returns true if the caller must send octets again.
func (s *Stack) retransmit(k int32, now int64) bool {
	c := &s.conns[k]
	c.rtxAt = 0
	c.flags &^= timing                               // Karn
	if c.state == FinWait2 || c.sndUna == c.sndNxt { // it has lingered long enough
		if c.flags&orphan != 0 {
			s.Abort(k)
		}
		return false
	}
	if c.retries++; c.retries > maxOrphanRetries && c.flags&orphan != 0 {
		s.Abort(k)
		return false
	}
	if c.flags&orphan != 0 && c.sndUna.Add(1) != c.sndNxt { // a request that nobody would send again
		s.Abort(k)
		return false
	}
	c.backoff = min(c.backoff+1, 10)
	s.arm(k, now)
	switch c.state {
	case SynSent:
		s.Counters.Retransmitted++
		s.segment(k, c.sndUna, wire.SYN, 0)
		return false
	case FinWait1, LastAck:
		s.Counters.Retransmitted++
		s.segment(k, c.sndUna, wire.ACK|wire.FIN, 0)
		return false
	}
	return true
}
