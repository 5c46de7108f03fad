package xdp

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

func TestNoAllocationOnTheWire(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{})
	frame := l.segment(true, payload([]byte("GET / HTTP/1.1\r\n")))
	rx, tx := make([][]byte, 64), make([][]byte, 64)
	allocs := testing.AllocsPerRun(200, func() {
		for range 32 {
			if _, err := unix.Write(l.wire, frame); err != nil {
				t.Error(err)
			}
		}
		for n := 0; n < 32; {
			s.Wait(time.Second)
			n += echo(s, rx, tx)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for 32 packets, want none", allocs)
	}
	mustBeAccounted(t, s)
}

// TestSpinOnOneCPU: a process that is kept on one of several CPUs looks before it sleeps, as any other.
func TestSpinOnOneCPU(t *testing.T) {
	if !severalCPUs() {
		t.Skip("needs several CPUs: the machine has one")
	}
	if os.Getenv("XDP_TEST_KEPT") == "" { // Go counts CPUs when a process begins
		cmd := exec.Command(nstest.RequireTool(t, "taskset", "util-linux"), "-c", "0", os.Args[0], "-test.run", "^TestSpinOnOneCPU$")
		cmd.Env = append(os.Environ(), "XDP_TEST_KEPT=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if n := runtime.NumCPU(); n != 1 {
		t.Fatalf("the process may run on %d CPUs", n)
	}
	var c SocketConfig
	if c.setDefaults(); c.Spin != DefaultSpin {
		t.Errorf("Spin is %v", c.Spin)
	}
}

// TestEveryQueue binds a socket to each queue of an interface. Every queue gets some flows, and a flow stays with its queue.
func TestEveryQueue(t *testing.T) {
	const queues, flows = 4, 64
	l := newLab(t, nstest.Options{Queues: queues}, false)
	if n := l.program.Queues(); n != queues {
		t.Fatalf("%d queues, want %d", n, queues)
	}
	var sockets [queues]*Socket
	for q := range sockets {
		sockets[q] = l.open(SocketConfig{Queue: q, FillRing: 512, RXRing: 512, TXRing: 64, CompletionRing: 64})
	}
	for round := range 3 {
		for flow := range flows {
			l.send(l.segment(flow%2 == 0, from(1000+flow), payload([]byte{byte(round)})))
		}
	}
	queueOf := map[byte]int{}
	total := 0
	var frames [64][]byte
	for deadline := time.Now().Add(2 * time.Second); total < 3*flows && time.Now().Before(deadline); {
		for q, s := range sockets {
			n := s.Receive(frames[:])
			total += n
			for _, f := range frames[:n] {
				port := f[14+20+1]
				if f[12] != 0x08 {
					port = f[14+40+1]
				}
				if before, ok := queueOf[port]; ok && before != q {
					t.Errorf("a flow came in queue %d and in queue %d", before, q)
				}
				queueOf[port] = q
			}
		}
	}
	used := map[int]int{}
	for _, q := range queueOf {
		used[q]++
	}
	if total != 3*flows || len(queueOf) != flows || len(used) != queues {
		t.Errorf("%d packets of %d flows, flows by queue: %v", total, len(queueOf), used)
	}
	for _, s := range sockets {
		mustBeAccounted(t, s)
	}
}

// TestTXRingThatNobodyEmpties: while the interface is down, the kernel takes nothing, and all frames stay where they are.
func TestTXRingThatNobodyEmpties(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{TXRing: 64, CompletionRing: 64})
	frame := l.segment(true)
	turn(frame)
	tx := make([][]byte, 64)

	l.server.Exec("ip", "link", "set", "dev", l.server.Interface, "down")
	n := s.Alloc(tx)
	for i := range tx[:n] {
		tx[i] = tx[i][:copy(tx[i], frame)]
	}
	if queued := s.Send(tx[:n]); n != 64 || queued != 64 {
		t.Fatalf("%d lent, %d queued, of 64", n, queued)
	}
	if n := s.Alloc(tx); n != 0 {
		t.Fatalf("%d frames lent that are in the TX ring", n)
	}
	begin := time.Now()
	s.Wait(50 * time.Millisecond)
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("Wait for frames that cannot be sent ended after %v", took)
	}
	if err := s.accounted(); err != nil || s.tx.length() != 64 {
		t.Fatalf("TX ring has %d frames of 64: %v", s.tx.length(), err)
	}

	up := make(chan error)
	go func() { // not by a command, whose end would interrupt the poll
		time.Sleep(100 * time.Millisecond)
		var err error
		l.server.Do(func() { err = netlink.LinkSetUp(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: l.server.Index}}) })
		up <- err
	}()
	begin = time.Now()
	s.Wait(10 * time.Second) // tries again by itself, and ends because frames are free
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("waited %v for frames that could be sent after 0.1 s", took)
	}
	if err := <-up; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Second); s.tx.length() > 0 && time.Now().Before(deadline); {
		s.Wait(0)
	}
	mustBeAccounted(t, s)
	if n := s.Alloc(tx); n != 64 {
		t.Errorf("%d frames of 64 came back", n)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

// TestWaitOffersAgain: what the kernel did not take when it was sent goes out by the next Wait, however short.
func TestWaitOffersAgain(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{})
	tx := make([][]byte, 1)
	s.Alloc(tx)
	tx[0] = tx[0][:copy(tx[0], l.segment(true))]
	l.server.Exec("ip", "link", "set", "dev", l.server.Interface, "down")
	s.Send(tx)
	l.server.Exec("ip", "link", "set", "dev", l.server.Interface, "up")
	if n := s.tx.length(); n != 1 {
		t.Fatalf("TX ring has %d frames, want the one that could not be sent", n)
	}
	s.Wait(0)
	if n := s.tx.length(); n != 0 {
		t.Errorf("%d frames are still in the TX ring", n)
	}
	mustBeAccounted(t, s)
}

