// Package config holds the daemon's settings and says which of them make sense.
//
// It judges by the settings alone: whether the machine can do what they ask, package preflight finds out.
// The struct tags are those of the command line (kong), so that a setting is named, explained and checked in
// one place. The kinds of value that a user writes in a way of their own, Size and Backend, read themselves.
//
// It refuses an admin address that others could reach, and everything else that could only have been meant
// otherwise.
//
// Begin reading at Daemon (config.go).
package config
