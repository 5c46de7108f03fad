// Package precondition decides which part of a representation a GET or HEAD request gets: the whole, nothing because
// the client's copy is fresh, or ranges of octets. It evaluates If-Match, If-Unmodified-Since, If-None-Match,
// If-Modified-Since, Range and If-Range (RFC 9110, 13 and 14) as Apache 2.4 does, also where Apache differs from the
// standard; TestSameAsApache holds it against a real one. And it writes the body of several ranges.
//
// It refuses what Apache answers with an error page (412, 416), and what it does not read exactly as Apache: that is
// Unsure, and the server behind answers.
//
// Everything is a function of its arguments, and nothing allocates. Begin reading at Evaluate (evaluate.go); ranges.go reads the
// Range field, multipart.go writes multipart/byteranges.
package precondition
