package xdp

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// accounted reports whether every frame is where its owner says, and nowhere else: the invariant of the package. The socket must
// be at rest: nothing on the wire, everything sent.
func (s *Socket) accounted() error {
	s.reap()
	counts := map[owner]int{}
	for _, o := range s.frames.owners {
		counts[o]++
	}
	seen := make([]int, len(s.frames.owners))
	for _, n := range s.frames.pool {
		seen[n]++
	}
	for _, n := range s.frames.lent {
		seen[n]++
	}
	if len(s.frames.pool) != counts[ownerPool] {
		return fmt.Errorf("pool has %d frames, %d are marked so", len(s.frames.pool), counts[ownerPool])
	}
	if len(s.frames.lent) > counts[ownerUser] {
		return fmt.Errorf("%d frames are lent by Receive, %d marked as the caller's", len(s.frames.lent), counts[ownerUser])
	}
	if in := int(s.fill.length() + s.rx.length()); in != counts[ownerFill] {
		return fmt.Errorf("fill and RX ring have %d frames, %d are marked so", in, counts[ownerFill])
	}
	if in := int(s.tx.length()); in != counts[ownerTX] {
		return fmt.Errorf("TX ring has %d frames, %d are marked so", in, counts[ownerTX])
	}
	for i := range s.fill.length() {
		seen[*s.fill.at(s.fill.own - 1 - i)>>s.frames.shift]++
	}
	for i := range s.tx.length() {
		seen[s.tx.at(s.tx.own-1-i).Addr>>s.frames.shift]++
	}
	for i := range s.rx.available() {
		seen[s.rx.at(s.rx.own+i).Addr>>s.frames.shift]++
	}
	for n, times := range seen {
		if times > 1 || times == 0 && s.frames.owners[n] != ownerUser {
			return fmt.Errorf("frame %d with owner %d is in %d places", n, s.frames.owners[n], times)
		}
	}
	return nil
}

func mustBeAccounted(t testing.TB, s *Socket) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for {
		err := s.accounted()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		s.Wait(time.Millisecond)
	}
}

// pattern is a payload that differs for each frame.
func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed*31 + i*7 + i>>8)
	}
	return b
}

// TestEcho sends many times more frames than the rings hold through them, both ways, and compares every octet.
func TestEcho(t *testing.T) {
	for _, c := range []struct {
		name    string
		opts    nstest.Options
		generic bool
		size    int // of the frames
	}{
		{"native", nstest.Options{}, false, 4096},
		{"native, small frames", nstest.Options{}, false, 2048},
		{"native, largest MTU in one buffer", nstest.Options{MTU: LinearMTU}, false, 4096},
		{"native, large MTU", nstest.Options{MTU: 9000}, false, 4096},
		{"generic", nstest.Options{}, true, 4096},
		{"generic, large MTU", nstest.Options{MTU: 9000}, true, 4096},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, c.opts, c.generic)
			if (l.program.Mode() == Generic) != c.generic {
				t.Fatalf("mode %s: %v", l.program.Mode(), l.program.Warning())
			}
			s := l.open(SocketConfig{FrameSize: c.size, FillRing: 64, RXRing: 64, TXRing: 64, CompletionRing: 64})
			testEcho(t, l, s, min(max(c.opts.MTU, 1500), MaxPacket(c.size)))
			mustBeAccounted(t, s)
			stats, err := s.Statistics()
			if err != nil || stats != (Statistics{}) {
				t.Errorf("statistics %+v, %v; want nothing lost", stats, err)
			}
		})
	}
}

func testEcho(t *testing.T, l *lab, s *Socket, largest int) {
	const rounds, burst = 100, 32
	rx, tx := make([][]byte, burst), make([][]byte, burst)
	buffer := make([]byte, 65536)
	for round := range rounds {
		l.beat()
		var sent [burst][]byte
		for i := range sent {
			n := (round*burst + i) * 37 % (largest - 40 - 20 + 1)
			sent[i] = l.segment(i%2 == 0, payload(pattern(round+i, n)))
			l.send(sent[i])
		}
		for echoed, deadline := 0, time.Now().Add(2*time.Second); echoed < burst; {
			n := echo(s, rx, tx)
			if n == 0 {
				s.Wait(10 * time.Millisecond)
			}
			if echoed += n; time.Now().After(deadline) {
				t.Fatalf("round %d: %d frames came of %d", round, echoed, burst)
			}
		}
		for i, frame := range sent {
			turn(frame)
			if got := l.next(buffer); !bytes.Equal(got, frame) {
				t.Fatalf("round %d, frame %d:\n got %x\nwant %x", round, i, got, frame)
			}
		}
	}
}
