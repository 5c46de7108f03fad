package tcpstate

import "testing"

// draft-cheng-iccrg-delivery-rate-estimation, 3.3: acknowledgments that come compressed, or octets that went out in a
// burst, do not make a path faster than it is: the slower of both counts. Faster than a round trip is no measurement.
func TestRateSample(t *testing.T) {
	for name, c := range map[string]struct {
		sent, ackedBefore, now uint32 // µs; the first octet was sent at 0
		least                  uint32
		want                   uint64
	}{
		"as it was sent":          {10_000, 40_000, 50_000, 5_000, 1_000_000},
		"acknowledged in a burst": {20_000, 40_000, 41_000, 5_000, 500_000},
		"sent in a burst":         {100, 40_000, 50_000, 5_000, 1_000_000},
		"faster than light":       {100, 40_000, 41_000, 5_000, 0},
	} {
		d := delivery{delivered: 10_000, deliveredAt: c.now}
		var s rateSample
		s.take(&d, &run{sentAt: c.sent, deliveredAt: c.ackedBefore, delivered: 0, firstSentAt: 0})
		s.finish(&d, c.now, c.least)
		if s.rate() != c.want {
			t.Errorf("%s: %d octets a second, want %d", name, s.rate(), c.want)
		}
		if d.firstSentAt != c.sent {
			t.Errorf("%s: the next interval begins at %d", name, d.firstSentAt)
		}
	}
}

// Of all that an acknowledgment tells, what was sent last decides.
func TestRateSampleIsOfTheLast(t *testing.T) {
	var d delivery
	var s rateSample
	s.take(&d, &run{sentAt: 10, delivered: 1000, deliveredAt: 5})
	s.take(&d, &run{sentAt: 30, delivered: 3000, deliveredAt: 7})
	s.take(&d, &run{sentAt: 20, delivered: 2000, deliveredAt: 6})
	if s.prior != 3000 || s.sentAt != 30 {
		t.Errorf("%+v", s)
	}
}

// 3.4: when all that was written is sent and more might be, samples are of the application, until that is delivered.
func TestAppLimited(t *testing.T) {
	w := open(t, with(BBR))
	w.in()
	w.c.Write(3000)
	w.flood()
	w.now += 50 * Millisecond
	w.c.Write(30_000) // the window is not filled by what is in flight
	w.flood()
	f := w.flight()
	if !f.rate.limited {
		t.Fatal("not limited")
	}
	w.in(ack(1001))
	if !f.rate.limited {
		t.Error("no longer limited before what was in flight is delivered")
	}
	w.in(ack(4001))
	if f.rate.limited {
		t.Error("still limited")
	}
}

// What the peer's window holds back is no measure of the path, until what was in flight when it opened has arrived.
func TestPeersWindowIsNoMeasure(t *testing.T) {
	w := open(t, withSACK, offers(4000), with(BBR))
	w.in()
	w.c.Write(1 << 20)
	if n, _ := w.flood(); n != 4 {
		t.Fatalf("%d segments in a window of four", n)
	}
	limited := func(want bool) {
		t.Helper()
		if got := w.st.runs[w.flight().tail].has(runAppLimited); got != want {
			t.Errorf("sent last: limited %v, want %v", got, want)
		}
	}
	limited(false)
	w.now += 100 * Millisecond
	w.in(ack(1001))
	w.flood()
	limited(true)
	w.now += 100 * Millisecond
	w.in(ack(4001), wnd(60000))
	if n, _ := w.flood(); n < 10 {
		t.Fatalf("%d segments in an open window", n)
	}
	limited(true)
	w.now += 100 * Millisecond
	w.in(ack(7001), wnd(60000)) // what was sent when the window was open
	w.flood()
	limited(false)
	// Where round trips grow, a queue does, and what it lets through is what the path delivers.
	for range 8 {
		w.now += 400 * Millisecond
		w.in(ack(uint32(w.c.snd.nxt-w.iss)), wnd(4000))
		w.flood()
	}
	limited(false)
}

// With how much in flight were 2 % lost? draft-ietf-ccwg-bbr, InflightAtLoss.
func TestExcessOfLosses(t *testing.T) {
	for name, c := range map[string]struct {
		inFlight, lostBefore, n uint32 // in flight with the run, lost since it was sent, of it
		want                    uint32 // 0: it is tolerable
	}{
		"less than 2 %":                      {100_000, 0, 1_900, 0},
		"more, by this segment":              {96_000, 1_500, 1_000, 95_000 + 400/49*50},
		"more, before it":                    {96_000, 5_000, 1_000, 95_000},
		"all of it":                          {10_048, 0, 10_048, 0 + 0},
		"a burst of which a part was within": {96_000, 0, 32_000, 64_000 + 1_280/49*50},
	} {
		var d delivery
		r := run{}
		d.stamp(&r, 0, c.inFlight)
		d.lost = c.lostBefore
		d.onLost(&r, c.n)
		got := d.excess
		if got.valid != (c.lostBefore+c.n > c.inFlight/50) || got.valid && got.inFlight != c.want {
			t.Errorf("%s: %+v, want %d", name, got, c.want)
		}
	}
}

// What was in flight is noted to 64 octets, up to the largest window.
func TestInFlightOfARun(t *testing.T) {
	var r run
	for _, n := range []uint32{0, 64, 1 << 20, maxCwnd - 64} {
		if r.setInFlight(n); r.inFlight() != n {
			t.Errorf("%d, want %d", r.inFlight(), n)
		}
	}
}
