package xdp

import (
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

func TestSegments(t *testing.T) {
	nstest.Require(t)
	for _, wireLike := range []bool{false, true} {
		_, server := nstest.Pair(t, nstest.Options{WireLike: wireLike})
		server.Do(func() {
			if on, err := Segments(server.Interface); on == wireLike || err != nil {
				t.Errorf("offloads off: %v: segments: %v, %v", wireLike, on, err)
			}
			if _, err := Segments("none"); err == nil {
				t.Error("an interface that is not there has offloads")
			}
		})
	}
}
