package xload

// Reason says why a request has failed.
type Reason uint8

// The reasons.
const (
	OK        Reason = iota
	Status           // another status than expected
	Length           // another length of the body than expected
	Checksum         // another body than expected
	Malformed        // no HTTP
	Truncated        // the connection ended within the response
	Lost             // the connection was reset, or ended before a response, more than twice
	Refused          // no connection
	Timeout          // no response in time
	NoBuffer         // too many heads in pieces: a limit of ours
	Backlog          // more requests were waiting than can be remembered: a limit of ours
	Reasons          // how many there are
)

var reasonNames = [Reasons]string{
	"ok", "status", "length", "checksum", "malformed", "truncated", "lost", "refused", "timeout", "no-buffer", "backlog",
}

// String returns the reason as it stands in reports.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "unknown"
}
