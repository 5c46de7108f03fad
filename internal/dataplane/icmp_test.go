package dataplane

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/tcpstate"
)

// tooBig gives the loop a router's message about a frame that the loop has sent, and returns it.
func (s *stage) tooBig(sent []byte, mtu uint16, change func(frame []byte)) []byte {
	s.t.Helper()
	quoted := sent[wire.EthLen:min(len(sent), wire.EthLen+548)]
	eth := layers.Ethernet{SrcMAC: remoteMAC, DstMAC: localMAC, EthernetType: layers.EthernetTypeIPv4}
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IPv4(203, 0, 113, 1), DstIP: local}
	icmp := layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, &eth, &ip, &icmp, gopacket.Payload(quoted)); err != nil {
		s.t.Fatal(err)
	}
	frame := append([]byte(nil), buf.Bytes()...)
	if change != nil {
		change(frame)
	}
	s.device.in = append(s.device.in, frame)
	return frame
}

// Messages about connections held here, about others, and bad ones are told apart and counted.
func TestTooBigIsCounted(t *testing.T) {
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getLarge)
	s.run(0)
	sent := s.device.sent[0]
	const clientPort = wire.EthLen + wire.IPv4Len + 8 + wire.IPv4Len + 2
	for _, k := range []struct {
		name          string
		change        func(frame []byte)
		held, unknown uint64
		drop          Drop
	}{
		{"held", nil, 1, 0, 0},
		{"unknown", func(f []byte) { // another port of the client's, the checksum mended by hand
			f[clientPort] ^= 0x80
			sum := uint32(binary.BigEndian.Uint16(f[36:])) + uint32(f[clientPort]^0x80)<<8 + 0xffff - uint32(f[clientPort])<<8
			binary.BigEndian.PutUint16(f[36:], uint16(sum+sum>>16))
		}, 0, 1, 0},
		{"checksum", func(f []byte) { f[36] ^= 1 }, 0, 0, Drop(wire.ICMPChecksum)},
		{"other protocol", func(f []byte) { f[23] = 17 }, 0, 0, Drop(wire.NotTCP)},
		{"to another station", func(f []byte) { f[5]++ }, 0, 0, DropOtherMAC},
	} {
		t.Run(k.name, func(t *testing.T) {
			before := s.counters()
			s.kernel.injected = nil
			frame := s.tooBig(sent, 1300, k.change)
			s.run(0)
			after := s.counters()
			if held, unknown := after.TooBig-before.TooBig, after.TooBigUnknown-before.TooBigUnknown; held != k.held || unknown != k.unknown {
				t.Errorf("counted %d held, %d unknown; want %d and %d", held, unknown, k.held, k.unknown)
			}
			if k.drop != 0 {
				before.Drops[k.drop]++
			}
			if after.Drops != before.Drops {
				t.Errorf("drops %v, want %v", after.Drops, before.Drops)
			}
			var want [][]byte
			if k.unknown != 0 {
				want = append(want, frame)
			}
			if len(s.kernel.injected) != len(want) || len(want) > 0 && !bytes.Equal(s.kernel.injected[0], want[0]) {
				t.Errorf("injected %x, want %x", s.kernel.injected, want)
			}
		})
	}
	if st := s.counters().Connections[tcpstate.Established]; st != 1 {
		t.Errorf("%d connections are left, want 1", st)
	}
}

// A connection that hears of a smaller MTU sends what is in flight again, at once, in packets that fit.
func TestTooBigMakesSegmentsSmaller(t *testing.T) {
	const smaller = 1300
	s := newStage(t, nil)
	c := s.client()
	c.connect()
	c.say(getLarge)
	s.run(0)
	sent := s.device.sent
	if len(sent) < 2 || len(sent[0]) != wire.EthLen+mtu {
		t.Fatalf("%d frames, the first of %d octets", len(sent), len(sent[0]))
	}
	s.device.sent = nil
	for _, frame := range sent { // each draws its own message
		s.tooBig(frame, smaller, nil)
	}
	s.run(0)
	for _, frame := range s.device.sent {
		if len(frame) > wire.EthLen+smaller {
			t.Errorf("a frame of %d octets", len(frame))
		}
	}
	again := 0
	for range 2000 {
		s.run(time.Millisecond)
		got, last := c.receive()
		if again += len(got); last == nil {
			break
		}
		c.acknowledge()
	}
	if again <= len(large) {
		t.Errorf("%d octets of a response came, its body has %d", again, len(large))
	}
}

// What a router says of a connection that is being handed over may be about the kernel's socket.
func TestTooBigDuringHandover(t *testing.T) {
	s := newStage(t, nil)
	s.kernel.refuse = 1 << 30
	c := s.client()
	c.connect()
	c.say(getSmall)
	s.run(0)
	sent := s.device.sent[0]
	c.receive()
	c.say(postHead)
	s.run(0)
	if n := s.counters().Handing; n != 1 {
		t.Fatalf("%d connections are being handed over", n)
	}
	s.kernel.injected = nil
	frame := s.tooBig(sent, 1300, nil)
	s.run(0)
	if len(s.kernel.injected) != 1 || !bytes.Equal(s.kernel.injected[0], frame) {
		t.Errorf("injected %x, want %x", s.kernel.injected, frame)
	}
}
