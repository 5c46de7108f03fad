package dataplane

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// FuzzLiveConnections has hostile stations send mutated segments to a server with live connections: their own
// connections', as far as the server lets them have any, and forged ones of others, which a blind attacker cannot
// number rightly. Nothing panics, the books agree after each step, the live connections get every octet and end in
// peace, and when all time-outs have passed nothing is left of anything.
func FuzzLiveConnections(f *testing.F) {
	for k, seed := range attackSeeds() {
		f.Add(seed, uint64(k))
	}
	f.Fuzz(attack)
}

// The same with random programs, so that a plain run of the tests has some, too.
func TestRandomAttacks(t *testing.T) {
	seed := netsim.Seed(t, 60)
	n := 60
	if testing.Short() {
		n = 10
	}
	r := rand.New(rand.NewPCG(seed, 60))
	for k := range n {
		script := make([]byte, 200+r.IntN(1500))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		attack(t, script, seed+uint64(k))
	}
}

// attackSeeds are programs of one kind of step each: opening, requests, then the kind.
func attackSeeds() (seeds [][]byte) {
	for kind := range byte(numAttacks) {
		r := rand.New(rand.NewPCG(uint64(kind), 61))
		script := []byte{attackSYN, 0, 0xff, attackSYN, 1, 0x0f, attackWait, 2}
		for range 60 {
			script = append(script, attackSegment, byte(r.IntN(2)), 0, 0, 0, byte(r.IntN(5)), 0, attackWait, 1)
			script = append(script, kind)
			for range 10 {
				script = append(script, byte(r.Uint32()))
			}
		}
		seeds = append(seeds, script)
	}
	return seeds
}

// What an attacker may do.
const (
	attackSYN     = iota // from a station of its own
	attackSegment        // of a connection of its own, with some fields changed
	attackFlip           // the same with an octet of the frame changed
	attackBlind          // in the name of a live connection
	attackTooBig         // an ICMP message about a segment
	attackNoise          // any octets
	attackWait           // time passes
	numAttacks
)

// attackKinds is how often each is done. The first of each kind stands at its own number.
var attackKinds = []uint32{
	attackSYN, attackSegment, attackFlip, attackBlind, attackTooBig, attackNoise, attackWait,
	attackSegment, attackSegment, attackSegment, attackWait, attackSegment, attackWait, attackSegment,
}

const attackers = 4

// attacker is a program and its connections.
type attacker struct {
	t      testing.TB
	w      *simWorld
	script []byte
	live   []*simTalk
	own    [attackers]struct{ seq, ack, tsval, tsecr uint32 } // next numbers; the last timestamps
	buf    gopacket.SerializeBuffer
}

var hostilePrefix = netip.MustParsePrefix("203.0.113.0/24")

func attack(t *testing.T, script []byte, seed uint64) {
	w := newSim(t, seed, simPaths[0], func(s *simSetup) {
		s.loop.MaxConns, s.loop.MaxBuffers = 12, 6
		s.loop.Limits.MaxPerPrefix = 1000
	})
	a := &attacker{t: t, w: w, script: script, buf: gopacket.NewSerializeBuffer()}
	w.Hostile(hostilePrefix, a.hear)
	mild := netsim.Link{Delay: ms, Loss: 0.01, Reorder: 0.02, ReorderBy: 2 * ms}
	a.live = []*simTalk{
		w.talk(way(modern, mild), static(10_000), static(100_000), static(1)),
		w.pipeline(way(netsim.ClientConfig{MSS: 1440, SACK: true}, mild), static(1400), static(10_000), post(3000)),
	}
	for _, k := range a.live {
		k.mayHand = true // when the attackers take all slots
		k.c.Forged()
	}
	for len(a.script) > 0 {
		a.step()
		allDone(a.live)()
	}
	w.finish(a.live...)
	for _, k := range a.live {
		k.c.Close()
	}
	for _, k := range a.live {
		w.until(5*time.Minute, k.c.Over)
	}
	w.run(10 * time.Minute) // every time-out of the attackers' connections
	w.end()
}

// next is the next octet of the program, 0 behind its end.
func (a *attacker) next() uint32 {
	if len(a.script) == 0 {
		return 0
	}
	v := a.script[0]
	a.script = a.script[1:]
	return uint32(v)
}

