package flood

import (
	"time"

	"github.com/xhttpd/xhttpd/internal/wire"
	"github.com/xhttpd/xhttpd/xdp"
)

const batch = 64

// sender writes frames to the interface by our own rings: that is the fastest way, and needs no program on this side.
type sender struct {
	socket     *xdp.Socket
	frames     [batch][]byte // frames[:used] are filled, frames[used:have] lent and empty
	used, have int
	packets    uint64
	octets     uint64
}

// put queues the segment h with payload. It waits while the ring is full.
func (s *sender) put(h *wire.Header, payload []byte) {
	if s.used == s.have {
		s.flush()
		for s.have = s.socket.Alloc(s.frames[:]); s.have == 0; s.have = s.socket.Alloc(s.frames[:]) {
			s.socket.Wait(time.Millisecond)
		}
	}
	frame := s.frames[s.used]
	copy(frame[h.HeaderLen():], payload)
	n := h.Build(frame, len(payload))
	wire.Finish(frame[:n])
	s.frames[s.used] = frame[:n]
	s.used++
	s.packets++
	s.octets += uint64(n)
}

// flush sends what is queued.
func (s *sender) flush() {
	if s.used == 0 {
		return
	}
	s.socket.Send(s.frames[:s.used])
	s.have = copy(s.frames[:], s.frames[s.used:s.have])
	s.used = 0
}
