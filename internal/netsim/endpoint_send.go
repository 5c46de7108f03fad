package netsim

import "time"

const maxRTO = 3 * time.Second

// segment begins a segment at offset off, with all that every segment has.
func (e *endpoint) segment(off int64) *segment {
	s := newSegment(e.local, e.remote)
	s.srcMAC, s.dstMAC = e.localMAC, e.remoteMAC
	s.seq = e.iss + 1 + uint32(off)
	s.isACK = true
	s.ack = e.irs + 1 + uint32(e.rcvNxt)
	s.wnd = e.window()
	if e.tsOK {
		s.ts, s.val, s.ecr = true, e.clock(), e.tsRecent
	}
	return s
}

// window is the window field, and moves the advertised edge, which never goes back: rounding is up if down
// would take octets away.
func (e *endpoint) window() uint16 {
	room := max(e.readTo+int64(e.pol.Buffer)-e.rcvNxt, 0)
	promised := max(e.wndEdge-e.rcvNxt, 0)
	unit := int64(1) << e.rcvShift
	field := min(max(room/unit, (promised+unit-1)/unit), 0xffff)
	e.wndEdge = max(e.wndEdge, e.rcvNxt+field*unit)
	return uint16(field)
}

// send gives s to the link, and notes what it acknowledges.
func (e *endpoint) send(s *segment) {
	e.lastAck = e.rcvNxt
	e.unacked = 0
	e.ackTimer.stop()
	e.emit(s)
}

// acknowledge sends a bare ACK, with SACK blocks if there is something to report.
func (e *endpoint) acknowledge() {
	if e.gone {
		return
	}
	s := e.segment(e.nxt)
	if e.sackOK {
		room := 4
		if e.tsOK {
			room = 3
		}
		for _, r := range e.recent[:min(room, len(e.recent))] {
			s.sack = append(s.sack, [2]uint32{e.irs + 1 + uint32(r.lo), e.irs + 1 + uint32(r.hi)})
		}
	}
	e.send(s)
}

// payloadRoom is how many octets of payload a segment may carry.
func (e *endpoint) payloadRoom() int {
	if e.tsOK {
		return e.mss - 12
	}
	return e.mss
}

// sendRange sends the octets [lo, hi), of which a FIN may be the last, in one segment, and returns where it
// ended: room or the window may have cut it.
func (e *endpoint) sendRange(lo, hi int64) int64 {
	s := e.segment(lo)
	data := min(hi, int64(len(e.out)), lo+int64(e.payloadRoom()), max(e.edge, lo))
	if lo < data {
		s.payload = e.out[lo:data]
		s.psh = data == int64(len(e.out))
	}
	if end := int64(len(e.out)); hi > end && data == end || lo == end && hi > end {
		s.fin = true
		data = end + 1
	}
	if data > lo {
		e.send(s)
	}
	return data
}

// push sends what is new, as far as windows allow.
func (e *endpoint) push() {
	for !e.gone && !e.held && e.nxt < e.end() {
		hi := e.end()
		if e.pol.Cut != nil && e.nxt < int64(len(e.out)) {
			hi = min(hi, e.nxt+int64(max(1, e.pol.Cut())))
		}
		hi = min(hi, max(e.una+int64(e.pol.Flight), e.nxt))
		if hi == e.nxt {
			break
		}
		end := e.sendRange(e.nxt, hi)
		if end == e.nxt {
			break
		}
		e.nxt = end
	}
	e.arm()
}

// arm starts the timer that finds losses and closed windows.
func (e *endpoint) arm() {
	switch {
	case e.gone || e.una == e.end():
		e.rto.stop()
	case !e.rto.set && !e.held:
		e.rto.start(min(e.pol.RTO<<min(e.tries, 10), maxRTO), e.onRTO)
	}
}

// onRTO sends all again that was not acknowledged, or, if that is nothing, asks after the window by an old
// sequence number.
func (e *endpoint) onRTO() {
	e.tries++
	if e.una == e.nxt {
		e.send(e.segment(e.una - 1))
	}
	for lo := e.una; lo < e.nxt; {
		end := e.sendRange(lo, e.nxt)
		if end == lo {
			break
		}
		lo = end
	}
	e.push()
	e.arm()
}

// Send adds octets to the stream.
func (e *endpoint) Send(data []byte) {
	e.out = append(e.out, data...)
	e.push()
}

// Close lets a FIN follow what was sent. Receiving goes on.
func (e *endpoint) Close() {
	e.closing = true
	e.push()
}

// Reset ends the connection by a RST.
func (e *endpoint) Reset() {
	if e.gone {
		return
	}
	s := e.segment(e.nxt)
	s.rst = true
	e.emit(s)
	e.stop()
}

// KeepAlive sends the probe of RFC 9293, 3.8.4, which has to be answered.
func (e *endpoint) KeepAlive() { e.send(e.segment(e.nxt - 1)) }

// Piece is a part of a stream: octets [Lo, Hi), to be sent once, At after the first.
type Piece struct {
	Lo, Hi int
	At     time.Duration
}

// SendPieces adds octets to the stream and sends them in pieces, counted from the first of them: in any
// order, with overlaps, or not at all. What is still missing half a second after the last is sent by the timer.
func (e *endpoint) SendPieces(data []byte, pieces []Piece) {
	base := int64(len(e.out))
	e.out = append(e.out, data...)
	e.held = true
	last := time.Duration(0)
	for _, p := range pieces {
		last = max(last, p.At)
		e.net.After(p.At, func() {
			lo, hi := base+int64(p.Lo), base+int64(p.Hi)
			for lo < hi && !e.gone {
				end := e.sendRange(lo, hi)
				if end == lo {
					break
				}
				e.nxt = max(e.nxt, end)
				lo = end
			}
		})
	}
	e.net.After(last, func() {
		e.held = false
		e.nxt = max(e.nxt, base+int64(len(data)))
		e.arm()
	})
}
