package identity

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// way is how a case's octets are embedded. What comes before and after them makes their ends visible.
type way uint8

const (
	alone   way = iota // the client then closes its side
	watched            // a further request follows: its answer tells whether the server kept the connection, and where it took the case to end
	behind             // the same, and a file that the cache has goes before
	hot                // the same as watched, behind answers that the XDP program gives
	again              // the same as watched, behind the case itself, so often that the XDP program answers it if it ever does
)

func (w way) String() string {
	return [...]string{"alone", "watched", "behind a hit", "behind hot ones", "again and again"}[w]
}

const (
	sentinel = "GET /sentinel.txt HTTP/1.1\r\nHost: test\r\nUser-Agent: sentinel\r\n\r\n"
	ahead    = "GET /own/0000.png HTTP/1.1\r\nHost: test\r\n\r\n"
)

// leads is how many requests have the XDP program answer the last two, although the answer did not lie ready before: the first of a connection
// may not count, with the second it comes to lie ready, and with the third the connection is lent.
const leads = 5

// fits reports whether a case can be had in this way.
func (w way) fits(c testCase) bool { return w != again || c.answers == 1 && len(c.send) == 1 }

// talk returns what is said.
func (w way) talk(c testCase) talk {
	t := talk{lead: c.lead, pieces: slices.Clone(c.send), pause: max(c.pause, moment), quick: c.quick, corked: c.corked, waits: c.waits}
	if w != alone {
		t.pieces[len(t.pieces)-1] += sentinel
	}
	switch w {
	case behind:
		t.pieces[0] = ahead + t.pieces[0]
	case hot:
		t.lead = slices.Concat(slices.Repeat([]string{ahead}, leads), c.lead)
	case again:
		t.lead = slices.Repeat(c.send, leads)
	}
	return t
}

// talk is what a client does on one connection.
type talk struct {
	lead   []string      // requests, each sent when the one before was answered
	then   func()        // what happens behind them, or nil
	pieces []string      // what is sent then, with pause between two
	pause  time.Duration // in most cases moment: long enough for most to arrive apart, and nothing fails if they do not
	quick  bool          // each answer of lead is acknowledged before the next request; else by it
	corked bool          // the end of the client's side comes with its last octets, in one segment
	waits  bool          // the client does not close its side
}

const moment = 2 * time.Millisecond

func (t *talk) String() string {
	all := strings.Join(t.pieces, "\x00")
	text := fmt.Sprintf("%q", t.pieces)
	if len(all) > 1500 {
		text = fmt.Sprintf("%q… %d octets", all[:1500], len(all))
	}
	if n := len(t.lead); n > 0 {
		text += fmt.Sprintf(", behind %d requests, of which the last is %q", n, t.lead[n-1])
	}
	return text
}
