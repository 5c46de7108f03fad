package dataplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// simWorld is a loop on a simulated network. After each of its steps, its books are compared with each other.
type simWorld struct {
	*netsim.Net
	t    *testing.T
	loop *Loop
}

// simSizes are the static objects: /0.txt has no octet, /1.txt has one, and so on.
var simSizes = []int{0, 1, 100, 1400, 10_000, 100_000, 2_000_000, 20_000_000}

func simBody(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*11 + i>>8*7 + i>>16)
	}
	return b
}

var simStore = sync.OnceValues(func() (*filecache.Cache, error) {
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // what is filled stays
	types, root := filepath.Join(dir, "types"), filepath.Join(dir, "root")
	if err := os.WriteFile(types, []byte("text/plain txt\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(root, 0o755); err != nil { //nolint:gosec // must be world-readable
		return nil, err
	}
	cache, err := filecache.New(filecache.Options{Root: root, MimeTypes: types, KeepAliveRequests: -1})
	if err != nil {
		return nil, err
	}
	for _, size := range simSizes {
		name := fmt.Sprintf("%d.txt", size)
		if err := os.WriteFile(filepath.Join(root, name), simBody(size), 0o644); err != nil { //nolint:gosec // must be world-readable
			return nil, err
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(root, name), old, old); err != nil {
			return nil, err
		}
		if why := cache.Fill(context.Background(), "/"+name); why != filecache.Taken {
			return nil, fmt.Errorf("fill %s: %v", name, why)
		}
	}
	return cache, nil
})

// simSetup is what a world is made of.
type simSetup struct {
	host netsim.HostConfig
	tcp  tcpstate.Config
	loop Config
}

func newSim(t *testing.T, seed uint64, changes ...func(*simSetup)) *simWorld {
	t.Helper()
	cache, err := simStore()
	if err != nil {
		t.Fatal(err)
	}
	s := simSetup{tcp: tcpstate.DefaultConfig()}
	s.tcp.KeepAliveTimeout = 30 * tcpstate.Second // so that nothing but loss makes a client lose its connection
	s.loop = Config{
		Store: &fakeStore{cache: cache}, Unix: func() int64 { return 1.7e9 },
		LocalMAC: netsim.HostMAC(), MaxConns: 300, MaxBuffers: 100, KeepAliveRequests: -1,
	}
	for _, change := range changes {
		change(&s)
	}
	w := &simWorld{Net: netsim.New(seed, s.host), t: t}
	s.loop.Device, s.loop.Handover = w.Device, w.Kernel
	s.loop.Listener = tcpstate.NewListener(s.tcp, wire.Key{K0: seed, K1: 2})
	if w.loop, err = New(s.loop); err != nil {
		t.Fatal(err)
	}
	w.Serve(netsim.ServerFunc(func(now int64) int64 { return int64(w.loop.Step(tcpstate.Time(now))) }), w.audit)
	return w
}

func (w *simWorld) counters() (c Counters) {
	w.loop.Snapshot(&c)
	return c
}

// audit compares the loop's books with each other. It is called after each step.
func (w *simWorld) audit() {
	l := w.loop
	var states [tcpstate.NumStates]uint64
	var handing, buffers, works, ready, timers uint64
	l.slots.each(func(i uint32) {
		s := l.slots.at(i)
		if l.slots.find(&s.flow) != i {
			w.Failf("slot %d is not found by its flow", i)
		}
		if s.flags&flagHanding != 0 {
			handing++
		} else {
			states[s.counted]++
			if s.counted != s.conn.State() {
				w.Failf("slot %d is in %v, but counted in %v", i, s.conn.State(), s.counted)
			}
		}
		if s.flags&flagReady != 0 {
			ready++
		}
		if s.timer.place != 0 {
			timers++
		} else if s.conn.Deadline() != 0 {
			w.Failf("slot %d has a deadline, but no timer", i)
		}
		if s.work != 0 {
			works++
			if l.work.held(s) != nil {
				buffers++
			}
		}
	})
	c := w.counters()
	freeBufs := uint64(l.work.freshBuf) - 1 - uint64(len(l.work.freeBufs))
	switch {
	case c.Connections != states || c.Handing != handing:
		w.Failf("counted %v and %d handing, there are %v and %d", c.Connections, c.Handing, states, handing)
	case works != uint64(l.work.usedWorks) || buffers != freeBufs || buffers != c.Buffers:
		w.Failf("%d works and %d buffers are held, %d and %d (or %d) in use", works, buffers, l.work.usedWorks, freeBufs, c.Buffers)
	case timers != uint64(l.wheel.held):
		w.Failf("%d timers run, the wheel holds %d", timers, l.wheel.held)
	case l.txUsed > 0 && w.Device.Lent() < l.txHave, w.Device.Lent() != l.txHave:
		w.Failf("%d frames are lent, the loop holds %d", w.Device.Lent(), l.txHave)
	}
	for i, n := l.ready.head, ready; i != 0; i = l.slots.at(i).after {
		if n--; n+1 == 0 || l.slots.at(i).flags&flagReady == 0 {
			w.Failf("the ready list is broken at slot %d", i)
			return
		}
	}
}

// end lets all time-outs pass, and asserts that nothing is left of anything.
func (w *simWorld) end() {
	w.t.Helper()
	if err := w.Run(5 * time.Minute); err != nil {
		w.t.Fatal(err)
	}
	c := w.counters()
	if w.loop.slots.used != 0 || w.loop.work.usedWorks != 0 || w.loop.wheel.held != 0 || c.Live() != 0 || c.Buffers != 0 {
		w.t.Errorf("left: %d slots, %d works, %d timers, %d live, %d buffers", w.loop.slots.used, w.loop.work.usedWorks, w.loop.wheel.held, c.Live(), c.Buffers)
	}
	for _, o := range w.loop.work.objects {
		if o != nil {
			w.t.Errorf("%s is still referred to", o.Target())
		}
	}
	if err := w.Device.Check(batch); err != nil {
		w.t.Error(err)
	}
	if n := w.Kernel.Records(); n != 0 {
		w.t.Errorf("%d records are left", n)
	}
}

// simTalk is a client with requests to make, and what it expects of the answers.
type simTalk struct {
	c         *netsim.Client
	w         *simWorld
	requests  []simRequest
	pipelined bool
	// send gives the octets of a request to the client; by default Client.Send.
	send func(octets []byte)

	asked, got int
	answers    netsim.Answers
	last       *netsim.Response
	handed     bool // from some request on, the kernel answers
}

type simRequest struct {
	method, target, version string // default GET and HTTP/1.1
	fields                  string
	body                    []byte
	size                    int // of the static object; -1: the kernel's
}

// static asks for the object of so many octets.
func static(size int) simRequest { return simRequest{target: fmt.Sprintf("/%d.txt", size), size: size} }

func dynamic(target string) simRequest { return simRequest{target: target, size: -1} }

func simPost(body []byte) simRequest {
	return simRequest{method: "POST", target: "/cgi-bin/form", body: body, size: -1}
}

func (r *simRequest) verb() string {
	if r.method == "" {
		return "GET"
	}
	return r.method
}

func (r *simRequest) octets() []byte {
	version := r.version
	if version == "" {
		version = "HTTP/1.1"
	}
	fields := r.fields
	if r.body != nil {
		fields += fmt.Sprintf("Content-Length: %d\r\n", len(r.body))
	}
	return append([]byte(r.verb()+" "+r.target+" "+version+"\r\nHost: h\r\n"+fields+"\r\n"), r.body...)
}

func (w *simWorld) talk(cfg netsim.ClientConfig, requests ...simRequest) *simTalk {
	c := w.Dial(cfg)
	return &simTalk{c: c, w: w, requests: requests, send: c.Send}
}

// done goes on with the conversation, and reports whether all answers are there.
func (k *simTalk) done() bool {
	for k.asked < len(k.requests) && (k.pipelined || k.asked == k.got) {
		k.send(k.requests[k.asked].octets())
		k.asked++
	}
	for k.got < k.asked {
		r, err := k.answers.Next(k.c.Received(), k.requests[k.got].verb())
		if err != nil {
			k.w.Failf("%v", err)
		}
		if r == nil {
			return false
		}
		k.check(r)
		k.got++
		if k.got == k.asked && !k.pipelined {
			return k.done()
		}
	}
	return k.got == len(k.requests)
}

// check compares an answer with what it should be.
func (k *simTalk) check(r *netsim.Response) {
	q := &k.requests[k.got]
	k.last = r
	k.handed = k.handed || q.size < 0
	want := []byte(nil)
	switch {
	case r.StatusCode != 200:
		k.w.Failf("answer %d has status %d", k.got, r.StatusCode)
	case r.FromKernel() != k.handed:
		k.w.Failf("answer %d is the kernel's: %v", k.got, r.FromKernel())
	case k.handed:
		want = fmt.Appendf(nil, "%s %s %d %x\n", q.verb(), q.target, len(q.body), sha256.Sum256(q.body))
	default:
		want = simBody(q.size)
	}
	if r.ContentLength != int64(len(want)) {
		k.w.Failf("answer %d says that it has %d octets, want %d", k.got, r.ContentLength, len(want))
	}
	if q.verb() == "HEAD" {
		want = nil
	}
	if !bytes.Equal(r.Body, want) {
		k.w.Failf("answer %d has %d octets, which are not the %d that were expected", k.got, len(r.Body), len(want))
	}
}

// finish lets the conversations come to their ends, within d.
func (w *simWorld) finish(d time.Duration, talks ...*simTalk) {
	w.t.Helper()
	for _, k := range talks { // all of them go on while one is waited for
		if err := w.RunUntil(d, func() bool {
			for _, other := range talks {
				if other != k {
					other.done()
				}
			}
			return k.done()
		}); err != nil {
			w.t.Fatalf("%d of %d answers: %v", k.got, len(k.requests), err)
		}
	}
}

// close closes the clients' side, and asserts that the connections end by FINs.
func (w *simWorld) close(talks ...*simTalk) {
	w.t.Helper()
	for _, k := range talks {
		k.c.Close()
	}
	for _, k := range talks {
		if err := w.RunUntil(2*time.Minute, k.c.Over); err != nil {
			w.t.Fatal(err)
		}
		if k.c.WasReset() {
			w.t.Error("the connection was reset")
		}
	}
}

// handovers lists the reasons that were counted, with their numbers.
func (w *simWorld) handovers() string {
	var list []string
	c := w.counters()
	for r, n := range c.Handovers {
		if n > 0 {
			list = append(list, fmt.Sprintf("%v %d", Reason(r), n))
		}
	}
	return strings.Join(list, ", ")
}
