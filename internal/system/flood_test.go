package system

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/bench/flood"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

const (
	floodTime = 3 * time.Second // how long each flood lasts; nothing is measured by it
	// memoryBound is what xhttpd may have resident during a flood: its rings (16 MiB for a queue), the program, the cache,
	// and MaxConns and MaxBuffers of the test, all used.
	memoryBound = 160 << 20
)

// floodArgs make tables small enough to be filled, and times short enough to be waited for.
var floodArgs = []string{"--max-connections", "4096", "--max-buffers", "512", "--head-timeout", "2s", "--stall-timeout", "5s"}

// hostile floods the bed until the function that it returns is called.
func hostile(b *testbed.Bed, cfg flood.Config, six bool) (stop func() flood.Report) {
	b.Helper()
	cfg.Interface = b.Client.Interface
	copy(cfg.ServerMAC[:], b.Server.MAC)
	cfg.Server = netip.AddrPortFrom(netip.MustParseAddr(b.Address(six)), 80)
	cfg.Sources = strangers(six)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan flood.Report)
	go b.Client.Do(func() {
		report, err := flood.Run(ctx, cfg)
		if err != nil {
			b.Error(err)
		}
		ended <- report
	})
	return func() flood.Report {
		cancel()
		return <-ended
	}
}

// strangers are the addresses for measurements (RFC 2544, RFC 5180).
func strangers(six bool) netip.Prefix {
	if six {
		return netip.MustParsePrefix("2001:2::/48")
	}
	return netip.MustParsePrefix("198.18.0.0/15")
}

// download is one response of Apache's that is being read in pieces, on one connection that was handed over.
type download struct {
	bed  *testbed.Bed
	body *http.Response
	left int
}

const downloadSize = 20_000_000 // more than socket buffers hold

func begin(b *testbed.Bed, six bool) *download {
	b.Helper()
	client := b.HTTP()
	client.Timeout = 2 * time.Minute
	resp, err := client.Get(b.URL(six, "/download.png?query"))
	if err != nil {
		b.Fatalf("begin a download from Apache: %v", err)
	}
	b.Cleanup(func() { resp.Body.Close() })
	return &download{b, resp, downloadSize}
}

// read takes the next n octets.
func (d *download) read(n int, when string) {
	d.bed.Helper()
	n = min(n, d.left)
	got := make([]byte, n)
	if _, err := io.ReadFull(d.body.Body, got); err != nil {
		d.bed.Errorf("a download from Apache %s: %v", when, err)
		return
	}
	if at := downloadSize - d.left; !bytes.Equal(got, content(downloadSize)[at:at+n]) {
		d.bed.Errorf("a download from Apache %s: wrong octets", when)
	}
	d.left -= n
}

// resident is the memory that xhttpd has, octets.
func resident(b *testbed.Bed) uint64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// attacks are the floods. Segments come at a rate that leaves this machine's few processors something: what the floods do
// at full speed, bench/flood measures.
var attacks = []flood.Config{
	{Kind: flood.SYN, Rate: 30_000},
	{Kind: flood.ACK, Rate: 30_000},
	{Kind: flood.RST, Rate: 30_000},
	{Kind: flood.Data, Path: "/a.png", Rate: 30_000},
	{Kind: flood.Reuse, Rate: 30_000},
	{Kind: flood.HalfOpen, Clients: 2000},
	{Kind: flood.ZeroWindow, Path: "/big.png", Clients: 2000},
	{Kind: flood.TinyWindow, Path: "/big.png", Clients: 2000},
	{Kind: flood.SlowReader, Path: "/big.png", Clients: 2000},
	{Kind: flood.Idle, Path: "/a.png", Clients: 2000},
}

// During each flood everybody else is served, and what it took is given back.
func TestFloods(t *testing.T) {
	for k, attack := range attacks {
		t.Run(string(attack.Kind), func(t *testing.T) {
			b := testbed.Start(t, testbed.Options{Args: floodArgs})
			six := k%2 == 1
			b.Beyond(strangers(six))
			small := b.Put("a.png", content(5000))
			hidden := b.Put("hidden.png", content(3000))
			b.Put("big.png", content(5_000_000))
			b.Put("download.png", content(downloadSize))
			b.Warm("a.png", "big.png")
			older := begin(b, six)
			older.read(1_000_000, "before the flood")
			attack.Seed = uint64(k)
			stop := hostile(b, attack, six)
			load := &flood.Load{Dial: dial(b), Clients: 4, Pages: map[string][]byte{
				b.URL(false, "/a.png"): small, b.URL(true, "/a.png"): small, b.URL(six, "/hidden.png?query"): hidden,
			}}
			ctx, cancel := context.WithTimeout(context.Background(), floodTime)
			defer cancel()
			res := load.Run(ctx)
			older.read(1_000_000, "from before the flood, during it")
			newer := begin(b, six)
			newer.read(1_000_000, "during the flood")
			memory := resident(b)
			report := stop()
			t.Logf("%+v\nbeside it %+v, success %.4f; %d kB resident", report, *res, res.Success(), memory>>10)
			older.read(downloadSize, "from before the flood, after it")
			newer.read(downloadSize, "from the flood, after it")
			if report.Sent == 0 {
				t.Error("nothing was sent")
			}
			if res.Success() < 0.999 {
				t.Errorf("%d of %d requests failed: %v", res.Failed, res.Asked, res.FirstFailure)
			}
			if memory > memoryBound {
				t.Errorf("%d MiB are resident, want at most %d", memory>>20, memoryBound>>20)
			}
			b.Until("what the flood took is given back", func() bool {
				held := b.Metric("connections") - b.Metric("connections", "TIME-WAIT") + b.Metric("handing")
				return held == 0 && b.Metric("receive_buffers") == 0
			})
		})
	}
}

// Who forges another's address gets nothing from us to hit them with: the answers to what costs no handshake are no larger, and
// no more, than what was sent.
func TestNoAmplification(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	b.Put("a.png", content(5000))
	b.Warm("a.png")
	b.Beyond(strangers(false))
	for _, kind := range []flood.Kind{flood.SYN, flood.ACK, flood.RST, flood.Data, flood.Reuse} {
		answers := b.Metric("responses_total")
		stop := hostile(b, flood.Config{Kind: kind, Path: "/a.png", Rate: 2000}, false)
		time.Sleep(2 * time.Second) // so that the kernel's repetitions would be seen, too
		report := stop()
		if report.Sent == 0 || report.Received > report.Sent+50 || report.ReceivedOctets > report.SentOctets+5000 { // with some of the neighbours'
			t.Errorf("%+v", report)
		}
		if n := b.Metric("responses_total") - answers; n != 0 {
			t.Errorf("%s: %v answers", kind, n)
		}
	}
}

func dial(b *testbed.Bed) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		return b.Dial(strings.HasPrefix(addr, "["))
	}
}
