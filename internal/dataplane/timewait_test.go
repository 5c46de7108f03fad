package dataplane

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// Whatever happens in whatever order, the table finds what a map finds.
func TestTimeWaitsAgainstMap(t *testing.T) {
	if n := unsafe.Sizeof(waiting{}); n > 64 {
		t.Errorf("a connection in TIME-WAIT takes %d octets", n)
	}
	const seed, room, wait = 1, 50, 60 * tcpstate.Second
	rnd := rand.New(rand.NewPCG(seed, 0))
	var w timeWaits
	w.init(room, wait)
	until := map[wire.Flow]tcpstate.Time{}
	var order []wire.Flow
	now := tcpstate.Time(1<<32-30_000) * tcpstate.Millisecond // the clock's 32 bits run over
	for range 100_000 {
		now += tcpstate.Time(rnd.Int64N(3000)) * tcpstate.Millisecond
		w.expire(now)
		f := wire.Flow{RemotePort: uint16(1 + rnd.IntN(200))}
		e := w.find(&f, now)
		at, ok := until[f]
		if want := ok && now < at; (e != nil) != want {
			t.Fatalf("port %d: found %v, want %v", f.RemotePort, e != nil, want)
		}
		switch {
		case e != nil && rnd.IntN(4) == 0:
			w.remove(e)
			delete(until, f)
		case e != nil && rnd.IntN(4) == 0:
			e.until = tcpstate.Millis(now + wait)
			until[f] = now + wait
		case e == nil && rnd.IntN(2) == 0:
			if int(w.n) == room {
				delete(until, w.all[w.first].flow) // it goes early
			}
			w.add(&f, tcpstate.Remains{}, now)
			until[f] = now + wait
			order = append(order, f)
		}
		live := uint64(0)
		for _, at := range until {
			if now < at {
				live++
			}
		}
		if w.alive < live || w.alive > uint64(w.n) || int(w.n) > room {
			t.Fatalf("%d alive of %d, want %d", w.alive, w.n, live)
		}
	}
	if len(order) < 1000 {
		t.Errorf("only %d were added", len(order))
	}
	now += 2 * wait
	if w.expire(now); w.alive != 0 || w.n != 0 {
		t.Errorf("%d of %d are left", w.alive, w.n)
	}
	for _, b := range w.buckets {
		if b != 0 {
			t.Fatal("a chain is left")
		}
	}
}

// A connection that we have closed first costs no slot while it waits, answers the client's FIN when that comes again,
// and makes room for the client's next one.
func TestTimeWaitTakesNoSlot(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say("GET /small.txt HTTP/1.0\r\n\r\n")
	c.run(0)
	if octets, _ := c.receive(); !strings.HasSuffix(octets, small) {
		t.Fatalf("received %q", octets)
	}
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
	c.run(time.Millisecond)
	c.seq++
	_, last := c.receive()
	if last == nil || last.Ack != c.seq {
		t.Fatalf("the FIN is answered by %+v", last)
	}
	s.idle()
	waiting := func(want uint64) {
		t.Helper()
		if n := s.counters().Connections[tcpstate.TimeWait]; n != want {
			t.Errorf("%d in TIME-WAIT, want %d", n, want)
		}
	}
	waiting(1)
	for range 3 { // each time the wait begins anew
		c.give(layers.TCP{Seq: c.seq - 1, Ack: c.ack, ACK: true, FIN: true}, "")
		c.run(40 * time.Second)
		if _, again := c.receive(); again == nil || again.Ack != c.seq || again.Seq != c.ack {
			t.Fatalf("the FIN is answered by %+v", again)
		}
		waiting(1)
	}
	// The same ports again, with a later sequence number.
	c.seq += 1000
	c.connect()
	waiting(0)
	c.run(61 * time.Second)
	s.idle()
}

// After its time, and after a RST, it is forgotten.
func TestTimeWaitEnds(t *testing.T) {
	for _, reset := range []bool{false, true} {
		s := newStage(t, nil)
		c := s.client()
		c.connect()
		c.say("GET /small.txt HTTP/1.0\r\n\r\n")
		c.run(0)
		c.receive()
		c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
		c.run(0)
		wait := 59 * time.Second
		if reset {
			c.give(layers.TCP{Seq: c.seq + 1, RST: true}, "")
			wait = 0
		}
		c.run(wait)
		want := uint64(1)
		if reset {
			want = 0
		}
		if n := s.counters().Connections[tcpstate.TimeWait]; n != want {
			t.Errorf("reset %v: %d in TIME-WAIT, want %d", reset, n, want)
		}
		if c.run(2 * time.Second); s.counters().Connections[tcpstate.TimeWait] != 0 {
			t.Error("not forgotten")
		}
	}
}

// A client uses its port again while we wait, and the SYN is answered elsewhere, by the steering program: its first octets begin the
// new connection; those of the old one, which come late, do not.
func TestTimeWaitAndHandshakeElsewhere(t *testing.T) {
	const get = "GET /small.txt HTTP/1.0\r\n\r\n"
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	first := *c
	c.say(get)
	c.run(0)
	c.receive()
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "")
	c.run(time.Second)
	c.take()
	first.say(get)
	c.run(time.Second)
	if octets, last := c.receive(); octets != "" || last == nil || s.loop.waits.alive != 1 {
		t.Fatalf("late octets: answered by %q, %+v; %d in TIME-WAIT", octets, last, s.loop.waits.alive)
	}
	c.seq += 5000
	flow := wire.Flow{Local: wire.Addr4(local.To4()), Remote: wire.Addr4(remote.To4()), LocalPort: 80, RemotePort: uint16(c.port)}
	syn := wire.Segment{Seq: wire.Seq(c.seq), Flags: wire.SYN}
	var out tcpstate.Transmit
	s.loop.cfg.Listener.OnSYN(&flow, &syn, s.now, &out)
	c.seq, c.ack = c.seq+1, uint32(out.Seq)+1
	c.acknowledge()
	c.say(get)
	c.run(time.Millisecond)
	if octets, _ := c.receive(); !strings.HasSuffix(octets, small) {
		t.Errorf("the new connection is answered by %q", octets)
	}
}
