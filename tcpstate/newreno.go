package tcpstate

// newReno is RFC 5681 and 3465.
type newReno struct {
	acked uint32 // octets acknowledged since cwnd last grew, in congestion avoidance
}

func (g *newReno) begin(w *window, m *memory, _, _ uint32) {
	*g = newReno{}
	w.restart(m)
}

func (g *newReno) onAck(w *window, e *ackEvent) {
	if e.mode == modeOpen || e.mode == modeLoss {
		g.grow(w, e)
	}
	w.pace(e.left)
}

func (g *newReno) grow(w *window, e *ackEvent) {
	switch {
	case e.credit == 0 || !e.used && e.mode == modeOpen:
	case w.cwnd < w.ssthresh:
		w.slowStart(e, 2, 1)
	default:
		// RFC 3465, 2.1: one segment for each window that was acknowledged.
		if g.acked += min(e.credit, w.cwnd); g.acked >= w.cwnd {
			g.acked -= w.cwnd
			w.cwnd = min(w.cwnd+w.mss, maxCwnd)
		}
	}
}

// RFC 5681, 3.1, equation 4, with cwnd for FlightSize: it grows only while it is filled.
func (g *newReno) onCongestion(w *window) {
	w.ssthresh = max(w.cwnd/2, 2*w.mss)
	g.acked = 0
}

func (g *newReno) onTimeout(w *window, again bool) {
	if !again {
		g.onCongestion(w)
	}
}

func (g *newReno) onRecovered(w *window) { w.cwnd = w.ssthresh }

func (g *newReno) onUndo(*window) {}

func (g *newReno) keep(w *window, m *memory) { m.cwnd, m.ssthresh = w.cwnd, w.ssthresh }