// TestSendOfMoreThanTheBudget: one call to the kernel does not take so many.
func TestSendOfMoreThanTheBudget(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{})
	tx := make([][]byte, 2000)
	if n := s.Alloc(tx); n != len(tx) {
		t.Fatalf("%d frames", n)
	}
	for i := range tx {
		frame := l.segment(true, payload([]byte{byte(i >> 8), byte(i)}))
		turn(frame)
		tx[i] = tx[i][:copy(tx[i], frame)]
	}
	if n := s.Send(tx); n != len(tx) {
		t.Fatalf("queued %d", n)
	}
	buffer := make([]byte, 2048)
	for i := range tx {
		if got := l.next(buffer); !bytes.HasSuffix(got, []byte{byte(i >> 8), byte(i)}) {
			t.Fatalf("frame %d: %x", i, got)
		}
	}
	mustBeAccounted(t, s)
}

// TestSendOfWhatTheDeviceRefuses: a frame longer than the MTU is lost, as on any link, but not to us.
func TestSendOfWhatTheDeviceRefuses(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{TXRing: 64, CompletionRing: 64})
	for range 10 {
		tx := make([][]byte, 64)
		if n := s.Alloc(tx); n != 64 {
			t.Fatalf("%d frames of 64", n)
		}
		for _, frame := range tx { // whole frames, 4,096 octets
			turn(frame[:copy(frame, l.segment(true))])
		}
		s.Send(tx)
		mustBeAccounted(t, s)
	}
}

