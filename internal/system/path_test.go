package system

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// pathMTU is less than what the cables at both ends take, and what IPv6 allows.
const pathMTU = 1300

// A router on the way says that our segments are too big: they become smaller, and the client gets its object.
func TestPathMTU(t *testing.T) {
	families(t, func(t *testing.T, six bool) {
		b := testbed.Start(t, testbed.Options{Routed: &nstest.Path{MTU: pathMTU}})
		body := b.Put("a.png", content(1_000_000))
		b.Warm("a.png")
		r0, h0 := settled(b)
		fetch(t, b, six, "/a.png", body)
		if r, h := settled(b); r-r0 != 1 || h != h0 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want 1 and 0", r-r0, h-h0)
		}
		told := b.Metric("too_big_total", "held")
		if told == 0 {
			t.Error("xhttpd has heard nothing from the router")
		}
		// It does not have to be told again for each segment, or response, of a connection.
		_, trace, err := b.Curl("-v", b.URL(six, "/a.png"), "-o", "/dev/null", b.URL(six, "/a.png"), "-o", "/dev/null")
		checkOneConnection(t, trace, err, 2)
		if again := b.Metric("too_big_total", "held") - told; again > 2*told {
			t.Errorf("the router complained %v times, and then %v times of one connection", told, again)
		}
	})
}

// A router that drops what is too big and says nothing: loss that only larger segments suffer must be enough of a hint.
func TestBlackHole(t *testing.T) {
	families(t, func(t *testing.T, six bool) {
		b := testbed.Start(t, testbed.Options{Routed: &nstest.Path{MTU: pathMTU, BlackHole: true}})
		body := b.Put("a.png", content(1_000_000))
		b.Warm("a.png")
		fetch(t, b, six, "/a.png", body)
		if told := b.Metric("too_big_total"); told != 0 {
			t.Errorf("the black hole has complained %v times", told)
		}
	})
}

// What a router says of a connection that was handed over is for the kernel.
func TestPathMTUBehindHandover(t *testing.T) {
	families(t, func(t *testing.T, six bool) {
		b := testbed.Start(t, testbed.Options{Routed: &nstest.Path{MTU: pathMTU}})
		body := b.Put("a.png", content(1_000_000))
		fetch(t, b, six, "/a.png?", body)
		if h := b.Metric("handovers_total"); h != 1 {
			t.Errorf("%v connections were handed over, want 1", h)
		}
		if told := b.Metric("too_big_total"); told != 0 {
			t.Errorf("xhttpd was given %v messages that are the kernel's", told)
		}
	})
}

// What a router says of a connection that nobody knows comes to the kernel, once, in both modes.
func TestTooBigOfNoConnection(t *testing.T) {
	for _, mode := range []string{"native", "generic"} {
		t.Run(mode, func(t *testing.T) {
			b := testbed.Start(t, testbed.Options{Args: []string{"--mode", mode}})
			families(t, func(t *testing.T, six bool) {
				name := "IcmpInDestUnreachs"
				if six {
					name = "Icmp6InPktTooBigs"
				}
				before, unknown := kernelCounter(b, name), b.Metric("too_big_total", "not-held")
				complain(t, b, six)
				b.Until("the kernel has the message", func() bool { return kernelCounter(b, name) != before })
				b.Until("it is counted", func() bool { return b.Metric("too_big_total", "not-held") == unknown+1 })
				settled(b)
				if n := b.Metric("too_big_total", "not-held") - unknown; n != 1 {
					t.Errorf("xhttpd had one message %v times", n)
				}
			})
		})
	}
}

// kernelCounter returns one of the counters of the server's kernel, as text.
func kernelCounter(b *testbed.Bed, name string) string {
	b.Helper()
	fields := strings.Fields(b.Server.Exec("nstat", "-asz", name))
	return fields[len(fields)-2]
}

// complain lets the client tell the server that a segment was too big, of a connection that does not exist.
func complain(t *testing.T, b *testbed.Bed, six bool) {
	t.Helper()
	network, message := "ip4:icmp", []byte{3, 4, 0, 0, 0, 0, pathMTU >> 8, pathMTU & 0xff}
	if six {
		network, message = "ip6:ipv6-icmp", []byte{2, 0, 0, 0, 0, 0, pathMTU >> 8, pathMTU & 0xff}
	}
	message = append(message, quoted(b, six)...)
	if !six { // IPv6's checksum is the kernel's work
		binary.BigEndian.PutUint16(message[2:], ^wire.Sum(message, 0))
	}
	b.Client.Do(func() {
		conn, err := net.Dial(network, b.Address(six))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
	})
}

// quoted is the head of a segment of the server's.
func quoted(b *testbed.Bed, six bool) []byte {
	flow := wire.Flow{Local: wire.AddrFrom(b.Server.IPv4), Remote: wire.AddrFrom(b.Client.IPv4), LocalPort: 80, RemotePort: 9}
	if six {
		flow.Local, flow.Remote = wire.AddrFrom(b.Server.IPv6), wire.AddrFrom(b.Client.IPv6)
	}
	frame := make([]byte, 1514)
	h := wire.Header{Flow: &flow, Seq: 1000, Flags: wire.ACK}
	return frame[wire.EthLen:h.Build(frame, 1400)][:100]
}

// fetch gets a path by a connection of its own.
func fetch(t *testing.T, b *testbed.Bed, six bool, path string, want []byte) {
	t.Helper()
	client := b.HTTP()
	defer client.CloseIdleConnections()
	resp, err := client.Get(b.URL(six, path))
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d octets of %d, or others: %v", path, len(got), len(want), err)
	}
}
