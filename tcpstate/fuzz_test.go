package tcpstate

import (
	"math/rand/v2"
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// FuzzConn gives arbitrary segments, calls and times to a connection. Nothing panics, the invariants hold, and
// no octet goes beyond the furthest right edge that the peer has advertised.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0}, uint8(0))
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 0))
		script := make([]byte, 600)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, script []byte, options uint8) {
		w := open(t, func(s *setup) {
			s.syn.HasTS, s.syn.SACKPermitted, s.syn.HasWScale = options&1 != 0, options&2 != 0, options&4 != 0
			s.syn.WScale = options >> 4
			s.stack.Control = Control(options>>4) % NumControls
			if options&16 != 0 {
				s.stack.Runs = 8
			}
			s.irs = -wire.Seq(options) << 4
			if options&8 != 0 {
				s.cfg.Window = 3000
			}
		})
		fuzzConn(t, w, script)
	})
}

func TestRandomSegments(t *testing.T) {
	r := random(t, 8)
	n := 3000
	if testing.Short() {
		n = 300
	}
	for range n {
		script := make([]byte, 1000)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		w := open(t, func(s *setup) {
			s.syn.HasTS, s.syn.SACKPermitted, s.syn.HasWScale = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
			s.irs = wire.Seq(r.Uint32())
			s.stack.Control = Control(r.IntN(int(NumControls)))
			if r.IntN(2) == 0 {
				s.stack.Runs = 1 + r.IntN(20)
			}
		})
		fuzzConn(t, w, script)
	}
}

// fuzzConn reads script as steps.
func fuzzConn(t testing.TB, w *world, script []byte) {
	c := &w.c
	edge := c.snd.edge() // the furthest that was ever advertised
	next := func() uint32 {
		if len(script) == 0 {
			return 0
		}
		v := script[0]
		script = script[1:]
		return uint32(v)
	}
	near := func(at wire.Seq) wire.Seq { // a number in the neighbourhood, or anywhere
		switch v := next(); {
		case v < 128:
			return at
		case v < 200:
			return at + wire.Seq(int32(int8(v)))*wire.Seq(next())
		case v < 240:
			return at - wire.Seq(next())
		default:
			return wire.Seq(next()<<24 | next()<<16 | next())
		}
	}
	for len(script) > 0 && c.State() != StateClosed {
		before := c.State()
		switch v := next(); {
		case v < 150:
			seg := wire.Segment{Seq: near(c.rcv.nxt), Ack: near(c.snd.una), Wnd: uint16(next() << 6), Flags: wire.ACK, Payload: make([]byte, next()*next()%3000)}
			if next() < 100 {
				seg.Ack = near(c.snd.nxt)
			}
			if next() < 20 {
				seg.Flags = wire.Flags(next())
				if next() < 230 {
					seg.Flags &^= wire.RST
				}
			} else if next() < 20 {
				seg.Flags |= wire.FIN
			}
			if next() < 100 {
				seg.Payload = nil
			}
			if seg.Options.HasTS = c.has(flagTS) || next() < 20; seg.Options.HasTS {
				seg.Options.TSVal, seg.Options.TSEcr = uint32(near(wire.Seq(c.rcv.tsRecent))), uint32(near(wire.Seq(Millis(w.now)+c.tsOffset)))
			}
			for range next() % (wire.MaxSACK + 1) {
				lo := near(c.snd.una) + wire.Seq(next()*20)
				seg.Options.SACK[seg.Options.NSACK] = wire.Span{Lo: lo, Hi: near(lo + 1000)}
				seg.Options.NSACK++
			}
			in := c.OnSegment(w.st, &seg, w.now)
			if in.NewSYN && before != TimeWait {
				t.Fatalf("new SYN in %v", before)
			}
			if e := c.snd.edge(); edge.Less(e) && c.State() != StateClosed {
				edge = e
			}
			if len(in.Data) > 0 {
				if in.Off+uint32(len(in.Data)) > uint32(c.rcv.pending)+uint32(c.rcv.adv) {
					t.Fatalf("data up to %d, window up to %d", in.Off+uint32(len(in.Data)), uint32(c.rcv.pending)+uint32(c.rcv.adv))
				}
				if in.Off == c.Pending() && next() < 200 {
					c.Received(in.Off+uint32(len(in.Data)), nil)
				} else if next() < 128 {
					b := c.Boundary()
					c.Received(c.Pending(), []wire.Span{{Lo: b.Add(in.Off), Hi: b.Add(in.Off + uint32(len(in.Data)))}})
				}
			}
		case v < 190:
			var out Transmit
			for range next() % 30 {
				if !c.PollTransmit(w.st, w.now, &out) {
					break
				}
				if end := out.Seq.Add(out.Len); out.Len > 0 && edge.Less(end) {
					t.Fatalf("octets up to %d, right edge %d", end-c.snd.iss, edge-c.snd.iss)
				}
				if n := out.Options.Len() + int(out.Len); n > int(c.snd.mss) {
					t.Fatalf("%d octets with options, MSS %d", n, c.snd.mss)
				}
			}
		case v < 210:
			w.now += Time(next()*next()) * Millisecond
			if d := c.Deadline(w.st); d != 0 && d <= w.now {
				c.OnTimeout(w.st, w.now)
			}
		case v < 213:
			c.Promise()
		case v < 217:
			c.WritePromised(1+next()*next(), next() < 100, w.now)
		case v < 225:
			c.Write(next() * next() * next() % 100_000)
		case v < 245:
			c.Consume(next() * 8)
		case v >= 250 && v <= 252 && next() < 230: // rarely
		case v == 250:
			c.Close()
		case v == 251:
			c.Discard()
		case v == 252:
			c.Abort()
		default:
			c.Received(next()*next(), []wire.Span{{Lo: near(c.rcv.nxt), Hi: near(c.rcv.nxt + 100)}})
		}
		if err := invariants(w.st, c); err != nil {
			t.Fatal(err)
		}
		if c.Deadline(w.st) < 0 {
			t.Fatal("a deadline before time")
		}
	}
}

