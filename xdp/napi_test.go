package xdp

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
)

// instance returns a NAPI instance of the server's interface.
func (l *lab) instance() uint32 {
	l.t.Helper()
	iface, err := net.InterfaceByName(l.server.Interface)
	if err != nil {
		l.t.Fatal(err)
	}
	const napiIfindex = 1
	answers, err := netdev(netdevCmdNAPIGet, unix.NLM_F_DUMP, nl.NewRtAttr(napiIfindex, nl.Uint32Attr(uint32(iface.Index))))
	if err != nil || len(answers) == 0 {
		l.t.Fatalf("%d NAPI instances: %v", len(answers), err)
	}
	attrs, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		l.t.Fatal(err)
	}
	for _, a := range attrs {
		if a.Attr.Type == napiID {
			return uint32(value(a.Value))
		}
	}
	l.t.Fatal("a NAPI instance without a number")
	return 0
}

// What was set is put back, whatever it was; what a killed predecessor has left is not taken for somebody's wish.
func TestDeferral(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	l.server.Do(func() {
		id := l.instance()
		left := napi{id, deferIRQs, deferTimeout}
		if err := left.set(); errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("needs Linux 6.13:", err)
		} else if err != nil {
			t.Fatal(err)
		}
		for _, want := range []napi{{id, 0, 0}, {id, 7, 50_000}} {
			if want.timeout != 0 {
				if err := want.set(); err != nil {
					t.Fatal(err)
				}
			}
			var d Deferral
			if err := d.Add(id); err != nil {
				t.Fatal(err)
			}
			if n, err := getNAPI(id); err != nil || n != left {
				t.Errorf("put off: %+v, %v", n, err)
			}
			for range 2 { // the second finds nothing to do
				if err := d.Restore(); err != nil {
					t.Error(err)
				}
			}
			if n, err := getNAPI(id); err != nil || n != want {
				t.Errorf("put back: %+v, %v, want %+v", n, err, want)
			}
		}
		var d Deferral
		if err := d.Add(1 << 30); err == nil {
			t.Error("an instance that is not there was put off")
		}
		if err := d.Add(id); err != nil {
			t.Fatal(err)
		}
		if err := l.program.Close(); err != nil { // and with it the instance goes
			t.Fatal(err)
		}
		if err := d.Restore(); err != nil {
			t.Errorf("of an instance that is gone: %v", err)
		}
	})
}

// Where the driver does not tell which NAPI instance serves a queue, as veth, the socket says so, and works as any other.
func TestBusyPollInVain(t *testing.T) {
	l := newLab(t, nstest.Options{}, false)
	s := l.open(SocketConfig{BusyPoll: true, Spin: time.Hour})
	for _, option := range []int{unix.SO_PREFER_BUSY_POLL, unix.SO_BUSY_POLL} {
		if v, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, option); v == 0 || err != nil {
			t.Errorf("option %d is %d, %v", option, v, err)
		}
	}
	rx, tx := make([][]byte, 64), make([][]byte, 64)
	for range 100 {
		l.send(l.segment(true))
		for n := 0; n == 0; {
			s.Wait(time.Second)
			n = echo(s, rx, tx)
		}
		l.next(make([]byte, 2048))
	}
	if id := s.NAPI(); id != 0 {
		t.Skip("this kernel's veth tells its NAPI instance")
	}
	mustBeAccounted(t, s)
}
