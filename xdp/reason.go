package xdp

// Reason says why the steering program let a packet go as it did. Its String is a metric's label. The numbers come from
// bpf/steer.c, where each has its comment.
type Reason steerReason

// NumReasons is the number of reasons; they are the numbers from 0 up.
const NumReasons = int(steerReasonREASONS)

// The reasons that are more than "not for us": only the first three do not mean XDP_PASS.
const (
	Redirected = Reason(steerReasonREASON_REDIRECTED) // went to an AF_XDP socket
	Ours       = Reason(steerReasonREASON_OURS)       // went there as well: the connection is in the table of flows
	TooBig     = Reason(steerReasonREASON_TOO_BIG)    // went there as well: an ICMP error about a segment of ours
	NoSocket   = Reason(steerReasonREASON_NO_SOCKET)  // would have gone, but the receive queue has no socket
	StaleSYN   = Reason(steerReasonREASON_STALE_SYN)  // no heartbeat for 1 s: new connections are the kernel's
	Stale      = Reason(steerReasonREASON_STALE)      // no heartbeat for 5 s: everything is
	Draining   = Reason(steerReasonREASON_DRAINING)   // a new connection after SetDraining
	Kernel     = Reason(steerReasonREASON_KERNEL)     // the kernel has a socket for the connection
)

var reasonNames = [NumReasons]string{
	steerReasonREASON_REDIRECTED:    "redirected",
	steerReasonREASON_TOO_SHORT:     "too-short",
	steerReasonREASON_NOT_UNICAST:   "not-unicast",
	steerReasonREASON_VLAN:          "vlan",
	steerReasonREASON_NOT_IP:        "not-ip",
	steerReasonREASON_IP_HEADER:     "ip-header",
	steerReasonREASON_IP_OPTIONS:    "ip-options",
	steerReasonREASON_FRAGMENT:      "fragment",
	steerReasonREASON_NOT_TCP:       "not-tcp",
	steerReasonREASON_BAD_ADDRESS:   "bad-address",
	steerReasonREASON_TCP_HEADER:    "tcp-header",
	steerReasonREASON_BAD_QUOTE:     "bad-quote",
	steerReasonREASON_OTHER_PORT:    "other-port",
	steerReasonREASON_OTHER_ADDRESS: "other-address",
	steerReasonREASON_ODD_FLAGS:     "odd-flags",
	steerReasonREASON_STALE_SYN:     "stale-syn",
	steerReasonREASON_STALE:         "stale",
	steerReasonREASON_DRAINING:      "draining",
	steerReasonREASON_INJECTED:      "injected",
	steerReasonREASON_KERNEL:        "kernel",
	steerReasonREASON_NO_SOCKET:     "no-socket",
	steerReasonREASON_TOO_BIG:       "too-big",
	steerReasonREASON_OURS:          "ours",
}

// String returns the reason as a metric's label.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
