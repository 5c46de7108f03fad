package dataplane

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// world is a loop in a simulated network, with the real cache behind it.
type world struct {
	t    *testing.T
	net  *netsim.Net
	loop *Loop
}

// stepper is the loop as netsim sees it.
type stepper struct{ *Loop }

func (s stepper) Step(now int64) int64 { return int64(s.Loop.Step(tcpstate.Time(now))) }

func newWorld(t *testing.T, seed uint64, host netsim.HostConfig) *world {
	t.Helper()
	n := netsim.New(seed, host)
	s := newStage(t, func(cfg *Config) {
		cfg.Device, cfg.Handover, cfg.KeepAliveRequests = n.Device, n.Kernel, -1
		cfg.LocalMAC = wire.MAC(netsim.HostMAC())
	})
	w := &world{t, n, s.loop}
	n.Serve(stepper{s.loop}, w.check)
	return w
}

// check holds the invariants, after each step.
func (w *world) check() {
	l := w.loop
	live := uint64(0)
	for st, v := range l.count.Connections {
		if v > uint64(l.slots.used) {
			w.net.Failf("%d connections in %v with %d slots in use", v, tcpstate.State(st), l.slots.used)
		}
		live += v
	}
	if live+l.count.Handing != uint64(l.slots.used) {
		w.net.Failf("%d connections and %d being handed over in %d slots", live, l.count.Handing, l.slots.used)
	}
	if l.txHave-l.txUsed > batch || l.txUsed != 0 {
		w.net.Failf("%d frames filled and %d lent after a step", l.txUsed, l.txHave)
	}
}

// finish lets everything come to its end: no connection, no work, no timer, no frame astray.
func (w *world) finish(c *netsim.Client) {
	w.t.Helper()
	c.Close()
	if err := w.net.RunUntil(10*time.Minute, func() bool { return w.loop.slots.used == 0 && c.Over() }); err != nil {
		w.t.Fatalf("at the end: %v (%d slots in use)", err, w.loop.slots.used)
	}
	if err := w.net.Run(time.Second); err != nil { // for what is still on its way
		w.t.Fatal(err)
	}
	if w.loop.work.usedWorks != 0 || w.loop.wheel.held != 0 {
		w.t.Errorf("%d works and %d timers are left", w.loop.work.usedWorks, w.loop.wheel.held)
	}
	if err := w.net.Device.Check(batch); err != nil {
		w.t.Error(err)
	}
}

// answers waits for n responses and checks that their bodies are want, in order.
func (w *world) answers(c *netsim.Client, want ...string) {
	w.t.Helper()
	total := 0
	for _, body := range want {
		total += len(body)
	}
	done := func() bool { return len(c.Received()) > total && w.whole(c.Received(), want, false) }
	if err := w.net.RunUntil(20*time.Minute, done); err != nil {
		w.t.Fatalf("%d octets received: %v", len(c.Received()), err)
	}
	w.whole(c.Received(), want, true)
}

func (w *world) whole(stream []byte, want []string, tell bool) bool {
	in := bufio.NewReader(bytes.NewReader(stream))
	for k, body := range want {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return false
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			return false
		}
		if tell && string(got) != body {
			w.t.Fatalf("response %d has %d octets that are not those of its object", k, len(got))
		}
	}
	return true
}

// Many kinds of links and clients, chosen by chance: pipelined static objects and then a body for the kernel's server
// come through whole, in order, and leave nothing behind.
func TestVirtualMatrix(t *testing.T) {
	base := netsim.Seed(t, 2026) // NETSIM_SEED=… looks elsewhere
	for k := range uint64(120) {
		rnd := rand.New(rand.NewPCG(base, k))
		pick := func(v ...float64) float64 { return v[rnd.IntN(len(v))] }
		link := func() netsim.Link {
			return netsim.Link{
				Delay: time.Duration(pick(0, 0.1, 5, 50) * float64(time.Millisecond)), Jitter: time.Duration(pick(0, 1) * float64(time.Millisecond)),
				Loss: pick(0, 0, 0.01, 0.05), Duplicate: pick(0, 0, 0.02), Reorder: pick(0, 0, 0.05), ReorderBy: 3 * time.Millisecond,
			}
		}
		cfg := netsim.ClientConfig{
			Up: link(), Down: link(), IPv6: rnd.IntN(2) == 0, MSS: int(pick(1300, 1460, 9000)), Scale: int(pick(0, 7, netsim.Unscaled)),
			SACK: rnd.IntN(2) == 0, Timestamps: rnd.IntN(2) == 0, NoHandshakeACK: rnd.IntN(3) == 0, PartialChecksums: rnd.IntN(2) == 0,
		}
		if !cfg.PartialChecksums { // which protect nothing: such frames never see a wire
			cfg.Up.Corrupt = pick(0, 0, 0.01)
		}
		cfg.AckEvery = int(pick(0, 2))
		if rnd.IntN(4) == 0 {
			cfg.Buffer = 5000
		}
		if rnd.IntN(4) == 0 {
			cfg.Cut = func() int { return 1 + rnd.IntN(60) }
		}
		host := netsim.HostConfig{}
		if rnd.IntN(4) == 0 {
			host = netsim.HostConfig{RxFrames: 16, TxFrames: 8, TxTime: 20 * time.Microsecond}
		}
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			w := newWorld(t, base^k, host)
			w.net.Kernel.AcceptFull = rnd.IntN(3)
			c := w.net.Dial(cfg)
			gets := 1 + rnd.IntN(6)
			var want []string
			for range gets {
				if rnd.IntN(2) == 0 {
					c.Send([]byte(getSmall))
					want = append(want, small)
				} else {
					c.Send([]byte(getLarge))
					want = append(want, large)
				}
			}
			w.answers(c, want...)
			body := strings.Repeat("body of a form ", 1+rnd.IntN(6000))
			c.Send(fmt.Appendf(nil, "POST /cgi HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			if err := w.net.RunUntil(20*time.Minute, func() bool { return len(w.net.Kernel.Requests(c)) == 1 && c.Acked() > 0 }); err != nil {
				t.Fatalf("hand-over: %v (%+v)", err, w.loop.count.Drops)
			}
			sum := sha256.Sum256([]byte(body))
			if got := w.net.Kernel.Requests(c)[0]; sha256.Sum256(got.Body) != sum {
				t.Errorf("the kernel's server received %d octets of %d, or others (%s)", len(got.Body), len(body), hex.EncodeToString(sum[:4]))
			}
			w.finish(c)
		})
	}
}
