package dataplane

import (
	"strings"
	"testing"
)

// Empty lines that come with a request of ours are acknowledged and forgotten, and one too many ends the connection. The kernel
// gets those that come in front of the first request, or later, and a CR whose LF has not come.
func TestEmptyLines(t *testing.T) {
	const ten = "\n\r\n\n\r\n\n\r\n\n\r\n\n\r\n"
	for _, c := range []struct {
		say     []string // each is said when the answers to what was said before are acknowledged
		answers int
		closed  bool
		given   string // to the kernel
	}{
		{say: []string{getSmall + "\r\n"}, answers: 1},
		{say: []string{getSmall + "\n\r\n", getSmall}, answers: 2},
		{say: []string{getSmall + "\r\n" + getSmall + ten + getSmall + "\n" + getSmall}, answers: 4},
		{say: []string{getSmall[:20], getSmall[20:] + ten, getSmall}, answers: 2},
		{say: []string{getSmall[:20], getSmall[20:] + ten + "\n" + getSmall, getSmall}, answers: 1, closed: true},
		{say: []string{getSmall + ten + "\r\n", getSmall}, answers: 1, closed: true},
		{say: []string{getSmall + "\r\n" + postHead + "12345"}, answers: 1, given: postHead + "12345"},
		{say: []string{getSmall + ten + postHead}, answers: 1, given: postHead},
		{say: []string{getSmall + "\n\r"}, answers: 1, given: "\r"},
		{say: []string{getSmall, "\r\n" + getSmall}, answers: 1, given: "\r\n" + getSmall},
		{say: []string{getSmall + ten, "\n" + getSmall}, answers: 1, given: "\n" + getSmall},
		{say: []string{"\r\n" + getSmall}, given: "\r\n" + getSmall},
		{say: []string{"\n"}, given: "\n"},
	} {
		s := newStage(t, nil)
		k := s.client()
		k.connect()
		got, closed := "", false
		for _, octets := range c.say {
			k.say(octets)
			s.run(0)
			now, last := k.receive()
			got += now
			closed = closed || last != nil && last.FIN
			k.acknowledge()
			s.run(0)
			if last != nil && c.given == "" && last.Ack != k.seq {
				t.Errorf("%q: %d is acknowledged, want %d", c.say, last.Ack, k.seq)
			}
		}
		if n := strings.Count(got, "HTTP/1.1 200 OK"); n != c.answers {
			t.Errorf("%q: %d answers, want %d", c.say, n, c.answers)
		}
		if closed != c.closed {
			t.Errorf("%q: closed: %v", c.say, closed)
		}
		if (len(s.kernel.calls) > 0) != (c.given != "") {
			t.Errorf("%q: calls %q", c.say, s.kernel.calls)
		}
		if c.given != "" {
			checkInjected(t, s, k, c.given)
		}
	}
}
