package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// lending gives a world's loop somebody to lend to: simAnswerer, which reads the shared memory in its own, slow way.
func lending(s *simSetup) {
	s.loop.Lending = &Lending{
		Lents: make([]uint64, 256*lentWords), Readies: make([]uint64, 64*readyWords), Dates: make([]uint64, dateWords), Key: wire.Key{K0: 3, K1: 4},
	}
	s.loop.ReadyAfter = 2
	s.loop.LocalMAC = netsim.HostMAC()
}

// lendTo puts a simAnswerer in front of the device, if the loop lends.
func (w *simWorld) lendTo() {
	n := w.loop.lender
	if n == nil {
		return
	}
	a := &simAnswerer{Lending: n.Lending, w: w}
	w.Device.Answer = a.answer
}

// answeredSince is how many octets were sent on a connection since it was lent.
func (w *simWorld) answeredSince(s *slot) int {
	n, place := w.loop.lender, w.loop.work.at(s.work).place
	return int(uint32(n.Lents[place*lentWords+lentSeqs]>>32) - uint32(n.places[place].sndNxt))
}

// simAnswerer does what xdp/bpf/lent.h and answer.h do.
type simAnswerer struct {
	Lending
	w *simWorld
}

func u16(w uint64, k int) int { return int(w >> (16 * k) & 0xffff) }

func octetsOf(words []uint64, n int) (b []byte) {
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b[:n]
}

func (a *simAnswerer) answer(frame []byte) []byte {
	var p wire.Packet
	if wire.Parse(frame, &p) != wire.OK || p.Dst != netsim.HostMAC() {
		return nil
	}
	now, seg := uint64(a.w.Now()), &p.Segment
	hash := max(a.Key.Short(&p.Flow), 1)
	e := a.Lents[hash>>32&uint64(len(a.Lents)/lentWords-1)*lentWords:]
	if e[lentOwner] != lentHere || uint32(e[lentHash]) != uint32(hash) || uint32(e[lentSeqs]) != uint32(seg.Seq) || uint32(e[lentSeqs]>>32) != uint32(seg.Ack) {
		return nil
	}
	stamps := e[lentWnd]>>56&1 != 0
	if stamps != seg.Options.HasTS || seg.Options.NSACK > 0 || stamps && int32(seg.Options.TSVal-uint32(e[lentTS])) < 0 {
		return nil
	}
	answered, acked := u16(e[lentCount], 0), e[lentHash]>>32
	if len(seg.Payload) == 0 {
		if seg.Flags != wire.ACK || acked != 0 {
			return nil
		}
		since := uint64(0)
		if answered == 0 {
			e[lentFirst] = now
		} else {
			since = now - e[lentLast]
		}
		e[lentHash] |= (since>>lentAckedShift + 1) << 32
		a.heard(e, seg)
		return []byte{}
	}
	if len(seg.Payload) < minAsked || seg.Flags|wire.PSH != wire.ACK|wire.PSH {
		return nil
	}
	h := askedHash(&p.Flow.Local, seg.Payload)
	served, most := u16(e[lentCount], 1), u16(e[lentCount], 3)
	left := ""
	if most != anyMost {
		left = fmt.Sprint(most - served - answered)
	}
	k, r := a.ready(h, len(left))
	if r == nil {
		left = ""
		k, r = a.ready(h, 0)
	}
	if r == nil {
		return nil
	}
	length, asked := u16(r[readyLens], 1), u16(r[readyLens], 0)
	if asked != len(seg.Payload) || length > u16(e[lentWnd], 2) || most != u16(r[readyLens], 3) {
		return nil
	}
	if !bytes.Equal(octetsOf(r[readyAsked:readyOctets], asked), seg.Payload) || !bytes.Equal(octetsOf(r[readyLocal:readyLens], 16), p.Flow.Local[:]) {
		return nil
	}
	if int(seg.Wnd)<<(e[lentWnd]>>48&15) < length || answered == 0x7fff || most != anyMost && served+answered >= most {
		return nil
	}
	if answered == 0 && acked == 0 {
		e[lentFirst] = now
	}
	e[lentLast] = now
	e[lentHash] = uint64(uint32(hash))
	a.heard(e, seg)
	date := a.Dates[0]
	opts := wire.Options{}
	if stamps {
		opts = wire.Options{HasTS: true, TSVal: tcpstate.Millis(tcpstate.Time(now)) + uint32(e[lentTS]>>32), TSEcr: seg.Options.TSVal}
	}
	e[lentSeqs] = uint64(seg.Seq.Add(uint32(asked))) | uint64(seg.Ack.Add(uint32(length)))<<32
	e[lentCount] = uint64(answered+1) | uint64(served)<<16 | k<<32 | uint64(most)<<48
	e[lentWnd] = e[lentWnd]&^(0xfe<<56) | date<<57
	r[readyGiven]++

	out := make([]byte, 2048)
	hdr := wire.Header{Src: p.Dst, Dst: p.Src, Flow: &p.Flow, Seq: seg.Ack, Ack: seg.Seq.Add(uint32(asked)), Flags: wire.ACK | wire.PSH, Wnd: uint16(e[lentWnd]), Options: &opts}
	body := out[hdr.HeaderLen():]
	copy(body, octetsOf(r[readyOctets:readyWords], length))
	copy(body[u16(r[readySums], 2):], left)
	copy(body[u16(r[readyLens], 2):], octetsOf(a.Dates[1+date*4:5+date*4], 29))
	n := hdr.Build(out, length)
	wire.Finish(out[:n])
	return out[:n]
}

