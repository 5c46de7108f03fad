package xdp

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

func (l *lab) segmenter() *Segmenter {
	l.t.Helper()
	var s *Segmenter
	l.server.Do(func() {
		var err error
		if s, err = OpenSegmenter(l.server.Interface); err != nil {
			l.t.Fatal(err)
		}
	})
	l.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	})
	return s
}

// long builds a frame from the server with n octets of payload, of which the first few stand in Head.
func (l *lab) long(s *Segmenter, is4 bool, n, first int) (head int, rest []byte, headers int) {
	l.t.Helper()
	flow := wire.Flow{LocalPort: port, RemotePort: 1234}
	if is4 {
		flow.Local, flow.Remote = l.server.IPv4.As16(), client4.As16()
	} else {
		flow.Local, flow.Remote = l.server.IPv6.As16(), client6.As16()
	}
	h := wire.Header{Src: wire.MAC(l.server.MAC), Dst: wire.MAC(l.client.MAC), Flow: &flow, Seq: 1<<32 - 5000, Ack: 7, Flags: wire.ACK | wire.PSH | wire.FIN, Wnd: 500,
		Options: &wire.Options{HasTS: true, TSVal: 1, TSEcr: 2}, Partial: true}
	headers = h.HeaderLen()
	body := stream(n)
	head = headers + copy(s.Head()[headers:], body[:first])
	h.Build(s.Head(), n)
	return head, body[first:], headers
}

// stream is n octets in which nothing comes again soon.
func stream(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

// Whoever cuts, packets of the right size come out, with sums that are right, PSH and FIN on the last only. Where the card is said to cut, a
// veth pair hands the whole on.
func TestSegmenter(t *testing.T) {
	for _, wireLike := range []bool{true, false} {
		l := newLab(t, nstest.Options{WireLike: wireLike}, false)
		s := l.segmenter()
		buffer := make([]byte, 1<<17)
		for _, is4 := range []bool{true, false} {
			for _, c := range []struct{ n, first, size int }{
				{1, 1, 1428}, {1428, 0, 1428}, {1429, 300, 1428}, {10 * 1428, 10 * 1428, 1428}, {65000, 333, 1428}, {65000, 1, 536},
			} {
				n, rest, headers := l.long(s, is4, c.n, c.first)
				if sent, _ := s.Send(n, rest, headers, c.size); !sent {
					t.Fatalf("%+v: %v", c, s.Err())
				}
				var got []byte
				for seq := uint32(1<<32 - 5000); len(got) < c.n; {
					frame := l.next(buffer)
					p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
					tcp := p.TransportLayer().(*layers.TCP)
					last := len(got)+len(tcp.Payload) == c.n
					if tcp.Seq != seq || tcp.FIN != last || tcp.PSH != last || wireLike && !last && len(tcp.Payload) != c.size {
						t.Fatalf("%+v, IPv4 %v: seq %d of %d octets, FIN %v, PSH %v behind %d octets", c, is4, tcp.Seq, len(tcp.Payload), tcp.FIN, tcp.PSH, len(got))
					}
					if wireLike {
						wantWhole(t, p)
					}
					got = append(got, tcp.Payload...)
					seq += uint32(len(tcp.Payload))
				}
				if !bytes.Equal(got, stream(c.n)) {
					t.Errorf("%+v, IPv4 %v: other octets came", c, is4)
				}
			}
		}
		if s.Err() != nil {
			t.Error(s.Err())
		}
	}
}

// wantWhole asserts that the lengths and sums of a packet are as gopacket computes them.
func wantWhole(t *testing.T, p gopacket.Packet) {
	t.Helper()
	tcp, eth := p.TransportLayer().(*layers.TCP), p.LinkLayer().(*layers.Ethernet)
	frame := bytes.Clone(p.Data())
	if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
		t.Fatal(err)
	}
	again := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(again, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth,
		p.NetworkLayer().(gopacket.SerializableLayer), tcp, gopacket.Payload(tcp.Payload)); err != nil {
		t.Fatal(err)
	}
	if want := again.Bytes(); !bytes.Equal(frame, want) {
		t.Errorf("headers % x, want % x", frame[:min(len(frame), 90)], want[:min(len(want), 90)])
	}
}

// What is refused is not to be tried again, and it says why. An interface that is down loses it, as a wire does.
func TestSegmenterRefuses(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.segmenter()
	n, rest, headers := l.long(s, true, 5000, 0)
	l.server.Exec("ip", "link", "set", "dev", l.server.Interface, "down")
	if sent, again := s.Send(n, rest, headers, 1448); !sent || again || s.Err() != nil {
		t.Errorf("interface down: %v, %v, %v", sent, again, s.Err())
	}
	l.server.Exec("ip", "link", "set", "dev", l.server.Interface, "up")
	if sent, again := s.Send(n, rest, headers, 0); sent || again || s.Err() == nil {
		t.Errorf("packets of no octets: %v, %v, %v", sent, again, s.Err())
	}
}

// A socket whose buffer is full says so, and nothing is lost.
func TestSegmenterBusy(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.segmenter()
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil {
		t.Fatal(err)
	}
	l.server.Exec("tc", "qdisc", "add", "dev", l.server.Interface, "root", "tbf", "rate", "50mbit", "burst", "128kb", "latency", "10s")
	n, rest, headers := l.long(s, true, 60000, 0)
	taken := 0
	for {
		sent, again := s.Send(n, rest, headers, 1448)
		if again {
			break
		}
		if taken++; !sent || taken > 100 {
			t.Fatalf("sent %v after %d: %v", sent, taken, s.Err())
		}
	}
	buffer := make([]byte, 1<<17)
	for octets := 0; octets < taken*60000; {
		p := gopacket.NewPacket(l.next(buffer), layers.LayerTypeEthernet, gopacket.NoCopy)
		octets += len(p.TransportLayer().(*layers.TCP).Payload)
	}
	if sent, _ := s.Send(n, rest, headers, 1448); !sent {
		t.Error("still busy when all has gone")
	}
}

func TestSegmenterAllocatesNothing(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.segmenter()
	n, rest, headers := l.long(s, true, 20000, 300)
	if allocs := testing.AllocsPerRun(100, func() { s.Send(n, rest, headers, 1448) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
