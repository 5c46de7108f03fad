package clients

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// version is the content of a file at one time. It says in itself whose it is, how long, and what its octets sum up to, so that a part
// of it, or a mixture, is seen to be one. All versions of a file have the same length: Apache looks at a file's length and opens
// it afterwards, and so, alone, would mix the length of one with the octets of another.
type version struct{ file, number, length int }

func (v version) bytes() []byte {
	body := make([]byte, v.length)
	rnd := rand.NewChaCha8([32]byte{byte(v.file), byte(v.file >> 8), byte(v.number), byte(v.number >> 8), byte(v.number >> 16)})
	rnd.Read(body) //nolint:errcheck // never fails
	return append(fmt.Appendf(nil, "%05d %07d %07d %x\n", v.file, v.number, v.length, sha256.Sum256(body)), body...)
}

// parse returns the version that octets are the whole of.
func parse(octets []byte) (v version, whole bool) {
	head, body, ok := bytes.Cut(octets, []byte("\n"))
	if !ok {
		return v, false
	}
	var said string
	if n, err := fmt.Sscanf(string(head), "%d %d %d %s", &v.file, &v.number, &v.length, &said); n != 4 || err != nil {
		return v, false
	}
	return v, v.length == len(body) && said == fmt.Sprintf("%x", sha256.Sum256(body))
}

// kind is what a client may find at a path.
type kind uint8

const (
	there   kind = iota // a version
	absent              // no file, or none that Apache may read
	written             // a file that is being written in place: anything, also one that ends too early
)

// state is what is at a path for some time.
type state struct {
	kind     kind
	version  version
	from, to time.Time // to is zero while it lasts
}

// page is a path, and all that was there.
type page struct {
	target string
	mu     sync.Mutex
	states []state
}

// become makes a change after which something else is at each of the pages: until it is over, both may be.
func become(pages []*page, next func(*page) state, change func()) {
	now := time.Now()
	for _, p := range pages {
		s := next(p)
		s.from = now
		p.mu.Lock()
		p.states = append(p.states, s)
		p.mu.Unlock()
	}
	change()
	now = time.Now()
	for _, p := range pages {
		p.mu.Lock()
		p.states[len(p.states)-2].to = now
		p.mu.Unlock()
	}
}

// last returns what is at the page now.
func (p *page) last() state {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[len(p.states)-1]
}

// The bound is what ARCHITECTURE.md promises: an answer was right no longer than that ago. slack is for a machine that has other things
// to do; how old answers were is logged.
const (
	bound = time.Second
	slack = 4 * time.Second
)

// answer is what a client has got.
type answer struct {
	asked, done time.Time
	status      int
	body        []byte
	err         error
}

// judge says what is wrong with an answer, or how long before the request it was last right.
func (p *page) judge(a *answer) (late time.Duration, err error) {
	v, whole := parse(a.body)
	p.mu.Lock()
	defer p.mu.Unlock()
	last := ""
	for k := len(p.states) - 1; k >= 0; k-- {
		s := &p.states[k]
		if s.from.After(a.done) {
			continue
		}
		ago := time.Duration(0)
		if !s.to.IsZero() {
			ago = max(0, a.asked.Sub(s.to))
		}
		if ago > bound+slack {
			break
		}
		last += fmt.Sprintf(" %d/%v until %v before", s.kind, s.version, ago)
		switch {
		case s.kind == written && ago == 0: // whatever comes of it, Apache alone gives no better
			return 0, nil
		case s.kind == absent && a.err == nil && (a.status == 404 || a.status == 403):
			return ago, nil
		case s.kind == there && a.err == nil && a.status == 200 && whole && v == s.version:
			return ago, nil
		}
	}
	return 0, fmt.Errorf("%s: status %d, %d octets, whole %v, of %v, %v; but there was%s", p.target, a.status, len(a.body), whole, v, a.err, last)
}

func TestJudge(t *testing.T) {
	t0 := time.Unix(1_800_000_000, 0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	one, two, other := version{1, 1, 100}, version{1, 2, 100}, version{2, 1, 100}
	p := &page{target: "/x", states: []state{
		{there, one, at(0), at(10.1)}, {written, version{}, at(10), at(10.2)}, {there, two, at(10.1), at(20.1)}, {absent, version{}, at(20), time.Time{}},
	}}
	mixed := append(one.bytes()[:120:120], two.bytes()[120:]...)
	for _, c := range []struct {
		name        string
		asked, done float64
		status      int
		body        []byte
		late        float64 // -1: wrong
	}{
		{"fresh", 5, 5.1, 200, one.bytes(), 0}, {"late", 11, 11.1, 200, one.bytes(), 0.9}, {"too late", 16, 16.1, 200, one.bytes(), -1},
		{"too early", 9, 9.5, 200, two.bytes(), -1}, {"just in time", 9, 10.15, 200, two.bytes(), 0}, {"another file's", 5, 5.1, 200, other.bytes(), -1},
		{"mixed", 5, 5.1, 200, mixed, -1}, {"mixed while it is written", 9.9, 10.05, 200, mixed, 0}, {"mixed soon after", 10.3, 10.4, 200, mixed, -1},
		{"a part", 5, 5.1, 200, one.bytes()[:100], -1}, {"nothing", 5, 5.1, 200, nil, -1}, {"gone", 30, 30.1, 404, nil, 0},
		{"not yet gone", 19, 19.5, 404, nil, -1}, {"gone, but there for too long", 26, 26.1, 200, two.bytes(), -1},
		{"gone, but there for a moment", 20.6, 20.7, 200, two.bytes(), 0.5}, {"an error", 5, 5.1, 500, nil, -1},
	} {
		late, err := p.judge(&answer{asked: at(c.asked), done: at(c.done), status: c.status, body: c.body})
		if (err != nil) != (c.late < 0) || err == nil && late.Round(time.Millisecond) != time.Duration(c.late*float64(time.Second)).Round(time.Millisecond) {
			t.Errorf("%s: late by %v, %v", c.name, late, err)
		}
	}
	if _, err := p.judge(&answer{asked: at(5), done: at(5.1), status: 200, body: one.bytes(), err: fmt.Errorf("cut off")}); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %v", err)
	}
}
