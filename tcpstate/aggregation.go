package tcpstate

// aggregation estimates by how much more is acknowledged at times than the rate explains: peers and links collect
// acknowledgments. It keeps the most of the last rounds round trips, as Linux's tcp_bbr does.
type aggregation struct {
	most   [2]uint32 // of the current rounds and of those before
	since  uint32    // when the present count began, µs
	octets uint32    // delivered since then
	age    uint8     // round trips of the current rounds
	slot   uint8
}

const maxExtraTime = 100_000 // µs

// onAck takes in what was delivered at the estimated rate bw; rounds is how many round trips half of the memory lasts.
func (a *aggregation) onAck(w *window, e *ackEvent, bw uint64, newRound bool, rounds uint8) {
	if !e.sample.valid || e.sample.interval == 0 || e.delivered == 0 {
		return
	}
	if newRound {
		if a.age = min(a.age+1, 31); a.age >= rounds {
			a.age = 0
			a.slot ^= 1
			a.most[a.slot] = 0
		}
	}
	expected := uint32(min(bw*uint64(e.now-a.since)/1e6, maxCwnd))
	if a.octets <= expected || a.octets+e.delivered > maxCwnd {
		a.octets, a.since, expected = 0, e.now, 0
	}
	a.octets = min(a.octets+e.delivered, maxCwnd)
	extra := min(a.octets-min(a.octets, expected), w.cwnd)
	a.most[a.slot] = max(a.most[a.slot], extra)
}

// extra is what the window is larger by for it.
func (a *aggregation) extra(bw uint64) uint32 {
	return min(max(a.most[0], a.most[1]), uint32(min(bw*maxExtraTime/1e6, maxCwnd)))
}