// ready returns the answer to a request with the hash h, by how many digits it has for the requests that may follow, and its number.
func (a *simAnswerer) ready(h uint64, digits int) (k uint64, r []uint64) {
	k = (h + uint64(digits)) & uint64(len(a.Readies)/readyWords-1)
	r = a.Readies[k*readyWords:]
	if r[readyHash] != h || int64(r[readyUntil]-uint64(a.w.Now())) <= 0 || u16(r[readySums], 3) != digits {
		return k, nil
	}
	return k, r
}

// heard notes what each segment of the peer says.
func (a *simAnswerer) heard(e []uint64, seg *wire.Segment) {
	e[lentWnd] = e[lentWnd]&^(0xffff<<16) | uint64(seg.Wnd)<<16
	if seg.Options.HasTS {
		e[lentTS] = e[lentTS]>>32<<32 | uint64(seg.Options.TSVal)
	}
}

// Whatever the path does, clients get every octet, of objects that lie ready and of others, and everything is counted once.
func TestSimLending(t *testing.T) {
	seed := netsim.Seed(t, 11)
	answered, rounds := uint64(0), uint64(60)
	if testing.Short() {
		rounds = 20
	}
	for k := range rounds {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, k))
			p := randomPath(r)
			w := newSim(t, seed^k, p, lending)
			var talks []*simTalk
			for range 1 + r.IntN(4) {
				var requests []simRequest
				for range 10 + r.IntN(40) {
					size := []int{0, 1, 100, 100, 100, 1, 1, 10_000, 100_000}[r.IntN(9)]
					requests = append(requests, static(size))
				}
				if r.IntN(2) == 0 {
					requests = append(requests, post(1+r.IntN(20_000)))
				}
				talks = append(talks, w.talk(p.client, requests...))
			}
			if k%2 == 0 { // everybody thinks now and then
				for _, talk := range talks {
					talk.thinks = func() time.Duration { return time.Duration(r.IntN(4)/3*r.IntN(1500)) * ms }
				}
			}
			w.converse(talks...)
			w.wantCounted()
			answered += w.counters().Answered
		})
	}
	if answered < 10*rounds {
		t.Errorf("only %d requests were answered by the program", answered)
	}
	t.Logf("%d requests were answered by the program", answered)
}

// An answer lies ready when it was asked for as often as is set, on whatever connections.
func TestSimReadyAfter(t *testing.T) {
	for after := 1; after <= 3; after++ {
		w := newSim(t, 14, simPaths[0], lending, func(s *simSetup) { s.loop.ReadyAfter = after })
		var talks []*simTalk
		for asked := 1; asked <= 3; asked++ {
			k := w.talk(simPaths[0].client, static(100))
			w.finish(k)
			ready := 0
			for k := range w.loop.lender.all {
				if w.loop.lender.all[k].live {
					ready++
				}
			}
			if want := asked >= after; (ready == 1) != want || ready > 1 {
				t.Errorf("asked for %d times, of %d: %d answers lie ready", asked, after, ready)
			}
			talks = append(talks, k)
		}
		w.close(talks...)
		w.end()
	}
}

// Who thinks before it asks again acknowledges each answer before: its answers are the program's all the same. When it asks no more,
// it is not looked after for long, and closed when it has been idle since its last acknowledgment.
func TestSimLendingThinks(t *testing.T) {
	for k, p := range simPaths {
		switch p.name {
		case "clean", "1 ms", "tiny MSS", "no scaling", "IPv6":
		default:
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			w := newSim(t, 14+uint64(k), p, lending)
			var requests []simRequest
			for range 40 {
				requests = append(requests, static(100))
			}
			k := w.talk(p.client, requests...)
			k.thinks = func() time.Duration { return 300 * ms }
			w.finish(k)
			if c := w.counters(); c.Answered < 35 || c.RxPackets > 16 {
				t.Errorf("%d of 40 requests were answered by the program, which left %d packets to the loop", c.Answered, c.RxPackets)
			}
			var s *slot
			w.loop.slots.each(func(i uint32) { s = w.loop.slots.at(i) })
			last := w.Now()
			w.run(2 * time.Second)
			if s.flags&flagLent != 0 || s.work != 0 {
				t.Errorf("idle, flags %#x, work %d", s.flags, s.work)
			}
			w.until(time.Minute, k.c.PeerClosed)
			if d := time.Duration(w.Now() - last); d < simIdle || d > simIdle+time.Second {
				t.Errorf("it was closed when it was idle for %v", d)
			}
			w.close(k)
			w.end()
			w.wantCounted()
		})
	}
}

