// Package system holds the tests of the whole: xhttpd as users run it, beside a real Apache, with real clients, in
// network namespaces. It has no code of its own; the stage is package testbed.
package system
