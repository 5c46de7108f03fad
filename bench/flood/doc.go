// Package flood makes hostile traffic against a server's TCP port, for tests in network namespaces: floods of segments from
// random sources, and clients that complete the handshake only to hold on to what the server keeps for them. It has no code
// that the server uses.
//
// It speaks raw frames, so the machine's own TCP knows nothing of its connections. What the server sends to the made-up
// sources must come to the interface and end there: testbed.Bed.Beyond sees to it; otherwise give the server a route to
// Config.Sources by way of this machine, and this machine a blackhole route to them.
//
// It refuses to be clever: the sources are one prefix, and all hostile clients behave alike.
//
// Begin reading at Run (flood.go). Load (load.go) is the opposite: the well-behaved clients that must not suffer.
package flood
