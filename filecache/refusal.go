package filecache

import "time"

// Refusal says why a target did not get into the cache. Its String is the label of a metric.
type Refusal uint8

// The refusals. Taken is none.
const (
	Taken        Refusal = iota
	Dynamic              // the target has one of Options.Dynamic in it
	Directory            // the target ends in '/'
	HiddenName           // a name that begins with '.'
	UnknownType          // no media type, or more than one
	Missing              // no such file
	NotRegular           // a directory, a device, …
	Permissions          // kHTTPd's rules, or a directory on the way that strangers may not search
	LeavesRoot           // by a symlink
	Htaccess             // there is an .htaccess on the way
	TooLarge             // over Options.MaxObject
	TooYoung             // changed within the last two seconds
	Changing             // changed while it was read, or open for writing
	Unreadable           // the system says no
	Unwatched            // too many objects already of whose change the kernel does not tell
	NoBackend            // the server behind can't be asked
	ProofStatus          // it answers with something else than 200
	ProofDiffers         // its header section is not what ours would be
	NumRefusals
)

var refusalNames = [NumRefusals]string{
	"taken", "dynamic", "directory", "hidden-name", "unknown-type", "missing", "not-regular", "permissions", "leaves-root",
	"htaccess", "too-large", "too-young", "changing", "unreadable", "unwatched", "no-backend", "proof-status", "proof-differs",
}

// String returns the refusal as a metric's label.
func (r Refusal) String() string {
	if r < NumRefusals {
		return refusalNames[r]
	}
	return "unknown"
}

// pause is how long a refused target is not tried again.
func (r Refusal) pause() time.Duration {
	switch r {
	case TooYoung, Changing, NoBackend:
		return time.Second
	case ProofStatus, ProofDiffers:
		return 10 * time.Second
	}
	return 2 * time.Second
}
