package netsim

import (
	"fmt"
	"math"
	"testing"
	"time"
)

var ways = map[string]Link{
	"direct":  {},
	"delay":   {Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond},
	"loss":    {Delay: 5 * time.Millisecond, Loss: 0.1},
	"doubles": {Delay: 5 * time.Millisecond, Duplicate: 0.2},
	"reorder": {Delay: 5 * time.Millisecond, Reorder: 0.2},
	"narrow":  {Delay: time.Millisecond, Rate: 200_000, Queue: 20_000},
	"all":     {Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.05, Duplicate: 0.05, Reorder: 0.1, Rate: 1_000_000},
}

// The model server and the client understand each other over every link and with all options: so neither the
// links nor the inspection of what is right are wrong.
func TestTransfer(t *testing.T) {
	seed := Seed(t, 1)
	for name, way := range ways {
		for bits := range 16 {
			cfg := ClientConfig{Up: way, Down: way, SACK: bits&1 != 0, Timestamps: bits&2 != 0, IPv6: bits&8 != 0}
			if bits&4 != 0 {
				cfg.MSS, cfg.Scale = 1400, 5
			}
			t.Run(fmt.Sprintf("%s/%d", name, bits), func(t *testing.T) {
				fetch(t, seed, HostConfig{}, cfg, 0, 1, 50_000, 1000, 100_000)
			})
		}
	}
}

func TestTransferDetails(t *testing.T) {
	seed := Seed(t, 2)
	way := ways["loss"]
	for name, cfg := range map[string]ClientConfig{
		"delayed ACKs":      {Policy: Policy{AckEvery: 2}},
		"every fifth ACK":   {Policy: Policy{AckEvery: 5, AckDelay: 200 * time.Millisecond}},
		"small buffer":      {Policy: Policy{Buffer: 700}},
		"one octet buffer":  {Policy: Policy{Buffer: 1}, MSS: 1460},
		"slow reader":       {Policy: Policy{Buffer: 5000, ReadEvery: 50 * time.Millisecond, ReadSize: 3000}},
		"cut requests":      {Policy: Policy{Cut: func() int { return 1 }}},
		"handshake by data": {NoHandshakeACK: true},
		"partial checksums": {PartialChecksums: true},
		"partial on IPv6":   {PartialChecksums: true, IPv6: true, Timestamps: true},
		"unscaled":          {Scale: Unscaled},
		"largest scale":     {Scale: 14, Policy: Policy{Buffer: 100_000}},
	} {
		cfg.Up, cfg.Down = way, way
		size := 20_000
		if cfg.Buffer == 1 {
			size = 50
		}
		t.Run(name, func(t *testing.T) { fetch(t, seed, HostConfig{}, cfg, size, 3) })
	}
	t.Run("corruption", func(t *testing.T) {
		fetch(t, seed, HostConfig{}, ClientConfig{Up: Link{Corrupt: 0.2}, Timestamps: true}, 50_000)
	})
	t.Run("few frames", func(t *testing.T) {
		n, _ := fetch(t, seed, HostConfig{TxFrames: 1, RxFrames: 2, TxTime: 100 * time.Microsecond}, ClientConfig{}, 50_000)
		if s := n.Device.Stats(); s.Refused == 0 {
			t.Errorf("Alloc never came to its limit: %+v", s)
		}
	})
}

func TestPieces(t *testing.T) {
	n := New(Seed(t, 3), HostConfig{})
	newModelServer(n)
	c := n.Dial(ClientConfig{SACK: true})
	if err := n.RunUntil(time.Second, c.Connected); err != nil {
		t.Fatal(err)
	}
	at := func(lo, hi, ms int) Piece { return Piece{lo, hi, time.Duration(ms) * time.Millisecond} }
	c.SendPieces([]byte("12345\n"), []Piece{at(5, 6, 0), at(3, 4, 1), at(2, 5, 2), at(0, 1, 3), at(0, 3, 4)})
	if err := n.RunUntil(time.Second, func() bool { return len(c.Received()) == 12345 }); err != nil {
		t.Fatal(err)
	}
	if got := c.Sight().SACKs; got < 3 {
		t.Errorf("%d segments with SACK blocks", got)
	}
	c.SendPieces([]byte("10\n"), []Piece{at(1, 2, 0)}) // the rest comes by the timer
	if err := n.RunUntil(time.Second, func() bool { return len(c.Received()) == 12355 }); err != nil {
		t.Fatal(err)
	}
}

