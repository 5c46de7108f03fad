// Package preflight finds out whether and how this machine could run the daemon, before anything is touched.
//
// Each check looks at one thing and says what it found, what that means, and what to do about it. A failure means
// that the daemon could not run, or that it would lose connections; a warning, that it would run worse than it
// could, or that something here cannot be judged.
//
// It changes nothing: no program is loaded, nothing is attached, no module and no table of a firewall is brought
// into being. So what only trying can tell, it takes from what the kernel says of the driver, and says so.
//
// The network namespace is that of the calling thread.
//
// Begin reading at Run (preflight.go), then checks.go; the firewall's rules are read in firewall.go.
package preflight
