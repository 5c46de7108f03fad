package netsim

import (
	"encoding/binary"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// Segmenter stands for the kernel's segmentation offload: it cuts long segments into packets, and sends them as the device does, behind
// what the device is sending.
type Segmenter struct {
	net   *Net
	head  []byte
	sent  int
	again func() bool
}

// NewSegmenter returns the host's. It can't take a frame whenever busy, which is asked each time, says so.
func (n *Net) NewSegmenter(busy func() bool) *Segmenter {
	return &Segmenter{net: n, head: make([]byte, wire.EthLen+65535), again: busy}
}

// Sent is how many frames were taken.
func (g *Segmenter) Sent() int { return g.sent }

// Head is where the next frame begins.
func (g *Segmenter) Head() []byte { return g.head }

// Send takes a frame of n octets of Head and rest, to be cut after each size octets of payload.
func (g *Segmenter) Send(n int, rest []byte, headers, size int) (sent, again bool) {
	if g.again() {
		return false, true
	}
	frame := append(append([]byte(nil), g.head[:n]...), rest...)
	payload := frame[headers:]
	says := wire.EthLen + wire.IPv6Len + int(binary.BigEndian.Uint16(frame[wire.EthLen+4:]))
	if v4(frame) {
		says = wire.EthLen + int(binary.BigEndian.Uint16(frame[wire.EthLen+2:]))
	}
	switch {
	case says != len(frame):
		g.net.Failf("a long segment of %d octets that says %d", len(frame), says)
	case size == 0 || len(payload) == 0:
		g.net.Failf("a long segment of %d octets, cut after %d", len(payload), size)
	}
	g.sent++
	d := g.net.Device
	for off := 0; off < len(payload); off += size {
		packet := cut(frame[:headers], payload, off, min(size, len(payload)-off))
		d.net.host.inspect(packet, false)
		d.busy = max(d.busy, d.net.now) + int64(d.txTime)
		d.net.After(time.Duration(d.busy-d.net.now), func() { d.net.host.forward(packet) })
	}
	for i := range g.head {
		g.head[i] = poison
	}
	return true, false
}

// cut returns the packet of the n octets from off on of a long segment.
func cut(headers, payload []byte, off, n int) []byte {
	packet := append(append([]byte(nil), headers...), payload[off:off+n]...)
	ip, tcp := packet[wire.EthLen:], packet[wire.EthLen+wire.IPv6Len:]
	if v4(packet) {
		tcp = packet[wire.EthLen+wire.IPv4Len:]
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[10:], 0)
		binary.BigEndian.PutUint16(ip[10:], ^wire.Sum(ip[:wire.IPv4Len], 0))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(tcp)))
	}
	binary.BigEndian.PutUint32(tcp[4:], binary.BigEndian.Uint32(tcp[4:])+uint32(off))
	if off+n < len(payload) {
		tcp[13] &^= byte(wire.PSH | wire.FIN)
	}
	wire.Finish(packet)
	return packet
}

func v4(frame []byte) bool { return frame[12] == 8 && frame[13] == 0 }
