package tcpstate

// pacing spreads what may be sent over time, since no queueing discipline does it for us. As Linux does, it
// lets about a millisecond's worth go at once, and the first window of a connection unpaced.
type pacing struct {
	at    Time   // when the next burst may begin
	burst uint32 // octets that are left of the current one
}

// maxLag is what is made up for: timers are late.
const maxLag = 2 * Millisecond

// quantum is the largest burst, octets: what goes in some milliseconds (1/1024 s), or two segments.
func (w *window) quantum() uint32 {
	return uint32(min(max(w.rate/1024, 2*uint64(w.mss)), 1<<30))
}

// ready reports whether a segment may go now.
func (p *pacing) ready(w *window, now Time) bool { return w.rate == 0 || p.at <= now || p.burst > 0 }

// sent takes in that n octets go now.
func (p *pacing) sent(w *window, n uint32, now Time) {
	if w.rate == 0 {
		return
	}
	if p.at <= now {
		p.burst = w.quantum()
		p.at = max(p.at, now-maxLag)
	}
	p.at += Time(uint64(n) * uint64(Second) / w.rate)
	p.burst -= min(n, p.burst)
}
