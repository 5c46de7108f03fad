package dataplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// simHits is what a world's loop has told for the access log.
type simHits struct {
	open  map[uint32]uint64 // lengths of the responses that have not ended
	begun uint64
}

// auditHits: of each response the log is told once, and once of its end: of those that are under way not yet.
func (w *simWorld) auditHits() {
	ring, h := w.loop.cfg.Hits, &w.hits
	if ring == nil {
		return
	}
	if h.open == nil {
		h.open = map[uint32]uint64{}
	}
	var r hits.Record
	for ring.Next(&r) {
		length, open := h.open[r.End.ID]
		switch {
		case r.Kind == hits.KindBegin:
			h.begun++
			h.open[r.Begin.ID] = r.Begin.Len
			if int(r.Begin.Body) != int(r.Begin.Len)-len(r.Begin.Section) && r.Begin.Body != 0 || !strings.HasSuffix(string(r.Begin.Section), "\r\n\r\n") || !strings.HasSuffix(string(r.Begin.Request), "\r\n\r\n") {
				w.Failf("the log was told of request %q and section %q", r.Begin.Request, r.Begin.Section)
			}
		case !open:
			w.Failf("the end of a response was told that had not begun, or had ended: %+v", r.End)
		case r.End.Aborted != (r.End.Sent < length), r.End.Sent > length:
			w.Failf("%d octets of %d were sent, aborted: %v", r.End.Sent, length, r.End.Aborted)
		default:
			delete(h.open, r.End.ID)
		}
	}
	ring.Release()
	if c := w.counters(); h.begun+ring.Dropped() != c.Responses[0]+c.Responses[1] {
		w.Failf("%d responses were told of, %d were too many for the ring, counted %v", h.begun, ring.Dropped(), c.Responses)
	}
	var underWay int
	w.loop.slots.each(func(i uint32) {
		if s := w.loop.slots.at(i); s.work != 0 {
			for _, r := range w.loop.work.at(s.work).sent[:w.loop.work.at(s.work).n] {
				if _, open := h.open[r.hit]; r.hit != 0 && !open {
					w.Failf("slot %d: response %d is under way, but has ended for the log", i, r.hit)
				} else if open {
					underWay++
				}
			}
		}
	})
	if underWay != len(h.open) {
		w.Failf("%d responses are under way, for the log %d", underWay, len(h.open))
	}
}

// heard returns what a stage's loop has told.
func (s *stage) heard() (list []hits.Record) {
	var r hits.Record
	for s.loop.cfg.Hits.Next(&r) {
		r.Begin.Request, r.Begin.Section = append([]byte(nil), r.Begin.Request...), append([]byte(nil), r.Begin.Section...)
		list = append(list, r)
	}
	s.loop.cfg.Hits.Release()
	return list
}

func hitStage(t *testing.T) *stage {
	return newStage(t, func(c *Config) { c.Hits = hits.NewRing(0, true) })
}

// What is told of a response, when it begins and when it is acknowledged.
func TestHitIsTold(t *testing.T) {
	s := hitStage(t)
	c := s.client()
	c.connect()
	for k := range 2 {
		c.say(getSmall)
		s.run(time.Millisecond)
		response, _ := c.receive()
		got := s.heard()
		if len(got) != 1 || got[0].Kind != hits.KindBegin {
			t.Fatalf("told %+v", got)
		}
		b := got[0].Begin
		section := strings.TrimSuffix(response, small)
		if b.At != int64(s.now) || b.Local != wire.Addr4(local.To4()) || b.Remote != wire.Addr4(remote.To4()) || b.LocalPort != 80 ||
			b.RemotePort != uint16(c.port) || b.Status != 200 || int(b.Before) != k || b.Left != -1 || b.Closes ||
			int(b.Len) != len(response) || int(b.Body) != len(small) || string(b.Request) != getSmall || string(b.Section) != section {
			t.Errorf("response %d: told %+v", k, b)
		}
		c.acknowledge()
		s.run(time.Millisecond)
		want := hits.End{ID: b.ID, At: int64(s.now), Sent: b.Len}
		if got := s.heard(); len(got) != 1 || got[0].Kind != hits.KindEnd || got[0].End != want {
			t.Errorf("response %d: then told %+v, want %+v", k, got, want)
		}
	}
}

