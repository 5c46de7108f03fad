package dataplane

import (
	"fmt"
	"strings"
	"testing"
)

// A response of more octets than KernelAbove is the kernel's; it is the response's length that counts.
func TestKernelAbove(t *testing.T) {
	get := func(fields string) string { return "GET /large.txt HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" }
	whole := newStage(t, nil)
	c := whole.client()
	c.connect()
	c.say(strings.Replace(get(""), "GET", "HEAD", 1))
	whole.run(0)
	head, _ := c.receive()
	length := uint64(len(head) + len(large))

	for _, k := range []struct {
		name    string
		request string
		above   uint64
		ours    bool
	}{
		{"any", get(""), 0, true},
		{"as long", get(""), length, true},
		{"an octet more", get(""), length - 1, false},
		{"HEAD", strings.Replace(get(""), "GET", "HEAD", 1), length - 1, true},
		{"a range", get(fmt.Sprintf("Range: bytes=0-%d\r\n", len(large)/2)), length - 1, true},
		{"a long range", get(fmt.Sprintf("Range: bytes=0-%d\r\n", len(large)/2)), length / 3, false},
	} {
		s := newStage(t, func(cfg *Config) { cfg.KernelAbove = k.above })
		c := s.client()
		c.connect()
		c.say(getSmall)
		s.run(0)
		c.receive()
		c.acknowledge()
		s.run(0)
		c.say(k.request)
		s.run(0)
		n := s.counters()
		if ours := n.Responses[0]+n.Responses[1] == 2; ours != k.ours || n.Handovers[ReasonLarge] == 1 == k.ours {
			t.Errorf("%s: answered: %v, want %v; handed over for the length: %d", k.name, ours, k.ours, n.Handovers[ReasonLarge])
		}
		if !k.ours {
			checkInjected(t, s, c, k.request)
			s.idle()
		}
	}
}
