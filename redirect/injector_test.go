package redirect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// TestNoAllocation holds the packet path to the conventions.
func TestNoAllocation(t *testing.T) {
	l := newLab(t, wireLike)
	_, i := l.open(Config{})
	p := l.peer(i, shape{})
	frames := [][]byte{p.segment(p.sndNxt, wire.ACK, []byte(get)), p.segment(p.sndNxt, wire.ACK, []byte(get))}
	for name, f := range map[string]func(){
		"Begin":       func() { _ = i.Begin(&p.flow, &p.state) },
		"Inject":      func() { _ = i.Inject(frames) },
		"Established": func() { _ = i.Established(&p.flow) },
		"Begin and Cancel": func() {
			_ = i.Begin(&p.flow, &p.state)
			i.Cancel(&p.flow)
		},
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// TestJumboFrames: AF_PACKET puts frames of more than a page into fragments.
func TestJumboFrames(t *testing.T) {
	l := newLab(t, nstest.Options{WireLike: true, MTU: 9000})
	startApache(t, "80")
	_, i := l.open(Config{})
	for _, s := range []shape{{mss: 8960}, {mss: 8940, v6: true}} {
		for _, size := range []int{3900, 4096, 8900} {
			p := l.peer(i, s)
			head := "GET /index.html HTTP/1.1\r\nHost: test\r\nX-Long: "
			p.handOver(head + strings.Repeat("x", size-len(head)-4) + "\r\n\r\n")
			// Apache takes 8190 octets in a line.
			if resp, _ := p.response(); resp.StatusCode != 200 && (size < 8190 || resp.StatusCode != 400) {
				t.Errorf("%d octets: %v", size, resp.Status)
			}
		}
	}
}

// TestTooLong: a frame that the interface could not have received is an error, not a loss; those before it are in.
func TestTooLong(t *testing.T) {
	l := newLab(t, wireLike)
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	good, long := p.segment(p.sndNxt, wire.ACK, nil), p.segment(p.sndNxt, wire.ACK, make([]byte, 1500))
	for _, frames := range [][][]byte{{good, long}, {good, nil}} {
		if err := i.Inject(frames); err == nil {
			t.Error("no error")
		} else {
			t.Log(err)
		}
	}
	if n := count(t, r, Injected); n == 0 {
		t.Error("the good frame was not injected")
	}
	must(t, "inject nothing", i.Inject(nil))
}

// TestBatches injects more than one sendmmsg takes, in order.
func TestBatches(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 16)
	r, i := l.open(Config{})
	p := l.peer(i, shape{})
	var frames [][]byte
	for k := range 3*batch + 1 {
		frames = append(frames, p.next(wire.ACK, fmt.Appendf(nil, "%08d", k)))
	}
	p.begin()
	p.inject(frames...)
	p.established(true)
	p.until("ACK of all", func() bool { return p.acked == p.sndNxt })
	if n := count(t, r, Injected); n != uint64(len(frames)) {
		t.Errorf("injected %d of %d", n, len(frames))
	}
	c := accept(t, ln, 5*time.Second)
	for k := range frames {
		var got int
		if _, err := fmt.Fscanf(c, "%08d", &got); err != nil || got != k {
			t.Fatalf("number %d is %d: %v", k, got, err)
		}
	}
}

// TestManyLoops has several loops at work at once, each with connections of its own.
func TestManyLoops(t *testing.T) {
	l := newLab(t, wireLike)
	ln := listen(t, 4096)
	r, _ := l.open(Config{})
	const loops, connections = 4, 200
	client := l.peer(nil, shape{})
	var wg sync.WaitGroup
	for k := range loops {
		i, err := r.Injector()
		must(t, "injector", err)
		wg.Go(func() {
			enter(t, l.server)
			for c := range connections {
				p := *client
				p.injector = i
				p.flow.RemotePort = uint16(10000 + k*connections + c)
				if err := i.Begin(&p.flow, &p.state); err != nil {
					t.Error(err)
				}
				if err := i.Inject([][]byte{p.segment(p.sndNxt, wire.ACK, []byte(get))}); err != nil {
					t.Error(err)
				}
				for tries := 0; !i.Established(&p.flow); tries++ {
					if tries == 1000 {
						t.Errorf("connection %d of loop %d was lost", c, k)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for accept(t, ln, 50*time.Millisecond) != nil {
		n++
	}
	if n != loops*connections {
		t.Errorf("%d connections, want %d", n, loops*connections)
	}
}

// TestFull: when the map is full, Begin says so, and goes on when there is room.
func TestFull(t *testing.T) {
	l := newLab(t, wireLike)
	_, i := l.open(Config{Records: 4})
	var peers []*peer
	var err error
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("the map takes more than it should")
		}
		p := l.peer(i, shape{})
		peers = append(peers, p)
		err = i.Begin(&p.flow, &p.state)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("error %v", err)
	}
	i.Cancel(&peers[0].flow)
	peers[len(peers)-1].begin()
	peers[len(peers)-1].begin() // again is not another
}

// TestCloseLeavesNothing looks for programs on the interface.
func TestCloseLeavesNothing(t *testing.T) {
	l := newLab(t, wireLike)
	attached := func() (n int) {
		for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			q, err := link.QueryPrograms(link.QueryOptions{Target: l.server.Index, Attach: where})
			must(t, "query", err)
			n += len(q.Programs)
		}
		return n
	}
	for range 2 {
		r, err := Open(Config{Interface: l.server.Interface})
		must(t, "open", err)
		if n := attached(); n != 2 {
			t.Errorf("%d programs attached", n)
		}
		_, err = r.Injector()
		must(t, "injector", err)
		must(t, "close", r.Close())
		if n := attached(); n != 0 {
			t.Errorf("%d programs left", n)
		}
	}
}

// TestXDPSeesInjectedFrames shows what xdp/bpf/injected.h is for: in generic mode XDP runs where netif_rx leads
// to. There the program must know them, or they go round for ever.
func TestXDPSeesInjectedFrames(t *testing.T) {
	for name, c := range map[string]struct {
		mode link.XDPAttachFlags
		want uint64
	}{"native": {link.XDPDriverMode, 0}, "generic": {link.XDPGenericMode, 1}} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, wireLike)
			_, i := l.open(Config{})
			seen := l.countInXDP(c.mode)
			p := l.peer(i, shape{})
			before := seen()
			p.inject(p.segment(p.sndNxt, wire.ACK, nil))
			p.until("RST", func() bool { return p.rst })
			if n := seen() - before; n != c.want {
				t.Errorf("XDP saw %d packets, want %d", n, c.want)
			}
		})
	}
}

