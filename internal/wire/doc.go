// Package wire gives views over the bytes of a frame: Ethernet, IPv4, IPv6 and TCP headers, TCP options,
// checksums and sequence numbers.
//
// Parse validates a frame once; what it returns can then be read without further checks. Nothing here
// allocates, keeps state, or returns an error value: bytes from the network cause a Problem, which is
// also a metric's label.
//
// It refuses, by design, everything that xhttpd leaves to the kernel: VLAN tags, IP options and extension
// headers, fragments, anything but TCP.
//
// Begin reading at Parse (packet.go), then Build (build.go).
package wire
