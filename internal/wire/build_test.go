package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
)

// random fills n octets.
func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

var payloadLengths = []int{0, 1, 2, 3, 7, 8, 31, 32, 33, 535, 536, 1447, 1448, 8947}

// build puts payload behind the header h, in a frame of exactly that length that held garbage before.
func build(t testing.TB, h *Header, payload []byte) []byte {
	t.Helper()
	at := h.HeaderLen()
	frame := bytes.Repeat([]byte{0xa5}, at+len(payload))
	copy(frame[at:], payload)
	if n := h.Build(frame, len(payload)); n != len(frame) {
		t.Fatalf("Build returned %d, want %d", n, len(frame))
	}
	Finish(frame)
	return frame
}

func TestBuildIsWhatGopacketDecodes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, flow := range []Flow{flow4, flow6} {
		for i, o := range append(optionSets(r), Options{}) {
			for _, inbound := range []bool{false, true} {
				for _, n := range payloadLengths {
					payload := random(r, n)
					h := Header{
						Src: macUs, Dst: macPeer, Flow: &flow, Inbound: inbound, Seq: Seq(r.Uint32()), Ack: Seq(r.Uint32()),
						Flags: Flags(r.Uint32()), Wnd: uint16(r.Uint32()), Options: &o,
					}
					if i%7 == 0 {
						h.Options, o = nil, Options{}
					}
					checkBuilt(t, build(t, &h, payload), &h, payload)
				}
			}
		}
	}
}

func checkBuilt(t *testing.T, frame []byte, h *Header, payload []byte) {
	t.Helper()
	d := decode(t, frame)
	src, dst := netip.AddrPortFrom(h.Flow.Local.Netip(), h.Flow.LocalPort), netip.AddrPortFrom(h.Flow.Remote.Netip(), h.Flow.RemotePort)
	if h.Inbound {
		src, dst = dst, src
	}
	ipSrc, ipDst, ttl := []byte(nil), []byte(nil), uint8(0)
	if d.ip4 != nil {
		ipSrc, ipDst, ttl = d.ip4.SrcIP, d.ip4.DstIP, d.ip4.TTL
		if d.ip4.Flags != layers.IPv4DontFragment || d.ip4.Id != 0 || d.ip4.TOS != 0 {
			t.Errorf("IPv4 header %+v", d.ip4)
		}
	} else {
		ipSrc, ipDst, ttl = d.ip6.SrcIP, d.ip6.DstIP, d.ip6.HopLimit
		if d.ip6.TrafficClass != 0 || d.ip6.FlowLabel != 0 {
			t.Errorf("IPv6 header %+v", d.ip6)
		}
	}
	gotSrc, _ := netip.AddrFromSlice(ipSrc)
	gotDst, _ := netip.AddrFromSlice(ipDst)
	want := Options{}
	if h.Options != nil {
		want = fitting(h.Options)
	}
	switch {
	case netip.AddrPortFrom(gotSrc, uint16(d.tcp.SrcPort)) != src, netip.AddrPortFrom(gotDst, uint16(d.tcp.DstPort)) != dst:
		t.Errorf("%v:%v > %v:%v, want %v > %v", gotSrc, d.tcp.SrcPort, gotDst, d.tcp.DstPort, src, dst)
	case !bytes.Equal(d.eth.SrcMAC, h.Src[:]), !bytes.Equal(d.eth.DstMAC, h.Dst[:]), ttl != 64:
		t.Errorf("%v > %v, TTL %d", d.eth.SrcMAC, d.eth.DstMAC, ttl)
	case Seq(d.tcp.Seq) != h.Seq, Seq(d.tcp.Ack) != h.Ack, flagsOf(d.tcp) != h.Flags, d.tcp.NS, d.tcp.Window != h.Wnd, d.tcp.Urgent != 0:
		t.Errorf("TCP header %+v, want %+v", d.tcp, h)
	case !bytes.Equal(d.tcp.Payload, payload):
		t.Errorf("payload differs")
	case readOptions(t, d.tcp.Options) != want:
		t.Errorf("options %+v, want %+v", d.tcp.Options, want)
	}
}

// A frame with Partial differs from the other only in its checksum field, which holds the sum of the pseudo-header (RFC 9293, 3.1).
func TestBuildPartial(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, flow := range []Flow{flow4, flow6} {
		for _, o := range append(optionSets(r), Options{}) {
			for _, n := range payloadLengths {
				payload := random(r, n)
				h := Header{Src: macUs, Dst: macPeer, Flow: &flow, Seq: Seq(r.Uint32()), Flags: Flags(r.Uint32()), Options: &o}
				want := build(t, &h, payload)
				at, addrs := EthLen+IPv6Len, want[EthLen+8:EthLen+40]
				if flow.Is4() {
					at, addrs = EthLen+IPv4Len, want[EthLen+12:EthLen+20]
				}
				length := len(want) - at
				pseudo := slowSum(append(bytes.Clone(addrs), 0, protoTCP, byte(length>>8), byte(length)), 0)
				binary.BigEndian.PutUint16(want[at+16:], pseudo)
				h.Partial = true
				got := bytes.Repeat([]byte{0x5a}, len(want))
				copy(got[h.HeaderLen():], payload)
				if h.Build(got, n); !bytes.Equal(got, want) {
					t.Fatalf("%d octets, %+v:\n%x, want\n%x", n, o, got, want)
				}
			}
		}
	}
}

// fitting is o without the SACK blocks for which Build's layout has no room.
func fitting(o *Options) Options {
	c := *o
	bare := *o
	bare.NSACK = 0
	c.NSACK = min(o.NSACK, uint8(max(0, (40-bare.Len()-4)/8)))
	clear(c.SACK[c.NSACK:])
	return c
}

// What a segment needs by RFC 7323, appendix A, is what Build makes of it.
func TestOptionLengths(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want int
	}{
		{Options{}, 0},
		{Options{HasMSS: true}, 4},
		{Options{HasTS: true}, 12},
		{Options{HasTS: true, NSACK: 1}, 24},
		{Options{HasTS: true, NSACK: 3}, 40},
		{Options{HasTS: true, NSACK: 4}, 40},
		{Options{NSACK: 4}, 36},
		{Options{SACKPermitted: true}, 4},
		{Options{HasMSS: true, HasTS: true, SACKPermitted: true, HasWScale: true}, 20},
		{Options{HasMSS: true, HasTS: true, SACKPermitted: true, HasWScale: true, NSACK: 4}, 40},
		{Options{HasMSS: true, SACKPermitted: true, HasWScale: true}, 12},
	} {
		if got := c.o.Len(); got != c.want {
			t.Errorf("%+v takes %d octets, want %d", c.o, got, c.want)
		}
	}
}

func TestMaxHeaders(t *testing.T) {
	h := Header{Flow: &flow6, Options: &Options{HasTS: true, NSACK: 3}}
	if got := h.HeaderLen(); got != MaxHeaders {
		t.Errorf("headers take %d, want %d", got, MaxHeaders)
	}
}

func BenchmarkBuildFinish(b *testing.B) {
	for _, n := range []int{0, 1448} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			frame := make([]byte, 2048)
			h := Header{Src: macUs, Dst: macPeer, Flow: &flow4, Flags: ACK, Options: &Options{HasTS: true}}
			for b.Loop() {
				Finish(frame[:h.Build(frame, n)])
			}
		})
	}
}
