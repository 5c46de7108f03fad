// Package redirect gives a TCP connection that user space has served so far to the kernel, at a request boundary, so that it
// appears in the accept queue of an unmodified server as if the client had just connected: true client address, the client's
// own sequence numbers, no proxy. From then on the connection costs nothing here.
//
// It works by two programs on the interface. Frames that Inject sends are turned round at tcx egress (inject) and received
// as if from the wire; at tcx ingress (assign) the one segment that Begin has announced becomes a socket of the
// listener, by the kfunc bpf_sk_assign_tcp_reqsk of Linux 6.9. A third program (verify) looks whether it has.
//
// The rules, which the caller must keep:
//
//   - Hand over only when everything sent is acknowledged: the kernel will never retransmit what we sent.
//   - Begin, then Inject, in order from the request's first octet; nothing of the connection may reach the kernel
//     by another way before Established says yes. (In XDP, the kernel's socket table says the same.)
//   - Injected segments carry Handover's Ack, Wnd and TSRecent; a first segment with another Ack is dropped.
//   - Established says no: the accept queue was full, a firewall dropped it, or nobody listens, in which case the client
//     has got a RST. Begin and Inject again after a while, but always ask Established before: the connection may have
//     lived and died meanwhile. Inject alone is not enough: a record makes one socket.
//   - Advertise at most 64,000 octets of window: the kernel must not shrink it (RFC 9293, 3.8.6).
//   - What the SYN/ACK offered must be what the kernel would have: see Sysctls.
//
// An XDP program on the interface in generic mode sees injected frames again, and must pass them: xdp/bpf/injected.h.
//
// It refuses: a peer with an MSS below 536, or 1220 for IPv6 (ErrMSS); listeners of other network namespaces, or that
// speak Multipath TCP (the kernel's refusal: AssignRefused); VLAN tags, IP options, fragments, extension headers, which
// user space never holds. A connection does not keep ECN: none may have been negotiated.
//
// Begin reading at Open (redirect.go), then Injector, then bpf/redirect.c.
package redirect
