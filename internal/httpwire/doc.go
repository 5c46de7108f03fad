// Package httpwire is the grammar of one HTTP/1 request head (RFC 9112), read strictly, without allocation and
// without state: Parse says whether the octets are a whole head that xhttpd may answer, the beginning of one, or
// not ours.
//
// It refuses whatever two readers could understand in two ways. There is no error: a request that is malformed,
// or well-formed but beyond the subset that xhttpd answers, is NotOurs, with a Reason, and goes to the server behind
// with its octets as sent.
//
// Begin reading at Parse (parse.go); dates are in date.go.
package httpwire
