package tcpstate

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/wire"
)

func ethernet(s *setup) {
	s.cfg.MSS4, s.cfg.MSS6 = 1460, 1440
	s.syn.MSS = 1460
}

func overIPv6(s *setup) { s.flow = flow6 }

// RFC 1191, 6; RFC 8201, 5.3: segments get smaller, what is in flight is sent again, and the window stays.
func TestTooBig(t *testing.T) {
	for name, c := range map[string]struct {
		change []func(*setup)
		mtu    uint32
		want   uint32 // octets in a segment
	}{
		"IPv4":                       {[]func(*setup){ethernet}, 1400, 1360},
		"IPv4, timestamps":           {[]func(*setup){ethernet, withTS}, 1400, 1348},
		"IPv6":                       {[]func(*setup){ethernet, overIPv6}, 1400, 1340},
		"below the least of IPv4":    {[]func(*setup){ethernet}, 100, 536},
		"the least of IPv6":          {[]func(*setup){ethernet, overIPv6}, 1280, 1220},
		"a router that says nothing": {[]func(*setup){ethernet}, 0, 1452},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, c.change...)
			w.in()
			w.c.Write(10_000)
			w.flood()
			before := w.window()
			w.now += 20 * Millisecond
			if !w.c.OnTooBig(w.st, w.c.snd.una, c.mtu, w.now) {
				t.Fatal("not believed")
			}
			w.check()
			if w.poll(); w.last.Off != 0 || w.last.Len != c.want {
				t.Errorf("%d octets at %d, want %d at 0", w.last.Len, w.last.Off, c.want)
			}
			if after := w.window(); after.cwnd != before.cwnd || after.ssthresh != before.ssthresh {
				t.Errorf("cwnd %d, before %d", after.cwnd, before.cwnd)
			}
			w.flood()
			w.now += 20 * Millisecond
			w.in(ack(10_001))
			if !w.c.Quiescent() || w.c.Handover().MSS >= 1460 {
				t.Errorf("not done, or the next TCP is not told: %+v", w.c.Handover())
			}
		})
	}
}

// RFC 5927, 4.1: what nobody could know but who has seen our segment.
func TestTooBigIsValidated(t *testing.T) {
	w := open(t, ethernet)
	w.in()
	if w.c.OnTooBig(w.st, w.c.snd.una, 1000, w.now) {
		t.Error("believed with nothing in flight")
	}
	w.c.Write(10_000)
	w.flood()
	w.in(ack(1461))
	for name, c := range map[string]struct {
		at  wire.Seq
		mtu uint32
	}{
		"acknowledged": {w.iss + 1, 1000}, "not sent": {w.c.snd.nxt, 1000}, "far away": {w.c.snd.una + 1<<31, 1000},
		"not smaller": {w.c.snd.una, 1500}, "larger": {w.c.snd.una, 9000},
	} {
		if w.c.OnTooBig(w.st, c.at, c.mtu, w.now) {
			t.Errorf("%s: believed", name)
		}
	}
	if w.c.snd.mss != 1460 {
		t.Errorf("MSS %d", w.c.snd.mss)
	}
	// A router that says no size tells of each segment in flight: that is one piece of news.
	for k := range wire.Seq(5) {
		if got := w.c.OnTooBig(w.st, w.c.snd.una+k*1460, 0, w.now); got != (k == 0) {
			t.Errorf("message %d of a flight: %v", k+1, got)
		}
	}
	w = open(t, ethernet, overIPv6)
	w.in()
	w.c.Write(10_000)
	w.flood()
	if w.c.OnTooBig(w.st, w.c.snd.una, 1279, w.now) {
		t.Error("believed that a link of IPv6 has a smaller MTU than there may be (RFC 8201, 4)")
	}
}

// RFC 4821, 7.7: when full-sized segments vanish again and again, smaller ones are tried.
func TestBlackHole(t *testing.T) {
	for name, c := range map[string]struct {
		change []func(*setup)
		want   []uint32
	}{
		"IPv4": {[]func(*setup){ethernet}, []uint32{1460, 1240, 1240, 536, 536}},
		"IPv6": {[]func(*setup){ethernet, overIPv6}, []uint32{1440, 1220, 1220, 1220, 1220}},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, append(c.change, config(func(c *Config) { c.StallTimeout = 0 }))...)
			w.in()
			w.c.Write(10_000)
			w.flood()
			for k, want := range c.want {
				w.waitTimer()
				if w.poll(); w.last.Off != 0 || w.last.Len != want {
					t.Fatalf("time-out %d: %d octets at %d, want %d", k+1, w.last.Len, w.last.Off, want)
				}
			}
		})
	}
}
