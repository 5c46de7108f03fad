// Package impair carries Ethernet frames between two interfaces, each the end of a veth pair, and does to them what
// long, narrow and bad links do: delay, jitter, loss in ones and in bursts, reordering, duplication, a rate, and a
// queue that drops what it has no room for. It is what netem is where the kernel has it.
//
//	host A ══ veth ══ [a  Forwarder  b] ══ veth ══ host B
//
// Each direction is a Link, and can be changed at any time. Random decisions come from a seed: the k-th frame of a
// direction has the same fate in each run. The offloads of the veth pairs must be off, so that each frame is one packet.
//
// Begin reading at path.send (path.go), which decides, then at Forwarder.Run (forward.go), which carries.
package impair
