// Package hits carries what a loop tells of each response to whoever writes the access log: two records, when the
// response begins and when it ends, through a ring with one producer and one consumer.
//
//	loop ──Begin, End, Publish──▶ │ begin 7 │ begin 8 │ end 7 │ … │ ──Next, Release──▶ accesslog
//
// The producer copies octets, and neither allocates nor locks nor calls the kernel; when the ring is full the response
// is not told of, and counted. Who has begun will end: room for the end of each response is kept from its beginning on.
//
// It refuses to know what the octets mean; that is package accesslog's.
//
// Begin reading at Ring (ring.go).
package hits
