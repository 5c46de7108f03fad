package netsim

import "bytes"

// inspector sees every segment between one client and the host, in the order in which they are sent, and what
// of the client's arrived at the host. It ends the run when the host sends what it must not.
type inspector struct {
	c    *Client
	seen Sight

	// The client's side, as far as the host can know it.
	tsFirst, tsLast uint32 // timestamps that arrived
	arrived         spans  // octets of the client's stream
	fin             int64  // where the client's FIN stands, or -1; only if it has arrived
	edge            int64  // of the client's window, as the host was told

	// The host's side.
	stream  []byte // what was sent, once
	finAt   int64  // where the host's FIN stands, or -1
	haveVal bool
	val     uint32
	ecr     uint32
	ack     int64
	wndEdge int64
	scale   uint8
	// offersScale: the SYN/ACK had the option.
	offersScale bool
	forged      bool // others send in the client's name
}

// Sight counts what the host has sent to a client.
type Sight struct {
	Segments, Data, Repeated int // all, with payload, with payload that was sent before
	Probes                   int // of a closed window
	SACKs                    int // with SACK blocks
	FINs, Resets, Handshakes int
	FromKernel               int
}

func (v *inspector) init(c *Client) {
	v.c = c
	v.fin, v.finAt = -1, -1
}

func (v *inspector) failf(format string, args ...any) {
	v.c.net.Failf(v.c.name+": the host "+format, args...)
}

func (v *inspector) onClientSends(s *segment) {
	if s.syn && v.c.tries == 0 {
		v.tsFirst, v.tsLast = s.val, s.val
	}
}

// onArrival takes note of a segment of the client's that has reached the host.
func (v *inspector) onArrival(s *segment) {
	if s.ts && int32(s.val-v.tsLast) > 0 {
		v.tsLast = s.val
	}
	if s.syn || s.rst || v.c.state == connecting {
		return
	}
	off := offset(s.seq, v.c.iss, v.arrived.end())
	v.arrived.add(off, off+int64(len(s.payload)))
	if s.fin {
		v.fin = off + int64(len(s.payload))
	}
	ack := offset(s.ack, v.c.irs, v.c.rcvNxt)
	v.edge = max(v.edge, ack+int64(s.wnd)<<v.c.rcvShift)
}

// onHostSends looks at what the host, or its kernel, sends.
func (v *inspector) onHostSends(s *segment, fromKernel bool) {
	v.seen.Segments++
	if fromKernel {
		v.seen.FromKernel++
	}
	c := v.c
	if s.srcMAC != c.remoteMAC || s.dstMAC != c.localMAC || s.src != c.remote {
		v.failf("sends from %x %v to %x", s.srcMAC, s.src, s.dstMAC)
	}
	if s.rst {
		v.seen.Resets++
		return
	}
	if s.syn {
		v.onHandshake(s)
		return
	}
	if c.Reused() && (c.state == connecting || int32(s.ack-(c.iss+1)) < 0) {
		return // of the connection before
	}
	if c.state == connecting {
		v.failf("sends before the handshake is complete")
		return
	}
	if !s.isACK {
		v.failf("sends a segment without ACK")
	}
	v.checkOptions(s)
	v.checkTimestamps(s, fromKernel)
	v.checkAck(s, fromKernel)
	v.checkText(s)
}

// onHandshake checks a SYN/ACK: it answers what the SYN offered, and offers nothing else.
func (v *inspector) onHandshake(s *segment) {
	v.seen.Handshakes++
	c := v.c
	if c.Reused() && s.isACK && s.ack != c.iss+1 {
		return // to the SYN of the connection before, which came late
	}
	switch {
	case !s.isACK || s.ack != c.iss+1:
		v.failf("answers the SYN of %d with an ACK of %d", c.iss, s.ack)
	case len(s.payload) > 0 || s.fin || s.psh || len(s.sack) > 0:
		v.failf("sends more than a SYN/ACK")
	case s.mss < 0:
		v.failf("offers no MSS")
	case s.wscale >= 0 && c.cfg.shift() < 0, s.sackOK && !c.cfg.SACK, s.ts && !c.cfg.Timestamps:
		v.failf("answers options that were not offered")
	case s.ts && (int32(s.ecr-v.tsFirst) < 0 || int32(v.tsLast-s.ecr) < 0):
		v.failf("echoes timestamp %d, sent were %d to %d", s.ecr, v.tsFirst, v.tsLast)
	}
	if s.ts {
		v.ecr = s.ecr
		v.checkVal(s)
	}
	v.wndEdge = max(v.wndEdge, int64(s.wnd)) // RFC 7323, 2.2: never scaled here
	if s.wscale >= 0 {
		v.scale, v.offersScale = uint8(s.wscale), true
	}
}

