// Package compare holds what scripts/bench measures: xhttpd beside the servers that somebody would take instead, each in turn, on the same
// machine, with the same files and the same clients. The measuring itself is in the package's tests, as it needs network namespaces.
//
// What is measured is a Cell: one server under one Workload, several times (Sample). Figures of one run only may be compared. The one that holds on a
// machine that others disturb is the processor time for a request.
//
// Where packets are received decides much of what is measured. A veth pair receives on the sender's core: then the client's core does the server's work, the server's the client's,
// and no figure tells the one from the other. So what comes to the server is received on its own core (nstest.Steer): by receive packet steering where the kernel's TCP
// receives, which is an interrupt there; where an XDP program is attached, by the thread of the kernel that polls for the interface. That thread comes before processes (SCHED_FIFO), as an interrupt
// does: at ordinary rank a process that looks for packets instead of sleeping keeps it from running for the rest of its time slice. It costs a switch of contexts that
// an interrupt would not; of the servers only xhttpd pays that. What comes to wrk is received on the client's core, too. What comes to xload is not: its XDP program, and the copy into its ring, run on the
// server's core, in place of what a card's driver would do to send; that is in the figure of every server, for each packet. A thread on the client's core would have to be woken from the
// server's for each packet that it waits for, at the sender's expense: dear on a virtual machine, not there with a card, and dearest for servers that send one response at a time, so in xhttpd's favour. Flag -layout has
// the other ways.
//
// Begin reading at BenchmarkCompare (compare_test.go) and Workload; servers are in servers_test.go, what is measured in measure_test.go, clients in clients_test.go; the aims are in targets.go.
package compare
