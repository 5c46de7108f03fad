package netsim

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"
)

// post makes the octets of a POST.
func post(body []byte) []byte {
	return append(fmt.Appendf(nil, "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
}

// A connection that the model server gives away in mid-stream goes on, and the kernel's server receives what the
// client sends from then on.
func TestHandover(t *testing.T) {
	for name, way := range ways {
		for _, full := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s/%d", name, full), func(t *testing.T) {
				n, c, e := talk(t, all)
				n.Kernel.AcceptFull = full
				flow, h := handover(e)
				if err := n.Kernel.Begin(&flow, &h); err != nil {
					t.Fatal(err)
				}
				give(n, c, e)
				c.up.Link, c.down.Link = way, way
				body := pattern(100_000)
				c.Send(post(body))
				checkAnswer(t, n, c, body)
				if n.Kernel.Established(&flow); n.Kernel.Records() != 0 {
					t.Error("the record outlives the socket")
				}
				if s := n.Kernel.Stats(); s.Taken != 1 || s.Full != full || s.Unknown != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// give makes the server inject all that it receives.
func give(n *Net, c *Client, e *endpoint) {
	e.stop()
	n.Serve(ServerFunc(func(int64) int64 {
		var rx [8][]byte
		if k := n.Device.Receive(rx[:]); k > 0 {
			if err := n.Kernel.Inject(rx[:k]); err != nil {
				n.Failf("%v", err)
			}
		}
		return 0
	}), nil)
}

func checkAnswer(t *testing.T, n *Net, c *Client, body []byte) {
	t.Helper()
	want := fmt.Sprintf("POST /form %d %x\n", len(body), sha256.Sum256(body))
	answered := func() bool { return bytes.HasSuffix(c.Received(), []byte(want)) }
	if err := n.RunUntil(10*time.Minute, answered); err != nil {
		t.Fatal(err)
	}
	list, rest, err := Responses(c.Received()[1000:], "POST")
	if err != nil || len(list) != 1 || len(rest) != 0 || string(list[0].Body) != want || !list[0].FromKernel() {
		t.Fatalf("%v, %v, %q", list, err, rest)
	}
	got := n.Kernel.Requests(c)
	if len(got) != 1 || got[0].Method != "POST" || !bytes.Equal(got[0].Body, body) || !n.Kernel.Owns(c) {
		t.Fatalf("the kernel has received %d requests", len(got))
	}
	c.Close()
	if err := n.RunUntil(time.Minute, c.Over); err != nil {
		t.Fatal(err)
	}
}

func TestKernelBesideTheRecord(t *testing.T) {
	n, c, e := talk(t, all)
	flow, h := handover(e)
	n.Kernel.BeginErrors = 1
	if err := n.Kernel.Begin(&flow, &h); !errors.Is(err, ErrBegin) {
		t.Errorf("Begin: %v", err)
	}
	if err := n.Kernel.Begin(&flow, &h); err != nil {
		t.Error(err)
	}
	give(n, c, e)
	c.out = append(c.out, "GET / HTTP/1.1\r\n"...)
	c.sendRange(8, 10) // not at the record's number
	if err := n.Run(time.Millisecond * 100); err != nil {
		t.Fatal(err)
	}
	if s := n.Kernel.Stats(); s.Strays != 1 || n.Kernel.Owns(c) || n.Kernel.Established(&flow) {
		t.Errorf("%+v", s)
	}
	n.Kernel.Cancel(&flow)
	c.acknowledge()
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if s := n.Kernel.Stats(); s.Unknown != 1 || s.Cancelled != 1 || !c.WasReset() {
		t.Errorf("%+v, reset: %v", s, c.WasReset())
	}
}

func TestInjectedOctetsAreCompared(t *testing.T) {
	n, c, e := talk(t, all)
	flow, h := handover(e)
	if err := n.Kernel.Begin(&flow, &h); err != nil {
		t.Fatal(err)
	}
	s := c.segment(5)
	s.payload = []byte("never sent")
	if err := n.Kernel.Inject([][]byte{s.encode()}); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, n, "not what arrived")
}

// A connection that begins with a SYN is the kernel's own.
func TestKernelListens(t *testing.T) {
	way := ways["all"]
	n := New(Seed(t, 8), HostConfig{})
	give(n, nil, &endpoint{changed: func() {}})
	c := n.Dial(ClientConfig{MSS: 1000, SACK: true, Timestamps: true, Scale: 3, Up: way, Down: way, IPv6: true})
	c.Send([]byte("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.0\r\n\r\n"))
	if err := n.RunUntil(time.Minute, c.PeerClosed); err != nil {
		t.Fatal(err)
	}
	list, rest, err := Responses(c.Received(), "HEAD", "GET")
	if err != nil || len(list) != 2 || len(rest) != 0 || len(list[0].Body) != 0 || len(list[1].Body) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if s := n.Kernel.Stats(); s.Accepted != 1 || s.Taken != 0 {
		t.Errorf("%+v", s)
	}
}

func TestResponses(t *testing.T) {
	const a = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
	const b = "HTTP/1.1 304 Not Modified\r\n\r\n"
	for _, c := range []struct {
		in      string
		methods []string
		n       int
		rest    string
		bad     bool
	}{
		{"", []string{"GET"}, 0, "", false},
		{a + b + a, []string{"GET", "GET", "GET"}, 3, "", false},
		{a + b + a, []string{"GET", "GET"}, 2, a, false},
		{a[:20], []string{"GET"}, 0, a[:20], false},
		{b + a[:len(a)-1], []string{"GET", "GET"}, 1, a[:len(a)-1], false},
		{"nonsense\r\n\r\n", []string{"GET"}, 0, "nonsense\r\n\r\n", true},
	} {
		list, rest, err := Responses([]byte(c.in), c.methods...)
		if len(list) != c.n || string(rest) != c.rest || (err != nil) != c.bad {
			t.Errorf("%q: %d responses, %q, %v", c.in, len(list), rest, err)
		}
	}
}
