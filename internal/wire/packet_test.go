package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket/layers"
)

func TestParseReadsWhatGopacketBuilds(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, flow := range []Flow{flow4, flow6} {
		for _, o := range append(optionSets(r), Options{}) {
			for _, n := range payloadLengths {
				for _, padding := range []int{0, 1, 18} {
					checkParsed(t, r, flow, o, n, padding)
				}
			}
		}
	}
}

func checkParsed(t *testing.T, r *rand.Rand, flow Flow, o Options, n, padding int) {
	t.Helper()
	d := newDraft(&flow)
	d.tcp.Seq, d.tcp.Ack, d.tcp.Window, d.tcp.Urgent = r.Uint32(), r.Uint32(), uint16(r.Uint32()), uint16(r.Uint32())
	tos := uint8(r.Uint32())
	d.ip4.TOS, d.ip6.TrafficClass = tos, tos
	flags := Flags(r.Uint32())
	d.setFlags(flags)
	d.tcp.Options = oracleOptions(&o)
	d.payload = random(r, n)
	frame := d.frame(t)
	length := len(frame)
	frame = append(frame, random(r, padding)...)
	before := bytes.Clone(frame)

	var p Packet
	if got := Parse(frame, &p); got != OK {
		t.Fatalf("Parse: %v", got)
	}
	s := &p.Segment
	seqLen := uint32(n)
	for _, f := range []Flags{SYN, FIN} {
		if flags.Has(f) {
			seqLen++
		}
	}
	switch {
	case p.Flow != flow || p.Src != macPeer || p.Dst != macUs || p.Partial:
		t.Fatalf("%+v", p)
	case s.Seq != Seq(d.tcp.Seq) || s.Ack != Seq(d.tcp.Ack) || s.Wnd != d.tcp.Window || s.Flags != flags:
		t.Fatalf("%+v, want %+v", s, d.tcp)
	case s.CE != (tos&3 == 3):
		t.Fatalf("congestion experienced: %v with %#x", s.CE, tos)
	case s.Options != o:
		t.Fatalf("options %+v, want %+v", s.Options, o)
	case !bytes.Equal(s.Payload, d.payload) || s.Len() != seqLen:
		t.Fatalf("%d octets, sequence length %d, want %d and %d", len(s.Payload), s.Len(), n, seqLen)
	case len(p.Frame) != length || &p.Frame[0] != &frame[0]:
		t.Fatalf("frame of %d octets, want %d: padding stays", len(p.Frame), length)
	case !bytes.Equal(frame, before):
		t.Fatal("Parse has changed the frame")
	}
}

// Each problem has a frame that differs in one thing from one that is taken.
func TestProblems(t *testing.T) {
	const l4 = EthLen + IPv4Len
	fix4 := func(f []byte) []byte { // makes the IPv4 header's checksum good again
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], ^slowSum(f[EthLen:l4], 0))
		return f
	}
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return f }
	}
	set4 := func(at int, v ...byte) func([]byte) []byte {
		return func(f []byte) []byte { copy(f[at:], v); return fix4(f) }
	}
	cut := func(n int) func([]byte) []byte { return func(f []byte) []byte { return f[:n:n] } }
	for _, c := range []struct {
		name   string
		flow   Flow
		change func([]byte) []byte
		want   Problem
	}{
		{"as built", flow4, cut(l4 + 20 + 5), OK},
		{"nothing", flow4, cut(0), TooShort},
		{"half an Ethernet header", flow4, cut(13), TooShort},
		{"no IPv4 header", flow4, cut(14), TooShort},
		{"IPv4 header cut", flow4, cut(33), TooShort},
		{"VLAN tag", flow4, set(12, 0x81, 0x00), NotIP},
		{"ARP", flow4, set(12, 0x08, 0x06), NotIP},
		{"frame shorter than IPv4 says", flow4, cut(l4 + 20 + 4), IPHeader},
		{"IPv4 options", flow4, set4(14, 0x46), IPHeader},
		{"IPv4 header length too small", flow4, set4(14, 0x44), IPHeader},
		{"version 6 under IPv4's type", flow4, set4(14, 0x65), IPHeader},
		{"IPv4 length below its header", flow4, set4(16, 0, 19), IPHeader},
		{"more fragments", flow4, set4(20, 0x20, 0), Fragment},
		{"fragment offset", flow4, set4(20, 0x00, 1), Fragment},
		{"last fragment", flow4, set4(20, 0x1f, 0xff), Fragment},
		{"reserved bit is no fragment", flow4, set4(20, 0x80, 0), OK},
		{"UDP", flow4, set4(23, 17), NotTCP},
		{"IPv4 checksum", flow4, set(22, 99), IPChecksum},
		{"IPv4 checksum field", flow4, func(f []byte) []byte { f[24] ^= 1; return f }, IPChecksum},
		{"no TCP header", flow4, set4(16, 0, 20), TCPHeader},
		{"TCP header cut", flow4, set4(16, 0, 39), TCPHeader},
		{"data offset too small", flow4, set(l4+12, 0x40), TCPHeader},
		{"data offset past the end", flow4, set(l4+12, 0x70), TCPHeader},
		{"TCP checksum", flow4, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, TCPChecksum},
		{"TCP checksum field of zero", flow4, set(l4+16, 0, 0), TCPChecksum},
		{"other address than summed", flow4, set4(30, 10), TCPChecksum},

		{"IPv6 as built", flow6, cut(EthLen + 40 + 20 + 5), OK},
		{"no IPv6 header", flow6, cut(14), TooShort},
		{"IPv6 header cut", flow6, cut(53), TooShort},
		{"version 4 under IPv6's type", flow6, set(14, 0x45), IPHeader},
		{"frame shorter than IPv6 says", flow6, cut(EthLen + 40 + 20 + 4), IPHeader},
		{"fragment header", flow6, set(20, 44), NotTCP},
		{"hop-by-hop header", flow6, set(20, 0), NotTCP},
		{"ICMPv6", flow6, set(20, 58), NotTCP},
		{"jumbogram", flow6, set(18, 0, 0), TCPHeader},
		{"mapped source", flow6, set(22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), IPHeader},
		{"mapped destination", flow6, set(38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), IPHeader},
		{"IPv6 TCP checksum", flow6, func(f []byte) []byte { f[len(f)-1] ^= 1; return f }, TCPChecksum},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDraft(&c.flow)
			d.payload = []byte("hello")
			var p Packet
			if got := Parse(c.change(d.frame(t)), &p); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestProblemNames(t *testing.T) {
	seen := map[string]bool{}
	for p := OK; p < NumProblems; p++ {
		if s := p.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("problem %d is called %q", p, s)
		} else {
			seen[s] = true
		}
	}
	if NumProblems.String() != "unknown" {
		t.Errorf("no problem is called %q", NumProblems)
	}
}

