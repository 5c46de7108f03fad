// Package tcpclient is the client side of RFC 9293 for a load generator: many connections to one server, requests that fit
// into a segment, responses of any length. It has no clock, and no I/O but a Device that lends frames.
//
// A Stack holds its connections in flat tables, named by index. Input takes a frame and says what it meant for its connection,
// as one Event: nobody is called back. What is sent is not kept: Request lends the place in a frame where the caller
// writes its octets, and when they are to be sent again, Expire asks for them.
//
// What it has of TCP: retransmission with RFC 6298's timer, delayed acknowledgments, reassembly with SACK, timestamps if
// asked for, orderly ends and resets. Deviations, each because the peer is a server under test and the load must not
// be held back: no TIME-WAIT (ports rotate, and initial sequence numbers grow with time, so that a server in TIME-WAIT takes the
// new connection, RFC 9293, 3.6.1), no congestion control (a request is a segment), a receive window that does not change
// (what is received is consumed at once).
//
// It refuses: requests longer than a segment, urgent data, ECN.
//
// Begin reading at Stack (stack.go), then Input (input.go).
package tcpclient