// FuzzListener gives arbitrary segments to the handshake.
func FuzzListener(f *testing.F) {
	l, st := NewListener(DefaultConfig(), key), NewStack(StackConfig{Flights: 1})
	f.Add(uint32(1), uint32(2), uint8(wire.ACK), uint16(100), uint16(1460), uint8(7), uint32(0), int64(start))
	f.Add(uint32(1), uint32(2), uint8(wire.SYN), uint16(100), uint16(1460), uint8(7), uint32(0), int64(start))
	f.Fuzz(func(t *testing.T, seq, ack uint32, flags uint8, wnd, mss uint16, wscale uint8, ts uint32, now int64) {
		if now < 0 {
			return
		}
		seg := wire.Segment{Seq: wire.Seq(seq), Ack: wire.Seq(ack), Wnd: wnd, Flags: wire.Flags(flags), Payload: []byte("G"),
			Options: wire.Options{HasMSS: mss&1 != 0, MSS: mss, HasWScale: wscale&1 != 0, WScale: wscale, HasTS: ts&1 != 0, TSVal: ts, TSEcr: ts, SACKPermitted: wnd&1 != 0}}
		var out Transmit
		var c Conn
		if l.OnSYN(&flow4, &seg, Time(now), &out) == SYNReply {
			first := wire.Segment{Seq: seg.Seq + 1, Ack: out.Seq + 1, Wnd: wnd, Flags: wire.ACK, Payload: []byte("G"),
				Options: wire.Options{HasTS: out.Options.HasTS, TSVal: ts, TSEcr: out.Options.TSVal}}
			if a := l.Accept(&flow4, &first, Time(now), &c); a != AcceptOpened || c.has(flagTS) != out.Options.HasTS {
				t.Fatalf("Accept: %v", a)
			}
			c.OnSegment(st, &first, Time(now))
		} else if l.Accept(&flow4, &seg, Time(now), &c) == AcceptOpened {
			c.OnSegment(st, &seg, Time(now))
		}
		if err := invariants(st, &c); err != nil {
			t.Fatal(err)
		}
	})
}
