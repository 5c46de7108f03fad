// Package pieces is the memory through which octets come from disk to one packet loop, and the two rings by which the loop asks for
// them.
//
//	loop ──Take, Ask, Publish──▶ │ job │ job │ … │ ──Next──▶ readers ──pread──▶ memory of the piece
//	loop ◀──Answered── │ answer │ … │ ◀──Answer──┘
//
// Each ring has one producer and one consumer; the loop's side neither allocates nor locks nor waits. A piece belongs to who has
// taken it, from Ask until Answered to the readers. As there are no more jobs than pieces, no ring is ever full.
//
// It refuses to know whose turn it is: the loop does (package dataplane).
//
// Begin reading at Pool (pool.go); Run (run.go) is the readers.
package pieces
