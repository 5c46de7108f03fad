package xdp

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// TestSuperPacket sends a packet of several segments, as a peer with TSO gives it to a veth pair. Attached in native mode, the
// program makes the peer segment it. In generic mode it comes in one piece, like what GRO has merged, fits no frame, and is
// lost, which is counted; the client will send single segments again.
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
		var stats Statistics
		for deadline := time.Now().Add(2 * time.Second); stats.RXDropped == 0 && time.Now().Before(deadline); {
			var err error
			if stats, err = s.Statistics(); err != nil {
				t.Fatal(err)
			}
		}
		if stats.RXDropped != 1 || s.rx.available() != 0 {
			t.Errorf("%+v, %d received; want 1 packet dropped, none received", stats, s.rx.available())
		}
		mustBeAccounted(t, s)
	}
}
