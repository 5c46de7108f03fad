package tcpstate

import "github.com/xhttpd/xhttpd/internal/wire"

// flight is what a connection needs while it has octets on their way, besides its Conn.
type flight struct {
	win  window
	rec  recovery
	rack rack
	rate delivery
	pace pacing
	use  usage

	// The runs lie end to end and cover what is in flight, SND.UNA to SND.NXT.
	head, tail uint32
	nRuns      uint32
	known      [4]wire.Span // stretches that were SACKed, to pass over what is reported again
	nextKnown  uint8
	sacked     uint32 // octets of runs that the peer holds
	lost       uint32 // octets of runs that are lost and were not sent again
	nextFree   uint32
}

// run is a stretch of octets that were last sent at the same time and have the same fate. It begins where the
// one before it ends, the first at SND.UNA.
type run struct {
	end    wire.Seq
	sentAt uint32 // the last time, µs
	next   uint32
	// What delivery held when it was sent.
	delivered, deliveredAt, firstSentAt, lost uint32
	pipe                                      [3]uint8 // see inFlight
	flags                                     runFlags
}

// inFlight is what was in the network when r was sent, with it, octets, to 64.
func (r *run) inFlight() uint32 {
	return (uint32(r.pipe[0]) | uint32(r.pipe[1])<<8 | uint32(r.pipe[2])<<16) * 64
}

func (r *run) setInFlight(n uint32) {
	n /= 64
	r.pipe = [3]uint8{uint8(n), uint8(n >> 8), uint8(n >> 16)}
}

type runFlags uint8

const (
	runSACKed     runFlags = 1 << iota // the peer has reported it
	runLost                            // believed lost, and not sent again since
	runAgain                           // was sent more than once
	runAppLimited                      // was sent when there was not enough to send
)

func (r *run) has(f runFlags) bool { return r.flags&f != 0 }

func (f *flight) init(c *Conn, g controller, now Time) {
	us := micros(now)
	*f = flight{}
	f.win = window{cwnd: c.mem.cwnd, ssthresh: c.mem.ssthresh, mss: c.payloadMSS(), srtt: c.rtt.srtt}
	f.rec.recover = c.snd.una - 1 // RFC 6582, 3.2, step 1
	f.rack.fack = c.snd.una
	f.rack.reoMult = 1
	f.rate.deliveredAt, f.rate.firstSentAt = us, us
	f.pace.at = now
	g.begin(&f.win, &c.mem, us, c.flowBits())
	c.mem.idle = false
}

// pipe returns how many octets are in the network (RFC 6675, 4).
func (f *flight) pipe(c *Conn) uint32 {
	n := uint32(c.snd.nxt - c.snd.una)
	return n - min(n, f.sacked+f.lost+f.rec.dupOctets)
}

// mostRuns is how many f may have: fewer if its segments are tiny, as those of nobody who has so many in flight are.
func (f *flight) mostRuns() uint32 { return maxRuns / 1024 * min(f.win.mss, 1024) }

// addRun takes a run from the pool, or returns 0.
func (st *Stack) addRun(f *flight) uint32 {
	i := st.freeRun
	switch {
	case f.nRuns >= f.mostRuns():
		return 0
	case i != 0:
		st.freeRun = st.runs[i].next
	case int(st.freshRun) < len(st.runs):
		i = st.freshRun
		st.freshRun++
	default:
		return 0
	}
	f.nRuns++
	st.usedRuns++
	return i
}

// cut removes run i, which comes behind prev; 0 if it is the first.
func (st *Stack) cut(f *flight, prev, i uint32) {
	r := &st.runs[i]
	if prev == 0 {
		f.head = r.next
	} else {
		st.runs[prev].next = r.next
	}
	if f.tail == i {
		f.tail = prev
	}
	r.next = st.freeRun
	st.freeRun = i
	f.nRuns--
	st.usedRuns--
}

func (st *Stack) dropRuns(f *flight) {
	for f.head != 0 {
		st.cut(f, 0, f.head)
	}
}

// split cuts run i in two at the sequence number at, or reports that there is no memory for it.
func (st *Stack) split(f *flight, i uint32, at wire.Seq) bool {
	j := st.addRun(f)
	if j == 0 {
		return false
	}
	st.runs[j] = st.runs[i]
	st.runs[i].end, st.runs[i].next = at, j
	if f.tail == i {
		f.tail = j
	}
	return true
}

