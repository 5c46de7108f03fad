package hits

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// told is what the tests' producer has said, in the order in which the consumer must hear it.
type told struct {
	begin   Begin
	request string
	section string
	end     End
	ends    bool
}

// teller makes random records, and remembers them.
type teller struct {
	rnd  *rand.Rand
	ring *Ring
	open []uint32
	lost uint64
}

func (s *teller) begin() *told {
	b := Begin{
		At: s.rnd.Int64(), LocalPort: uint16(s.rnd.Uint32()), RemotePort: uint16(s.rnd.Uint32()), Status: 200, Before: uint16(s.rnd.Uint32()),
		Left: int32(s.rnd.Uint32()), Body: s.rnd.Uint64(), Len: s.rnd.Uint64(), Closes: s.rnd.IntN(2) == 0,
	}
	for k := range b.Local {
		b.Local[k], b.Remote[k] = byte(s.rnd.Uint32()), byte(s.rnd.Uint32())
	}
	request := bytes.Repeat([]byte{byte(s.rnd.Uint32())}, s.rnd.IntN(300))
	if s.rnd.IntN(20) == 0 {
		request = bytes.Repeat([]byte{'x'}, 8192)
	}
	section := s.rnd.IntN(400)
	id, fill := s.ring.Begin(&b, request, section)
	if id == 0 {
		s.lost++
		return nil
	}
	if slices.Contains(s.open, id) {
		panic(fmt.Sprintf("two responses under way are called %d", id))
	}
	for k := range fill {
		fill[k] = byte(id)
	}
	s.open = append(s.open, id)
	return &told{begin: b, request: string(request), section: string(fill)}
}

func (s *teller) end() *told {
	k := s.rnd.IntN(len(s.open))
	e := End{ID: s.open[k], At: s.rnd.Int64(), Sent: s.rnd.Uint64(), Aborted: s.rnd.IntN(2) == 0}
	s.open[k] = s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.ring.End(&e)
	if held := s.ring.head - s.ring.tail.Load(); held > uint64(len(s.ring.buf)) {
		panic(fmt.Sprintf("the ring of %d octets holds %d", len(s.ring.buf), held)) // what is not read yet is overwritten
	}
	return &told{end: e, ends: true}
}

func (w *told) check(r *Record) error {
	if w.ends {
		if r.Kind != KindEnd || r.End != w.end {
			return fmt.Errorf("heard kind %d, %+v, told %+v", r.Kind, r.End, w.end)
		}
		return nil
	}
	got := r.Begin
	if r.Kind != KindBegin || string(got.Request) != w.request || string(got.Section) != w.section {
		return fmt.Errorf("heard kind %d with %d and %d octets, told %d and %d, or others", r.Kind, len(got.Request), len(got.Section), len(w.request), len(w.section))
	}
	got.Request, got.Section = nil, nil
	if !reflect.DeepEqual(got, w.begin) {
		return fmt.Errorf("heard %+v, told %+v", got, w.begin)
	}
	return nil
}

// Against a list: whatever is told is heard, in order and whole; what is dropped is counted; an end always has room.
func TestRingIsAQueue(t *testing.T) {
	for seed := range uint64(50) {
		s := &teller{rnd: rand.New(rand.NewPCG(seed, 1)), ring: NewRing(0, true)}
		var list []*told
		hear := func(n int) {
			var r Record
			for ; n > 0 && s.ring.Next(&r); n-- {
				if err := list[0].check(&r); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				list = list[1:]
			}
		}
		published := 0
		for range 2000 {
			switch k := s.rnd.IntN(10); {
			case k < 5:
				if w := s.begin(); w != nil {
					list = append(list, w)
				}
			case k < 8 && len(s.open) > 0:
				list = append(list, s.end())
			case k == 8:
				s.ring.Publish()
				published = len(list)
			default:
				hear(min(s.rnd.IntN(100), published))
				s.ring.Release()
				published = min(published, len(list))
			}
		}
		for len(s.open) > 0 { // also without a consumer
			list = append(list, s.end())
		}
		s.ring.Publish()
		hear(len(list))
		if len(list) > 0 || s.ring.Dropped() != s.lost || s.ring.open != 0 {
			t.Fatalf("seed %d: %d records were never heard, %d were dropped, counted %d, %d open", seed, len(list), s.lost, s.ring.Dropped(), s.ring.open)
		}
	}
}

// Nobody listens: the ring fills, and goes on when somebody does.
func TestRingOverflow(t *testing.T) {
	ring := NewRing(0, false)
	var first uint32
	n := 0
	for b := (Begin{}); n < minSize; n++ {
		id, _ := ring.Begin(&b, make([]byte, 200), 0)
		if id == 0 {
			break
		}
		if first == 0 {
			first = id
		}
	}
	if most := minSize / (beginSize + 224); n < most*8/10 || n > most {
		t.Errorf("%d responses found room in %d octets", n, minSize)
	}
	for id := first; id < first+uint32(n); id++ {
		ring.End(&End{ID: id})
	}
	ring.Publish()
	if ring.Dropped() != 1 {
		t.Errorf("dropped %d, want 1", ring.Dropped())
	}
	var r Record
	heard := 0
	for ring.Next(&r) {
		heard++
	}
	ring.Release()
	if heard != 2*n {
		t.Errorf("heard %d records, want %d", heard, 2*n)
	}
	if id, _ := ring.Begin(&Begin{}, nil, 0); id == 0 {
		t.Error("an empty ring has no room")
	}
}

// Producer and consumer at the same time.
func TestRingConcurrently(t *testing.T) {
	s := &teller{rnd: rand.New(rand.NewPCG(7, 7)), ring: NewRing(0, true)}
	const n = 5000
	said := make(chan *told, n*2)
	var done sync.WaitGroup
	done.Go(func() {
		defer close(said)
		for k := range n {
			if s.rnd.IntN(3) > 0 || len(s.open) == 0 {
				if w := s.begin(); w != nil {
					said <- w
				}
			} else {
				said <- s.end()
			}
			if k%7 == 0 {
				s.ring.Publish()
			}
		}
		s.ring.Publish()
	})
	var r Record
	heard := 0
	for w := range said {
		for !s.ring.Next(&r) {
			s.ring.Release()
			runtime.Gosched()
		}
		if err := w.check(&r); err != nil {
			t.Fatal(err)
		}
		heard++
		if heard%50 == 0 {
			s.ring.Release()
		}
	}
	done.Wait()
	if heard < 100 {
		t.Errorf("heard only %d", heard)
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	ring, request := NewRing(0, true), make([]byte, 300)
	var r Record
	if n := testing.AllocsPerRun(1000, func() {
		id, _ := ring.Begin(&Begin{At: 1}, request, 200)
		ring.End(&End{ID: id})
		ring.Publish()
		for ring.Next(&r) {
			ring.Release()
		}
	}); n != 0 {
		t.Errorf("%v allocations for a response, want 0", n)
	}
}

func BenchmarkRing(b *testing.B) {
	ring, request := NewRing(1<<22, false), make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		id, _ := ring.Begin(&Begin{At: 1, Status: 200, Len: 1000}, request, 0)
		if id == 0 { // as if somebody had listened
			ring.Publish()
			for r := (Record{}); ring.Next(&r); {
			}
			ring.Release()
			continue
		}
		ring.End(&End{ID: id, At: 2, Sent: 1000})
		ring.Publish()
	}
}
