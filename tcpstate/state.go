package tcpstate

// State is the state of a connection (RFC 9293, 3.3.2). LISTEN and SYN-SENT do not occur: a listener has no
// connections, and we never connect. SYN-RECEIVED is held in a cookie, not in a Conn.
type State uint8

// The states of RFC 9293. Closed is taken by Fate, hence the long name of CLOSED.
const (
	StateClosed State = iota
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
	NumStates
)

var stateNames = [NumStates]string{
	"CLOSED", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String returns the state's name in RFC 9293.
func (s State) String() string { return stateNames[s] }

// ourFIN reports whether a FIN of ours was sent or waits to be.
func (s State) ourFIN() bool {
	return s == FinWait1 || s == FinWait2 || s == Closing || s == LastAck || s == TimeWait
}

// owesFIN reports whether a FIN of ours has yet to be acknowledged, or even sent.
func (s State) owesFIN() bool { return s == FinWait1 || s == Closing || s == LastAck }

// peerFIN reports whether the peer's FIN was received, and all before it.
func (s State) peerFIN() bool {
	return s == CloseWait || s == Closing || s == LastAck || s == TimeWait
}

// Fate is what became of a connection, or of a limit on its time.
type Fate uint8

const (
	// Alive: nothing; go on.
	Alive Fate = iota
	// Closed: both sides have closed and the connection is over. Release it.
	Closed
	// Reset: the peer has reset the connection. Release it.
	Reset
	// TimedOut: the peer was given up. A RST waits in PollTransmit; then Finished reports true.
	TimedOut
	// HeadExpired: octets of a request lie undecided for longer than HeadTimeout. The connection is as
	// before; the caller decides what becomes of it, and is told again after as long a time.
	HeadExpired
	// IdleExpired: the connection was idle at a request boundary for longer than KeepAliveTimeout. The
	// connection is as before; the caller calls Close, or hands it over, or is told again.
	IdleExpired
)

var fateNames = [...]string{"alive", "closed", "reset", "timed-out", "head-expired", "idle-expired"}

// String returns the fate as a metric's label.
func (f Fate) String() string { return fateNames[f] }

// Drop says why a segment, or what it carried, was not taken. Its String is the label of a metric.
type Drop uint8

const (
	// DropNone: nothing was dropped.
	DropNone Drop = iota
	// DropBadSYN: a SYN with FIN or RST. Used by the caller of Listener.OnSYN.
	DropBadSYN
	// DropClosed: the connection is over.
	DropClosed
	// DropOldDuplicate: all that it carries was received before; answered by an ACK.
	DropOldDuplicate
	// DropOutOfWindow: outside the window; answered by an ACK.
	DropOutOfWindow
	// DropPAWS: its timestamp is older than that of what was received before it; answered by an ACK.
	DropPAWS
	// DropNoTimestamp: it lacks the timestamp that every segment of the connection must have.
	DropNoTimestamp
	// DropNoACK: neither SYN nor RST nor ACK.
	DropNoACK
	// DropBadACK: it acknowledges what was never sent, or acknowledged long ago; answered by a challenge ACK.
	DropBadACK
	// DropBlindRST: a RST outside the window.
	DropBlindRST
	// DropChallengeRST: a RST in the window, but not at its beginning; answered by a challenge ACK.
	DropChallengeRST
	// DropChallengeSYN: a SYN; answered by a challenge ACK.
	DropChallengeSYN
	// DropDiscarded: payload that came after we had closed; acknowledged and thrown away.
	DropDiscarded
	// DropAfterFIN: payload beyond the peer's own FIN.
	DropAfterFIN
	// NumDrops is the number of reasons.
	NumDrops
)

var dropNames = [NumDrops]string{
	"none", "bad-syn", "closed", "old-duplicate", "out-of-window", "paws", "no-timestamp", "no-ack", "bad-ack",
	"blind-rst", "challenge-rst", "challenge-syn", "discarded", "after-fin",
}

// String returns the reason as a metric's label.
func (d Drop) String() string { return dropNames[d] }