// Every single bit of a frame that is flipped is found, as long as the flip is not in what no checksum
// covers: the Ethernet addresses and, in IPv6, all of the header but its addresses and length.
func TestParseFindsFlippedBits(t *testing.T) {
	for _, flow := range []Flow{flow4, flow6} {
		d := newDraft(&flow)
		d.payload = []byte("hello")
		frame := d.frame(t)
		first := EthLen
		if !flow.Is4() {
			first = EthLen + 8
		}
		for bit := first * 8; bit < len(frame)*8; bit++ {
			frame[bit/8] ^= 1 << (bit % 8)
			var p Packet
			if Parse(frame, &p) == OK {
				t.Errorf("%v: bit %d of octet %d", flow, bit%8, bit/8)
			}
			frame[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// makePartial leaves in the checksum field what Linux does with CHECKSUM_PARTIAL.
func makePartial(frame []byte) {
	addrs, tcp := frame[EthLen+12:EthLen+20], frame[EthLen+IPv4Len:]
	if frame[12] == 0x86 {
		addrs, tcp = frame[EthLen+8:EthLen+40], frame[EthLen+IPv6Len:]
	}
	header := append(bytes.Clone(addrs), 0, protoTCP, byte(len(tcp)>>8), byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], slowSum(header, 0))
}

func TestPartialChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, flow := range []Flow{flow4, flow6} {
		for _, n := range payloadLengths {
			d := newDraft(&flow)
			d.payload = random(r, n)
			frame := d.frame(t)
			want := bytes.Clone(frame)
			makePartial(frame)
			partial := bytes.Clone(frame)
			padding := []byte{1, 2, 3}
			frame = append(frame, padding...)

			var p Packet
			if got := Parse(frame, &p); got != OK || !p.Partial {
				t.Fatalf("%d octets: %v, partial %v", n, got, p.Partial)
			}
			if !bytes.Equal(p.Frame, partial) {
				t.Fatal("Parse has changed the frame")
			}
			p.Complete()
			if !bytes.Equal(p.Frame, want) || p.Partial {
				t.Fatalf("%d octets: Complete does not restore the checksum", n)
			}
			if !bytes.Equal(frame[len(want):], padding) {
				t.Fatal("Complete has written beyond the frame")
			}
			if got := Parse(p.Frame, &p); got != OK || p.Partial {
				t.Fatalf("%d octets, completed: %v, partial %v", n, got, p.Partial)
			}
			p.Complete() // no effect
			if !bytes.Equal(p.Frame, want) {
				t.Fatal("Complete has changed a complete frame")
			}
			decode(t, p.Frame)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	d := newDraft(&flow4)
	d.payload = make([]byte, 1000)
	d.tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: make([]byte, 8)}}
	in, out := d.frame(t), make([]byte, 2048)
	var p Packet
	if got := Parse(in, &p); got != OK { // the functions below are run in any order
		t.Fatal(got)
	}
	o := Options{HasTS: true, NSACK: 2}
	for name, f := range map[string]func(){
		"Parse": func() { Parse(in, &p) },
		"Build and Finish": func() {
			h := Header{Src: p.Dst, Dst: p.Src, Flow: &p.Flow, Seq: 1, Flags: ACK, Options: &o}
			Finish(out[:h.Build(out, 1000)])
		},
		"Complete": func() { p.Partial = true; p.Complete() },
		"Hash":     func() { sipVectorKey.Hash(&p.Flow, 1, 2) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{0, 100, 1448} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newDraft(&flow4)
			d.tcp.Options = oracleOptions(&Options{HasTS: true})
			d.payload = make([]byte, n)
			frame := d.frame(b)
			var p Packet
			for b.Loop() {
				Parse(frame, &p)
			}
		})
	}
}