// countInXDP attaches a program that counts frames with the injected ones' source address, and passes.
func (l *lab) countInXDP(mode link.XDPAttachFlags) func() uint64 {
	t := l.t
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	must(t, "map", err)
	t.Cleanup(func() { m.Close() })
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 34),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
		asm.LoadMem(asm.R4, asm.R2, 6, asm.Word),
		asm.JNE.Imm(asm.R4, int32(binary.LittleEndian.Uint32([]byte(injectedSource))), "pass"),
		asm.LoadMapValue(asm.R2, m.FD(), 0),
		asm.Mov.Imm(asm.R3, 1),
		asm.StoreXAdd(asm.R2, asm.R3, asm.DWord),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("pass"), // XDP_PASS
		asm.Return(),
	}})
	must(t, "program", err)
	t.Cleanup(func() { prog.Close() })
	at, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: l.server.Index, Flags: mode})
	must(t, "attach", err)
	t.Cleanup(func() { at.Close() })
	return func() (n uint64) {
		must(t, "count", m.Lookup(uint32(0), &n))
		return n
	}
}

// TestOtherPrograms: a tcx program of somebody else's that passes everything for good must not end our chain.
func TestOtherPrograms(t *testing.T) {
	l := newLab(t, wireLike)
	for _, where := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "MIT", Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 0), // TCX_PASS
			asm.Return(),
		}})
		must(t, "program", err)
		t.Cleanup(func() { prog.Close() })
		at, err := link.AttachTCX(link.TCXOptions{Program: prog, Interface: l.server.Index, Attach: where})
		must(t, "attach", err)
		t.Cleanup(func() { at.Close() })
	}
	listen(t, 16)
	_, i := l.open(Config{})
	l.peer(i, shape{}).handOver(get)
}
