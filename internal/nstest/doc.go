// Package nstest gives tests a network of their own: fresh network namespaces, joined by veth pairs.
//
// A namespace has no name in the file system. It is held by a file descriptor of the test's process, so it vanishes with that
// process, however the process ends; nothing is left behind to be cleaned up by hand. Commands are killed when the test ends.
//
// Tests that cannot run because they lack privileges are skipped with the name of what is missing. As root, on a kernel that
// should do, they fail instead (see Require).
//
// Begin reading at Pair; Routed puts a router between, Options.Wire a wire that decides on which core each end receives.
package nstest
