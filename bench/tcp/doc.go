// Package tcp sets xhttpd's TCP beside the kernel's: the same objects to the same client over the same impaired path
// (bench/impair), in turns, from xhttpd and from an Apache that xhttpd does not serve, on two addresses of one host.
//
//	client ══ [impair.Forwarder] ══ server: .2 xhttpd before Apache
//	                                        .3 Apache alone, on the kernel's TCP
//
// It is run by scripts/bench-tcp. Both sides use the same algorithm of congestion control; round k of a cell has the
// same seed for both, so that the k-th frame of each direction has the same fate.
//
// Begin reading at BenchmarkCompletion (completion_test.go).
package tcp
