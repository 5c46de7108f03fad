package identity

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// way is how a case's octets are embedded. What comes before and after them makes their ends visible.
type way uint8

const (
	alone   way = iota // the client then closes its side
	watched            // a further request follows: its answer tells whether the server kept the connection, and where it took the case to end
	behind             // the same, and a file that the cache has goes before
)

func (w way) String() string { return [...]string{"alone", "watched", "behind a hit"}[w] }

const (
	sentinel = "GET /sentinel.txt HTTP/1.1\r\nHost: test\r\nUser-Agent: sentinel\r\n\r\n"
	ahead    = "GET /own/0000.png HTTP/1.1\r\nHost: test\r\n\r\n"
)

// pieces returns what is sent, each element a moment after the one before.
func (w way) pieces(c testCase) []string {
	pieces := append([]string(nil), c.send...)
	if w != alone {
		pieces[len(pieces)-1] += sentinel
	}
	if w == behind {
		pieces[0] = ahead + pieces[0]
	}
	return pieces
}

// outcome is all that a client sees of a server on one connection.
type outcome struct {
	octets string
	end    string // FIN, RST, or an error
}

// patience bounds a conversation that hangs. Nothing depends on it but how soon the test fails.
const patience = time.Minute

// moment is the pause between two pieces: long enough for most to arrive apart, and nothing fails if they do not.
const moment = 2 * time.Millisecond

// exchange sends pieces over conn, closes the client's side, and reads to the end.
func exchange(conn net.Conn, pieces []string) outcome {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return outcome{end: err.Error()}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for k, piece := range pieces {
			if k > 0 {
				time.Sleep(moment)
			}
			if _, err := io.WriteString(conn, piece); err != nil {
				return // the server has closed: the reader sees how
			}
		}
		conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // likewise
	}()
	octets, err := io.ReadAll(conn)
	end := "FIN"
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		end = "RST"
	case err != nil:
		end = err.Error()
	}
	// It is over. Closing by RST leaves no socket in TIME-WAIT, whose port a later conversation may get, which would then be the kernel's.
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // then it is closed by FIN
	}
	conn.Close() // a writer that is stuck shall not stay
	<-sent
	return outcome{string(octets), end}
}

// both has the same conversation with Apache alone and with xhttpd at the same moment.
func (s *stage) both(pieces []string, six bool) (theirs, ours outcome) {
	k := 0
	if six {
		k = 1
	}
	done := make(chan outcome)
	go func() { done <- s.converse(s.alone[k], pieces) }()
	ours = s.converse(s.Address(six), pieces)
	return <-done, ours
}

func (s *stage) converse(address string, pieces []string) outcome {
	conn, err := s.Connect(address)
	if err != nil {
		return outcome{end: "connect: " + err.Error()}
	}
	return exchange(conn, pieces)
}

// compare says in what two outcomes differ, "" if in nothing. anew reports whether they are the same but for the one known exception:
// see countedAnew.
func compare(theirs, ours outcome) (what string, anew bool) {
	a, b := mask(theirs.octets), mask(ours.octets)
	if a != b && countedAnew(split(theirs.octets), split(ours.octets)) {
		a, b, anew = keepAliveMax.ReplaceAllString(a, "max=*"), keepAliveMax.ReplaceAllString(b, "max=*"), true
	}
	if d := difference(a, b); d != "" {
		return d, false
	}
	if theirs.end != ours.end || theirs.end != "FIN" && theirs.end != "RST" {
		return fmt.Sprintf("Apache alone ends with %s, with xhttpd it is %s, after %q", theirs.end, ours.end, tail(theirs.octets)), false
	}
	return "", anew
}

func tail(s string) string { return s[max(0, len(s)-200):] }

func shown(pieces []string) string {
	if all := strings.Join(pieces, "\x00"); len(all) > 1500 {
		return fmt.Sprintf("%q… %d octets", all[:1500], len(all))
	}
	return fmt.Sprintf("%q", pieces)
}
