package identity

// known are the cases in which xhttpd does not answer as Apache, and why. The test fails when one of them has come to be the
// same, so that nothing stays here for nothing.
var known = map[string]string{
	"pipelines/more than may be, across a hand-over": "Apache counts the requests of a connection from its own first one on",
}
