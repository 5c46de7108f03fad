// Package bench compares the packet path with what others offer. It has no code that the server uses.
//
// BenchmarkEcho sets our own AF_XDP rings beside github.com/asavie/xdp, the package that one would reach for first, beside plain C,
// and beside XDP_TX, the kernel's own limit:
//
//	sudo go test ./bench -run '^$' -bench Echo -count 5
//
// Below it, flood has hostile clients (scripts/bench-flood measures how others fare beside them), impair is a path that can be
// made bad, tcp sets our TCP beside the kernel's over it (scripts/bench-tcp), compare sets the whole beside other servers (scripts/bench),
// and xload makes load by AF_XDP (command cmd/xload; scripts/bench-xload sets it beside wrk).
//
// Compare figures of one run only. Why the server has rings of its own, whatever the figures, is in ARCHITECTURE.md.
package bench
