package system

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// capture is what the client's interface saw of port 80, in both directions.
type capture struct {
	t       testing.TB
	fd      int
	longest map[bool]int // IP packets of the client, and (true) of the server, octets
	mss     map[bool]uint16
}

func startCapture(t testing.TB, ns *nstest.NS) *capture {
	t.Helper()
	c := &capture{t: t, longest: map[bool]int{}, mss: map[bool]uint16{}}
	const allBE = unix.ETH_P_ALL>>8&0xff | unix.ETH_P_ALL&0xff<<8
	ns.Do(func() {
		var err error
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, allBE); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c.fd) })
		if err = unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: allBE, Ifindex: ns.Index}); err == nil {
			err = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return c
}

// read takes in what has come since the last time, and begins anew.
func (c *capture) read() {
	c.t.Helper()
	clear(c.longest)
	clear(c.mss)
	buffer := make([]byte, 1<<17)
	for {
		n, _, err := unix.Recvfrom(c.fd, buffer, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			c.t.Fatal(err)
		}
		p := gopacket.NewPacket(buffer[:n], layers.LayerTypeEthernet, gopacket.NoCopy)
		tcp, ok := p.TransportLayer().(*layers.TCP)
		if !ok || tcp.SrcPort != 80 && tcp.DstPort != 80 {
			continue
		}
		server := tcp.SrcPort == 80
		c.longest[server] = max(c.longest[server], n-14)
		for _, o := range tcp.Options {
			if tcp.SYN && o.OptionType == layers.TCPOptionKindMSS {
				c.mss[server] = uint16(o.OptionData[0])<<8 | uint16(o.OptionData[1])
			}
		}
	}
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil || stats.Drops != 0 {
		c.t.Errorf("the capture lost %+v, %v", stats, err)
	}
}

// largestPacket is what fits into a frame of an AF_XDP socket, octets.
const largestPacket = 3826

// TestMTU: with an MTU above a frame's size, connections use packets that fill a frame and no larger ones, in both directions, and
// after a hand-over, too. What the kernel had before keeps its own.
func TestMTU(t *testing.T) {
	for _, c := range []struct {
		name    string
		mtu     int
		mode    string
		largest int
	}{
		{"1500", 1500, "native", 1500},
		{"one buffer", 3506, "native", 3506},
		{"9000", 9000, "native", largestPacket},
		{"1500, generic", 1500, "generic", 1500},
		{"9000, generic", 9000, "generic", largestPacket},
	} {
		t.Run(c.name, func(t *testing.T) { testMTU(t, c.mtu, c.mode, c.largest) })
	}
}

func testMTU(t *testing.T, mtu int, mode string, largest int) {
	b := testbed.Start(t, testbed.Options{Options: nstest.Options{MTU: mtu, WireLike: true}, NoDaemon: true})
	file := b.Put("5MB.png", content(5_000_000))
	b.Put("a.png", content(1000))
	body := content(1_000_000)
	post := b.Dir + "/post"
	if err := os.WriteFile(post, body, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	want := hex.EncodeToString(sum[:])

	var older [2]net.Conn // the kernel's from the beginning, each with a request that is under way
	for k := range older {
		conn, err := b.Dial(k == 1)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		say(t, conn, fmt.Sprintf("POST /cgi-bin/who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:1000]))
		older[k] = conn
	}
	b.StartDaemon("--mode", mode)
	wire := startCapture(t, b.Client)
	for k, conn := range older {
		say(t, conn, string(body[1000:]))
		if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("older connection %d: %q, %v", k, got, err)
		}
		if wire.read(); wire.longest[false] != mtu {
			t.Errorf("older connection %d sent packets of up to %d octets, want %d", k, wire.longest[false], mtu)
		}
	}
	if limited := strings.Contains(b.Log(), fmt.Sprintf("mtu=%d packet=%d segment=%d segment6=%d", mtu, largest, largest-40, largest-60)); limited != (largest < mtu) {
		t.Errorf("the log says that segments are limited: %v", limited)
	}
	b.Warm("5MB.png", "a.png")
	families(t, func(t *testing.T, six bool) {
		headers := uint16(40)
		if six {
			headers = 60
		}
		long := "X-Long: " + strings.Repeat("x", 7000)
		full := map[bool]int{false: largest, true: largest}
		offered := map[bool]uint16{false: uint16(mtu) - headers, true: uint16(largest) - headers}
		wire.read()
		r0, h0 := settled(b)
		// A head of several segments: what a peer sends arrives whole.
		out, trace, err := b.Curl("-v", "-H", long, b.URL(six, "/5MB.png"))
		checkOneConnection(t, trace, err, 1)
		if out != string(file) {
			t.Errorf("%d octets, want %d, or others", len(out), len(file))
		}
		if wire.read(); !maps.Equal(wire.longest, full) || !maps.Equal(wire.mss, offered) {
			t.Errorf("from xhttpd: packets of up to %v octets, MSS %v; want %v, %v", wire.longest, wire.mss, full, offered)
		}
		if r, h := settled(b); r-r0 != 1 || h != h0 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want 1 and 0", r-r0, h-h0)
		}
		// The same after a hand-over, in mid-connection; Apache's answer is as large.
		out, trace, err = b.Curl("-v", b.URL(six, "/a.png"), "-o", "/dev/null", "--next", "-sSgv", "--max-time", "50", "--noproxy", "*", "-H", "Expect:", "-H", long,
			"--data-binary", "@"+post, b.URL(six, "/cgi-bin/who"), b.URL(six, "/5MB.png?x"))
		checkOneConnection(t, trace, err, 3)
		if !strings.Contains(out, want) || !strings.HasSuffix(out, string(file)) {
			t.Errorf("Apache's script received something else, or its file came otherwise: %.200q, %d octets", out, len(out))
		}
		if wire.read(); !maps.Equal(wire.longest, full) || !maps.Equal(wire.mss, offered) {
			t.Errorf("handed over: packets of up to %v octets, MSS %v; want %v, %v", wire.longest, wire.mss, full, offered)
		}
		if r, h := settled(b); r-r0 != 2 || h-h0 != 1 {
			t.Errorf("xhttpd gave %v answers and handed %v over, want 2 and 1", r-r0, h-h0)
		}
	})
	if n := b.Metric("socket_drops_total"); n != 0 {
		t.Errorf("%v packets were lost before the loop", n)
	}
	if n := b.Metric("xdp_packets_total", "oversized"); n != 0 {
		t.Errorf("%v packets were too long for a frame", n)
	}
}