// A client that asks whether we are there is answered, though the program has answered it since the loop looked; a bare ACK that was
// overtaken by a request is not.
func TestSimLendingProbe(t *testing.T) {
	client := netsim.ClientConfig{MSS: 1460, Scale: 7, SACK: true}
	w := newSim(t, 17, simPath{client: client}, lending)
	k := w.talk(client)
	k.c.Forged()
	asked := uint32(len(static(100).octets()))
	for _, c := range []struct {
		behind  uint32 // the sequence number, less than the next
		answers uint64
	}{{asked, 0}, {1, 1}} {
		for range 6 {
			k.requests = append(k.requests, static(100))
			w.finish(k)
		}
		w.run(ms)
		var s *slot
		w.loop.slots.each(func(i uint32) { s = w.loop.slots.at(i) })
		if s.flags&flagLent == 0 || w.answeredSince(s) == 0 {
			t.Fatal("the program has answered nothing")
		}
		_, seq, ack := k.c.Numbers()
		flow := wire.Flow{Local: s.flow.Remote, LocalPort: s.flow.RemotePort, Remote: s.flow.Local, RemotePort: s.flow.LocalPort}
		h := wire.Header{Src: s.peer, Dst: netsim.HostMAC(), Flow: &flow, Seq: wire.Seq(seq - c.behind), Ack: wire.Seq(ack), Flags: wire.ACK, Wnd: 500, Options: &wire.Options{}}
		frame := make([]byte, wire.MaxHeaders)
		frame = frame[:h.Build(frame, 0)]
		wire.Finish(frame)
		before := w.counters().TxPackets
		w.Throw(frame)
		w.run(ms)
		if n := w.counters().TxPackets - before; n != c.answers || (s.flags&flagLent == 0) != (n > 0) {
			t.Errorf("an ACK %d octets behind: %d answers, flags %#x", c.behind, n, s.flags)
		}
	}
	w.close(k)
	w.end()
}

// What the program has answered is no idle connection, though the loop has seen no segment of it.
func TestSimLendingIsNotIdle(t *testing.T) {
	w := newSim(t, 15, simPaths[0], lending, func(s *simSetup) { s.loop.MaxConns = 16 })
	p := simPaths[0].client
	busy, idle := w.talk(p, static(100), static(100), static(100), static(100)), w.talk(p, static(100), static(100), static(100), static(100))
	w.finish(busy)
	w.finish(idle)
	w.run(300 * ms) // the loop has looked
	before := w.counters()
	for range 10 {
		w.run(150 * ms)
		busy.requests = append(busy.requests, static(100))
		w.finish(busy)
	}
	w.run(300 * ms)
	if after := w.counters(); after.RxPackets != before.RxPackets || after.Answered != before.Answered+10 {
		t.Fatalf("the loop saw %d packets, and %d requests were answered", after.RxPackets-before.RxPackets, after.Answered-before.Answered)
	}
	for range 13 {
		w.finish(w.talk(p, static(1)))
	}
	w.run(50 * ms)
	if n := w.counters().Shed[ShedIdle]; n != 1 || !idle.c.PeerClosed() || busy.c.PeerClosed() {
		t.Errorf("%d were closed as idle, the idle one: %v, the busy one: %v", n, idle.c.PeerClosed(), busy.c.PeerClosed())
	}
}

// The number of requests that a connection may have is kept to.
func TestSimLendingKeepAlive(t *testing.T) {
	cache, err := simShortStore()
	if err != nil {
		t.Fatal(err)
	}
	w := newSim(t, 12, simPaths[0], lending, func(s *simSetup) { s.loop.Store = &fakeStore{cache: cache} })
	k := w.talk(simPaths[0].client, static(100), static(100), static(100), static(100), static(100), static(100))
	w.finish(k)
	w.until(time.Minute, k.c.PeerClosed)
	if !k.last.Close || w.counters().Answered == 0 {
		t.Errorf("the last response says that it is: %v; %d answered by the program", k.last.Close, w.counters().Answered)
	}
	w.close(k)
	w.end()
	w.wantCounted()
}

