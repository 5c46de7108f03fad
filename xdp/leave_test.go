package xdp

import (
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// leave says for how long SYNs are noted, and connections left, from now on.
func (l *lab) leave(note, leave time.Duration) {
	l.t.Helper()
	n, v, mask := l.program.Leaving(0)
	*n, *v, *mask = uint64(monotonic(l.t, -note)), uint64(monotonic(l.t, -leave)), testSample-1
}

const (
	aWhile     = time.Hour
	testSample = 64 // one of so many is not left
)

// aSYN is one of many.
func (l *lab) aSYN(is4 bool, port int, seq uint32) []byte {
	return l.segment(is4, syn, from(port), func(s *segment) { s.tcp.Seq = seq })
}

// testSteerLeaving: which SYNs are left to the kernel, and that they stay what they were.
func testSteerLeaving(t *testing.T) {
	l := newBench(t)
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 0))
	type one struct {
		port int
		seq  uint32
	}
	some := func(n int) (list []one) {
		for range n {
			list = append(list, one{1 + random.IntN(65535), random.Uint32()})
		}
		return list
	}
	// left returns which of them are left.
	left := func(is4 bool, list []one) (which []bool) {
		t.Helper()
		for _, o := range list {
			l.beat()
			verdict, reason := l.run(l.aSYN(is4, o.port, o.seq), 0)
			if reason == Left && verdict == xdpPass {
				covered[Left] = true
			} else if reason != Redirected || verdict != xdpRedirect {
				t.Fatalf("a SYN: verdict %d, %s", verdict, reason)
			}
			which = append(which, reason == Left)
		}
		return which
	}
	count := func(which []bool) (n int) {
		for _, is := range which {
			if is {
				n++
			}
		}
		return n
	}
	_, _, mask := l.program.Leaving(0)
	for _, is4 := range []bool{true, false} {
		l.leave(-time.Second, -time.Second)
		if n := count(left(is4, some(200))); n != 0 {
			t.Fatalf("%d of 200 are left although nobody says so", n)
		}
		l.leave(aWhile, -time.Second)
		noted := some(200)
		if n := count(left(is4, noted)); n != 0 {
			t.Fatalf("%d of 200 are left while they are noted only", n)
		}
		l.leave(aWhile, aWhile)
		if n := count(left(is4, noted)); n != 0 {
			t.Errorf("%d of 200 are left that were not the first time", n)
		}
		const many = 64 * testSample // of which 64 are expected not to be left, and 24 to 104 in nearly all cases (5 standard deviations)
		list := some(many)
		first := left(is4, list)
		if n := many - count(first); n < 24 || n > 104 {
			t.Errorf("%d of %d are not left", n, many)
		}
		again := left(is4, list)
		for k := range list {
			if first[k] != again[k] {
				t.Fatalf("port %d, SEQ %d: left %t, and when it comes again %t", list[k].port, list[k].seq, first[k], again[k])
			}
		}
		*mask /= 4
		fewer := left(is4, list)
		if n := many - count(fewer); n < 176 || n > 336 {
			t.Errorf("%d of %d are not left, of which 256 are expected", n, many)
		}
		*mask = testSample - 1
		for k, is := range left(is4, list) {
			if is != fewer[k] {
				t.Fatal("a SYN that was not left is, when the sample becomes smaller")
			}
		}
		client := some(many) // always the same flow
		for k := range client {
			client[k].port = 4321
		}
		if n := many - count(left(is4, client)); n < 24 || n > 104 {
			t.Errorf("%d of %d of one client's connections are not left", n, many)
		}

		// A SYN that would be left; who else has a say in it?
		const port = 7
		seq := uint32(0)
		for !left(is4, []one{{port, seq}})[0] {
			seq++
		}
		frame := l.aSYN(is4, port, seq)
		l.expect(t, frame, Left)
		l.expect(t, l.segment(is4, from(port), func(s *segment) { s.tcp.Seq = seq }), Redirected)
		l.expect(t, l.segment(is4, from(port), flags("R"), func(s *segment) { s.tcp.Seq = seq }), Redirected)
		entry := l.enter(l.flowOf(is4, port), 2)
		l.expect(t, frame, Ours)
		*entry = 0
		l.setState(t, true, 0)
		l.expect(t, frame, Draining)
		l.setState(t, false, 2*time.Second)
		l.expect(t, frame, StaleSYN)
		l.setState(t, false, 0)
		l.expect(t, frame, Left)
		l.leave(-1, aWhile)
		l.expect(t, frame, Redirected)
		l.leave(aWhile, aWhile)
		l.expect(t, frame, Left)
		l.leave(aWhile, -1)
		l.expect(t, frame, Redirected)
		l.leave(aWhile, aWhile)
		l.expect(t, frame, Redirected) // it was noted

		// A crowded ring leaves nobody, and what was answered then is not left later.
		odd := func(s *segment) { // only the kernel can answer so small an offer
			s.tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{1, 0}}}
		}
		for k := range 100 {
			frame := l.segment(is4, syn, odd, from(10000+k))
			l.beat()
			l.waiting(crowdedForSYNs + 1)
			l.expect(t, frame, CrowdOddSYN)
			l.waiting(0)
			l.expect(t, frame, Redirected)
		}
	}
}

