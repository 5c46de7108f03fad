package xdp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
)

// The kernel completes the checksums of what is sent: by software, as here the device says that it does not. Without
// SocketConfig.PartialChecksums it leaves them alone.
func TestPartialChecksums(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	l.server.Do(func() {
		e, err := ethtool.NewEthtool()
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		if err := e.Change(l.server.Interface, map[string]bool{"tx-checksum-ip-generic": false}); err != nil {
			t.Fatal(err)
		}
	})
	for _, partial := range []bool{true, false} {
		s := l.openUnregistered(SocketConfig{PartialChecksums: partial})
		if s.PartialChecksums() != partial {
			t.Fatalf("PartialChecksums is %t, want %t", s.PartialChecksums(), partial)
		}
		for _, is4 := range []bool{true, false} {
			for _, length := range []int{0, 1, 777, 1428} {
				want := l.segment(is4, payload(bytes.Repeat([]byte{0x5a, 7, 9}, 500)[:length]))
				turn(want)
				var tx [1][]byte
				if s.Alloc(tx[:]) != 1 {
					t.Fatal("no frame")
				}
				tx[0] = tx[0][:copy(tx[0], want)]
				if partial {
					leavePseudoSum(tx[0], is4)
				}
				s.Send(tx[:])
				got := l.next(make([]byte, 4096))
				if !bytes.Equal(got, want) {
					at := len(want) - length - 4
					t.Errorf("partial %t, IPv4 %t, %d octets: checksum %#x, want %#x", partial, is4, length,
						binary.BigEndian.Uint16(got[at:]), binary.BigEndian.Uint16(want[at:]))
				}
			}
		}
		mustBeAccounted(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// leavePseudoSum puts the sum of the pseudo-header (RFC 9293, 3.1) where the checksum of a TCP segment is.
func leavePseudoSum(frame []byte, is4 bool) {
	addrs, tcp := frame[22:54], frame[54:]
	if is4 {
		addrs, tcp = frame[26:34], frame[34:]
	}
	rest := []byte{0, unix.IPPROTO_TCP, byte(len(tcp) >> 8), byte(len(tcp))}
	binary.BigEndian.PutUint16(tcp[16:], wire.Sum(rest, wire.Sum(addrs, 0)))
}