// However a connection ends, its responses do: what was sent is told, and whether it was all.
func TestHitEnds(t *testing.T) {
	reset := func(c *client) { c.give(layers.TCP{Seq: c.seq, Ack: c.ack, RST: true}, "") }
	closeGet := strings.Replace(getSmall, "Host", "Connection: close\r\nHost", 1)
	for name, f := range map[string]struct {
		requests string
		end      func(c *client)
		aborted  []bool
	}{
		"reset in the middle":            {getLarge, reset, []bool{true}},
		"reset, sent, not acknowledged":  {getSmall, reset, []bool{false}},
		"reset with others behind":       {getSmall + getLarge + getSmall + getSmall + getSmall, reset, []bool{false, true, true, true}},
		"acknowledged by FIN":            {getSmall, func(c *client) { c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, FIN: true}, "") }, []bool{false}},
		"closed by us, and acknowledged": {closeGet, func(c *client) { c.acknowledge() }, []bool{false}},
		"gone":                           {getLarge, func(c *client) { c.run(20 * time.Minute); c.run(20 * time.Minute) }, []bool{true}},
		"stopped":                        {getLarge, func(c *client) { c.loop.abortAll(c.now) }, []bool{true}},
		"stopped without frames":         {getLarge, func(c *client) { c.device.room, c.loop.txHave = 0, 0; c.loop.abortAll(c.now) }, []bool{true}},
	} {
		s := hitStage(t)
		c := s.client()
		c.connect()
		c.say(f.requests)
		s.run(0)
		octets, _ := c.receive()
		taken := len(octets)
		f.end(c)
		for range 3 {
			s.run(time.Millisecond)
		}
		lengths, sent := map[uint32]uint64{}, 0
		var aborted []bool
		for _, r := range s.heard() {
			if r.Kind == hits.KindBegin {
				lengths[r.Begin.ID] = r.Begin.Len
				continue
			}
			aborted = append(aborted, r.End.Aborted)
			sent += int(r.End.Sent)
			if r.End.Aborted != (r.End.Sent < lengths[r.End.ID]) {
				t.Errorf("%s: %d octets of %d were sent, aborted: %v", name, r.End.Sent, lengths[r.End.ID], r.End.Aborted)
			}
		}
		if len(aborted) != len(lengths) || len(aborted) != len(f.aborted) {
			t.Errorf("%s: %d responses have begun, and %v have ended, want %v", name, len(lengths), aborted, f.aborted)
			continue
		}
		for k := range aborted {
			if aborted[k] != f.aborted[k] {
				t.Errorf("%s: aborted: %v, want %v", name, aborted, f.aborted)
			}
		}
		if name != "gone" && sent != taken {
			t.Errorf("%s: told that %d octets were sent, the client has got %d", name, sent, taken)
		}
	}
}

// Nobody listens: the clients don't notice, and what is not told is counted.
func TestHitsOverflow(t *testing.T) {
	s := hitStage(t)
	c := s.client()
	c.connect()
	const n = 90
	head := strings.Replace(getSmall, "Host", "X: "+strings.Repeat("x", 1200)+"\r\nHost", 1)
	for k := range n {
		c.say(head)
		s.run(time.Millisecond)
		if got, _ := c.receive(); !strings.HasSuffix(got, small) {
			t.Fatalf("response %d: %q", k, got)
		}
	}
	c.acknowledge()
	s.run(time.Millisecond)
	begun, ended := 0, 0
	for _, r := range s.heard() {
		if r.Kind == hits.KindBegin {
			begun++
		} else {
			ended++
		}
	}
	if lost := int(s.loop.cfg.Hits.Dropped()); begun != ended || lost == 0 || begun == 0 || begun+lost != n {
		t.Errorf("%d begun, %d ended, %d dropped of %d", begun, ended, lost, n)
	}
}

// hitBench returns what a response costs for the access log: both records.
func hitBench(tb testing.TB, head string) (once func()) {
	cache, err := simStore()
	if err != nil {
		tb.Fatal(err)
	}
	store := &fakeStore{cache: cache}
	object := store.Lookup([16]byte{}, requestOf("/1400.txt"))
	l := &Loop{now: 1e15, cfg: Config{Hits: hits.NewRing(8<<20, false)}}
	l.work.hits = l.cfg.Hits
	s, w := new(slot), &sending{start: 100, end: 1800}
	var r hits.Record
	n := 0
	return func() {
		w.hit = l.tellBegin(s, object, w, []byte(head))
		l.work.tellEnd(nil, w, w.end)
		if n++; n%1000 == 0 { // a step of a busy loop, and its listener
			l.cfg.Hits.Publish()
			for l.cfg.Hits.Next(&r) {
			}
			l.cfg.Hits.Release()
		}
	}
}

// hitHead is what a browser sends.
const hitHead = "GET /1400.txt HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
	"Referer: https://www.example.org/index.html\r\nConnection: keep-alive\r\n\r\n"

func TestHitsAllocateNothing(t *testing.T) {
	if n := testing.AllocsPerRun(3000, hitBench(t, hitHead)); n != 0 {
		t.Errorf("%v allocations for a response, want 0", n)
	}
}

// BenchmarkHit is what the access log adds to a response.
func BenchmarkHit(b *testing.B) {
	for name, head := range map[string]string{"wrk": getSmall, "browser": hitHead} {
		b.Run(name, func(b *testing.B) {
			once := hitBench(b, head)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}
