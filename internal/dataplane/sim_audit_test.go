package dataplane

import (
	"net/netip"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// simState is what the audit remembers of a slot.
type simState struct {
	flow  wire.Flow
	state tcpstate.State
	acked uint32
	apart bool // made by a late double of a connection that was handed over
}

// simLegal are the states that a connection may be in at the end of a step, by the one at the end of the step before:
// RFC 9293, figure 5, where a step may take several of its arrows.
var simLegal = [tcpstate.NumStates]map[tcpstate.State]bool{
	tcpstate.Established: set(tcpstate.Established, tcpstate.FinWait1, tcpstate.FinWait2, tcpstate.CloseWait, tcpstate.Closing, tcpstate.LastAck, tcpstate.TimeWait),
	tcpstate.FinWait1:    set(tcpstate.FinWait1, tcpstate.FinWait2, tcpstate.Closing, tcpstate.TimeWait),
	tcpstate.FinWait2:    set(tcpstate.FinWait2, tcpstate.TimeWait),
	tcpstate.CloseWait:   set(tcpstate.CloseWait, tcpstate.LastAck),
	tcpstate.Closing:     set(tcpstate.Closing, tcpstate.TimeWait),
	tcpstate.LastAck:     set(tcpstate.LastAck),
	tcpstate.TimeWait:    set(tcpstate.TimeWait),
}

func set(states ...tcpstate.State) map[tcpstate.State]bool {
	m := map[tcpstate.State]bool{tcpstate.StateClosed: true} // from everywhere, with a RST that waits for a frame
	for _, s := range states {
		m[s] = true
	}
	return m
}

// audit compares the loop's books with each other and with what the network has seen. It is called after each step.
func (w *simWorld) audit() {
	l := w.loop
	var have Counters
	var works, ready, timers int
	seen := map[uint32]simState{}
	l.slots.each(func(i uint32) {
		s := l.slots.at(i)
		w.auditConn(i, s)
		was, known := w.states[i]
		apart := known && was.flow == s.flow && was.apart || l.given.has(&s.flow, l.now)
		seen[i] = simState{s.flow, s.conn.State(), s.conn.AckedOff(), apart}
		if s.flags&flagHanding != 0 {
			have.Handing++
		} else {
			have.Connections[s.conn.State()]++
		}
		if s.flags&flagReady != 0 {
			ready++
		}
		if s.due != 0 {
			timers++
		}
		if s.work != 0 {
			works++
			for k, o := range l.work.objects[int(s.work)*window : int(s.work+1)*window] {
				if held := k < int(l.work.at(s.work).n); held != (o != nil) {
					w.Failf("slot %d: object %d is referred to: %v, under way: %v", i, k, o != nil, held)
				}
			}
		}
		if l.work.held(s) != nil {
			have.Buffers++
		}
	})
	w.states = seen
	have.Connections[tcpstate.TimeWait] += l.waits.alive
	c := w.counters()
	switch {
	case len(seen) != l.slots.used:
		w.Failf("%d slots are used, counted %d", len(seen), l.slots.used)
	case c.Connections != have.Connections || c.Handing != have.Handing:
		w.Failf("counted %v and %d handing, there are %v and %d", c.Connections, c.Handing, have.Connections, have.Handing)
	case works != l.work.usedWorks || have.Buffers != c.Buffers || c.Buffers != l.work.buffersInUse():
		w.Failf("%d works and %d buffers are held, counted %d and %d", works, have.Buffers, l.work.usedWorks, c.Buffers)
	case timers != l.wheel.held:
		w.Failf("%d timers run, the wheel holds %d", timers, l.wheel.held)
	case l.txUsed != 0 || l.nInj != 0 || l.give.n != 0:
		w.Failf("%d frames were not sent, %d and %d not injected", l.txUsed, l.nInj, l.give.n)
	case w.Device.Lent() != l.txHave:
		w.Failf("%d frames are lent, the loop holds %d", w.Device.Lent(), l.txHave)
	}
	if flights, _ := l.st.InUse(); flights > l.slots.used {
		w.Failf("%d flights for %d connections", flights, l.slots.used)
	}
	w.auditReadyList(ready)
	w.auditQueues()
	w.auditOurs()
	w.auditHits()
	w.auditDisk()
}

// auditOurs: the table for the steering program holds the connections that are ours, each once, and nothing else. What a
// hand-over was begun for is no longer in it, even if that has failed.
func (w *simWorld) auditOurs() {
	l, entered := w.loop, 0
	l.slots.each(func(i uint32) {
		s := l.slots.at(i)
		n := l.cfg.Ours.has(&s.flow)
		entered += n
		c := w.Of(netip.AddrPortFrom(s.flow.Remote.Netip(), s.flow.RemotePort))
		switch {
		case n > 1, n == 1 && (s.flags&flagHanding != 0 || c != nil && w.Kernel.Owns(c)):
			w.Failf("slot %d is %d times in the table of what is ours; flags %#x", i, n, s.flags)
		case n == 0 && s.flags&(flagWant|flagHanding) == 0 && !w.states[i].apart:
			w.Failf("slot %d is not in the table of what is ours; flags %#x", i, s.flags)
		}
	})
	if held := l.cfg.Ours.held(); held != entered {
		w.Failf("%d of %d entries of the table of what is ours are of no connection", held-entered, held)
	}
}

// auditQueues: each connection is in the queue of its class, once, and counted for its prefix.
func (w *simWorld) auditQueues() {
	l := w.loop
	queued, classed, live := 0, 0, 0
	for c := classOver; c < numClasses; c++ {
		last, before := uint32(0), queued
		for i := l.queues[c].oldest; i != 0 && queued <= l.slots.used; i = l.slots.at(i).newer {
			if s := l.slots.at(i); s.class != c || s.older != last || s.flags&flagUsed == 0 {
				w.Failf("the queue of class %d is broken at slot %d", c, i)
			}
			queued, last = queued+1, i
		}
		if l.queues[c].newest != last || l.queues[c].n != queued-before {
			w.Failf("the queue of class %d ends at %d, not %d, and has %d, not %d", c, last, l.queues[c].newest, queued-before, l.queues[c].n)
		}
	}
	counted := uint32(0)
	for _, n := range l.prefixes.rows[0] {
		counted += n
	}
	l.slots.each(func(i uint32) {
		s := l.slots.at(i)
		if s.class != classNone {
			classed++
		}
		if s.class != classOver {
			live++
		}
		if c := l.classOf(s); s.class != c {
			w.Failf("slot %d, in %v, is in class %d, not in %d", i, s.conn.State(), s.class, c)
		}
	})
	if queued != classed || int(counted) != live {
		w.Failf("%d slots are in queues, %d say so; %d of %d are counted by prefix", queued, classed, counted, live)
	}
}

func (w *simWorld) auditReadyList(want int) {
	l, n, last := w.loop, 0, uint32(0)
	for i := l.ready.head; i != 0 && n <= want; i = l.slots.at(i).after {
		if s := l.slots.at(i); s.flags&flagReady == 0 || s.before != last {
			w.Failf("the ready list is broken at slot %d", i)
		}
		n, last = n+1, i
	}
	if n != want || n > 0 && l.ready.tail != last {
		w.Failf("%d slots are in the ready list, which ends at %d; %d say that they are", n, l.ready.tail, want)
	}
}

// auditConn looks at one connection: its state, its place in the sequence space, its timer.
func (w *simWorld) auditConn(i uint32, s *slot) {
	l, state := w.loop, s.conn.State()
	if l.slots.find(&s.flow) != i {
		w.Failf("slot %d is not found by its flow", i)
	}
	if s.flags&flagHanding == 0 && s.counted != state {
		w.Failf("slot %d is in %v, but counted in %v", i, state, s.counted)
	}
	if was, ok := w.states[i]; ok && was.flow == s.flow && s.conn.AckedOff() >= was.acked && !simLegal[was.state][state] {
		w.Failf("slot %d went from %v to %v", i, was.state, state)
	}
	w.auditTimer(i, s)
	if s.flags&flagHanding != 0 {
		return
	}
	// What was paced may be due by now, and have its turn with the wheel's next tick.
	if d := s.conn.Deadline(l.st); s.flags&flagReady == 0 && (d == 0 || d > l.now) && s.conn.WantsTransmit(l.st, l.now) {
		w.Failf("slot %d has something to send, but is not in the ready list", i)
	}
	acked, written := int(s.conn.AckedOff()), int(s.conn.WrittenOff())
	if s.flags&flagLent != 0 {
		written += w.answeredSince(s)
	}
	c := w.Of(netip.AddrPortFrom(s.flow.Remote.Netip(), s.flow.RemotePort))
	if c == nil || c.Reused() { // the connection may be of the client before
		return
	}
	// SND.UNA, SND.NXT, and the end of what was written, each by another witness.
	if sent := c.Sent(); acked > sent || sent > written || acked > len(c.Received()) {
		w.Failf("slot %d: %d octets acknowledged, %d received, %d sent, %d written", i, acked, len(c.Received()), sent, written)
	}
}

// auditTimer: a connection with a deadline has a timer that comes no later, one in CLOSED has none.
func (w *simWorld) auditTimer(i uint32, s *slot) {
	l, d := w.loop, s.conn.Deadline(w.loop.st)
	if s.flags&flagHanding != 0 {
		d = l.work.at(s.work).retryAt
	}
	switch {
	case d == 0, s.flags&flagReady != 0: // a timer that is left over does nothing; what is ready has its turn first
	case s.conn.State() == tcpstate.StateClosed:
		w.Failf("slot %d is in CLOSED, with a deadline", i)
	case s.due == 0:
		w.Failf("slot %d has a deadline, but no timer", i)
	case l.wheel.at+l.wheel.distance(s.due) > max((int64(d)>>tickShift)+1, l.wheel.at+1):
		w.Failf("slot %d: the timer is %d ticks ahead, the deadline %d ms", i, l.wheel.distance(s.due), (d-l.now)/tcpstate.Millisecond)
	}
}
