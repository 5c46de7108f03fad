package tcpstate

// timers are the connection's clocks: one that retransmits, probes or waits for the end, by kind, and one that
// measures how long the connection has been in its phase. The delayed ACK's is in receiver.
type timers struct {
	at        tick // when kind is due
	mark      tick // when the phase began, or last made progress
	challenge uint16
	kind      timerKind
	phase     phase
}

type timerKind uint8

const (
	timerNone     timerKind = iota
	timerRTO                // something is in flight
	timerProbe              // something is: the tail loss probe comes before the time-out
	timerReorder            // something is: it may soon be late enough to be lost
	timerPersist            // nothing is, because of the peer's window
	timerLinger             // FIN-WAIT-2
	timerTimeWait           // TIME-WAIT
)

// phase is what a connection is waiting for, where that has a limit.
type phase uint8

const (
	phaseNone    phase = iota
	phaseIdle          // at a request boundary
	phaseReading       // octets lie undecided
	phaseSending       // the peer has not acknowledged all that is written
)

const (
	maxBackoff = 15 // as Linux's tcp_retries2
	// slowBackoff is how many expiries make the shortest time-out maxRTO: more change nothing but the number.
	slowBackoff = 9
	ackDelay    = 40 * Millisecond
)

func (c *Conn) currentPhase() phase {
	switch {
	case c.state == StateClosed || c.state == FinWait2 || c.state == TimeWait:
		return phaseNone
	case c.snd.una != c.snd.end:
		return phaseSending
	case c.has(flagMore):
		return phaseNone // it is we who are slow
	case c.state.ourFIN():
		return phaseSending
	case c.rcv.pending > 0 || c.rcv.nHeld > 0:
		return phaseReading
	}
	return phaseIdle
}

// settle brings the timers in line with everything else. Each call that changes the connection ends with it.
func (c *Conn) settle() {
	if p := c.currentPhase(); p != c.tmr.phase {
		if idle := Time(c.tick()-c.tmr.mark) * Millisecond; c.tmr.phase != phaseSending && idle > c.rto() {
			c.mem.idle = true
		}
		c.tmr.phase = p
		c.tmr.mark = c.tick()
	}
	c.arm()
}

// arm starts and stops the retransmission timer and its kin.
func (c *Conn) arm() {
	switch {
	case c.state == StateClosed:
		c.tmr.kind = timerNone
	case c.state == TimeWait:
		// started on the way into the state
	case c.snd.una != c.snd.nxt:
		// RFC 6298, 5.1: when something is in flight, the timer runs.
		if c.tmr.kind != timerRTO && c.tmr.kind != timerProbe && c.tmr.kind != timerReorder {
			c.startRTO()
		}
	case c.state == FinWait2:
		// started on the way into the state
	case c.blockedByWindow():
		// RFC 9293, 3.8.6.1: the peer's window update may get lost, so we ask.
		if c.tmr.kind != timerPersist {
			c.snd.backoff = 0
			c.startTimer(timerPersist, c.rto())
		}
	default:
		// RFC 6298, 5.2: all is acknowledged.
		if c.tmr.kind == timerPersist {
			c.snd.backoff = 0
		}
		c.tmr.kind = timerNone
		c.flags &^= flagProbe
	}
}

func (c *Conn) startTimer(kind timerKind, d Time) {
	c.tmr.kind = kind
	c.tmr.at = c.tick().after(d)
}

func (c *Conn) startRTO() { c.startTimer(timerRTO, c.backedOff()) }

// backedOff is the retransmission time-out after as many expiries as there were (RFC 6298, 5.5).
func (c *Conn) backedOff() Time {
	return min(c.rto()<<min(c.snd.backoff, 16), maxRTO)
}

// phaseLimit returns how long the connection may stay in its phase, 0 for ever.
func (c *Conn) phaseLimit() Time {
	switch c.tmr.phase {
	case phaseIdle:
		return Time(c.lim.keepAlive) * limitStep
	case phaseReading:
		return Time(c.lim.head) * limitStep
	case phaseSending:
		return Time(c.lim.stall) * limitStep
	}
	return 0
}

