// Command xhttpd answers cached static objects from a network interface's receive queues, beside an unmodified web
// server that serves everything else.
//
// It is wiring: each package does its one job, and here they are put together and told to stop. Begin reading at
// main.go, then run.go.
package main
