package dataplane

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// stage is a loop between a device made of slices and a kernel that only takes notes. Its client is whatever the test
// sends; frames are built and decoded by gopacket.
type stage struct {
	t      testing.TB
	loop   *Loop
	device *fakeDevice
	kernel *fakeKernel
	store  *fakeStore
	now    tcpstate.Time
	port   layers.TCPPort
}

type fakeDevice struct {
	in   [][]byte
	sent [][]byte
	room int // frames that may still be lent
	lent int
}

func (d *fakeDevice) Receive(frames [][]byte) int {
	n := copy(frames, d.in)
	d.in = d.in[n:]
	return n
}

func (d *fakeDevice) Alloc(frames [][]byte) int {
	n := min(len(frames), d.room)
	for k := range frames[:n] {
		frames[k] = make([]byte, 2048)
	}
	d.room -= n
	d.lent += n
	return n
}

func (d *fakeDevice) Send(frames [][]byte) int {
	d.lent -= len(frames)
	d.sent = append(d.sent, frames...)
	return len(frames)
}

func (d *fakeDevice) Wait(time.Duration) {}

// fakeKernel notes the order of calls and takes a flow over after refuse injections of its first octet.
type fakeKernel struct {
	calls    []string
	injected [][]byte
	begun    tcpstate.Handover
	beginErr error
	refuse   int
	owns     bool
}

func (k *fakeKernel) Begin(_ *wire.Flow, h *tcpstate.Handover) error {
	k.calls = append(k.calls, "begin")
	k.begun = *h
	return k.beginErr
}

func (k *fakeKernel) Inject(frames [][]byte) error {
	k.calls = append(k.calls, "inject")
	for _, f := range frames {
		k.injected = append(k.injected, append([]byte(nil), f...))
	}
	if k.refuse--; k.refuse < 0 {
		k.owns = true
	}
	return nil
}

func (k *fakeKernel) Established(*wire.Flow) bool {
	k.calls = append(k.calls, "established")
	return k.owns
}

func (k *fakeKernel) Cancel(*wire.Flow) { k.calls = append(k.calls, "cancel") }

type fakeStore struct {
	cache  *filecache.Cache
	wanted []string
}

func (s *fakeStore) Lookup(local [16]byte, r *httpwire.Request) *filecache.Object {
	return s.cache.Lookup(local, r)
}
func (s *fakeStore) Want(_ [16]byte, r *httpwire.Request) {
	s.wanted = append(s.wanted, string(r.Target))
}

func (s *fakeStore) Filled() uint64 { return s.cache.Filled() }

// requestOf is a plain request for a target.
func requestOf(target string) *httpwire.Request {
	return &httpwire.Request{Target: []byte(target), Path: []byte(target)}
}

const (
	small = "0123456789"
	mtu   = 1500
)

var large = strings.Repeat("abcdefghij", 10000)

// stageIdle is what the stage's responses say of how long an idle connection is kept.
const stageIdle = 7 * time.Second

var (
	localMAC  = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	remoteMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	local     = net.IPv4(192, 0, 2, 1)
	remote    = net.IPv4(192, 0, 2, 77)
)