// push notes that new octets up to end were sent, which makes pipe of them in the network, with una the first that is not acknowledged.
func (st *Stack) push(f *flight, una, end wire.Seq, us, pipe uint32) {
	fresh := run{end: end}
	f.rate.stamp(&fresh, us, pipe)
	if f.tail != 0 {
		t := &st.runs[f.tail]
		if t.sentAt == us && t.flags == fresh.flags && t.delivered == fresh.delivered {
			t.end, t.pipe = end, fresh.pipe
			return
		}
	}
	i := st.addRun(f)
	if i == 0 {
		st.coarsen(f, &fresh, una)
		return
	}
	st.runs[i] = fresh
	if f.tail == 0 {
		f.head = i
	} else {
		st.runs[f.tail].next = i
	}
	f.tail = i
}

// coarsen makes the last run as long as fresh and as late, and forgets what was known about it, for want of
// memory for a run of its own: what it covers will be found lost later than it might, or be sent again in vain.
func (st *Stack) coarsen(f *flight, fresh *run, una wire.Seq) {
	if f.tail == 0 {
		return // no run at all: only the retransmission timer watches over these octets
	}
	begin := una
	for i := f.head; i != f.tail; i = st.runs[i].next {
		begin = st.runs[i].end
	}
	t := &st.runs[f.tail]
	n := uint32(t.end - begin)
	if t.has(runSACKed) {
		f.sacked -= n
	}
	if t.has(runLost) {
		f.lost -= n
	}
	fresh.flags |= t.flags & runAgain
	fresh.next = 0
	*t = *fresh
	f.known = [4]wire.Span{}
}

// again notes that [seq, end), which lies in one run, was sent once more.
func (st *Stack) again(c *Conn, f *flight, seq, end wire.Seq, us uint32) {
	begin := c.snd.una
	for i := f.head; i != 0; i = st.runs[i].next {
		r := &st.runs[i]
		switch {
		case r.end.LessEq(seq):
		case end.LessEq(begin):
			return
		case begin.Less(seq):
			st.split(f, i, seq) // without memory for it, all of the run counts as sent again
			r = &st.runs[i]
			if r.end == seq {
				break
			}
			fallthrough
		default:
			if end.Less(r.end) {
				st.split(f, i, end)
				r = &st.runs[i]
			}
			if r.has(runLost) {
				f.lost -= uint32(r.end - begin)
			}
			r.flags = r.flags&^(runLost|runAppLimited) | runAgain
			f.rate.stamp(r, us, f.pipe(c))
		}
		begin = r.end
	}
}

// firstLost returns the first stretch of octets that is to be sent again.
func (st *Stack) firstLost(c *Conn, f *flight) (seq, end wire.Seq) {
	if f.lost == 0 {
		return 0, 0
	}
	begin := c.snd.una
	for i := f.head; i != 0; i = st.runs[i].next {
		r := &st.runs[i]
		if r.has(runLost) {
			return begin, r.end
		}
		begin = r.end
	}
	return 0, 0
}

// markLost enters the octets of r, which begins at begin, as lost.
func (f *flight) markLost(r *run, begin wire.Seq, e *ackEvent) {
	n := uint32(r.end - begin)
	r.flags |= runLost
	f.lost += n
	e.lost += n
	f.rate.onLost(r, n)
}

// markAllLost is what a time-out believes.
func (st *Stack) markAllLost(c *Conn, f *flight, e *ackEvent) {
	begin := c.snd.una
	// RFC 2018, 8: the peer may have dropped what it had reported. It has, if it holds what comes next and
	// does not acknowledge it.
	if f.head != 0 && st.runs[f.head].has(runSACKed) {
		for i := f.head; i != 0; i = st.runs[i].next {
			st.runs[i].flags &^= runSACKed
		}
		f.sacked = 0
		f.known = [4]wire.Span{}
	}
	for i := f.head; i != 0; i = st.runs[i].next {
		r := &st.runs[i]
		if !r.has(runSACKed | runLost) {
			f.markLost(r, begin, e)
		}
		begin = r.end
	}
}

// unmarkLost takes back that anything was lost.
func (st *Stack) unmarkLost(f *flight) {
	for i := f.head; i != 0; i = st.runs[i].next {
		st.runs[i].flags &^= runLost
	}
	f.lost = 0
}
