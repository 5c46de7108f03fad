package filecache

import "time"

// Refusal says why something that was asked for did not get into the cache. Its String is the label of a metric.
type Refusal uint8

// The refusals. Taken is none.
const (
	Taken            Refusal = iota
	Dynamic                  // the target has one of Options.Dynamic in it
	Private                  // Site.Private says why
	TooManyHosts             // the bounds of admit.go
	TooManyCodings           //
	TooManySpellings         //
	Missing                  // no such file below a root
	NotRegular               // a directory, a device, …
	LeavesRoot               // by a symlink
	TooLarge                 // over Options.MaxObject
	TooYoung                 // changed within the last two seconds
	Changing                 // changed while it was read or proven, or open for writing
	Unreadable               // the system says no
	Unwatched                // too many objects already of whose change the kernel does not tell
	Busy                     // too many objects wait for being filled, or for their second look
	NoBackend                // the server behind can't be asked
	ProofStatus              // it answers with something else than 200
	ProofStorable            // not every client may have its answer: RFC 9111, Set-Cookie, Vary
	ProofStale               // its answer is not fresh, or for a few seconds only
	ProofContent             // its answer is not the content of the file
	ProofVolatile            // its answer is different each time
	ProofKeepAlive           // what it will say of the connection, and how long it keeps one, does not follow from its answers
	ProofOdd                 // its answer has a form that can't be repeated
	HiddenName               // a name that begins with '.'; this and the next two only without Backend
	UnknownType              // no media type, or more than one
	Permissions              // kHTTPd's rules, or a directory on the way that strangers may not search
	Htaccess                 // there is an .htaccess on the way, with rules that depend on the client, or without Backend
	NumRefusals

	parked = NumRefusals // not yet refused, nor taken
)

var refusalNames = [NumRefusals]string{
	"taken", "dynamic", "private", "too-many-hosts", "too-many-codings", "too-many-spellings", "missing", "not-regular", "leaves-root",
	"too-large", "too-young", "changing", "unreadable", "unwatched", "busy", "no-backend", "proof-status", "proof-storable", "proof-stale",
	"proof-content", "proof-volatile", "proof-keepalive", "proof-odd", "hidden-name", "unknown-type", "permissions", "htaccess",
}

// String returns the refusal as a metric's label.
func (r Refusal) String() string {
	if r < NumRefusals {
		return refusalNames[r]
	}
	return "unknown"
}

// pause is how long what was refused is not tried again.
func (r Refusal) pause() time.Duration {
	switch r {
	case TooYoung, Changing, NoBackend, Busy:
		return time.Second
	case ProofStatus, ProofStorable, ProofStale, ProofContent, ProofVolatile, ProofKeepAlive, ProofOdd:
		return 10 * time.Second
	}
	return 2 * time.Second
}
