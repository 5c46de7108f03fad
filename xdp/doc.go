// Package xdp brings frames from a network interface's receive queues to user space and back, beside the kernel, which
// keeps the interface.
//
// It has two halves. A Program is the BPF program bpf/steer.c, attached to one interface: it redirects TCP segments to the
// served addresses and port, of connections that the kernel does not own, to the AF_XDP socket of their receive queue, and
// with them routers' messages that a segment of such a connection was too big (bpf/icmp.h). Everything else, and every doubt,
// goes to the kernel. A Socket is one AF_XDP socket, bound to one queue, with its UMEM and its four rings:
//
//	         Alloc                Send                          (kernel)
//	pool ───────────▶ the caller ──────▶ TX ring ──▶ device ──▶ completion ring ──▶ pool
//
//	                  Receive                 next Receive
//	fill ring ──▶ device ──▶ RX ring ──▶ the caller ──▶ fill ring
//
// A frame has one owner at any time, and the package knows which. Frames for receiving and for sending are different ones, so
// that neither direction can starve the other.
//
// Requests of connections that the caller has lent are answered by the program if their answers lie ready (Program.Lending,
// bpf/answer.h), and acknowledgments of these taken in (bpf/lent.h). Most new connections are left to the kernel while the caller says so
// (Program.Leaving, bpf/leave.h).
//
// It refuses to parse, to decide on an answer, and to keep the time: who owns a connection the kernel's socket table knows, what a segment
// means the dataplane knows. It attaches by bpf_link and pins nothing, so that a daemon which dies leaves nothing behind.
//
// How the pieces are used:
//
//	program, err := xdp.Open(xdp.Config{Interface: "eth0", Port: 80, Addresses: addresses})
//	socket, err := xdp.OpenSocket(xdp.SocketConfig{Interface: "eth0", Queue: 0, Copy: program.Mode() == xdp.Generic})
//	err = program.Register(0, socket)   // for each queue
//	err = program.Beat(now)             // from now on at least every 500 ms, or nothing comes
//
// Begin reading at program.go, then bpf/steer.c; for the rings at frames.go, then io.go. Only the files named *_unsafe.go use
// package unsafe.
package xdp
