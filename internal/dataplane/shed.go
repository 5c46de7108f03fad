package dataplane

import "github.com/xhttpd/xhttpd/tcpstate"

// When slots or buffers run short, who is of least use has to go: connections that are over but for what the peer may still
// send; then those at a request boundary, by a FIN; then those with a part of a request, by a RST; each the oldest first; then
// the slowest readers. All of it takes the same few steps, however many connections there are.

// class says what a connection is for, in the order of usefulness.
type class uint8

const (
	classNone class = iota // not to be shed: the kernel is about to have it
	classOver              // we have closed, and the peer has acknowledged all octets
	classIdle              // at a request boundary
	classHead              // octets of a request lie undecided
	classBusy              // a response is on its way
	numClasses
)

// queue is the slots of one class, in the order in which they came into it.
type queue struct {
	oldest, newest uint32
	n              int
}

func (q *queue) push(all []slot, i uint32) {
	s := &all[i]
	q.n++
	s.older, s.newer = q.newest, 0
	if q.newest == 0 {
		q.oldest = i
	} else {
		all[q.newest].newer = i
	}
	q.newest = i
}

func (q *queue) remove(all []slot, i uint32) {
	q.n--
	s := &all[i]
	if s.older == 0 {
		q.oldest = s.newer
	} else {
		all[s.older].newer = s.newer
	}
	if s.newer == 0 {
		q.newest = s.older
	} else {
		all[s.newer].older = s.older
	}
}

func (l *Loop) classOf(s *slot) class {
	switch state := s.conn.State(); {
	case s.flags&flagHanding != 0:
		return classNone
	case state != tcpstate.Established && state != tcpstate.CloseWait && s.conn.AckedOff() == s.conn.WrittenOff() && !s.conn.Promised():
		return classOver
	case !s.conn.Quiescent():
		return classBusy
	case s.conn.Pending() > 0 || l.work.held(s) != nil:
		return classHead
	}
	return classIdle
}

// classify puts slot i where it belongs now; who comes back to a class is its newest again.
func (l *Loop) classify(i uint32, s *slot) {
	c := l.classOf(s)
	if c == s.class {
		return
	}
	l.declassify(i, s)
	if s.class = c; c == classNone {
		return
	}
	s.entered = tcpstate.Millis(l.now)
	l.queues[c].push(l.slots.all, i)
	switch c {
	case classBusy:
		l.measure(s)
	case classOver:
		l.discount(s)
	}
}

func (l *Loop) declassify(i uint32, s *slot) {
	if s.class != classNone {
		l.queues[s.class].remove(l.slots.all, i)
	}
	s.class = classNone
}

// prepareRoom closes the connection that has been idle for the longest time, if slots are about to run short, so that there
// will be room when it has ended in peace. It reports whether there was one.
func (l *Loop) prepareRoom() bool {
	if l.alive() < l.cfg.MaxConns-l.cfg.MaxConns/8 {
		return false
	}
	i := l.queues[classIdle].oldest
	if i == 0 || !l.aged(i) {
		return false
	}
	l.count.Shed[ShedIdle]++
	s := l.slots.at(i)
	l.reclaim(i)
	s.flags |= flagClosing
	s.conn.Close()
	l.markReady(i)
	l.schedule(i)
	return true
}

// alive is how many slots are taken by connections that are not over.
func (l *Loop) alive() int { return l.slots.used - l.queues[classOver].n }

// makeRoom frees a slot at once, unless only those are in use that are of more use than a new connection.
func (l *Loop) makeRoom() bool {
	closing := l.prepareRoom()
	if i := l.queues[classOver].oldest; i != 0 && l.aged(i) {
		l.shed(i, ShedOver)
		return true
	}
	if closing {
		return false // this one has come too early; the next ones will find room
	}
	if i := l.queues[classHead].oldest; i != 0 && l.aged(i) {
		l.shed(i, ShedHead)
		return true
	}
	if i := l.slowestReader(); i != 0 {
		l.shed(i, ShedReader)
		return true
	}
	return false
}

