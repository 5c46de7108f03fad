package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Lending is memory that a loop shares with the program that steers its packets (xdp/bpf/lent.h, answer.h): connections that are lent,
// answers that lie ready for their requests, the date.
//
// A connection is lent when an answer of one segment has gone out to it that also lies ready there. The program then answers those
// of its requests whose answers lie ready, and takes in the acknowledgments of answers; everything else of it comes here, as ever, and
// the loop takes the connection back before it looks at that, or at a timer. So the loop's timers see to it that what was lost is sent
// again, and that nobody is kept too long.
//
// An answer lies ready only for a short time, which the loop puts off again and again as long as the Store would still give it.
// So it follows the cache within readyFor, and a loop that is stuck, stopped or over gives none.
type Lending struct {
	Lents   []uint64 // lentWords for each place, a power of two of places
	Readies []uint64 // readyWords for each answer, a power of two of answers
	Dates   []uint64 // dateWords
	Key     wire.Key // of the hashes of flows, as the program has it
}

// The layout, in words of 8 octets, little-endian.
const (
	lentWords  = 8
	readyWords = 256
	dateWords  = 24

	// Of a place for a connection.
	lentOwner = 0
	lentHash  = 1 // its lower half; when the last answer was acknowledged, if it was
	lentSeqs  = 2 // RCV.NXT, SND.NXT
	lentTS    = 3 // TS.Recent, TS offset
	lentWnd   = 4 // ours, the peer's, payload of a segment; in octets the peer's scale, whether timestamps and the date of the last answer
	lentCount = 5 // answered, served before, the last answer, most requests on the connection; 16 bits each
	lentFirst = 6
	lentLast  = 7

	// Of an answer.
	readyUntil  = 0
	readyHash   = 1
	readyLocal  = 2
	readyLens   = 4 // of the request, of the answer, where the date is, most requests on the connection
	readySums   = 5 // of the request, of the answer; where Keep-Alive's max is, and its digits
	readyGiven  = 6
	readyAsked  = 8
	readyOctets = readyAsked + maxAsked/8

	maxAsked = 512 // octets of a request
	minAsked = 32
	maxReady = 1472 // octets of an answer
	anyMost  = 0xffff
)

// Who may touch a place.
const (
	lentNone = iota
	lentHere
	lentBusy
)

const lentAckedShift = 10 // of nanoseconds

const (
	readyFor   = 100 * tcpstate.Millisecond
	lookAgain  = 25 * tcpstate.Millisecond
	readyIdle  = 5 * tcpstate.Second // nobody has asked for so long: it need not lie ready
	lentFor    = 200 * tcpstate.Millisecond
	lentIdle   = tcpstate.Second // who does not ask for so long is worth no more looks of ours
	graceReady = tcpstate.Second // from when an answer is given no more until its place may get another
)

// lender is the loop's side of a Lending.
type lender struct {
	Lending
	mask   uint64
	hot    uint16  // Config.ReadyAfter
	places []place // for connections
	all    []readyAnswer
	date   uint32
	look   tcpstate.Time // when to look at the answers again; 0: there is none
	parsed httpwire.Request
}

// place is where a connection was lent, and how it stood. Slot 0: none is.
type place struct {
	slot   uint32
	rcvNxt wire.Seq
	sndNxt wire.Seq
	at     tcpstate.Time
}

// readyAnswer is what the loop knows of a place for an answer.
type readyAnswer struct {
	object   *filecache.Object // that it is of, or was last: what is on its way may have to be sent again
	response filecache.Response
	local    [16]byte
	asked    [maxAsked]byte
	askedLen int
	hash     uint64
	until    tcpstate.Time
	used     tcpstate.Time // when somebody asked
	given    uint64
	served   int // requests on the connection before the one that response was of
	live     bool
	// A request that might be worth a place: how often it was asked for in this second.
	hot    uint64
	count  uint16
	second uint32
}

