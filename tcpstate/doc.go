// Package tcpstate is the server's side of TCP (RFC 9293) and of the documents around it, without I/O,
// without a clock, and without memory but what is given to it.
//
//	            SYN ──► Listener.OnSYN ──► SYN/ACK, no state
//	first data, FIN ──► Listener.Accept ──► a Conn in ESTABLISHED
//	        segment ──► Conn.OnSegment ──► Input: new octets, fate, reason of a drop
//	                    Conn.Received, Consume, Write, Close, Abort   what the server made of it
//	       one segment ◄── Conn.PollTransmit        pulled: where nobody polls, no state moves
//	           time ──► Conn.OnTimeout, at Conn.Deadline
//
// Handshakes cost nothing: what a SYN offered is kept in the initial sequence number and the timestamp that we
// answer with, under a keyed hash (RFC 4987, 3.6), and a Conn begins with the first octet or FIN that the client sends.
//
// A Conn is a flat value without pointers. It holds sequence numbers and no octets: what arrives is held by
// the caller, usually in a RecvBuf, and what is sent is read by the caller from something that does not
// change. What a connection needs while it has octets in flight it borrows from a Stack, which the connections of
// a loop share, and of one in TIME-WAIT only Remains are left. The caller also says how far requests were decided. Octets beyond that request boundary are not
// acknowledged until they must be, so that a connection can be handed to another TCP there (Conn.Handover).
//
// It refuses: connecting, urgent data (treated as ordinary octets), sending beyond the window that the peer
// has advertised by so much as an octet, and believing what an attacker who sees nothing of the connection
// could have sent (RFC 5961).
//
// Begin reading at Conn (conn.go), then OnSegment (receive.go) and PollTransmit (send.go). What is in flight is
// in flight.go; losses are found in scoreboard.go and rack.go and mended in recovery.go; how much may be in
// flight is said in congestion.go and by the algorithms behind it, how fast it goes in pacing.go.
package tcpstate
