package tcpclient

import "github.com/xhttpd/xhttpd/internal/wire"

// What is what happened to a connection: several things may in one segment, in this order.
type What uint8

// What can happen.
const (
	Opened What = 1 << iota // the handshake is complete: requests may be sent
	Data                    // octets came, in order
	EOF                     // the server has closed its direction, behind Data
	Reset                   // the server has reset or refused the connection, which is forgotten
	Resend                  // the octets from Seq on are to be sent again: Room, Resend
)

// Event is what a frame or a timer meant for a connection. Data is valid as long as the frame, or until the next call.
type Event struct {
	Conn int32 // none, below 0, if there was none, or if it concerns nobody
	What What
	Seq  wire.Seq
	Data []byte
}

// Input takes a received frame. While More says so, it has further events.
func (s *Stack) Input(frame []byte, now int64) (e Event) {
	e.Conn = none
	s.Counters.Received++
	if wire.Parse(frame, &s.pkt) != wire.OK {
		s.Counters.Bad++
		return e
	}
	k := s.find(&s.pkt.Flow)
	if k == none {
		s.Counters.Stray++
		s.reset(&s.pkt)
		return e
	}
	seg := &s.pkt.Segment
	c := &s.conns[k]
	if c.state == SynSent {
		s.synSent(k, seg, now, &e)
		return e
	}
	left := c.flags&orphan != 0
	s.segmentArrives(k, seg, now, &e)
	if left {
		return Event{Conn: none} // nobody is interested any more
	}
	return e
}

// synSent is RFC 9293, 3.10.7.3.
func (s *Stack) synSent(k int32, seg *wire.Segment, now int64, e *Event) {
	c := &s.conns[k]
	if !seg.Flags.Has(wire.ACK) || seg.Ack != c.sndNxt {
		s.reset(&s.pkt)
		if seg.Flags.Has(wire.ACK) && !seg.Flags.Has(wire.RST) {
			s.Counters.ChallengedACKs++
			if c.retries == 0 { // the server has an older connection from this port, which the reset ends: as Linux, ask again at once
				c.rtxAt = tick(now+soonNanos) + 1
				s.schedule(k)
			}
		}
		return
	}
	if seg.Flags.Has(wire.RST) {
		s.Counters.Resets++
		s.forget(k)
		e.Conn, e.What = k, Reset
		return
	}
	if !seg.Flags.Has(wire.SYN) {
		return
	}
	c.state = Established
	c.sndUna = seg.Ack
	c.rcvNxt = seg.Seq.Add(1)
	c.ackSent = seg.Seq // its SYN is not acknowledged yet: the first request does it
	c.sndWnd = uint32(seg.Wnd)
	o := &seg.Options
	peer := uint16(536) // RFC 9293, 3.7.1
	if o.HasMSS {
		peer = max(o.MSS, 64)
	}
	c.mss = min(peer, s.synOptions.MSS)
	if o.HasWScale {
		c.sndScale = min(o.WScale, 14)
	}
	if o.HasTS && s.synOptions.HasTS {
		c.flags |= hasTS
		c.tsRecent = o.TSVal
		c.mss -= 12
	}
	if o.SACKPermitted && s.synOptions.SACKPermitted {
		c.flags |= sackOK
	}
	s.measure(c, now)
	s.disarm(k)
	c.backoff, c.retries = 0, 0
	c.flags |= ackNow
	s.note(k)
	e.Conn, e.What = k, Opened
}

// segmentArrives is RFC 9293, 3.10.7.4, for what a client needs of it.
func (s *Stack) segmentArrives(k int32, seg *wire.Segment, now int64, e *Event) {
	c := &s.conns[k]
	ahead := seg.Seq.Sub(c.rcvNxt)
	if ahead > int32(s.cfg.Window) || ahead < 0 && ahead+int32(seg.Len()) <= 0 {
		// Outside of the window, or nothing new: sent again because our acknowledgment was lost, or a probe whether we live.
		if seg.Flags.Has(wire.RST) {
			return
		}
		s.Counters.Duplicate++
		s.owe(k)
		if ahead < 0 {
			s.acknowledged(k, seg, now)
		}
		return
	}
	if seg.Flags.Has(wire.RST) {
		s.Counters.Resets++
		e.Conn, e.What = k, Reset
		s.forget(k)
		return
	}
	if seg.Flags.Has(wire.SYN) || !seg.Flags.Has(wire.ACK) {
		s.owe(k) // RFC 5961, 4
		return
	}
	if c.flags&hasTS != 0 && seg.Options.HasTS && ahead <= 0 {
		c.tsRecent = seg.Options.TSVal
	}
	if !s.acknowledged(k, seg, now) {
		return
	}
	if c.state == Closed { // its last acknowledgment came
		return
	}
	s.text(k, seg, ahead, now, e)
}