func (v *inspector) checkOptions(s *segment) {
	c := v.c
	switch {
	case s.mss >= 0 || s.wscale >= 0 || s.sackOK:
		v.failf("sends an option that belongs on a SYN")
	case s.ts != c.tsOK:
		v.failf("sends timestamps: %v, negotiated: %v", s.ts, c.tsOK)
	case len(s.sack) > 0 && !c.sackOK:
		v.failf("sends SACK blocks without leave")
	case len(s.payload)+s.optionsLen() > c.cfg.maxSegment():
		v.failf("sends %d octets of payload and %d of options, MSS is %d", len(s.payload), s.optionsLen(), c.cfg.maxSegment())
	}
	if len(s.sack) > 0 {
		v.seen.SACKs++
	}
	for _, b := range s.sack {
		lo, hi := offset(b[0], c.iss, v.arrived.end()), offset(b[1], c.iss, v.arrived.end())
		if lo >= hi || !v.arrived.covers(lo, hi) {
			v.failf("reports octets %d to %d, which did not arrive", lo, hi)
		}
	}
}

// checkTimestamps is RFC 7323, 4.3 and 5.4, as far as it can be seen from outside.
func (v *inspector) checkTimestamps(s *segment, fromKernel bool) {
	if !s.ts {
		return
	}
	v.checkVal(s)
	switch {
	case int32(s.ecr-v.tsFirst) < 0 || int32(v.tsLast-s.ecr) < 0:
		v.failf("echoes timestamp %d, arrived were %d to %d", s.ecr, v.tsFirst, v.tsLast)
	case int32(s.ecr-v.ecr) < 0 && !fromKernel:
		v.failf("echoes timestamp %d after %d", s.ecr, v.ecr)
	}
	v.ecr = s.ecr
}

func (v *inspector) checkVal(s *segment) {
	if v.haveVal && int32(s.val-v.val) < 0 {
		v.failf("steps back from timestamp %d to %d", v.val, s.val)
	}
	v.haveVal, v.val = true, s.val
}

// checkAck looks at acknowledgment and window: both only move forward, and only over what arrived.
func (v *inspector) checkAck(s *segment, fromKernel bool) {
	all := v.arrived.end()
	if v.fin == all {
		all++
	}
	ack := offset(s.ack, v.c.iss, v.ack)
	edge := ack + int64(s.wnd)<<v.scale
	switch {
	case ack > all:
		v.failf("acknowledges %d octets, %d arrived", ack, all)
	case ack < v.ack && !fromKernel:
		v.failf("acknowledges %d after %d", ack, v.ack)
	case edge < v.wndEdge && !fromKernel:
		v.failf("takes its window back from %d to %d", v.wndEdge, edge)
	}
	v.ack, v.wndEdge = max(v.ack, ack), max(v.wndEdge, edge)
}

// checkText looks at payload and FIN.
func (v *inspector) checkText(s *segment) {
	sent := int64(len(v.stream))
	off := offset(s.seq, v.c.irs, sent)
	end := off + int64(len(s.payload))
	if v.finAt >= 0 && (end > v.finAt && len(s.payload) > 0 || s.fin && end != v.finAt) {
		v.failf("sends octets up to %d behind its FIN at %d", end, v.finAt)
		return
	}
	if s.fin {
		v.seen.FINs++
		v.finAt = end
	}
	if len(s.payload) == 0 {
		if !s.fin && off < v.ackedByClient() {
			v.seen.Probes++
		}
		if off > sent+1 {
			v.failf("sends an ACK at %d, its stream ends at %d", off, sent)
		}
		return
	}
	v.seen.Data++
	switch {
	case off < 0 || off > sent:
		v.failf("sends from %d on, its stream ends at %d", off, sent)
		return
	case end > v.edge:
		v.failf("sends up to %d, the window ends at %d", end, v.edge)
	}
	if old := min(end, sent) - off; old > 0 {
		v.seen.Repeated++
		if !bytes.Equal(s.payload[:old], v.stream[off:off+old]) {
			v.failf("sends other octets at %d than before", off)
		}
	}
	if end > sent {
		v.stream = append(v.stream, s.payload[sent-off:]...)
	}
}

// ackedByClient is how much of the host's stream the client has received.
func (v *inspector) ackedByClient() int64 { return v.c.rcvNxt }
