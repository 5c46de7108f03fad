package xdp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// TestSuperPacket sends a packet of several segments, as a peer with TSO gives it to a veth pair. Attached in native mode, the
// program makes the peer segment it. In generic mode it comes in one piece, like what GRO has merged, fits no frame, and is
// dropped, which is counted; the client will send single segments again.
func TestSuperPacket(t *testing.T) {
	const segments, mss = 6, 1400
	for _, generic := range []bool{false, true} {
		l := newLab(t, nstest.Options{}, generic)
		s := l.open(SocketConfig{})
		if err := unix.SetsockoptInt(l.wire, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			t.Fatal(err)
		}
		frame := l.segment(true, payload(make([]byte, segments*mss)))
		// struct virtio_net_hdr: needs checksum, TCP over IPv4, length of the headers, MSS, where the checksum is.
		header := []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4}
		for _, field := range []uint16{14 + 20 + 20, mss, 14 + 20, 16} {
			header = binary.NativeEndian.AppendUint16(header, field)
		}
		l.send(append(header, frame...))

		if !generic {
			for _, f := range receive(t, s, segments) {
				if len(f) != 14+20+20+mss {
					t.Errorf("a segment of %d octets", len(f))
				}
			}
			continue
		}
		wantOversized(t, l, s)
	}
}

// wantOversized waits until the program has dropped a packet as too long, and expects the socket not to have seen it.
func wantOversized(t *testing.T, l *lab, s *Socket) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); l.counters()[Oversized] == 0 && time.Now().Before(deadline); {
	}
	stats, err := s.Statistics()
	if n := l.counters()[Oversized]; n != 1 || err != nil || stats != (Statistics{}) || s.rx.available() != 0 {
		t.Errorf("%d oversized, %+v, %d received, %v; want 1 packet dropped by the program", n, stats, s.rx.available(), err)
	}
	mustBeAccounted(t, s)
}

// TestLargestPacket: where the MTU is larger than a frame, what fits one to the octet comes as it was sent, what does not is dropped
// and counted, and the kernel keeps what is its own.
func TestLargestPacket(t *testing.T) {
	for _, generic := range []bool{false, true} {
		for _, is4 := range []bool{true, false} {
			l := newLab(t, nstest.Options{MTU: 9000}, generic)
			if (l.program.Mode() == Generic) != generic {
				t.Fatalf("mode %s: %v", l.program.Mode(), l.program.Warning())
			}
			s := l.open(SocketConfig{})
			frames := l.longest(is4)
			l.send(frames[0])
			if got := receive(t, s, 1)[0]; !bytes.Equal(got, frames[0]) {
				t.Errorf("generic %v, IPv4 %v: %d octets came for %d, or others", generic, is4, len(got), len(frames[0]))
			}
			l.send(frames[1])
			wantOversized(t, l, s)
			server := l.server.IPv6
			if is4 {
				server = l.server.IPv4
			}
			l.overTCP(t, netip.AddrPortFrom(server, port+1))
			l.overUDP(t, server, 8000)
		}
	}
}

// longest returns the longest segment that fits into a frame, and one that is an octet longer.
func (l *lab) longest(is4 bool) (frames [2][]byte) {
	n := MaxPacket(DefaultFrameSize) - 20 - 40
	if is4 {
		n += 20
	}
	for k := range frames {
		frames[k] = l.segment(is4, payload(pattern(k, n+k)))
	}
	return frames
}

// testSteerByLength: what fits no frame is dropped if it would be redirected. It lies in two buffers, as a page holds no more of a
// test run's packet than LinearMTU.
func testSteerByLength(t *testing.T) {
	l := newBenchOf(t, testListener(), 9000)
	for _, is4 := range []bool{true, false} {
		frames := l.longest(is4)
		fits, long := frames[0], frames[1]
		jumbo := l.segment(is4, payload(pattern(7, 8900)))
		l.expect(t, fits, Redirected)
		l.expect(t, long, Oversized)
		l.expect(t, jumbo, Oversized)
		l.expect(t, l.segment(is4, syn, payload(pattern(7, 8900))), Oversized)
		l.expect(t, l.segment(is4, payload(pattern(7, 8900)), func(s *segment) { s.tcp.DstPort = 443 }), Reason(steerReasonREASON_OTHER_PORT))
		cut := jumbo[:len(jumbo)-1]
		l.expect(t, cut, Reason(steerReasonREASON_IP_HEADER)) // its length is known beyond the first buffer
		entry := l.enter(l.flowOf(is4, 1234), 3)
		l.expect(t, fits, Ours)
		l.expect(t, long, Oversized)
		*entry = 0
		l.waiting(crowdedForOthers + 1)
		l.expect(t, fits, CrowdStray)
		l.expect(t, jumbo, Oversized)
		l.waiting(0)
	}
}