// near is at, most often, or a number around it, or any.
func (a *attacker) near(at uint32) uint32 {
	switch v := a.next(); {
	case v < 220:
		return at
	case v < 235:
		return at + uint32(int32(int8(v)))*a.next()
	case v < 250:
		return at - a.next()*16
	default:
		return a.next()<<24 | a.next()<<16 | a.next()<<3
	}
}

func (a *attacker) step() {
	switch k := a.next(); attackKinds[k%uint32(len(attackKinds))] {
	case attackSYN:
		a.syn()
	case attackSegment:
		k := a.next() % attackers
		a.w.Throw(a.segment(k))
	case attackFlip:
		frame := a.segment(a.next() % attackers)
		frame[int(a.next()<<8|a.next())%len(frame)] ^= byte(1 + a.next()%255)
		a.w.Throw(frame[:max(1, len(frame)-int(a.next()%40)*int(a.next()%2))])
	case attackBlind:
		a.blind()
	case attackTooBig:
		a.tooBig()
	case attackNoise:
		frame := make([]byte, 14+a.next()%50)
		for i := range frame {
			frame[i] = byte(a.next())
		}
		copy(frame, localMAC)
		a.w.Throw(frame)
	case attackWait:
		d := time.Duration(a.next()) * ms
		if d > 200*ms {
			d *= 100
		}
		a.w.run(d)
	}
}

func hostileAddr(k uint32) net.IP { return net.IPv4(203, 0, 113, byte(k+1)).To4() }

// frame is a segment with right checksums.
func (a *attacker) frame(from net.IP, tcp *layers.TCP, payload []byte) []byte {
	eth := layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, DstMAC: localMAC, EthernetType: layers.EthernetTypeIPv4}
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from, DstIP: local}
	tcp.DstPort = 80
	if err := tcp.SetNetworkLayerForChecksum(&ip); err != nil {
		a.t.Fatal(err)
	}
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(a.buf, opts, &eth, &ip, tcp, gopacket.Payload(payload)); err != nil {
		a.t.Fatal(err)
	}
	return slices.Clone(a.buf.Bytes())
}

func (a *attacker) syn() {
	k, bits := a.next()%attackers, a.next()
	o := &a.own[k]
	if o.ack != 0 && a.next() < 200 {
		a.w.Throw(a.segment(k)) // it has a connection already
		return
	}
	o.seq, o.tsval = a.next()<<24|k, 1+bits
	tcp := &layers.TCP{SrcPort: layers.TCPPort(2000 + k), Seq: o.seq, SYN: true, Window: uint16(bits << 8), ECE: bits&16 != 0, CWR: bits&16 != 0}
	if bits&1 != 0 {
		tcp.Options = append(tcp.Options, option(layers.TCPOptionKindMSS, byte(2+bits>>5), byte(a.next())))
	}
	if bits&2 != 0 {
		tcp.Options = append(tcp.Options, option(layers.TCPOptionKindSACKPermitted))
	}
	if bits&4 != 0 {
		tcp.Options = append(tcp.Options, stamps(o.tsval, 0))
	}
	if bits&8 != 0 {
		tcp.Options = append(tcp.Options, option(layers.TCPOptionKindWindowScale, byte(bits>>4)))
	}
	a.w.Throw(a.frame(hostileAddr(k), tcp, nil))
	o.seq++
	a.w.run(ms)
}

func option(kind layers.TCPOptionKind, data ...byte) layers.TCPOption {
	return layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data}
}

func stamps(val, ecr uint32) layers.TCPOption {
	return option(layers.TCPOptionKindTimestamps, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, val), ecr)...)
}

var attackPayloads = [][]byte{
	[]byte("GET /100000.txt HTTP/1.1\r\nHost: h\r\n\r\n"),
	[]byte("GET /1400.txt HTTP/1.1\r\nHost: h\r\n\r\nGET /1.txt HTTP/1.1\r\nHo"),
	[]byte("st: h\r\nConnection: close\r\n\r\n"),
	[]byte("POST /cgi-bin/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nxxxxxxxxxxxx"),
	nil, nil,
	[]byte("\x16\x03\x01\x00\x05\x00\r\n\r\nG"),
}