// newLender returns nil if there is nothing to lend to.
func newLender(m *Lending, after int) (*lender, error) {
	if m == nil {
		return nil, nil
	}
	places, answers := len(m.Lents)/lentWords, len(m.Readies)/readyWords
	if places == 0 || bits.OnesCount(uint(places)) != 1 || answers == 0 || bits.OnesCount(uint(answers)) != 1 || len(m.Dates) < dateWords {
		return nil, fmt.Errorf("dataplane: lending %d connections, %d answers", places, answers)
	}
	return &lender{Lending: *m, mask: uint64(places - 1), hot: uint16(min(after, 1<<16-1)), places: make([]place, places), all: make([]readyAnswer, answers)}, nil
}

// askedHash is answer.h's asked_hash: what tells most requests apart. The rest is compared.
func askedHash(local *wire.Addr, head []byte) uint64 {
	h := binary.LittleEndian.Uint64(local[:]) ^ binary.LittleEndian.Uint64(local[8:])
	h += uint64(len(head))
	for k := 0; k+8 <= len(head) && k < 128; k += 8 {
		h = (h ^ binary.LittleEndian.Uint64(head[k:])) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// put writes b into words, from their beginning on.
func put(words []uint64, b []byte) {
	for k := 0; k < len(b); k += 8 {
		var w [8]byte
		copy(w[:], b[k:])
		words[k/8] = binary.LittleEndian.Uint64(w[:])
	}
}

// sum16 is a checksum's sum in the order of a little-endian machine.
func sum16(b []byte) uint64 { return uint64(bits.ReverseBytes16(wire.Sum(b, 0))) }

// tick is called at the beginning of each Step.
func (n *lender) tick(l *Loop) {
	if n.date != l.unix {
		n.putDate(l.unix)
	}
	if n.look == 0 || l.now < n.look {
		return
	}
	n.look = 0
	for k := range n.all {
		if a := &n.all[k]; a.live {
			n.renew(l, uint64(k), a)
		}
	}
}

// putDate makes the time of unix what Date says. The texts before stay for some seconds, as an answer may be on its way.
func (n *lender) putDate(unix uint32) {
	var text [32]byte
	httpwire.PutDate(text[:httpwire.DateLen], int64(unix))
	s := sum16(text[:30])
	text[30], text[31] = byte(s), byte(s>>8)
	which := uint64(unix & 3)
	for k := range 4 {
		atomic.StoreUint64(&n.Dates[1+which*4+uint64(k)], binary.LittleEndian.Uint64(text[k*8:]))
	}
	atomic.StoreUint64(&n.Dates[0], which)
	n.date = unix
}

// renew puts the end of answer k off if it is still right, and is asked for.
func (n *lender) renew(l *Loop, k uint64, a *readyAnswer) {
	words := n.Readies[k*readyWords:]
	if given := atomic.LoadUint64(&words[readyGiven]); given != a.given {
		a.given, a.used = given, l.now
	}
	if l.draining || l.now-a.used > readyIdle || !n.right(l, a) {
		atomic.StoreUint64(&words[readyUntil], 0)
		a.live = false
		return
	}
	a.until = l.now + readyFor
	atomic.StoreUint64(&words[readyUntil], uint64(a.until))
	n.look = l.now + lookAgain
}

// right reports whether the request of a would be answered in the same way now, and for a second more.
func (n *lender) right(l *Loop, a *readyAnswer) bool {
	r := &n.parsed
	size, verdict, _ := httpwire.Parse(a.asked[:a.askedLen], r)
	if verdict != httpwire.Complete || size != a.askedLen {
		return false
	}
	o := l.cfg.Store.Lookup(a.local, r)
	if o == nil || o != a.object || o.Stale(int64(l.unix)+1) {
		return false
	}
	response, ok := o.Respond(r, a.served, int64(l.unix))
	return ok && response.WithoutDate() == a.response
}

// placeOf is answer.h's ready_of: where the answer to a request with the hash h lies. One that says how many requests may follow lies
// elsewhere for each number of digits.
func (n *lender) placeOf(h uint64, left uint16) uint64 {
	for ; left > 0; left /= 10 {
		h++
	}
	return h & uint64(len(n.all)-1)
}

// mostOf returns how many requests a connection may carry, as the program has it, and false if it can't have that.
func mostOf(o *filecache.Object) (most uint16, ok bool) {
	left := o.Left(0)
	if left < 0 {
		return anyMost, true
	}
	return uint16(left), left < anyMost
}

// asked notes that the response to head has begun at s: if it lies ready, or does so from now on, s may be lent when it is sent, but not
// for its first request: most ask for no more. So the number in that one's answer is of no use to the program.
func (n *lender) asked(l *Loop, s *slot, o *filecache.Object, response filecache.Response, head []byte) {
	most, ok := mostOf(o)
	first := s.served < 2
	if !ok || first && response.Max > 0 || len(head) < minAsked || len(head) > maxAsked || response.Closes() {
		return
	}
	h := askedHash(&s.flow.Local, head)
	k := n.placeOf(h, response.Max)
	a := &n.all[k]
	if a.live && a.hash == h && a.object == o {
		a.used = l.now
		if !first {
			s.flags |= flagHot
			l.work.at(s.work).most = most
		}
		return
	}
	switch {
	case a.hot == h && a.second == l.unix:
		a.count++
	case a.second == l.unix && a.count > 1:
		a.count--
		return
	default:
		a.hot, a.second, a.count = h, l.unix, 1
	}
	if a.count >= n.hot && !a.live && l.now > a.until+graceReady && !l.draining {
		a.count = 0
		n.publish(l, s, k, o, response, head, h, most)
	}
}

// publish makes the response to head lie ready in place k.
func (n *lender) publish(l *Loop, s *slot, k uint64, o *filecache.Object, response filecache.Response, head []byte, h uint64, most uint16) {
	moving, ok := o.Ready(response)
	length := int(o.Len(response))
	if !ok || length > maxReady || length < httpwire.DateLen {
		return
	}
	a := &n.all[k]
	if a.object != nil { // nobody may need the one before from here on
		for p := range n.places {
			if count := n.Lents[p*lentWords+lentCount]; n.places[p].slot != 0 && count&0xffff > 0 && count>>32&uint64(len(n.all)-1) == k {
				l.reclaim(n.places[p].slot)
			}
		}
	}
	var octets [maxReady]byte
	o.ReadAt(response, octets[:length], 0)
	clear(octets[moving.Date : moving.Date+httpwire.DateLen])
	clear(octets[moving.Max : moving.Max+moving.MaxDigits])
	a.object, a.response, a.local, a.hash, a.used = o, response.WithoutDate(), s.flow.Local, h, l.now
	a.askedLen, a.served = copy(a.asked[:], head), int(s.served)-1

	words := n.Readies[k*readyWords : (k+1)*readyWords]
	words[readyHash] = h
	put(words[readyLocal:], a.local[:])
	words[readyLens] = uint64(len(head)) | uint64(length)<<16 | uint64(moving.Date)<<32 | uint64(most)<<48
	words[readySums] = sum16(head) | sum16(octets[:length])<<16 | uint64(moving.Max)<<32 | uint64(moving.MaxDigits)<<48
	put(words[readyAsked:], head)
	put(words[readyOctets:], octets[:length])
	a.given, a.live = atomic.LoadUint64(&words[readyGiven]), true
	n.renew(l, k, a)
}

// lend lends the connection in slot i if it stands so that its next request can be answered without the loop.
func (l *Loop) lend(i uint32) {
	n, s := l.lender, l.slots.at(i)
	s.flags &^= flagHot
	if l.draining || s.flags&(flagWant|flagClosing|flagHanding) != 0 || s.work == 0 || l.work.held(s) != nil || s.conn.IdleFor(l.now) > lentIdle {
		return
	}
	h := max(n.Key.Short(&s.flow), 1)
	where := h >> 32 & n.mask
	if n.places[where].slot != 0 {
		return // another one's
	}
	loan, ok := s.conn.Lend(l.st)
	if !ok {
		return
	}
	e := n.Lents[where*lentWords : (where+1)*lentWords]
	e[lentHash] = uint64(uint32(h))
	e[lentSeqs] = uint64(loan.RcvNxt) | uint64(loan.SndNxt)<<32
	e[lentTS] = uint64(loan.TSRecent) | uint64(loan.TSOffset)<<32
	e[lentWnd] = uint64(loan.Wnd) | uint64(min(loan.MSS, 0xffff))<<32 | uint64(loan.SndWScale)<<48
	if loan.TimestampsOK {
		e[lentWnd] |= 1 << 56
	}
	e[lentCount] = uint64(s.served)<<16 | uint64(l.work.at(s.work).most)<<48
	n.places[where] = place{slot: i, rcvNxt: loan.RcvNxt, sndNxt: loan.SndNxt, at: l.now}
	s.flags |= flagLent
	l.work.at(s.work).place = uint32(where)
	atomic.StoreUint64(&e[lentOwner], lentHere)
}

// reclaim takes the connection in slot i back, if it is lent, and takes in what was done with it. It reports whether that was an answer.
func (l *Loop) reclaim(i uint32) bool {
	s := l.slots.at(i)
	if s.flags&flagLent == 0 {
		return false
	}
	n, where := l.lender, uint64(l.work.at(s.work).place)
	p, e := &n.places[where], n.Lents[where*lentWords:(where+1)*lentWords]
	for !atomic.CompareAndSwapUint64(&e[lentOwner], lentHere, lentNone) {
		runtime.Gosched() // the program has it for less than a microsecond
	}
	p.slot = 0
	s.flags &^= flagLent
	answered, acked := e[lentCount]&0xffff, tcpstate.Time(e[lentHash]>>32)
	if answered == 0 && acked == 0 {
		return false
	}
	r := tcpstate.Repaid{First: max(tcpstate.Time(e[lentFirst]), p.at), TSRecent: uint32(e[lentTS]), Wnd: uint16(e[lentWnd] >> 16)}
	last := r.First
	a := &n.all[e[lentCount]>>32&uint64(len(n.all)-1)]
	if answered > 0 {
		r.Received, r.Sent = uint32(e[lentSeqs])-uint32(p.rcvNxt), uint32(e[lentSeqs]>>32)-uint32(p.sndNxt)
		r.Answer, r.Last = uint32(a.object.Len(a.response)), max(tcpstate.Time(e[lentLast]), p.at)
		if last = r.Last; acked > 0 {
			r.Acked = r.Last + (acked-1)<<lentAckedShift
			last = r.Acked
		}
	}
	// Our timestamps must not step back behind the program's.
	l.now = max(l.now, last)
	l.work.now = l.now
	start := s.conn.WrittenOff() + r.Sent - r.Answer
	s.conn.Repay(l.st, &r)
	l.work.acked(s, s.conn.AckedOff())
	if answered > 0 && acked == 0 {
		response := a.response.WithMax(a.object.Left(int(s.served) + int(answered) - 1))
		response.Date = n.date - (n.date-uint32(e[lentWnd]>>57))&3 // the last one with that text
		l.work.push(s, a.object, sending{response: response, start: start, end: start + r.Answer})
	}
	l.declassify(i, s) // the newest of its class, if that is the same again
	l.classify(i, s)
	l.measure(s)
	if answered == 0 {
		return false
	}
	s.conn.SetKeepAlive(tcpstate.Time(a.object.Idle()) * tcpstate.Second)
	s.served += uint16(min(answered, uint64(0xffff-s.served)))
	l.count.Responses[0] += answered
	l.count.Answered += answered
	return true
}

// overtaken reports whether l.pkt, an acknowledgment and nothing more, waited in the ring while the program answered a later
// segment of s: all that it says is known. Without this it would be taken for an old double, and be answered. One with the sequence
// number before the next is no such thing, but asks whether we are there.
func (l *Loop) overtaken(s *slot) bool {
	seg := &l.pkt.Segment
	return seg.Len() == 0 && seg.Flags == wire.ACK && (seg.Seq + 1).Less(s.conn.Boundary())
}
