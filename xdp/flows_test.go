package xdp

import (
	"encoding/binary"
	"math/bits"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

var testFlowKey = [2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908}

// flowOf is what the segments of a lab's client belong to.
func (l *lab) flowOf(is4 bool, remotePort uint16) *wire.Flow {
	f := &wire.Flow{Local: wire.AddrFrom(l.server.IPv6), Remote: wire.AddrFrom(client6), LocalPort: port, RemotePort: remotePort}
	if is4 {
		f.Local, f.Remote = wire.AddrFrom(l.server.IPv4), wire.AddrFrom(client4)
	}
	return f
}

// enter writes a flow into a place of its bucket.
func (l *lab) enter(f *wire.Flow, place int) (entry *uint64) {
	table := l.program.FlowTable()
	h := wire.Key{K0: testFlowKey[0], K1: testFlowKey[1]}.Short(f)
	entry = &table[h&uint64(len(table)/8-1)*8+uint64(place)]
	atomic.StoreUint64(entry, h)
	return entry
}

// testSteerByFlowTable: what is in the table comes without a question to the kernel, what is not is no worse off.
func testSteerByFlowTable(t *testing.T) {
	l := newBench(t)
	for k := range 400 { // many flows, so that the hash of C is seen to be that of Go
		l.beat()
		is4, remotePort := k%2 == 0, 1+k*163
		f := l.flowOf(is4, uint16(remotePort))
		l.expect(t, l.segment(is4, from(remotePort)), Redirected)
		entry := l.enter(f, k%8)
		l.expect(t, l.segment(is4, from(remotePort)), Ours)
		l.expect(t, l.segment(is4, from(remotePort), syn), Ours)
		atomic.AddUint64(entry, 1<<63) // another flow's
		l.expect(t, l.segment(is4, from(remotePort)), Redirected)
		atomic.StoreUint64(entry, 0)
	}
}

// A SYN that goes to the kernel while a daemon is ending, or late, may become a socket: the flow is the kernel's from then on.
func TestSYNToKernelForgetsFlow(t *testing.T) {
	l := newBench(t)
	for _, c := range []struct {
		want     Reason
		age      time.Duration
		draining bool
	}{{Draining, 0, true}, {StaleSYN, 2 * time.Second, false}, {Stale, 6 * time.Second, false}} {
		first, second := l.enter(l.flowOf(true, 1234), 0), l.enter(l.flowOf(true, 1234), 5)
		other := l.enter(l.flowOf(true, 1235), 7)
		l.setState(t, c.draining, c.age)
		if c.want != Stale {
			l.expect(t, l.segment(true), Ours)
		}
		l.expect(t, l.segment(true, syn), c.want)
		if *first != 0 || *second != 0 || *other == 0 {
			t.Errorf("%s: the table has %x and %x, and %x of another flow", c.want, *first, *second, *other)
		}
	}
}

// The table has room for twice the connections, in a form that the loops take.
func TestFlowTableSize(t *testing.T) {
	nstest.Require(t)
	for _, connections := range []int{0, 1, 1000, 65536} {
		p := &Program{queues: 2, addresses: make(map[netip.Addr]bool)}
		if err := p.load(&Config{Port: port, Connections: connections}, &net.Interface{}); err != nil {
			t.Fatal(err)
		}
		words := p.FlowTable()
		if n := len(words); bits.OnesCount(uint(n)) != 1 || n < 2*2*connections {
			t.Errorf("%d places for 2 times %d connections", n, connections)
		}
		if _, err := dataplane.NewOurs(words, wire.Key{}); err != nil {
			t.Error(err)
		}
		if err := p.free(); err != nil {
			t.Error(err)
		}
	}
	if got := binary.Size(steerOursBucket{}); got != 8*dataplane.OursWays {
		t.Errorf("a bucket has %d octets, the loops write %d", got, 8*dataplane.OursWays)
	}
}
