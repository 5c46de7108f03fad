package tcpstate

// delivery counts what has reached the peer, and when, to estimate the rate at which the path delivers
// (draft-cheng-iccrg-delivery-rate-estimation, 3). Octets are counted modulo 2³², times are µs modulo 2³².
type delivery struct {
	delivered   uint32 // octets acknowledged or SACKed so far
	deliveredAt uint32 // when it last grew
	firstSentAt uint32 // when the octets were sent that delivered was last told of
	// appLimited is how far delivered must grow until the samples speak of the path again, and not of how
	// little there was to send; valid with limited.
	appLimited uint32
	limited    bool
}

// rateSample is what one acknowledgment says about the rate of delivery.
type rateSample struct {
	// delivered octets in interval µs; interval 0: nothing was learnt.
	delivered, interval uint32
	// prior is delivery.delivered when the octets were sent that this is about: for counting round trips.
	prior                  uint32
	appLimited             bool
	valid                  bool
	priorAt, sentAt, first uint32
}

// stamp notes in r that it is sent now.
func (d *delivery) stamp(r *run, us uint32) {
	r.sentAt = us
	r.delivered, r.deliveredAt, r.firstSentAt = d.delivered, d.deliveredAt, d.firstSentAt
	if d.limited {
		r.flags |= runAppLimited
	}
}

// restart is called before the first octet after a time with nothing in flight is sent.
func (d *delivery) restart(us uint32) { d.firstSentAt, d.deliveredAt = us, us }

// sample takes in that r was delivered. The octets that were sent last decide.
func (s *rateSample) take(d *delivery, r *run) {
	if s.valid && (int32(r.delivered-s.prior) < 0 || r.delivered == s.prior && int32(r.sentAt-s.sentAt) < 0) {
		return
	}
	*s = rateSample{
		valid: true, prior: r.delivered, priorAt: r.deliveredAt, sentAt: r.sentAt, first: r.firstSentAt, appLimited: r.has(runAppLimited),
	}
	d.firstSentAt = r.sentAt
}

// finish computes the sample when all that the acknowledgment tells has been taken in.
func (s *rateSample) finish(d *delivery, us, minRTT uint32) {
	if d.limited && int32(d.delivered-d.appLimited) > 0 {
		d.limited = false
	}
	if !s.valid {
		return
	}
	s.delivered = d.delivered - s.prior
	// The slower of sending and acknowledging is the path's rate: acknowledgments may come compressed.
	s.interval = max(s.sentAt-s.first, us-s.priorAt)
	// Faster than a round trip is no measurement (3.3).
	if s.interval < minRTT || s.interval > uint32(maxRTO/Microsecond) {
		s.interval = 0
	}
}

// octets per second
func (s *rateSample) rate() uint64 {
	if s.interval == 0 {
		return 0
	}
	return uint64(s.delivered) * 1e6 / uint64(s.interval)
}

// setAppLimited notes that all that was written, or that the peer's window allows, is sent though more might be: pipe octets
// are in flight.
func (d *delivery) setAppLimited(pipe uint32) {
	d.appLimited, d.limited = d.delivered+pipe, true
}
