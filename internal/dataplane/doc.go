// Package dataplane is the loop between one receive queue and the connections that arrive in it: frames
// in, requests found, cached objects out, everything else handed over to the kernel.
//
//	Device.Receive ─ wire.Parse ─ flow table ─ tcpstate.Conn.OnSegment ─ RecvBuf ─ httpwire.Parse ─┬─ Object.Respond
//	Device.Send ── wire.Build ── Object.ReadAt ── tcpstate.Conn.PollTransmit ── ready list ────────┤
//	Handover.Begin, Inject, Established ── the client's own octets ────────────────────────────────┘
//
// One Loop belongs to one goroutine and shares nothing with other loops. It touches the world only through
// two small interfaces, Device and Handover, and is told the time, so that all of it runs in a test without
// root and in virtual time. It reads no file, takes no lock, and allocates nothing for a packet.
//
// Octets that are on disk come from readers beside it, piece by piece (disk.go, reading.go), before the connection hears of them.
// Answers that are asked for often lie ready for the steering program, on connections that are lent to it (lending.go). Where hardly a
// connection is ours, it leaves most to the kernel (leave.go).
//
// State is flat: connections, flow table, timers and receive buffers live in arenas of pointer-free records
// that are named by index, so that the garbage collector never walks them. Index 0 means none.
//
// It refuses: error pages (in doubt, Apache answers), and sending before it has a frame to send in: a full
// transmit ring stops polling, and no state moves.
//
// Begin reading at Loop.Step (loop.go).
package dataplane