// aged reports whether slot i is in its class for so long that it is not just between two of its client's segments.
func (l *Loop) aged(i uint32) bool { return tcpstate.Millis(l.now)-l.slots.at(i).entered >= agedMillis }

const agedMillis = 1000

const (
	sampled    = 8                             // readers that are compared at a time
	readerTime = 5 * tcpstate.Second           // nobody is called slow who is measured for less
	readerRate = tcpstate.Time(8192)           // octets in a second; nobody is called slow who reads faster
	perSecond  = tcpstate.Time(1e9)            // ns
	unmeasured = readerRate + tcpstate.Time(1) // faster than any slow reader
)

// slowestReader returns the slowest of some clients that are slow, or 0. Who was looked at goes to the end, so that all have
// their turn.
func (l *Loop) slowestReader() (slowest uint32) {
	q, least := &l.queues[classBusy], unmeasured
	for range sampled {
		i := q.oldest
		if i == 0 {
			break
		}
		q.remove(l.slots.all, i)
		q.push(l.slots.all, i)
		l.reclaim(i)
		if r := l.rate(l.slots.at(i)); r < least {
			slowest, least = i, r
		}
	}
	return slowest
}

// rate is how many octets in a second the client of s has acknowledged since measure, if that is long enough ago.
func (l *Loop) rate(s *slot) tcpstate.Time {
	if s.work == 0 || l.hasAll(s) {
		return unmeasured // a RST that waits for a frame, or the disk that does
	}
	w := l.work.at(s.work)
	took := l.now - w.since
	if took < readerTime {
		return unmeasured
	}
	return min(tcpstate.Time(s.conn.AckedOff()-w.from)*perSecond/took, unmeasured)
}

// shed ends the connection in slot i at once. What its client still sends comes to the kernel, and is answered by its RST,
// but for the FIN of one that has ours.
func (l *Loop) shed(i uint32, why Shed) {
	s := l.slots.at(i)
	l.count.Shed[why]++
	l.reclaim(i)
	if s.class == classOver {
		// Who has our FIN needs no RST, which could cost it what it has not read yet, but an answer to its own.
		l.retire(i)
		return
	}
	s.conn.Abort()
	if l.frame() != nil && s.conn.PollTransmit(l.st, l.now, &l.out) {
		l.put(s)
	}
	l.release(i)
}

// buffer returns the receive buffer of slot i. If there is none left, the connection goes that has held an incomplete
// request for the longest time, if that is long; otherwise it returns nil.
func (l *Loop) buffer(i uint32) *tcpstate.RecvBuf {
	s := l.slots.at(i)
	if b := l.work.buffer(s); b != nil {
		return b
	}
	o := l.queues[classHead].oldest
	if o == 0 || o == i || !l.aged(o) {
		return nil
	}
	l.shed(o, ShedHead)
	return l.work.buffer(s)
}

// Shed says why a connection was ended by us, before its time.
type Shed uint8

const (
	ShedOver        Shed = iota // for a new one: it was over already
	ShedIdle                    // for a new one: it was at a request boundary
	ShedHead                    // for a new one, or for another's octets: it was in the middle of a request
	ShedReader                  // for a new one: it read slowly
	ShedSlowHead                // its request did not come to an end, and the server has enough of such
	ShedSlowReader              // it read more slowly than MinRate
	ShedStalled                 // it took nothing of its response for tcpstate.Config.StallTimeout
	ShedPrefix                  // its prefix has MaxPerPrefix connections
	ShedFileChanged             // the file that it was getting was changed
	ShedFileFailed              // that could not be read
	ShedFileSlow                // or not within Config.ReadTimeout
	NumSheds
)

var shedNames = [NumSheds]string{"over", "idle", "head", "reader", "slow-head", "slow-reader", "stalled", "prefix-limit", "file-changed", "file-failed", "file-slow"}

// String returns the reason as a metric's label.
func (s Shed) String() string { return shedNames[s] }
