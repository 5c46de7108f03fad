package identity

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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
func exchange(conn net.Conn, pieces []string, pause time.Duration) outcome {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return outcome{end: err.Error()}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for k, piece := range pieces {
			if k > 0 {
				time.Sleep(pause)
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
	conn.Close() // a writer that is stuck shall not stay
	<-sent
	return outcome{string(octets), end}
}

// both has the same conversation with Apache alone and with xhttpd at the same moment.
func (s *stage) both(pieces []string, six bool, pause time.Duration) (theirs, ours outcome) {
	k := 0
	if six {
		k = 1
	}
	done := make(chan outcome)
	go func() { done <- s.converse(s.alone[k], pieces, pause) }()
	ours = s.converse(s.Address(six), pieces, pause)
	return <-done, ours
}

func (s *stage) converse(address string, pieces []string, pause time.Duration) outcome {
	conn, err := s.connect(address)
	if err != nil {
		return outcome{end: "connect: " + err.Error()}
	}
	return exchange(conn, pieces, pause)
}

// ports are those of the conversations, for each address of the server, in turn. A port that Apache's kernel still remembers, because Apache has ended the
// connection (TIME-WAIT, a minute), makes the next connection from it Apache's: that is right, but leaves it to chance who answers. The kernel's own
// choice came back to such ports, and no way of closing avoids it: a socket in LAST-ACK sends no RST. In turn, none
// is used again within that minute.
type ports struct {
	mu   sync.Mutex
	next map[string]uint16
}

const firstPort, lastPort = 2000, 65000

func (p *ports) take(address string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = map[string]uint16{}
	}
	port := max(p.next[address], firstPort)
	if p.next[address] = port + 1; port == lastPort {
		p.next[address] = firstPort
	}
	return int(port)
}

// connect connects to an address of the server from the next port.
func (s *stage) connect(address string) (conn net.Conn, err error) {
	from := s.Client.IPv4
	if strings.Contains(address, ":") {
		from = s.Client.IPv6
	}
	for range 100 { // some may be in use by others
		d := net.Dialer{
			Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(s.ports.take(address)))),
			Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				if failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); failed != nil {
					return failed
				}
				return err
			},
		}
		s.Client.Do(func() { conn, err = d.Dial("tcp", net.JoinHostPort(address, "80")) })
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	return conn, err
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
