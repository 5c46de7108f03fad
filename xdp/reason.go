package xdp

// Reason says why the steering program let a packet go as it did. Its String is a metric's label. The numbers come from
// bpf/steer.c, where each has its comment.
type Reason steerReason

// NumReasons is the number of reasons; they are the numbers from 0 up.
const NumReasons = int(steerReasonREASONS)

// The reasons that are more than "not for us": what is not redirected, dropped or answered is passed.
const (
	Redirected  = Reason(steerReasonREASON_REDIRECTED)    // went to an AF_XDP socket
	Ours        = Reason(steerReasonREASON_OURS)          // went there as well: the connection is in the table of flows
	TooBig      = Reason(steerReasonREASON_TOO_BIG)       // went there as well: an ICMP error about a segment of ours
	CrowdCookie = Reason(steerReasonREASON_CROWD_COOKIE)  // went there as well, though the ring is crowded: a connection's first segment
	CrowdHello  = Reason(steerReasonREASON_CROWD_HELLO)   // dropped as the ring is crowded: a bare ACK or RST of no known connection
	CrowdStray  = Reason(steerReasonREASON_CROWD_STRAY)   // dropped likewise: octets or a FIN of no connection
	CrowdSYN    = Reason(steerReasonREASON_CROWD_SYN)     // answered, as the ring is crowded
	CrowdOddSYN = Reason(steerReasonREASON_CROWD_ODD_SYN) // passed likewise: only the kernel can answer it
	CrowdTooBig = Reason(steerReasonREASON_CROWD_TOO_BIG) // passed likewise: a router's answer about no known connection
	Oversized   = Reason(steerReasonREASON_OVERSIZED)     // dropped: it fits no frame of the socket, see MaxPacket
	Answered    = Reason(steerReasonREASON_ANSWERED)      // a request whose answer lay ready; the answer has gone
	Spoiled     = Reason(steerReasonREASON_SPOILED)       // dropped: a request that could not be made its answer
	Left        = Reason(steerReasonREASON_LEFT)          // a new connection that is left to the kernel, as Program.Leaving says
	Acked       = Reason(steerReasonREASON_ACKNOWLEDGED)  // dropped: a bare ACK of a connection that is lent, which was noted
	NoSocket    = Reason(steerReasonREASON_NO_SOCKET)     // would have gone, but the receive queue has no socket
	StaleSYN    = Reason(steerReasonREASON_STALE_SYN)     // no heartbeat for 1 s: new connections are the kernel's
	Stale       = Reason(steerReasonREASON_STALE)         // no heartbeat for 5 s: everything is
	Draining    = Reason(steerReasonREASON_DRAINING)      // a new connection after SetDraining
	Kernel      = Reason(steerReasonREASON_KERNEL)        // the kernel has a socket for the connection
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
	steerReasonREASON_CROWD_SYN:     "crowd-syn",
	steerReasonREASON_CROWD_ODD_SYN: "crowd-odd-syn",
	steerReasonREASON_CROWD_COOKIE:  "crowd-cookie",
	steerReasonREASON_CROWD_HELLO:   "crowd-hello",
	steerReasonREASON_CROWD_STRAY:   "crowd-stray",
	steerReasonREASON_CROWD_TOO_BIG: "crowd-too-big",
	steerReasonREASON_OVERSIZED:     "oversized",
	steerReasonREASON_ANSWERED:      "answered",
	steerReasonREASON_SPOILED:       "spoiled",
	steerReasonREASON_LEFT:          "left",
	steerReasonREASON_ACKNOWLEDGED:  "acknowledged",
}

// String returns the reason as a metric's label.
func (r Reason) String() string {
	if int(r) < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}
