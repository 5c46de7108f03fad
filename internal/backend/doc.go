// Package backend is the server behind for those who have none: a plain file server of the standard library on an
// ordinary kernel listener, to which connections are handed over as to any other.
//
// For the same file it sends the same validators, media type and Server field as filecache does when nobody is
// behind to prove them, so that a client does not see who has answered.
//
// It refuses what kHTTPd refused: files that are not world-readable, or executable, or reached by a symlink that
// leaves the root; it runs as root, and must not read for others what they could not read themselves. It also
// refuses names that begin with a dot, and it lists no directories.
//
// Begin reading at Start (backend.go); what is served is in files.go.
package backend