// tcpOf returns what a frame has of TCP.
func tcpOf(t *testing.T, frame []byte) *layers.TCP {
	t.Helper()
	tcp, ok := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).TransportLayer().(*layers.TCP)
	if !ok {
		t.Fatalf("not TCP: %x", frame)
	}
	return tcp
}

// sendFor sends a SYN, and returns what became of it.
func (l *lab) sendFor(t *testing.T, frame []byte) Reason {
	t.Helper()
	before := l.counters()
	l.send(frame)
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		now := l.counters()
		for _, r := range []Reason{Left, Redirected, Kernel} {
			if now[r] != before[r] {
				return r
			}
		}
	}
	t.Fatal("a SYN was not seen")
	return 0
}

// shake completes a handshake with the kernel, whose SYN/ACK is the next frame, and says something that must reach the listener.
func (l *lab) shake(t *testing.T, listener net.Listener, is4 bool, port int, seq uint32) {
	t.Helper()
	answer := tcpOf(t, l.next(make([]byte, 65536)))
	for !answer.SYN || answer.DstPort != layers.TCPPort(port) { // of another connection
		answer = tcpOf(t, l.next(make([]byte, 65536)))
	}
	if answer.Ack != seq+1 {
		t.Fatalf("the kernel's answer: %+v", answer)
	}
	l.send(l.segment(is4, from(port), flags("AP"), payload([]byte("hello")), func(s *segment) { s.tcp.Seq, s.tcp.Ack = seq+1, answer.Seq+1 }))
	if err := listener.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" || conn.RemoteAddr().(*net.TCPAddr).Port != port {
		t.Fatalf("%q from %v: %v", got, conn.RemoteAddr(), err)
	}
}

// A SYN that comes again after it was decided otherwise than before makes one connection, of one end.
func TestSYNAgainWhileLeavingChanges(t *testing.T) {
	for _, is4 := range []bool{true, false} {
		t.Run("IPv4="+strconv.FormatBool(is4), func(t *testing.T) {
			l := newLab(t, nstest.Options{}, false)
			if err := l.program.Beat(monotonic(t, -aWhile)); err != nil {
				t.Fatal(err)
			}
			s := l.open(SocketConfig{})
			listener := l.listen(t)
			defer listener.Close()
			l.neighbour(is4)

			// Left, then not: the kernel knows.
			l.leave(aWhile, aWhile)
			port := 20000
			for l.sendFor(t, l.aSYN(is4, port, 7)) != Left {
				port++
			}
			l.leave(-1, -1)
			if reason := l.sendFor(t, l.aSYN(is4, port, 7)); reason != Kernel {
				t.Errorf("a SYN that was left, and comes again: %s", reason)
			}
			l.shake(t, listener, is4, port, 7)

			// Noted, then left: still not, so that there is one answer, whichever the client takes.
			l.leave(aWhile, -1)
			for port := range 200 {
				if port == 100 {
					l.leave(aWhile, aWhile)
				}
				if reason := l.sendFor(t, l.aSYN(is4, 30000+port%100, 8)); reason != Redirected {
					t.Fatalf("SYN %d, which was noted: %s", port, reason)
				}
			}
			receive(t, s, 200)

			// Answered before SYNs were noted, and the answer was lost: the kernel's is the only one.
			for reason := Redirected; reason != Left; {
				port++
				l.leave(-1, -1)
				if reason = l.sendFor(t, l.aSYN(is4, port, 9)); reason != Redirected {
					t.Fatalf("a SYN while nobody is left: %s", reason)
				}
				l.leave(aWhile, aWhile)
				reason = l.sendFor(t, l.aSYN(is4, port, 9))
			}
			l.shake(t, listener, is4, port, 9)
		})
	}
}
