package identity

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// longestReady is how long the XDP program gives an answer that is no longer right, at most (dataplane's readyFor), and a little.
const longestReady = 110 * time.Millisecond

// TestHotChanges changes a file between two requests on a connection that the XDP program answers, in ways that Apache notices at once, each
// in one step, while others go on asking for it.
func TestHotChanges(t *testing.T) {
	s := newHotStage(t, ownTargets(nil), "LogLevel emerg\nKeepAliveTimeout 60\n") // longer than it may take until changes are noticed
	at := func(name string) string { return filepath.Join(s.Root, "hot", name) }
	old := time.Now().Add(-time.Hour)
	file := func(name, word string) { s.Put("hot/"+name, []byte(strings.Repeat(word, 100))) }
	access := func(name, text string) { s.must(os.WriteFile(at(name+"/.htaccess"), []byte(text), 0o644)) }
	changes := map[string]func(){
		"written": func() { s.must(overwrite(at("written/a.png"), "new ")) },
		"longer":  func() { file("longer/new", "longer "); s.must(os.Rename(at("longer/new"), at("longer/a.png"))) },
		"same":    func() { file("same/new", "new "); s.must(os.Rename(at("same/new"), at("same/a.png"))) },
		"touched": func() { s.must(os.Chtimes(at("touched/a.png"), old, old.Add(-time.Hour))) },
		"deleted": func() { s.must(os.Remove(at("deleted/a.png"))) },
		"closed":  func() { s.must(os.Chmod(at("closed/a.png"), 0o600)) },
		"shut":    func() { s.must(os.Chmod(at("shut"), 0o700)) },
		"moved":   func() { s.must(os.Rename(at("moved"), at("elsewhere"))) },
		"linked": func() {
			s.must(os.Symlink("b.png", at("linked/new")))
			s.must(os.Rename(at("linked/new"), at("linked/a.png")))
		},
		"headers":  func() { access("headers", "Header set X-New yes\n") },
		"denied":   func() { access("denied", "Require all denied\n") },
		"redirect": func() { access("redirect", "Redirect 302 /hot/redirect/a.png /elsewhere\n") },
	}
	targets := map[string]string{}
	for name := range changes {
		targets[name] = "/hot/" + name + "/a.png"
		file(name+"/b.png", "new ")
		if name == "linked" {
			file("linked/c.png", "old ")
			s.must(os.Symlink("c.png", at("linked/a.png")))
			continue
		}
		file(name+"/a.png", "old ")
	}
	var requests []string
	for _, target := range targets {
		requests = append(requests, get(target), get(target, endless))
	}
	s.untilHot(requests...)

	// Busy clients ask without a pause, on connections that stay the program's. Others have asked, and wait: each goes on by itself later, as
	// Apache, when it has no thread left, ends connections that are idle.
	var busy []*busyClient
	before := map[string]string{}
	for name, target := range targets {
		before[name] = s.newest(get(target))
		busy = append(busy, s.keepBusy(name, get(target, endless)))
	}
	var arrived sync.WaitGroup
	var waiting []func()
	for name, target := range targets {
		for _, six := range []bool{false, true} {
			arrived.Add(2)
			goOn, ended := make(chan struct{}), make(chan struct{})
			waiting = append(waiting, func() { close(goOn); <-ended })
			go func() {
				defer close(ended)
				theirs, ours := s.both(&talk{lead: slices.Repeat([]string{get(target)}, leads), then: func() { arrived.Done(); <-goOn },
					pieces: []string{get(target), get(target), sentinel}, pause: moment}, six)
				if what, _ := compare(theirs, ours); what != "" {
					t.Errorf("%s, IPv6 %v: %s", name, six, what)
				}
			}()
		}
	}
	arrived.Wait()
	s.untilBusy(len(busy))
	for _, change := range changes {
		change()
	}
	changed := time.Now()
	after := map[string]string{}
	s.Until("all changes are noticed", func() bool {
		for name, target := range targets {
			alone := s.converse(s.alone[0], &talk{pieces: []string{get(target)}})
			if after[name] = s.newest(get(target)); mask(alone.octets) != after[name] || after[name] == before[name] {
				return false
			}
		}
		return true
	})
	time.Sleep(max(longestReady, time.Until(changed.Add(time.Second+longestReady)))) // until no tag is weak any more
	for _, b := range busy {
		b.end(s.newest(b.request))
	}
	for _, goOn := range waiting {
		goOn()
	}

	// What is still a file comes to be hot again.
	s.untilHot(get(targets["written"]), get(targets["longer"]), get(targets["same"]), get(targets["touched"]), get(targets["linked"]), get(targets["headers"]))
	for name, target := range targets {
		theirs, ours := s.both(&talk{lead: slices.Repeat([]string{get(target)}, leads), pieces: []string{get(target) + sentinel}}, false)
		if what, _ := compare(theirs, ours); what != "" {
			t.Errorf("%s, later: %s", name, what)
		}
	}
}

