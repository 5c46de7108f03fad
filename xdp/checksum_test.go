package xdp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/safchain/ethtool"

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
					wire.FinishPartial(tx[0], len(tx[0]))
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