func newStage(t testing.TB, change func(*Config)) *stage {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	types := filepath.Join(t.TempDir(), "types")
	if err := os.WriteFile(types, []byte("text/plain txt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for name, body := range map[string]string{"small.txt": small, "large.txt": large, "kilo.txt": large[:1024]} {
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil { //nolint:gosec // must be world-readable
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	cache, err := filecache.New(filecache.Options{Site: filecache.Site{Roots: []filecache.Root{{Prefix: "/", Dir: root}}}, MimeTypes: types, KeepAliveRequests: -1, KeepAliveTimeout: stageIdle})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/small.txt", "/large.txt", "/kilo.txt"} {
		if why := cache.Fill(t.Context(), [16]byte{}, requestOf(target)); why != filecache.Taken {
			t.Fatalf("fill %s: %v", target, why)
		}
	}
	s := &stage{
		t: t, device: &fakeDevice{room: 1 << 30}, kernel: &fakeKernel{}, store: &fakeStore{cache: cache},
		now: 1e15, port: 40000,
	}
	cfg := Config{
		Device: s.device, Handover: s.kernel, Store: s.store, Unix: func() int64 { return 1.7e9 },
		Listener: tcpstate.NewListener(tcpstate.DefaultConfig(), wire.Key{K0: 1, K1: 2}),
		LocalMAC: wire.MAC(localMAC), MTU: mtu, MaxConns: 100, MaxBuffers: 10,
	}
	if change != nil {
		change(&cfg)
	}
	if s.loop, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is one connection of the test's making: MSS 1460, and timestamps if tsval is set.
type client struct {
	*stage
	from         net.IP // nil: remote
	port         layers.TCPPort
	seq, ack     uint32
	tsval, tsecr uint32
}

func (s *stage) client() *client {
	s.port++
	return &client{stage: s, port: s.port, seq: 1000}
}

// clientFrom returns one with an address of its own.
func (s *stage) clientFrom(last byte) *client {
	c := s.client()
	c.from = net.IPv4(198, 51, 100, last)
	return c
}

// give sends a segment to the loop without letting it run.
func (c *client) give(tcp layers.TCP, payload string) {
	c.t.Helper()
	eth := layers.Ethernet{SrcMAC: remoteMAC, DstMAC: localMAC, EthernetType: layers.EthernetTypeIPv4}
	from := remote
	if c.from != nil {
		from = c.from
	}
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from, DstIP: local}
	tcp.SrcPort, tcp.DstPort, tcp.Window = c.port, 80, 65535
	if c.tsval != 0 {
		data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, c.tsval), c.tsecr)
		tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: data})
	}
	if err := tcp.SetNetworkLayerForChecksum(&ip); err != nil {
		c.t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, &eth, &ip, &tcp, gopacket.Payload(payload)); err != nil {
		c.t.Fatal(err)
	}
	c.device.in = append(c.device.in, append([]byte(nil), buf.Bytes()...))
}

// say sends octets in order, acknowledging everything that was received.
func (c *client) say(payload string) {
	c.t.Helper()
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true, PSH: true}, payload)
	c.seq += uint32(len(payload))
}

func (c *client) acknowledge() {
	c.t.Helper()
	c.give(layers.TCP{Seq: c.seq, Ack: c.ack, ACK: true}, "")
}

// connect shakes hands.
func (c *client) connect() {
	c.t.Helper()
	c.give(layers.TCP{Seq: c.seq, SYN: true, Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}}, "")
	c.run(0)
	got := c.take()
	if len(got) != 1 || !got[0].SYN || !got[0].ACK || got[0].Ack != c.seq+1 {
		c.t.Fatalf("answer to SYN: %+v", got)
	}
	c.seq++
	c.ack = got[0].Seq + 1
	c.echo(got[0])
	c.acknowledge()
	c.run(0)
}

// run lets the loop step, d later.
func (s *stage) run(d time.Duration) {
	s.now += tcpstate.Time(d)
	s.loop.Step(s.now)
}

// take decodes what was sent since the last call, with gopacket checking the checksums.
func (s *stage) take() (segments []*layers.TCP) {
	s.t.Helper()
	for _, frame := range s.device.sent {
		segments = append(segments, decode(s.t, frame))
	}
	s.device.sent = nil
	return segments
}

// receive takes what was sent, in order, moves ack, and returns the octets.
func (c *client) receive() (octets string, last *layers.TCP) {
	c.t.Helper()
	for _, seg := range c.take() {
		if seg.DstPort != c.port {
			continue
		}
		if len(seg.Payload) > 0 && seg.Seq == c.ack {
			c.ack += uint32(len(seg.Payload))
			octets += string(seg.Payload)
		}
		if seg.FIN && seg.Seq+uint32(len(seg.Payload)) == c.ack {
			c.ack++
		}
		c.echo(seg)
		last = seg
	}
	return octets, last
}

func (c *client) echo(seg *layers.TCP) {
	for _, o := range seg.Options {
		if o.OptionType == layers.TCPOptionKindTimestamps {
			c.tsecr = binary.BigEndian.Uint32(o.OptionData)
		}
	}
}

func (s *stage) counters() (c Counters) {
	s.loop.Snapshot(&c)
	return c
}

// idle asserts that nothing is held any more.
func (s *stage) idle() {
	s.t.Helper()
	if c := s.counters(); s.loop.slots.used != 0 || s.loop.work.usedWorks != 0 || s.loop.wheel.held != 0 || c.Live() != 0 {
		s.t.Errorf("still held: %d slots, %d works, %d timers, %d live", s.loop.slots.used, s.loop.work.usedWorks, s.loop.wheel.held, c.Live())
	}
}

var errFull = errors.New("full")
