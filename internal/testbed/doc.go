// Package testbed is the stage for tests of the whole: two network namespaces joined by a cable, a real Apache with
// Debian's configuration in one of them, xhttpd on its interface, and clients in the other. Everything ends with the
// test, also when it fails.
//
// Begin reading at Start (bed.go).
package testbed
