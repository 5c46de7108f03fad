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
	lost       uint32 // octets believed lost so far
	excess     excess
}

// excess says that more was lost of what was sent with so much in flight than bbr3 puts up with.
type excess struct {
	inFlight          uint32 // at most, for the losses to be tolerable
	appLimited, valid bool
}

// tolerated is the share of losses, one in so many octets, that bbr3 takes for the path's own: its LossThresh, 2 %.
const tolerated = 50

func tooMuch(lost, inFlight uint32) bool { return lost > inFlight/tolerated }

// rateSample is what one acknowledgment says about the rate of delivery.
type rateSample struct {
	// delivered octets in interval µs; interval 0: nothing was learnt.
	delivered, interval uint32
	// prior is delivery.delivered when the octets were sent that this is about: for counting round trips.
	prior                  uint32
	appLimited             bool
	valid                  bool
	priorAt, sentAt, first uint32
	inFlight               uint32 // in the network when these octets were sent, with them
	lost                   uint32 // believed lost since
}

// stamp notes in r that it is sent now, which makes inFlight octets in the network.
func (d *delivery) stamp(r *run, us, inFlight uint32) {
	r.sentAt = us
	r.lost = d.lost
	r.setInFlight(inFlight)
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
		inFlight: r.inFlight(), lost: r.lost,
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
	s.lost = d.lost - s.lost
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

// onLost takes in that n octets, all of r, are believed lost. If that is more than is tolerated of what was sent since, it notes
// with how much in flight it was not yet: the draft's HandleLostPacket and InflightAtLoss.
func (d *delivery) onLost(r *run, n uint32) {
	d.lost += n
	lost, inFlight := d.lost-r.lost, r.inFlight()
	if d.excess.valid || !tooMuch(lost, inFlight) {
		return
	}
	before := inFlight - min(inFlight, n)
	if budget := before / tolerated; lost-n < budget {
		before += (budget - (lost - n)) / (tolerated - 1) * tolerated
	}
	d.excess = excess{inFlight: before, appLimited: r.has(runAppLimited), valid: true}
}
