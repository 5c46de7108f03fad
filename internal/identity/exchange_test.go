package identity

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outcome is all that a client sees of a server on one connection.
type outcome struct {
	octets       string
	end          string // FIN, RST, or an error
	began, ended time.Time
}

// patience bounds a conversation that hangs. Nothing depends on it but how soon the test fails.
const patience = time.Minute

// exchange has a talk over conn, closes the client's side, and reads to the end.
func exchange(conn *net.TCPConn, t *talk) outcome {
	defer conn.Close()
	c := client{TCPConn: conn, began: time.Now()}
	c.err = conn.SetDeadline(time.Now().Add(patience))
	goesOn := c.err == nil && c.ask(t)
	if t.then != nil {
		t.then()
	}
	if !goesOn {
		return c.outcome()
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for k, piece := range t.pieces {
			if k > 0 {
				time.Sleep(t.pause)
			}
			if k == len(t.pieces)-1 && t.corked {
				c.set(unix.TCP_CORK, 1)
			}
			if _, err := io.WriteString(conn, piece); err != nil {
				return // the server has closed: the reader sees how
			}
		}
		if !t.waits {
			conn.CloseWrite() //nolint:errcheck // likewise
		}
	}()
	for c.err == nil {
		c.read()
	}
	conn.Close() // a writer that is stuck shall not stay
	<-sent
	return c.outcome()
}

// client is one side of a connection, with what came so far.
type client struct {
	*net.TCPConn
	octets []byte
	err    error
	began  time.Time
}

// ask has the lead of t. It reports false if the connection has ended.
func (c *client) ask(t *talk) bool {
	quick := 0
	if t.quick {
		quick = 1
	}
	for k, request := range t.lead {
		if _, err := io.WriteString(c, request); err != nil {
			break // the server has closed: it is read how
		}
		c.set(unix.TCP_QUICKACK, quick)
		for !arrived(split(string(c.octets)), k+1, strings.HasPrefix(request, "HEAD")) {
			if c.read(); c.err != nil {
				return false
			}
		}
		c.set(unix.TCP_QUICKACK, quick)
	}
	return true
}

// arrived reports whether n answers are there, and the last one is whole.
func arrived(all []answer, n int, head bool) bool {
	if count(all) < n {
		return false
	}
	last := all[len(all)-1]
	length := last.field("Content-Length")
	return last.whole && (head || last.body != "" || last.status() == 304 || length == "0" || length == "" && last.field("Transfer-Encoding") == "")
}

func (c *client) read() {
	var buf [16 << 10]byte
	n, err := c.Read(buf[:])
	c.octets, c.err = append(c.octets, buf[:n]...), err
}

// set sets an option of TCP. What it is for shows in what is counted, so nobody needs to be told that it failed.
func (c *client) set(option, value int) {
	if raw, err := c.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) }) //nolint:errcheck // as said
	}
}

func (c *client) outcome() outcome {
	o := outcome{octets: string(c.octets), began: c.began, ended: time.Now()}
	switch {
	case errors.Is(c.err, io.EOF):
		o.end = "FIN"
	case errors.Is(c.err, syscall.ECONNRESET):
		o.end = "RST"
	default:
		o.end = fmt.Sprint(c.err)
	}
	return o
}

// both has the same conversation with Apache alone and with xhttpd at the same moment.
func (s *stage) both(t *talk, six bool) (theirs, ours outcome) {
	done := make(chan outcome)
	go func() { done <- s.converse(s.alone[family(six)], t) }()
	ours = s.converse(s.Address(six), t)
	return <-done, ours
}

// family is the index of IPv4 or IPv6.
func family(six bool) int {
	if six {
		return 1
	}
	return 0
}

func (s *stage) converse(address string, t *talk) outcome {
	conn, err := s.connect(address)
	if err != nil {
		return outcome{end: "connect: " + err.Error()}
	}
	return exchange(conn.(*net.TCPConn), t)
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
	return ours.misdated(), anew
}

// comparePatiently compares two outcomes of t, and has Apache alone try again if they differ, faster and slower. Some things go by the clock with Apache, too:
// whether empty lines have come when it has written the response before and looks for more, and whether the client has said all when it gives up,
// so that the connection ends with FIN or RST. On a busy machine that is chance. What xhttpd has done must be what Apache alone has done once.
func (s *stage) comparePatiently(t *talk, six bool, theirs, ours outcome) (what string, anew bool) {
	if what, anew = compare(theirs, ours); what == "" {
		return "", anew
	}
	together := []string{strings.Join(t.pieces, "")} // as they arrive at a server that is busy
	for _, try := range []struct {
		pieces []string
		pause  time.Duration
	}{{together, 0}, {t.pieces, 0}, {t.pieces, t.pause}, {t.pieces, 20 * time.Millisecond}, {t.pieces, 200 * time.Millisecond}} {
		this := *t
		this.pieces, this.pause = try.pieces, try.pause
		if differs, anew := compare(s.converse(s.alone[family(six)], &this), ours); differs == "" {
			return "", anew
		}
	}
	return what, false
}

// misdated says which answer's Date is not the time at which it was given; "" if there is none. Of that second it may be late: Apache, too, takes
// the time before it is ready.
func (o outcome) misdated() string {
	for _, a := range split(o.octets) {
		date, err := http.ParseTime(a.field("Date"))
		if err == nil && (date.After(o.ended) || date.Before(o.began.Add(-3*time.Second))) {
			return fmt.Sprintf("the Date of an answer is %s, but it was given between %s and %s", a.field("Date"), o.began.UTC(), o.ended.UTC())
		}
	}
	return ""
}

func tail(s string) string { return s[max(0, len(s)-200):] }