// acknowledged takes an acknowledgment in. It returns false if the segment is to be dropped.
func (s *Stack) acknowledged(k int32, seg *wire.Segment, now int64) bool {
	c := &s.conns[k]
	if c.sndNxt.Less(seg.Ack) {
		s.Counters.ChallengedACKs++
		s.owe(k)
		return false
	}
	if seg.Ack.Less(c.sndUna) {
		return true
	}
	c.sndWnd = uint32(seg.Wnd) << c.sndScale
	if seg.Ack == c.sndUna {
		return true
	}
	c.sndUna = seg.Ack
	c.backoff, c.retries = 0, 0
	s.measure(c, now)
	if c.sndUna != c.sndNxt {
		s.arm(k, now) // RFC 6298, 5.3
		return true
	}
	s.disarm(k)
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		s.linger(k, now)
	case LastAck:
		s.forget(k)
	}
	return true
}

// text takes the payload and the FIN of an acceptable segment, which begins ahead octets behind what is expected.
func (s *Stack) text(k int32, seg *wire.Segment, ahead int32, now int64, e *Event) {
	c := &s.conns[k]
	data, fin := seg.Payload, seg.Flags.Has(wire.FIN)
	if len(data) == 0 && !fin {
		return
	}
	if c.state == CloseWait || c.state == LastAck {
		s.owe(k) // behind its FIN nothing can be
		return
	}
	if ahead > 0 {
		s.Counters.OutOfOrder++
		if !s.keep(c, seg.Seq, data, fin) {
			s.Counters.Dropped++
		}
		s.owe(k) // RFC 5681, 4.2
		return
	}
	data = data[-ahead:]
	s.take(k, data, fin, now, e)
	if c.ooo != none {
		s.owe(k)
	}
}

// take moves what is expected on.
func (s *Stack) take(k int32, data []byte, fin bool, now int64, e *Event) {
	c := &s.conns[k]
	e.Conn = k
	if len(data) > 0 {
		c.rcvNxt = c.rcvNxt.Add(uint32(len(data)))
		e.What |= Data
		e.Data = data
	}
	s.note(k)
	if !fin {
		return
	}
	c.rcvNxt = c.rcvNxt.Add(1)
	c.flags |= ackNow
	e.What |= EOF
	switch c.state {
	case Established:
		c.state = CloseWait
		if c.flags&orphan != 0 {
			s.Close(k, now)
		}
	case FinWait1: // simultaneous: the acknowledgment of our FIN is still to come
		c.state = LastAck
	case FinWait2:
		s.ack(k)
		s.forget(k) // instead of TIME-WAIT
	}
}

// More returns a further event of connection k, from segments that had come too early.
func (s *Stack) More(k int32, now int64) (e Event, ok bool) {
	c := &s.conns[k]
	e.Conn = none
	for c.state != Closed && c.ooo != none {
		w := &s.waiting.all[c.ooo]
		behind := c.rcvNxt.Sub(w.seq)
		if behind < 0 {
			return e, false
		}
		data, fin := w.data[:w.n], w.fin
		s.waiting.pop(&c.ooo)
		if int(behind) > len(data) || int(behind) == len(data) && !fin {
			continue
		}
		s.take(k, data[behind:], fin, now, &e)
		if c.flags&orphan != 0 {
			e = Event{Conn: none}
		}
		return e, true
	}
	return e, false
}

// owe sees to it that Flush sends an acknowledgment.
func (s *Stack) owe(k int32) {
	s.conns[k].flags |= ackNow
	s.note(k)
}