// TestHotReload has Apache read its configuration again under a connection that the XDP program answers.
func TestHotReload(t *testing.T) {
	s := newHotStage(t, ownTargets(nil), "")
	s.Put("hot/a.png", words(ownSize))
	with := func(n int) string {
		return hotConfig() + fmt.Sprintf("<Directory ${TESTBED}/www/hot>\nHeader set X-Config %d\n</Directory>\n", n)
	}
	const target = "/hot/a.png"
	for n := range 3 {
		s.untilHot(get(target), get(target, endless))
		theirs, ours := s.both(&talk{lead: slices.Repeat([]string{get(target)}, leads), pieces: []string{sentinel}}, false)
		if what, _ := compare(theirs, ours); what != "" {
			t.Errorf("configuration %d: %s", n, what)
		}
		busy := s.keepBusy(fmt.Sprint("configuration ", n), get(target, endless))
		s.untilBusy(1)
		s.Reload(with(n + 1))
		want := fmt.Sprintf("\r\nX-Config: %d\r\n", n+1)
		s.Until("the new configuration counts", func() bool {
			return strings.Contains(s.converse(s.alone[0], &talk{pieces: []string{get(target)}}).octets, want) && strings.Contains(s.newest(get(target)), want)
		})
		time.Sleep(longestReady)
		busy.end(s.newest(get(target, endless)))
	}
}

// overwrite changes the beginning of a file in one step: nobody finds it empty.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// newest returns what a new connection through xhttpd gets.
func (s *stage) newest(request string) string {
	return mask(s.converse(s.Address(false), &talk{pieces: []string{request}}).octets)
}

// untilHot asks until the XDP program answers requests as often as it can; of many, some may want the same place.
func (s *stage) untilHot(requests ...string) {
	s.Helper()
	s.Until(fmt.Sprintf("the XDP program answers %q", requests), func() bool {
		before, expected := s.Metric("bpf_responses_total"), 0
		for _, request := range requests {
			for _, six := range []bool{false, true} {
				s.converse(s.Address(six), &talk{lead: slices.Repeat([]string{request}, leads)})
				expected += leads - 2
			}
		}
		s.settled()
		return s.Metric("bpf_responses_total")-before >= float64(expected)*3/4
	})
}

// untilBusy waits until the XDP program has given many answers to each of clients.
func (s *stage) untilBusy(clients int) {
	s.Helper()
	before := s.Metric("bpf_responses_total")
	s.Until("the XDP program answers the busy ones", func() bool { return s.Metric("bpf_responses_total")-before > float64(100*clients) })
}

// busyClient asks for one thing again and again, without a pause.
type busyClient struct {
	*stage
	name, request string
	stop, ended   chan struct{}
	late          atomic.Bool
	old           string          // its first answer
	seen          map[string]bool // the others
	lateOnes      int
}

// keepBusy starts a client. Its connection goes on for as long as the server lets it, then there is another.
func (s *stage) keepBusy(name, request string) *busyClient {
	b := &busyClient{stage: s, name: name, request: request, stop: make(chan struct{}), ended: make(chan struct{}), old: s.newest(request), seen: map[string]bool{}}
	go func() {
		defer close(b.ended)
		for b.connection() {
		}
	}()
	return b
}

// connection asks on one, and reports whether it goes on.
func (b *busyClient) connection() bool {
	conn, err := b.connect(b.Address(false))
	if err != nil {
		b.Errorf("%s: %v", b.name, err)
		return false
	}
	defer conn.Close()
	c := client{TCPConn: conn.(*net.TCPConn), err: conn.SetDeadline(time.Now().Add(patience))}
	for c.err == nil {
		select {
		case <-b.stop:
			return false
		default:
		}
		c.octets = nil
		late := b.late.Load()
		if !c.ask(&talk{lead: []string{b.request}}) {
			break
		}
		answer := mask(strings.Replace(string(c.octets), "\r\nETag: W/", "\r\nETag: ", 1)) // as it is for a second behind a change
		b.seen[answer] = true
		if late && answer == b.old {
			b.lateOnes++
		}
	}
	return true
}

// end has the client ask for some time more, in which it must not get what it got at first, and stop. now is what it must have got.
func (b *busyClient) end(now string) {
	b.Helper()
	b.late.Store(true)
	time.Sleep(longestReady)
	close(b.stop)
	<-b.ended
	delete(b.seen, b.old)
	if b.lateOnes > 0 || !b.seen[now] || len(b.seen) != 1 {
		b.Errorf("%s: the old answer %d times when it was no longer right; the new one: %v; %d others", b.name, b.lateOnes, b.seen[now], len(b.seen))
	}
}
