// Package compare holds what scripts/bench measures: xhttpd beside the servers that somebody would take instead, each in turn, on the same
// machine, with the same files and the same clients. The measuring itself is in the package's tests, as it needs network namespaces.
//
// What is measured is a Cell: one server under one Workload, several times (Sample). Figures of one run only may be compared. The one that holds on a
// machine that others disturb is the processor time for a request.
//
// Begin reading at BenchmarkCompare (compare_test.go); servers are in servers_test.go, clients in clients_test.go.
package compare
