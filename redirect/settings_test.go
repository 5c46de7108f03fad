package redirect

import (
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

func TestSysctls(t *testing.T) {
	files := func(timestamps, sack, scaling, cookies, ecn string) fstest.MapFS {
		fs := fstest.MapFS{}
		for name, value := range map[string]string{
			"timestamps": timestamps, "sack": sack, "window_scaling": scaling, "syncookies": cookies, "ecn": ecn,
		} {
			fs["net/ipv4/tcp_"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
		}
		fs["net/ipv4/tcp_congestion_control"] = &fstest.MapFile{Data: []byte("cubic\n")}
		return fs
	}
	for name, c := range map[string]struct {
		fs       fstest.MapFS
		want     Sysctls
		warnings int
		bad      bool
	}{
		"Linux's defaults": {files("1", "1", "1", "1", "2"), Sysctls{true, true, true, 1, 2, "cubic"}, 0, false},
		"all off":          {files("0", "0", "0", "0", "0"), Sysctls{CongestionControl: "cubic"}, 3, true},
		"other values":     {files("2", "1", "1", "2", "1"), Sysctls{true, true, true, 2, 1, "cubic"}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadSysctls(c.fs)
			must(t, "read", err)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if n := len(got.Warnings()); n != c.warnings {
				t.Errorf("%d warnings: %v", n, got.Warnings())
			}
			if err := got.Err(); (err != nil) != c.bad {
				t.Errorf("error %v", err)
			}
		})
	}
	for _, fs := range []fstest.MapFS{{}, files("1", "x", "1", "1", "1")} {
		if _, err := ReadSysctls(fs); err == nil {
			t.Error("no error")
		}
	}
}

func TestAcceptable(t *testing.T) {
	flow4 := wire.Flow{Remote: wire.AddrFrom(netip.MustParseAddr("192.0.2.1"))}
	flow6 := wire.Flow{Remote: wire.AddrFrom(netip.MustParseAddr("2001:db8::1"))}
	for name, c := range map[string]struct {
		flow wire.Flow
		h    tcpstate.Handover
		want error
	}{
		"IPv4":             {flow4, tcpstate.Handover{MSS: 536}, nil},
		"IPv4, small MSS":  {flow4, tcpstate.Handover{MSS: 535}, ErrMSS},
		"IPv6":             {flow6, tcpstate.Handover{MSS: 1220}, nil},
		"IPv6, small MSS":  {flow6, tcpstate.Handover{MSS: 1219}, ErrMSS},
		"widest scale":     {flow4, tcpstate.Handover{MSS: 1460, WScaleOK: true, SndWScale: 14, RcvWScale: 14}, nil},
		"peer's too wide":  {flow4, tcpstate.Handover{MSS: 1460, WScaleOK: true, SndWScale: 15}, ErrWScale},
		"our own too wide": {flow4, tcpstate.Handover{MSS: 1460, WScaleOK: true, RcvWScale: 15}, ErrWScale},
		"without scale":    {flow4, tcpstate.Handover{MSS: 1460, SndWScale: 15}, nil},
	} {
		if err := acceptable(&c.flow, &c.h); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestVerdictsHaveLabels(t *testing.T) {
	seen := map[string]bool{}
	for v := range NumVerdicts {
		if v.String() == "" || seen[v.String()] {
			t.Errorf("verdict %d is called %q", v, v)
		}
		seen[v.String()] = true
	}
	if NumVerdicts.String() != "unknown" {
		t.Error(NumVerdicts)
	}
}

func TestWrongFamily(t *testing.T) {
	for _, cfg := range []Config{backend("[::1]:80", ""), backend("", "127.0.0.1:80")} {
		if _, err := settings(&cfg); err == nil {
			t.Errorf("no error for %v, %v", cfg.Backend4, cfg.Backend6)
		}
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	nstest.Require(t)
	if _, err := Open(Config{Interface: "nonesuch"}); err == nil || !strings.Contains(err.Error(), "nonesuch") {
		t.Error(err)
	}
	keep(t)
	_, err := Open(Config{Interface: "lo"})
	if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Error(err)
	}
	t.Log(err)
}

// TestNamedCapabilitiesSuffice holds the error's advice to the truth.
func TestNamedCapabilitiesSuffice(t *testing.T) {
	l := newLab(t, nstest.Options{})
	keep(t, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW)
	r, err := Open(Config{Interface: l.server.Interface})
	must(t, "open", err)
	_, err = r.Injector()
	must(t, "injector", err)
	must(t, "close", r.Close())
}

// keep takes all other capabilities from the calling goroutine's thread, for good.
func keep(t *testing.T, capabilities ...int) {
	t.Helper()
	runtime.LockOSThread()
	var data [2]unix.CapUserData
	for _, c := range capabilities {
		data[c/32].Effective |= 1 << (c % 32)
		data[c/32].Permitted |= 1 << (c % 32)
	}
	must(t, "drop capabilities", unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]))
}