// segment is one of an own connection: what would be right now, with fields changed as the program says.
func (a *attacker) segment(k uint32) []byte {
	o := &a.own[k]
	tcp := &layers.TCP{SrcPort: layers.TCPPort(2000 + k), Seq: a.near(o.seq), Ack: a.near(o.ack), ACK: true, Window: 0xffff}
	payload := attackPayloads[a.next()%uint32(len(attackPayloads))]
	if v := a.next(); v > 100 {
		tcp.Window = uint16(v * a.next())
		tcp.FIN, tcp.RST, tcp.SYN, tcp.PSH, tcp.URG = v&1 != 0 && v > 200, v&6 == 6, v&0x18 == 0x18, v&2 != 0, v&0x60 == 0x60
		tcp.ACK, tcp.ECE = v != 255, v&4 != 0
	}
	if o.tsecr != 0 {
		o.tsval++
		tcp.Options = append(tcp.Options, stamps(a.near(o.tsval), a.near(o.tsecr)))
	}
	if v := a.next(); v > 180 {
		var blocks []byte
		for range 1 + v%3 {
			lo := a.near(o.ack) + a.next()*100
			blocks = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(blocks, lo), lo+a.next()*10)
		}
		tcp.Options = append(tcp.Options, option(layers.TCPOptionKindSACK, blocks...))
	}
	if tcp.Seq == o.seq {
		o.seq += uint32(len(payload))
	}
	return a.frame(hostileAddr(k), tcp, payload)
}

// blind forges a segment of a live connection, numbered outside of every window.
func (a *attacker) blind() {
	k := a.live[a.next()%uint32(len(a.live))]
	who, seq, ack := k.c.Numbers()
	v := a.next()
	if len(k.c.Received()) == 0 {
		return // it has no numbers yet
	}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(who.Port()), Seq: seq + 1<<30 + a.next()<<20, Ack: ack + 1<<30 + a.next()<<20, Window: uint16(a.next()),
		ACK: v&1 != 0, RST: v&2 != 0, SYN: false, FIN: v&4 != 0 && v&2 == 0, PSH: v&8 != 0,
	}
	a.w.Throw(a.frame(who.Addr().AsSlice(), tcp, attackPayloads[v%uint32(len(attackPayloads))]))
}

// tooBig is a router's message about a segment to an own connection, or to a live one with a number outside of the window.
func (a *attacker) tooBig() {
	k := a.next() % attackers
	to, port, seq := hostileAddr(k), uint16(2000+k), a.near(a.own[k].ack)
	if a.next() > 128 {
		who, _, ack := a.live[0].c.Numbers()
		to, port, seq = who.Addr().AsSlice(), who.Port(), ack+1<<30
	}
	quoted := gopacket.NewSerializeBuffer()
	ip := layers.IPv4{Version: 4, TTL: 60, Protocol: layers.IPProtocolTCP, SrcIP: local, DstIP: to}
	tcp := layers.TCP{SrcPort: 80, DstPort: layers.TCPPort(port), Seq: seq, ACK: true}
	_ = tcp.SetNetworkLayerForChecksum(&ip)
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(quoted, opts, &ip, &tcp); err != nil {
		a.t.Fatal(err)
	}
	eth := layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, DstMAC: localMAC, EthernetType: layers.EthernetTypeIPv4}
	outer := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: hostileAddr(200), DstIP: local}
	icmp := layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(a.next()<<8 | a.next())}
	if err := gopacket.SerializeLayers(a.buf, opts, &eth, &outer, &icmp, gopacket.Payload(quoted.Bytes()[:28])); err != nil {
		a.t.Fatal(err)
	}
	a.w.Throw(slices.Clone(a.buf.Bytes()))
}

// hear takes in what the host sends to an attacker, which acknowledges as it likes.
func (a *attacker) hear(frame []byte) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	tcp, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if tcp == nil || tcp.DstPort < 2000 || tcp.DstPort >= 2000+attackers {
		return
	}
	o := &a.own[tcp.DstPort-2000]
	if tcp.SYN {
		o.ack = tcp.Seq + 1
	}
	if n := tcp.Seq + uint32(len(tcp.Payload)); !tcp.RST && int32(n-o.ack) > 0 {
		o.ack = n
	}
	for _, opt := range tcp.Options {
		if opt.OptionType == layers.TCPOptionKindTimestamps && len(opt.OptionData) == 8 {
			o.tsecr = binary.BigEndian.Uint32(opt.OptionData)
		}
	}
}
