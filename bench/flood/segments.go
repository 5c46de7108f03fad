package flood

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
)

// segments are the control bits of the floods of single segments.
var segments = map[Kind]wire.Flags{
	SYN: wire.SYN, ACK: wire.ACK, RST: wire.RST, Data: wire.ACK | wire.PSH, Reuse: wire.SYN,
}

// synOptions are those of Linux.
var synOptions = wire.Options{HasMSS: true, MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 7, HasTS: true, TSVal: 1}

// reused is how many flows Reuse has.
const reused = 64

// segments sends single segments until ctx ends.
func (r *run) segments(ctx context.Context) {
	var payload []byte
	if r.cfg.Kind == Data {
		payload = r.request()
	}
	for ctx.Err() == nil {
		n := r.due(r.out.packets, batch)
		if n == 0 {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		for range n {
			r.segment(payload)
		}
		r.out.flush()
	}
}

func (r *run) segment(payload []byte) {
	source := r.rnd.Uint64()
	if r.cfg.Kind == Reuse {
		source %= reused
	}
	flow := r.flow(source, uint16(1024+source>>40%60000))
	h := wire.Header{
		Src: r.mac, Dst: r.cfg.ServerMAC, Flow: &flow, Inbound: true,
		Seq: wire.Seq(r.rnd.Uint32()), Flags: segments[r.cfg.Kind], Wnd: 64000,
	}
	switch {
	case h.Flags.Has(wire.SYN):
		h.Options = &synOptions
	case h.Flags.Has(wire.ACK):
		h.Ack = wire.Seq(r.rnd.Uint32())
	}
	r.out.put(&h, payload)
}

// flow returns the flow of a source by its number, as the server sees it.
func (r *run) flow(source uint64, port uint16) wire.Flow {
	return wire.Flow{
		Local: wire.AddrFrom(r.cfg.Server.Addr()), LocalPort: r.cfg.Server.Port(),
		Remote: wire.AddrFrom(nth(r.cfg.Sources, source)), RemotePort: port,
	}
}

// nth returns an address of p: its host part is n, as far as it fits, plus 1.
func nth(p netip.Prefix, n uint64) netip.Addr {
	host := p.Addr().BitLen() - p.Bits()
	if host < 64 {
		n %= 1<<host - 1
	}
	b := p.Masked().Addr().As16()
	low := binary.BigEndian.Uint64(b[8:])
	binary.BigEndian.PutUint64(b[8:], low+n+1)
	return netip.AddrFrom16(b).Unmap()
}

// request returns a request for Path.
func (r *run) request() []byte {
	return []byte("GET " + r.cfg.Path + " HTTP/1.1\r\nHost: x\r\n\r\n")
}
