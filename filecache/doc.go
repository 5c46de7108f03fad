// Package filecache holds static objects in memory with their ready-made responses, and keeps them true: what it
// gives out is, within a second, what the file is, and exactly what the server behind would send.
//
//	Want(target) ─▶ queue ─▶ fill: walk, watch, read, prove ─▶ table ─▶ Lookup(target)
//	                                    inotify, sweep ─▶ drop ──┘
//
// Lookup and the methods of Object are for the packet loops: lock-free, without allocation, without I/O. All else
// happens in the goroutines of Run.
//
// An object is immutable. A response that has begun reads from it until its last octet is acknowledged, whatever
// happens to the file.
//
// It refuses, and so leaves to the server behind: what kHTTPd refused (files that are not world-readable, or
// executable, or of an unknown type, "cgi-bin"), symlinks that leave the root, directories with an .htaccess on
// the way, and every file of which the server's own header section is not what we would send (prove.go).
//
// Begin reading at Cache.fill (fill.go); responses are in object.go.
package filecache