// A client like a browser says Connection: keep-alive, and is told with each answer how many requests may follow. The program does
// that, too, but for the first answers of each number of digits, and the last of all.
func TestSimLendingCountdown(t *testing.T) {
	cache, err := newSimStore(100, simIdle, 0)
	if err != nil {
		t.Fatal(err)
	}
	for k, p := range []simPath{simPaths[0], simPaths[3]} { // clean, disorder
		w := newSim(t, 16+uint64(k), p, lending, func(s *simSetup) { s.loop.Store = &fakeStore{cache: cache} })
		talk := w.talk(p.client)
		request := static(100)
		request.fields = "User-Agent: a browser\r\nConnection: keep-alive\r\n"
		for left := 100; left >= 0; left-- {
			talk.requests = append(talk.requests, request)
			w.finish(talk)
			want := fmt.Sprintf("timeout=30, max=%d", left)
			if left == 0 {
				want = ""
			}
			if got := talk.last.Header.Get("Keep-Alive"); got != want || talk.last.Close != (left == 0) {
				t.Fatalf("%s: Keep-Alive: %q, close %v; want %q", p.name, got, talk.last.Close, want)
			}
		}
		if n := w.counters().Answered; k == 0 && n < 90 {
			t.Errorf("only %d of 101 requests were answered by the program", n)
		}
		w.until(time.Minute, talk.c.PeerClosed)
		w.close(talk)
		w.end()
		w.wantCounted()
	}
}

// The loop takes a connection back while another thread answers on it: nothing is lost or counted twice.
func TestReclaimRace(t *testing.T) {
	w := newSim(t, 13, simPaths[0], lending)
	k := w.talk(simPaths[0].client, static(100), static(100), static(100), static(100), static(100), static(100))
	w.finish(k)
	l, n := w.loop, w.loop.lender
	var i uint32
	l.slots.each(func(j uint32) { i = j })
	s := l.slots.at(i)
	if s.flags&flagLent == 0 {
		t.Fatal("the connection is not lent")
	}
	e := n.Lents[uint64(l.work.at(s.work).place)*lentWords:][:lentWords]
	answer := e[lentCount] >> 32 & 0xffff
	length, asked := uint32(n.all[answer].object.Len(n.all[answer].response)), uint32(n.all[answer].askedLen)
	l.reclaim(i)
	before, boundary, sent := l.count.Answered, s.conn.Boundary(), s.conn.SentOff()
	var stop atomic.Bool
	given := make(chan uint64)
	acks, inFlight := uint64(0), true
	go func() { // the program, on another processor
		sum := uint64(0)
		for !stop.Load() {
			if !atomic.CompareAndSwapUint64(&e[lentOwner], lentHere, lentBusy) {
				runtime.Gosched()
				continue
			}
			if e[lentCount]&0xffff == 0x7fff {
				atomic.StoreUint64(&e[lentOwner], lentHere)
				continue
			}
			if (sum+acks)%50 == 0 {
				runtime.Gosched() // in the middle
			}
			if acks <= sum/2 && e[lentHash]>>32 == 0 {
				e[lentHash] |= 1 << 32
				acks++
				inFlight = false
				atomic.StoreUint64(&e[lentOwner], lentHere)
				continue
			}
			e[lentHash], inFlight = uint64(uint32(e[lentHash])), true
			e[lentSeqs] = uint64(uint32(e[lentSeqs])+asked) | uint64(uint32(e[lentSeqs]>>32)+length)<<32
			e[lentCount] = e[lentCount]&^(0xffff<<32) + 1 | answer<<32
			sum++
			atomic.StoreUint64(&e[lentOwner], lentHere)
		}
		given <- sum
	}()
	for range 20_000 {
		l.lend(i)
		if s.flags&flagLent == 0 {
			t.Fatal("it can't be lent again")
		}
		if l.now%3 == 0 {
			runtime.Gosched()
		}
		l.reclaim(i)
		l.now++
	}
	stop.Store(true)
	sum := <-given
	if sum < 1000 || acks < 500 {
		t.Errorf("only %d answers were given, %d acknowledged: this tested something else", sum, acks)
	}
	if s.conn.Quiescent() == inFlight {
		t.Errorf("the last answer is in flight: %v, quiescent: %v", inFlight, s.conn.Quiescent())
	}
	if got := l.count.Answered - before; got != sum || s.conn.Boundary() != boundary.Add(uint32(sum)*asked) || s.conn.SentOff() != sent+uint32(sum)*length {
		t.Errorf("%d answers given, %d counted; %d octets taken in, %d sent; an answer is %d to %d", sum, got, s.conn.Boundary().Sub(boundary), s.conn.SentOff()-sent, length, asked)
	}
}
