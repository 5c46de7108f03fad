// Package clients holds the tests with clients of other people's making, against xhttpd in front of a real Apache: that they get
// every octet, through whatever they do, and that it was xhttpd who gave most of them; and the tests with files that change
// while they are served. It has no code of its own; the stage is package testbed.
//
// Begin reading at stage_test.go.
package clients