// Deadline returns when OnTimeout wants to be called, or 0 if no timer runs.
func (c *Conn) Deadline(st *Stack) Time {
	if c.state == StateClosed {
		return 0
	}
	now := int64(c.nowHigh)<<32 | int64(c.nowLow)
	next := int64(-1)
	consider := func(at int64) {
		if next < 0 || at < next {
			next = max(at, 0)
		}
	}
	if c.tmr.kind != timerNone {
		consider(now + int64(int32(c.tmr.at-c.tick())))
	}
	if c.has(flagAckTimer) {
		consider(now + int64(int16(c.rcv.ackAt-uint16(c.nowLow))))
	}
	if d := c.phaseLimit(); d != 0 {
		consider(now - int64(c.tick()-c.tmr.mark) + int64(d/Millisecond) + 1)
	}
	f := st.of(c)
	paced := f != nil && c.has(flagPaced)
	switch {
	case next < 0 && !paced:
		return 0
	case next < 0:
		return f.pace.at
	}
	d := max(Time(next)*Millisecond, 1)
	if paced {
		d = min(d, f.pace.at)
	}
	return d
}

// OnTimeout does what is due at now. Afterwards PollTransmit may have something. For what the Fate asks of
// the caller, see there; called before Deadline, it does nothing.
func (c *Conn) OnTimeout(st *Stack, now Time) Fate {
	if c.state == StateClosed {
		return Closed
	}
	c.setNow(now)
	c.flags &^= flagPaced // PollTransmit sets it again if it is too early
	if c.has(flagAckTimer) && int16(uint16(c.nowLow)-c.rcv.ackAt) >= 0 {
		c.flags |= flagAckNow
		c.flags &^= flagAckTimer
	}
	fate := Alive
	if c.tmr.kind != timerNone && c.tick().due(c.tmr.at) {
		fate = c.onTimer(st, now)
	}
	if fate == Alive {
		fate = c.onPhaseLimit()
	}
	return fate
}

// onTimer does what the timer that has expired stands for.
func (c *Conn) onTimer(st *Stack, now Time) Fate {
	switch c.tmr.kind {
	case timerLinger, timerTimeWait:
		// RFC 9293, 3.10.8: the TIME-WAIT time-out deletes the connection. FIN-WAIT-2 has no limit there;
		// a peer that never closes would hold our memory for ever.
		c.close()
		return Closed
	case timerPersist:
		c.snd.backoff++
		if c.snd.backoff > maxBackoff {
			return c.giveUp()
		}
		c.flags |= flagProbe
		c.startTimer(timerPersist, c.backedOff())
	case timerRTO:
		c.snd.backoff++
		if c.snd.backoff > maxBackoff {
			return c.giveUp()
		}
		c.onRTO(st, st.of(c), now)
		c.startRTO()
	case timerProbe:
		c.flags |= flagTailProbe
		c.startRTO()
	case timerReorder:
		c.onReorderTimer(st, st.of(c), now)
	}
	return Alive
}

// onPhaseLimit looks whether the connection was in its phase for too long.
func (c *Conn) onPhaseLimit() Fate {
	d := c.phaseLimit()
	if d == 0 || uint32(c.tick()-c.tmr.mark) <= uint32(d/Millisecond) {
		return Alive
	}
	c.tmr.mark = c.tick()
	switch c.tmr.phase {
	case phaseReading:
		return HeadExpired
	case phaseSending:
		return c.giveUp()
	}
	return IdleExpired
}

func (c *Conn) giveUp() Fate {
	c.Abort()
	return TimedOut
}

// A challenge ACK is sent at most once in challengeEvery, apart from a burst of a few (RFC 5961, 7): the
// limit is the connection's own, so that nobody can learn from it about others (CVE-2016-5696).
const (
	challengeUnit  = 16 // ms, in which timers.challenge counts
	challengeEvery = 496 / challengeUnit
	challengeBurst = 3 * challengeEvery
)

// mayChallenge takes one from the allowance of ACKs for segments that prove nothing. timers.challenge is when
// the allowance is whole again; any value that is not in the next few seconds has passed.
func (c *Conn) mayChallenge() bool {
	now := uint16(c.nowLow / challengeUnit)
	ahead := c.tmr.challenge - now
	if ahead > challengeBurst+challengeEvery {
		ahead = 0
	}
	if ahead > challengeBurst {
		return false
	}
	c.tmr.challenge = now + ahead + challengeEvery
	return true
}
