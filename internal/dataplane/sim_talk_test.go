package dataplane

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// simRequest is a request and what is expected of its answer.
type simRequest struct {
	method, target, version string // default GET and HTTP/1.1
	fields                  string
	behind                  string // empty lines, which are sent with it
	body                    []byte
	size                    int      // of the static object; -1: only the kernel's server has it
	parts                   [][2]int // the ranges that are asked for
}

// static asks for the object of so many octets.
func static(size int) simRequest { return simRequest{target: fmt.Sprintf("/%d.txt", size), size: size} }

func dynamic(target string) simRequest { return simRequest{target: target, size: -1} }

func post(size int) simRequest {
	return simRequest{method: "POST", target: "/cgi-bin/form", body: simBody(size), size: -1}
}

func (r simRequest) verb() string {
	if r.method == "" {
		return "GET"
	}
	return r.method
}

func (r simRequest) octets() []byte {
	version := r.version
	if version == "" {
		version = "HTTP/1.1"
	}
	fields := r.fields
	if r.body != nil {
		fields += fmt.Sprintf("Content-Length: %d\r\n", len(r.body))
	}
	head := r.verb() + " " + r.target + " " + version + "\r\nHost: h\r\n" + fields + "\r\n"
	return slices.Concat([]byte(head), r.body, []byte(r.behind))
}

// simTalk is a client with requests to make.
type simTalk struct {
	c         *netsim.Client
	w         *simWorld
	requests  []simRequest
	pipelined bool
	mayHand   bool // any answer may be the kernel's: then the rest is, too
	// send gives the octets of requests to the client; by default Client.Send.
	send func(octets []byte)
	// thinks, if not nil, says how long it takes from an answer to the next request.
	thinks   func() time.Duration
	thinking bool

	asked, got int
	ours       int // answers that were not the kernel's
	answers    netsim.Answers
	last       *netsim.Response
	handed     bool // the kernel has answered
}

// talk dials with cfg and makes the requests as time goes on, the next when the last was answered.
func (w *simWorld) talk(cfg netsim.ClientConfig, requests ...simRequest) *simTalk {
	c := w.Dial(cfg)
	k := &simTalk{c: c, w: w, requests: requests, send: c.Send}
	w.talks = append(w.talks, k)
	return k
}

// pipeline dials with cfg and makes all requests at once.
func (w *simWorld) pipeline(cfg netsim.ClientConfig, requests ...simRequest) *simTalk {
	k := w.talk(cfg, requests...)
	k.pipelined = true
	k.ask()
	return k
}

// ask sends what is to be sent now.
func (k *simTalk) ask() {
	if k.thinking {
		return
	}
	var octets []byte
	for k.asked < len(k.requests) && (k.pipelined || k.asked == k.got) {
		octets = append(octets, k.requests[k.asked].octets()...)
		k.asked++
	}
	if len(octets) > 0 {
		k.send(octets)
	}
}

// done goes on with the conversation, and reports whether all answers are there.
func (k *simTalk) done() bool {
	k.ask()
	for k.got < k.asked {
		r, err := k.answers.Next(k.c.Received(), k.requests[k.got].verb())
		if err != nil {
			k.w.Failf("%v", err)
		}
		if r == nil {
			return false
		}
		k.check(r)
		k.got++
		k.think()
		k.ask()
	}
	return k.got == len(k.requests)
}

// think puts the next request off.
func (k *simTalk) think() {
	if k.thinks == nil || k.got == len(k.requests) {
		return
	}
	k.thinking = true
	k.w.After(k.thinks(), func() { k.thinking = false })
}

// check compares an answer with what it should be.
func (k *simTalk) check(r *netsim.Response) {
	q := &k.requests[k.got]
	k.last = r
	must := k.handed || q.size < 0
	if r.FromKernel() {
		k.handed = true
	} else {
		k.ours++
	}
	if q.parts != nil {
		k.checkParts(r)
		return
	}
	want := []byte(nil)
	switch {
	case r.StatusCode != 200:
		k.w.Failf("answer %d has status %d", k.got, r.StatusCode)
	case r.FromKernel() != must && (must || !k.mayHand):
		k.w.Failf("answer %d is the kernel's: %v", k.got, r.FromKernel())
	case r.FromKernel():
		want = fmt.Appendf(nil, "%s %s %d %x\n", q.verb(), q.target, len(q.body), sha256.Sum256(q.body))
	default:
		want = simBody(q.size)
	}
	if r.ContentLength != int64(len(want)) {
		k.w.Failf("answer %d says that it has %d octets, want %d", k.got, r.ContentLength, len(want))
	}
	if q.verb() == "HEAD" {
		want = nil
	}
	if !bytes.Equal(r.Body, want) {
		k.w.Failf("answer %d has %d octets, which are not the %d that were expected", k.got, len(r.Body), len(want))
	}
}

// allDone goes on with all conversations, and reports whether they have come to their ends.
func allDone(talks []*simTalk) func() bool {
	return func() bool {
		all := true
		for _, k := range talks {
			all = k.done() && all
		}
		return all
	}
}

// finish lets the conversations come to their ends.
func (w *simWorld) finish(talks ...*simTalk) {
	w.t.Helper()
	if err := w.RunUntil(time.Hour, allDone(talks)); err != nil {
		for _, k := range talks {
			if k.got < len(k.requests) {
				w.t.Errorf("%d of %d answers, %d octets received, reset: %v", k.got, len(k.requests), len(k.c.Received()), k.c.WasReset())
			}
		}
		w.t.Fatalf("%v (%+v)", err, w.counters())
	}
}

// close closes the clients' side, and asserts that the connections end by FINs, but for those that the loop has forgotten
// behind its own FIN, for want of slots.
func (w *simWorld) close(talks ...*simTalk) {
	w.t.Helper()
	for _, k := range talks {
		k.c.Close()
	}
	resets := uint64(0)
	for _, k := range talks {
		w.until(5*time.Minute, k.c.Over)
		if k.c.WasReset() {
			resets++
		}
	}
	if c := w.counters(); resets > c.Shed[ShedOver] {
		w.t.Errorf("%d connections were reset, and only %d forgotten", resets, c.Shed[ShedOver])
	}
}

// converse lets the conversations come to their ends, closes them, and asserts that nothing is left.
func (w *simWorld) converse(talks ...*simTalk) {
	w.t.Helper()
	w.finish(talks...)
	w.close(talks...)
	w.end()
}

// wantCounted asserts that the answers of all talks, and no others, were counted. Only for worlds whose talks are done.
func (w *simWorld) wantCounted() {
	w.t.Helper()
	ours := 0
	for _, k := range w.talks {
		ours += k.ours
	}
	counted := uint64(0)
	for _, n := range w.counters().Responses {
		counted += n
	}
	if counted != uint64(ours) {
		w.t.Errorf("%d responses were counted, %d received", counted, ours)
	}
}
