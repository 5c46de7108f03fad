package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// rack finds losses by time: what was sent well before something that has arrived, and has not arrived
// itself, is lost, retransmissions included (RFC 8985). It needs SACK.
type rack struct {
	sentAt     uint32   // when what was sent last of what has arrived was sent, µs
	end        wire.Seq // and where it ended
	rtt        uint32   // and its round trip, µs
	fack       wire.Seq // behind the highest octet that has arrived
	dsackRound wire.Seq // reoMult may grow again when SND.UNA is beyond it
	reoMult    uint8    // reordering window in quarters of the shortest round trip
	reoPersist uint8    // recoveries until reoMult is 1 again
	valid      bool
	reordering bool // was seen on this path
	dsackOpen  bool // dsackRound is valid
	probing    bool // a tail loss probe is out, sent when SND.NXT was:
	probeAgain bool // it was a retransmission
	probeEnd   wire.Seq
}

const reoPersistence = 16 // RFC 8985, 6.2, step 4

// sentAfter reports whether the octets that end at a and were sent at ta were sent after those of b (RFC 8985, 6.2, RACK_sent_after).
func sentAfter(ta uint32, a wire.Seq, tb uint32, b wire.Seq) bool {
	return int32(ta-tb) > 0 || ta == tb && b.Less(a)
}

// rackAdvance is RFC 8985, 6.2, steps 1 and 2.
func (c *Conn) rackAdvance(f *flight, r *run, end wire.Seq, e *ackEvent) {
	rtt := e.now - r.sentAt
	if r.has(runAgain) {
		// Which copy arrived? Not the last one, if that was shorter ago than a round trip takes, or later
		// than what the timestamp echoes.
		if rtt < c.rtt.least || e.tsok && rtt/1000+1 < e.echo {
			return
		}
	}
	if !f.rack.valid || sentAfter(r.sentAt, end, f.rack.sentAt, f.rack.end) {
		f.rack.sentAt, f.rack.end, f.rack.rtt, f.rack.valid = r.sentAt, end, rtt, true
	}
}

// reorderWindow is RFC 8985, 6.2, step 4, in µs.
func (c *Conn) reorderWindow(f *flight) uint32 {
	if !f.rack.reordering && (f.rec.mode != modeOpen || f.sacked > (dupThresh-1)*f.win.mss) {
		return 0
	}
	return min(c.rtt.least/4*uint32(f.rack.reoMult), c.rtt.srtt)
}

// adaptReorder makes the window wider if the peer got something twice, which says that it was not lost, once
// for each round trip.
func (c *Conn) adaptReorder(f *flight, e *ackEvent) {
	if f.rack.dsackOpen && f.rack.dsackRound.LessEq(c.snd.una) {
		f.rack.dsackOpen = false
	}
	if e.dsack && !f.rack.dsackOpen {
		f.rack.dsackOpen, f.rack.dsackRound = true, c.snd.nxt
		f.rack.reoMult = min(f.rack.reoMult+1, 0xfe)
		f.rack.reoPersist = reoPersistence
	}
}

// onRecoveryOver narrows it again after some recoveries without such news.
func (k *rack) onRecoveryOver() {
	if k.reoPersist > 0 {
		if k.reoPersist--; k.reoPersist == 0 {
			k.reoMult = 1
		}
	}
}

// rackDetect marks what is lost (RFC 8985, 6.2, step 5), and returns after how many µs there may be more of
// it, 0 for never.
func (c *Conn) rackDetect(st *Stack, f *flight, e *ackEvent) (wait uint32) {
	if !f.rack.valid || !c.has(flagSACK) {
		return 0
	}
	reo := c.reorderWindow(f)
	begin := c.snd.una
	for i := f.head; i != 0; i = st.runs[i].next {
		r := &st.runs[i]
		// What was never sent again was sent in order: nothing further on can be older.
		if !r.has(runAgain) && !begin.Less(f.rack.fack) && int32(r.sentAt-f.rack.sentAt) > 0 {
			break
		}
		if !r.has(runSACKed|runLost) && sentAfter(f.rack.sentAt, f.rack.end, r.sentAt, r.end) {
			if left := int32(r.sentAt + f.rack.rtt + reo - e.now); left <= 0 {
				f.markLost(r, begin, e)
			} else {
				wait = max(wait, uint32(left))
			}
		}
		begin = r.end
	}
	return wait
}

// probeTimeout is RFC 8985, 7.2: after so long without an acknowledgment, the end of what was sent may be lost.
func (c *Conn) probeTimeout() Time {
	if c.rtt.srtt == 0 {
		return Second
	}
	d := 2*Time(c.rtt.srtt)*Microsecond + 2*Millisecond
	if uint32(c.snd.nxt-c.snd.una) <= c.payloadMSS() {
		d += minRTO // the peer may delay its acknowledgment of a single segment
	}
	return d
}

// mayProbe reports whether a tail loss probe is in order (RFC 8985, 7.2).
func (c *Conn) mayProbe(f *flight) bool {
	return c.has(flagSACK) && f.rec.mode == modeOpen && f.sacked == 0 && !f.rack.probing && c.snd.backoff == 0 && c.snd.una != c.snd.nxt
}

// nextProbe returns the tail loss probe: new octets, or else the last segment once more (RFC 8985, 7.3).
func (c *Conn) nextProbe() plan {
	if p := c.nextNew(true); p.kind != planNone {
		p.probe = true
		return p
	}
	seq := wire.MaxSeq(c.snd.una, c.snd.nxt-wire.Seq(c.payloadMSS()))
	p := c.resend(seq, c.snd.nxt)
	p.probe = p.kind != planNone
	return p
}

// endProbe is RFC 8985, 7.4: is the probe answered, and has it mended a loss? Then that loss counts.
func (c *Conn) endProbe(f *flight, e *ackEvent, seg *wire.Segment) (mended bool) {
	if !f.rack.probing || seg.Ack.Less(f.rack.probeEnd) {
		return false
	}
	switch {
	case !f.rack.probeAgain, e.dsack: // nothing was sent twice, or both copies arrived
	case f.rack.probeEnd.Less(seg.Ack):
		mended = true // and nobody has told of a second copy
	case e.acked > 0 || e.delivered > 0:
		return false // the next acknowledgment will tell
	}
	f.rack.probing = false
	return mended
}
