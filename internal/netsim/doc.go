// Package netsim is a network in virtual time, for tests of the whole server without root: one host, its
// clients, and the links between them, which delay, lose, double and reorder as told.
//
//	Client ── Link up ──► host ──► Device.Receive ──┐
//	                        └ flows of the Kernel   │ the server under test, called by Step
//	Client ◄─ Link down ─ inspection ◄─ Device.Send ┘
//	                        ▲
//	                      Kernel ◄── Begin, Inject, Established, Cancel
//
// Device and Kernel are what package dataplane asks for by its interfaces of nearly the same names. The
// clients are a second implementation of TCP, made to be obvious, not fast, that shares nothing with package
// tcpstate; frames are built and decoded by gopacket. A client inspects everything that is sent to it, before
// the link may lose it: the first octet, option or timestamp that should not be there ends the run.
//
// All happens in one goroutine and in an order that only the seed decides, so that a failure can be repeated.
//
// It refuses: being used by anything but tests.
//
// Begin reading at Net (net.go), then Client (client.go) and endpoint (endpoint.go).
package netsim
