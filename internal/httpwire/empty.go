package httpwire

// maxEmptyLines is how many empty lines Apache skips behind a request (DEFAULT_LIMIT_BLANK_LINES).
const maxEmptyLines = 10

// EmptyLines returns how many octets at the beginning of b, which came behind a request that was answered on a connection
// that persists, are empty lines that Apache skips there, when it has written the response, before it looks for a next
// request (ap_check_pipeline). Such a line ends with CRLF or with LF alone. tooMany says that one more follows than it
// skips: it then closes the connection.
//
// A CR at the end of b is not counted: Apache leaves it, too, as the beginning of the next request. And what comes when
// Apache has looked, in front of a request as in front of a connection's first, is subject to other rules (RFC 9112, 2.2,
// as read_request_line has it): up to ten CRLFs, no LF alone.
func EmptyLines(b []byte) (n int, tooMany bool) {
	for lines := 0; ; lines++ {
		next := n
		if next < len(b) && b[next] == '\r' {
			next++
		}
		switch {
		case next == len(b), b[next] != '\n':
			return n, false
		case lines == maxEmptyLines:
			return n, true
		}
		n = next + 1
	}
}
