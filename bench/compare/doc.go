// Package compare holds what scripts/bench measures: xhttpd beside the servers that somebody would take instead, each in turn, on the same
// machine, with the same files and the same clients. The measuring itself is in the package's tests, as it needs network namespaces.
//
// What is measured is a Cell: one server under one Workload, several times (Sample). Figures of one run only may be compared. The one that holds on a
// machine that others disturb is the processor time for a request.
//
// Where packets are received decides much of what is measured. A veth pair receives on the sender's core: then the client's core does the server's work, the server's the client's,
// and no figure tells the one from the other (-layout plain). So there is a wire between them (nstest.Options.Wire): what the client sends is received on the server's core, what the
// server sends on the client's, both in softirq, as by a network card whose interrupts are bound to the core, with XDP and without. For every server, the server's core has the
// receiving of its frames and a redirection for each; for what it sends, an interrupt of the client's core whenever that has received all that came before. A card has none of that
// price: servers that send one response at a time pay it for each, those that send several at once, as xhttpd does, pay it once. That is in xhttpd's favour at 64 connections.
//
// Begin reading at BenchmarkCompare (compare_test.go) and Workload; servers are in servers_test.go, what is measured in measure_test.go, clients in clients_test.go; the aims are in targets.go.
package compare
