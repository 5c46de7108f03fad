// Package xload makes HTTP load by AF_XDP, with a TCP of its own (package tcpclient), so that the server is the limit of a
// measurement and not the generator. Command bench/cmd/xload is its user interface.
//
//	Device.Receive ─▶ tcpclient.Stack.Input ─▶ Event ─▶ user: reader, judge ─▶ meter
//	                                                      │ next request, by the closed loop or the schedule
//	Device.Send ◀──── tcpclient.Stack.Request ◀───────────┘
//
// A user is a simulated client: a connection, or none, and up to Pipeline requests under way. A closed loop has each user ask
// again when it has got its answer, after a time for thinking. An open loop has requests become due at a rate, whatever the server
// does; each goes to the next user that can take it, or waits for one. Latency counts from when a request was due, so that a
// server that stalls cannot hide it; requests that fail count with the time that they took to fail.
//
// Everything but Open works on a Device and a clock that are handed in, so it runs in a test without root, in virtual time. One
// goroutine does all: it neither allocates nor locks while it runs, and takes the time once for each batch of frames. What
// it does in its turn is what it measures of itself: the share of time in which it did not wait, and how late it began what
// was due. From these, Result.Limit says whether the generator was the limit.
//
// The kernel of the client's machine must not see the packets of connections that it does not know: it would reset them. The
// XDP program bpf/take.c takes what comes from the server's address and port to the generator's addresses and ports, and nothing
// else. Those are, by default, the interface's address and ports outside of net.ipv4.ip_local_port_range, some 30,000; for more
// connections, or to be sure, use addresses of their own (Config.Sources), which the server must have a route to by way of this
// machine, or which a neighbour entry or proxy ARP leads to it.
//
// It refuses: TLS, HTTP/2, request bodies, servers behind the loopback interface (use a veth pair).
//
// Begin reading at Generator (load.go), then turn, then user.go. Open (open.go) is what touches the world.
package xload
