package dataplane

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// sweepCell is one kind of path and client.
type sweepCell struct {
	rtt                      time.Duration
	loss, reorder, duplicate float64
	rate                     int // octets a second towards the client, 0: any
	queue                    string
	mss                      int
	control                  tcpstate.Control
}

func (c sweepCell) String() string {
	return fmt.Sprintf("%v, %v: loss %g, reordering %g, duplication %g, %d octets/s with queue %s, MSS %d",
		c.control, c.rtt, c.loss, c.reorder, c.duplicate, c.rate, c.queue, c.mss)
}

// randomCell draws from the grid.
func randomCell(r *rand.Rand) sweepCell {
	pick := func(v ...float64) float64 { return v[r.IntN(len(v))] }
	return sweepCell{
		rtt:  time.Duration(pick(0, 1, 20, 80, 200, 600) * float64(ms)),
		loss: pick(0, 0.001, 0.01, 0.03, 0.1, 0.2), reorder: pick(0, 0.05, 0.3), duplicate: pick(0, 0.02),
		rate: int(pick(0, 125_000, 6_250_000)), queue: []string{"of 5 segments", "of one bandwidth-delay product", "without end"}[r.IntN(3)],
		mss: int(pick(536, 1220, 1460)), control: tcpstate.Control(r.IntN(int(tcpstate.NumControls))),
	}
}

func (c sweepCell) link(towardsClient bool) netsim.Link {
	l := netsim.Link{Delay: c.rtt / 2, Loss: c.loss, Reorder: c.reorder, Duplicate: c.duplicate, ReorderBy: max(c.rtt/4, ms)}
	if !towardsClient || c.rate == 0 {
		return l
	}
	l.Rate = c.rate
	switch c.queue {
	case "of 5 segments":
		l.Queue = 5 * (c.mss + 54)
	case "of one bandwidth-delay product":
		l.Queue = max(int(float64(c.rate)*c.rtt.Seconds()), 10*(c.mss+54))
	}
	return l
}

// TestSimSweep takes cells of the grid round trip × loss × reordering × duplication × bandwidth × queue × MSS × congestion
// control × seed: as many as NETSIM_CELLS says, or a few. In each a client asks for static objects and posts, over one
// connection. After each step of the loop, or as soon as it happens, these hold:
//
//   - SND.UNA ≤ SND.NXT: simWorld.auditConn
//   - nothing is sent beyond the peer's right edge: netsim's inspector
//   - no timer in CLOSED: simWorld.auditTimer
//   - only legal changes of state: simWorld.auditConn
//   - the octets delivered are the object's: simTalk.check, netsim's inspector for those sent again
//   - every frame is back in its pool: netsim.Device.Check, in simWorld.end
func TestSimSweep(t *testing.T) {
	seed, cells := netsim.Seed(t, 70), 120
	if n, err := strconv.Atoi(os.Getenv("NETSIM_CELLS")); err == nil {
		cells = n
	} else if testing.Short() {
		cells = 20
	}
	r := rand.New(rand.NewPCG(seed, 70))
	for k := range cells {
		cell, once := randomCell(r), r.Uint64()
		t.Run(strconv.Itoa(k), func(t *testing.T) {
			t.Log(cell)
			w := newSim(t, once, simPath{}, func(s *simSetup) {
				s.loop.Control = cell.control
				// Nobody shall be given up for the losses alone.
				cache, err := simPatientStore()
				if err != nil {
					t.Fatal(err)
				}
				s.loop.Store = &fakeStore{cache: cache}
				s.tcp.KeepAliveTimeout, s.tcp.StallTimeout = tcpstate.Hour/2, tcpstate.Hour
				s.loop.Limits.MinRate = -1
			})
			client := netsim.ClientConfig{
				MSS: cell.mss, Scale: 7, SACK: once&3 != 0, Timestamps: once&12 != 0, Up: cell.link(false), Down: cell.link(true),
			}
			k := w.talk(client, static(1400), static(100_000), static(1), static(10_000), post(5000))
			w.converse(k)
			w.wantCounted()
		})
	}
}