func TestReset(t *testing.T) {
	n := New(Seed(t, 4), HostConfig{})
	m := newModelServer(n)
	c := n.Dial(ClientConfig{})
	if err := n.RunUntil(time.Second, c.Connected); err != nil {
		t.Fatal(err)
	}
	c.KeepAlive()
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	c.Reset()
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if !c.Over() || !c.WasReset() || !m.conns[c.local].gone {
		t.Error("the connection goes on")
	}
}

func TestDeterminism(t *testing.T) {
	cfg := ClientConfig{Up: ways["all"], Down: ways["all"], SACK: true, Timestamps: true}
	digest := func(seed uint64) uint64 {
		n, _ := fetch(t, seed, HostConfig{}, cfg, 100_000)
		return n.Digest()
	}
	if a, b := digest(5), digest(5); a != b {
		t.Errorf("seed 5 led to %x and to %x", a, b)
	}
	if a, b := digest(5), digest(6); a == b {
		t.Error("seeds 5 and 6 led to the same")
	}
}

func TestLinkRates(t *testing.T) {
	n := New(Seed(t, 7), HostConfig{})
	const frames = 20_000
	arrived, inOrder, last := 0, 0, -1
	l := newLink(n, "test", Link{Delay: 30 * time.Millisecond, Loss: 0.1, Duplicate: 0.05, Reorder: 0.2, Corrupt: 0.02}, func(b []byte) {
		arrived++
		if at := int(b[0])<<16 | int(b[1])<<8 | int(b[2]); at > last {
			last = at
			inOrder++
		}
	})
	for i := range frames {
		n.After(time.Duration(i)*100*time.Microsecond, func() {
			l.send(append([]byte{byte(i >> 16), byte(i >> 8), byte(i)}, make([]byte, 57)...))
		})
	}
	if err := n.Run(time.Hour); err != nil {
		t.Fatal(err)
	}
	s := l.stats
	near := func(what string, got int, want float64) {
		t.Helper()
		if d := math.Abs(float64(got) - want); d > 0.1*want {
			t.Errorf("%d %s, want about %.0f", got, what, want)
		}
	}
	near("lost", s.Lost, 0.1*frames)
	near("doubled", s.Doubled, 0.05*0.9*frames)
	near("reordered", s.Reordered, 0.2*0.9*frames+0.05*0.9*frames)
	near("corrupted", s.Corrupted, 0.02*float64(arrived))
	if arrived != frames-s.Lost+s.Doubled || inOrder == arrived {
		t.Errorf("%d arrived, %d in order: %+v", arrived, inOrder, s)
	}
}

func TestLinkTimes(t *testing.T) {
	n := New(1, HostConfig{})
	var at []int64
	l := newLink(n, "test", Link{Delay: 10 * time.Millisecond, Rate: 100_000, Queue: 2500}, func([]byte) { at = append(at, n.Now()-Start) })
	for range 5 {
		l.send(make([]byte, 1000)) // 10 ms each
	}
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	ms := int64(time.Millisecond)
	if want := []int64{20 * ms, 30 * ms, 40 * ms}; fmt.Sprint(at) != fmt.Sprint(want) || l.stats.Overflowed != 2 {
		t.Errorf("arrived at %v, want %v; %+v", at, want, l.stats)
	}
	drops := newLink(n, "test", Link{Drop: func(i int, _ []byte) bool { return i == 1 }}, func([]byte) {})
	for range 3 {
		drops.send(make([]byte, 60))
	}
	if drops.stats.Lost != 1 {
		t.Errorf("%+v", drops.stats)
	}
}

func TestSpans(t *testing.T) {
	var s spans
	for _, p := range []span{{10, 20}, {30, 40}, {20, 22}, {0, 5}, {21, 30}, {7, 7}} {
		s.add(p.lo, p.hi)
	}
	if fmt.Sprint(s) != "[{0 5} {10 40}]" || s.end() != 5 || !s.covers(12, 40) || s.covers(4, 6) || !s.covers(9, 9) {
		t.Errorf("%v", s)
	}
}
