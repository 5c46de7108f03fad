// Package bench compares the packet path with what others offer. It has no code that the server uses.
//
// Package echo has the floor: frames that are only sent back, by our own AF_XDP rings, by github.com/asavie/xdp, the package that one would reach for first, by plain C,
// and by XDP_TX, the kernel's own limit.
//
// Beside it, flood has hostile clients (scripts/bench-flood measures how others fare beside them), impair is a path that can be
// made bad, tcp sets our TCP beside the kernel's over it (scripts/bench-tcp), compare sets the whole beside other servers (scripts/bench),
// and xload makes load by AF_XDP (command cmd/xload; scripts/bench-xload sets it beside wrk). Package cores keeps each
// side on a core of its own, made says of which commit and kernel results are.
//
// Compare figures of one run only. Why the server has rings of its own, whatever the figures, is in ARCHITECTURE.md.
package bench