func TestWaitIsWokenByAFrame(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	for _, spin := range []time.Duration{-1, 10 * time.Second} {
		s := l.open(SocketConfig{Spin: spin})
		frame := l.segment(true)
		sent := make(chan error)
		go func() {
			time.Sleep(20 * time.Millisecond)
			_, err := unix.Write(l.wire, frame)
			sent <- err
		}()
		begin := time.Now()
		s.Wait(10 * time.Second)
		if took := time.Since(begin); took < 10*time.Millisecond || took > 5*time.Second {
			t.Errorf("spin %v: waited %v", spin, took)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		receive(t, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReceiverThatIsTooSlowIsCounted(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{FillRing: 64, RXRing: 64})
	for range 100 {
		l.send(l.segment(true))
	}
	receive(t, s, 64)
	stats, err := s.Statistics()
	if err != nil || stats.FillRingEmpty+stats.RXRingFull+stats.RXDropped < 36 {
		t.Errorf("statistics %+v, %v; want 36 packets lost", stats, err)
	}
	s.Receive(nil) // the kernel gets the frames back
	l.send(l.segment(true))
	receive(t, s, 1)
	mustBeAccounted(t, s)
}

// TestQueueThatIsTaken: a predecessor's socket is waited for, and named when it stays.
func TestQueueThatIsTaken(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	first := l.open(SocketConfig{})
	l.server.Do(func() {
		_, err := OpenSocket(SocketConfig{Interface: l.server.Interface, BindTimeout: 50 * time.Millisecond})
		if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "stop its process") {
			t.Errorf("second socket on a queue: %v", err)
		}
	})
	closed := make(chan error)
	go func() {
		time.Sleep(100 * time.Millisecond)
		closed <- first.Close()
	}()
	second := l.open(SocketConfig{})
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	l.send(l.segment(false))
	receive(t, second, 1)
}

func TestCloseAndReopen(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	for range 20 {
		s := l.open(SocketConfig{})
		l.beat()
		l.send(l.segment(true))
		receive(t, s, 1)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Statistics(); err == nil {
			t.Error("a closed socket has statistics")
		}
	}
}

// TestInterfaceThatGoesAway: the socket says so, keeps its frames in order, and sleeps instead of spinning.
func TestInterfaceThatGoesAway(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{})
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	l.client.Exec("ip", "link", "del", l.client.Interface)
	for deadline := time.Now().Add(2 * time.Second); s.Err() == nil; s.Wait(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Err does not tell that the interface is gone")
		}
	}
	s.gone.Store(false) // also if it never sleeps
	s.spin = time.Hour
	if s.Wait(time.Millisecond); s.Err() == nil {
		t.Error("Err does not tell that the interface is gone, of a socket that spins")
	}
	tx := make([][]byte, 1)
	s.Alloc(tx)
	s.Send(tx)
	begin := time.Now()
	s.Wait(50 * time.Millisecond)
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("waited %v", took)
	}
	if err := s.accounted(); err != nil {
		t.Error(err)
	}
}

func TestSocketErrorsSayWhatToDo(t *testing.T) {
	l := newLab(t, nstest.Options{Queues: 2}, false)
	name := l.server.Interface
	l.server.Exec("ip", "link", "add", "large", "mtu", "9000", "type", "veth", "peer", "name", "other")
	for _, c := range []struct {
		cfg  SocketConfig
		want string
	}{
		{SocketConfig{Interface: "absent"}, `look up interface "absent"`},
		{SocketConfig{Interface: name, Queue: 2}, "no such queue"},
		{SocketConfig{Interface: name, TXRing: 100}, "size 100 of a ring or frame is not a power of two"},
		{SocketConfig{Interface: name, FrameSize: 1024}, "frame size 1024"},
		{SocketConfig{Interface: name, CompletionRing: 64}, "completion ring (64) is smaller"},
		{SocketConfig{Interface: "large", FrameSize: 2048}, "'ip link set dev large mtu 1778'"},
		{SocketConfig{Interface: name, FrameSize: 2048, FillRing: 64}, ""},
	} {
		l.server.Do(func() {
			s, err := OpenSocket(c.cfg)
			if c.want == "" && err == nil {
				s.Close()
				return
			}
			if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c.cfg, err)
			}
		})
	}
}
