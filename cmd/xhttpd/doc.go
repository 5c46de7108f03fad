// Command xhttpd answers cached static objects from a network interface's receive queues, beside an unmodified web
// server that serves everything else.
//
// It is wiring: each package does its one job, and here they are put together and told to stop.
//
//	cli.go ─▶ run.go ─▶ check.go      nothing is touched before the machine was judged
//	             │
//	             ├─▶ open.go          parts, in the order in which nothing is redirected before it can be taken
//	             ├─▶ heart.go         loops go on ─▶ heartbeat; watch.go: the interface is what it was; addresses.go
//	             └─▶ drain.go         SIGTERM: connections to the server behind, then detach
//
// Begin reading at run.go.
package main
