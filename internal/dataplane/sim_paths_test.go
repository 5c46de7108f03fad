package dataplane

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// simPath is a kind of client, the way to it, and the host's device.
type simPath struct {
	name   string
	client netsim.ClientConfig
	host   netsim.HostConfig
}

// modern is what today's systems offer.
var modern = netsim.ClientConfig{MSS: 1460, Scale: 7, SACK: true, Timestamps: true}

// way returns client with a path that is the same in both directions.
func way(client netsim.ClientConfig, l netsim.Link) netsim.ClientConfig {
	client.Up, client.Down = l, l
	return client
}

var (
	near  = netsim.Link{Delay: ms}
	lossy = netsim.Link{Delay: 50 * ms, Loss: 0.03}
	messy = netsim.Link{Delay: 5 * ms, Jitter: ms, Loss: 0.03, Reorder: 0.1, Duplicate: 0.1}
)

var simPaths = []simPath{
	{name: "clean", client: modern},
	{name: "1 ms", client: way(modern, near)},
	{name: "loss", client: way(modern, lossy)},
	{name: "disorder", client: way(modern, messy)},
	{name: "disorder bare", client: way(netsim.ClientConfig{}, messy)},
	{name: "corrupt", client: func() netsim.ClientConfig {
		c := way(modern, near)
		c.Up.Corrupt = 0.05
		return c
	}()},
	{name: "tiny window", client: way(netsim.ClientConfig{MSS: 1460, SACK: true, Policy: netsim.Policy{Buffer: 900}}, near)},
	{name: "slow reader", client: way(netsim.ClientConfig{MSS: 1460, Scale: 3, Policy: netsim.Policy{Buffer: 9000, ReadEvery: 20 * ms, ReadSize: 4000}}, near)},
	{name: "tiny MSS", client: way(netsim.ClientConfig{MSS: 536, Scale: 7, SACK: true, Timestamps: true}, near)},
	{name: "no timestamps", client: way(netsim.ClientConfig{MSS: 1460, Scale: 8, SACK: true, Policy: netsim.Policy{AckEvery: 2}}, lossy)},
	{name: "no SACK", client: way(netsim.ClientConfig{MSS: 1460, Scale: 7, Timestamps: true, NoHandshakeACK: true}, lossy)},
	{name: "no scaling", client: way(netsim.ClientConfig{MSS: 1460, SACK: true, Timestamps: true}, near)},
	{name: "IPv6", client: way(netsim.ClientConfig{MSS: 1440, Scale: netsim.Unscaled, SACK: true, Timestamps: true, IPv6: true, PartialChecksums: true}, near)},
	{name: "few TX frames", client: way(modern, near), host: netsim.HostConfig{TxFrames: 3, TxTime: 30 * time.Microsecond}},
	// Jitter, or else the same clients lose at each round.
	{name: "tiny rings", client: way(modern, netsim.Link{Delay: ms, Jitter: ms}), host: netsim.HostConfig{RxFrames: 3, TxFrames: 4, TxTime: 30 * time.Microsecond}},
	{name: "narrow", client: func() netsim.ClientConfig {
		c := way(modern, netsim.Link{Delay: 10 * ms})
		c.Down.Rate, c.Down.Queue = 1_000_000, 30_000
		return c
	}()},
}

// overPaths calls f in a subtest for each path; with -short for every third.
func overPaths(t *testing.T, seed uint64, f func(t *testing.T, p simPath, seed uint64)) {
	t.Helper()
	seed = netsim.Seed(t, seed)
	for k, p := range simPaths {
		if testing.Short() && k%3 != int(seed)%3 {
			continue
		}
		t.Run(p.name, func(t *testing.T) { f(t, p, seed) })
	}
}

// randomPath is one of many more.
func randomPath(r *rand.Rand) simPath {
	pick := func(v ...float64) float64 { return v[r.IntN(len(v))] }
	link := func() netsim.Link {
		return netsim.Link{
			Delay: time.Duration(pick(0, 0.1, 5, 50) * float64(ms)), Jitter: time.Duration(pick(0, 1) * float64(ms)),
			Loss: pick(0, 0, 0.01, 0.05), Duplicate: pick(0, 0, 0.02), Reorder: pick(0, 0, 0.05), ReorderBy: 3 * ms,
		}
	}
	c := netsim.ClientConfig{
		Up: link(), Down: link(), IPv6: r.IntN(2) == 0, MSS: int(pick(1300, 1460, 9000)), Scale: int(pick(0, 7, netsim.Unscaled)),
		SACK: r.IntN(2) == 0, Timestamps: r.IntN(2) == 0, NoHandshakeACK: r.IntN(3) == 0, PartialChecksums: r.IntN(2) == 0,
	}
	if !c.PartialChecksums { // which protect nothing: such frames never see a wire
		c.Up.Corrupt = pick(0, 0, 0.01)
	}
	c.AckEvery = int(pick(0, 2))
	if r.IntN(4) == 0 {
		c.Buffer = 5000
	}
	if r.IntN(4) == 0 {
		c.Cut = func() int { return 1 + r.IntN(60) }
	}
	p := simPath{name: "random", client: c}
	if r.IntN(4) == 0 {
		p.host = netsim.HostConfig{RxFrames: 16, TxFrames: 8, TxTime: 20 * time.Microsecond}
	}
	return p
}
