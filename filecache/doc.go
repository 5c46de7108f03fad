// Package filecache holds static objects in memory with their ready-made responses, and keeps them true: what it
// gives out is, within a second, what the file is, and exactly what the server behind would send.
//
//	Want(request) ─▶ queue ─▶ walk, watch, first look, match, second look ─▶ table ─▶ Lookup(request)
//	                                     inotify, sweep, another look ─▶ drop ──┘
//
// Lookup and the methods of Object are for the packet loops: lock-free, without allocation, without I/O. All else
// happens in the goroutines of Run.
//
// A body that is too large for memory stays on disk: Object.ReadFileAt reads it, and waits; it is for readers beside the loops.
//
// An object is immutable. A response that has begun reads from it until its last octet is acknowledged, whatever
// happens to the file.
//
// What an object says is what the server behind has written when it was asked in the same way: with the same Host and Accept-Encoding, at the
// same address; or, of Accept-Encoding, with none and with all codings, if that was the same and Site.Coding has nothing against it. Nothing of it is made up, and nothing of that server's configuration has to be known.
//
// It refuses, and so leaves to the server behind: what that gives to some clients only, what changes each time, what is not the content of a file
// below a root, symlinks that leave the root, and what Site.Private and Site.AccessFile say of it. Without a server that could be asked, the answers are a stock Apache's
// (builtin.go), and what kHTTPd refused is refused: files that are not world-readable, or executable, or of an unknown type, hidden names,
// directories with an .htaccess on the way.
//
//	key.go, agent.go, admit.go  by what an object is found, and what may be asked for at all
//	fill.go, look.go            the queues
//	walk.go, watch.go, sweep.go the file and its way
//	ask.go, answer.go, prove.go what the server behind says
//	template.go                 octets of one answer ─▶ what all have in common
//	object.go                   ─▶ octets of each response
//	file.go                     the same for a body that stays on disk
//	table.go, body.go, cache.go what is held
//
// Begin reading at Cache.prove (fill.go) and Cache.firstLook (prove.go); responses are in object.go.
package filecache
