package filecache

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Objects of the same file and coding have one body, which counts once.
func TestSharedBody(t *testing.T) {
	s, _ := imitated(t, strings.Repeat("content ", 1000))
	var wg sync.WaitGroup
	hosts := []string{"a", "b", "c", "d"}
	for _, host := range hosts {
		wg.Go(func() {
			r := plain("/a.png")
			r.Host = []byte(host)
			if why := s.Fill(t.Context(), address, r); why != Taken {
				t.Error(why)
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Objects != 4 || st.Bytes < 8000+4*overhead || st.Bytes > 8000+5*overhead {
		t.Errorf("%d objects of %d octets", st.Objects, st.Bytes)
	}
	s.mu.Lock()
	s.dropAll()
	s.mu.Unlock()
	if st := s.Stats(); st.Bytes != 0 || len(s.bodies) != 0 || len(s.named.spellings) != 0 {
		t.Errorf("left over: %+v", st)
	}
}

// What clients invent is bounded, and what the site has is not.
func TestBounds(t *testing.T) {
	s := newStage(t, func(o *Options) { o.Backend, o.Hosts = &imitation{dialed: errors.New("refused")}, []string{"mine"} })
	s.put("a.png", "content")
	count := func(change func(k int) *question) (taken int, why Refusal) {
		s.mu.Lock()
		s.named = newNames()
		s.mu.Unlock()
		for k := range 200 {
			q := change(k)
			if why = s.bounded(q, "f"); why == Taken {
				s.named.count(q, "f", 1)
				s.named.count(q, "f", 1)
				s.named.count(q, "f", -1)
				taken++
			}
		}
		return taken, why
	}
	if n, why := count(func(k int) *question { return &question{host: fmt.Sprint(k)} }); n != maxHosts+1 || why != TooManyHosts {
		t.Errorf("%d hosts, %v", n, why)
	}
	if why := s.bounded(&question{host: "MINE:80"}, "f"); why != Taken {
		t.Errorf("a name of the site: %v", why)
	}
	if n, why := count(func(k int) *question { return &question{coding: fmt.Sprint(k)} }); n != maxCodings || why != TooManyCodings {
		t.Errorf("%d codings, %v", n, why)
	}
	if n, why := count(func(k int) *question { return &question{target: fmt.Sprint(k)} }); n != maxSpellings || why != TooManySpellings {
		t.Errorf("%d spellings, %v", n, why)
	}
}

// What is proven is proven again, beside the traffic, and given up when the server has changed its mind.
func TestProvenAgain(t *testing.T) {
	b := &imitation{body: "content"}
	s := newStage(t, func(o *Options) { o.Backend, o.Reprove = b, time.Second })
	s.put("a.png", "content")
	b.modified = s.modified("a.png")
	s.run()
	s.filled("/a.png")
	o := s.look("/a.png")
	s.until("it is proven again", func() bool { return s.Stats().Renewed > 0 })
	if s.look("/a.png") != o {
		t.Error("it was dropped meanwhile")
	}
	b.mu.Lock()
	b.status = "403 Forbidden"
	b.mu.Unlock()
	s.until("it is given up", func() bool { return s.look("/a.png") == nil })
}

// What nobody asks for is proven again for a while, and then given up.
func TestGivenUp(t *testing.T) {
	s, _ := imitated(t, "content")
	if why := s.fill("/a.png"); why != Taken {
		t.Fatal(why)
	}
	due := func() (held bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, o := range s.objects {
			o.life.due, o.life.renewing = time.Time{}, false
			s.renew(o, time.Now())
		}
		return len(s.objects) > 0
	}
	s.look("/a.png")
	for k := range maxIdle + 1 {
		if !due() {
			t.Fatalf("given up at look %d", k)
		}
	}
	if due() {
		t.Error("it is still held")
	}
}

// When it is no longer fresh, it answers nothing.
func TestFreshness(t *testing.T) {
	s, b := imitated(t, "content")
	b.fields = func(time.Time) string { return "Cache-Control: max-age=100\r\n" }
	before := time.Now().Unix()
	if why := s.fill("/a.png"); why != Taken {
		t.Fatal(why)
	}
	after := time.Now().Unix()
	o := s.look("/a.png")
	for at, want := range map[int64]bool{after: true, before + 99: true, after + 100: false, after + 1000: false} {
		if _, ok := o.Respond(plain("/a.png"), 0, at); ok != want || o.Stale(at) == want {
			t.Errorf("after %d s: %v", at-before, ok)
		}
	}
}

// A file that changes while the server behind is asked does not get in.
func TestChangeDuringProof(t *testing.T) {
	s, b := imitated(t, "content")
	s.run()
	s.until("events are on", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.watch != nil })
	b.change = func(r *http.Request, h string) string {
		if r.ProtoMinor == 0 {
			s.put("a.png", "CONTENT")
		}
		return h
	}
	if got := s.fill("/a.png"); got != Changing || s.look("/a.png") != nil {
		t.Errorf("%v", got)
	}
}
