// Package preflight finds out whether and how this machine could run the daemon, before anything is touched.
//
// Each check looks at one thing and says what it found, what that means, and what to do about it. A failure means
// that the daemon could not run, or that it would lose connections; a warning, that it would run worse than it
// could, or that something here cannot be judged.
//
// It changes nothing: no program is loaded, and nothing is attached, which on some network cards takes the link down
// for a moment. What only trying can tell, it takes from what the kernel says of the driver, and says so. (Asking for
// the firewall's rules may have the kernel load the modules that answer.)
//
// The network namespace is that of the calling thread.
//
// Begin reading at Run (preflight.go), then checks.go; the firewall's rules are read in firewall.go.
package preflight
