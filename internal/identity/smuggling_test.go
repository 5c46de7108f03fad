package identity

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// oddOctets are those that some reader takes for a blank, for the end of a line or of everything, or overlooks.
var oddOctets = func() (all []byte) {
	for c := byte(0); c <= ' '; c++ {
		all = append(all, c)
	}
	return append(all, '"', '\'', '\\', ',', ';', 0x7f, 0x80, 0x85, 0xa0, 0xad, 0xc2, 0xff)
}()

// octetCases have one odd octet at each place around a field that says where the body ends. In the patterns, ^ is the octet, and F
// the field; they are those of smuggler.
func octetCases() (all []testCase) {
	const inner = "GET /none HTTP/1.1\r\nHost: test\r\n\r\n"
	bodies := map[string]string{
		"Transfer-Encoding: chunked":                  fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		fmt.Sprintf("Content-Length: %d", len(inner)): inner,
	}
	for field, body := range bodies {
		name, value, _ := strings.Cut(field, ": ")
		for _, pattern := range []string{
			name + ":^" + value, name + ": ^" + value, name + "^: " + value, "^" + field, field + "^", "X: X^" + field, field + "^X: X", "X: X\r^" + field,
			"X: X^\n" + field, field + "\r^X: X", field + "^\nX: X", name[:5] + "^" + name[5:] + ": " + value, name + ": " + value[:1] + "^" + value[1:],
		} {
			for _, c := range oddOctets {
				fields := strings.ReplaceAll(pattern, "^", string([]byte{c})) + "\r\n"
				for _, line := range []string{"POST /cgi-bin/say HTTP/1.1", "GET /own/0000.png HTTP/1.1"} {
					all = append(all, testCase{theme: "octets", name: fmt.Sprintf("%s, %q for ^, %s", pattern, c, line), send: []string{line + "\r\nHost: test\r\n" + fields + "\r\n" + body},
						answers: unsaid})
				}
			}
		}
	}
	return all
}

// TestSmuggling cuts each of the ways to hide a request, each time at other ones of the places where readers stop to think, or
// anywhere, and has it with both servers: it must end where Apache alone takes it to end, so that the request behind it, and the
// one in it, are answered by both or by neither. And once more behind answers of the XDP program.
func TestSmuggling(t *testing.T) {
	all := octetCases()
	octets := len(all)
	for _, c := range allCases() {
		if c.theme == "smuggling" && known[c.String()] == "" {
			c.send = []string{ownPattern.ReplaceAllString(strings.Join(c.send, ""), "/own/0000.png")}
			all = append(all, c)
		}
	}
	s := newHotStage(t, ownTargets(nil), "")
	s.warm([]string{"/own/0000.png"})
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	var cut []testCase
	for k, c := range all {
		places := append(cuts(c.send[0]), 1+rnd.IntN(len(c.send[0])-1))
		rnd.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		n := 3
		if k < octets { // of so many, one each
			n = 1
		}
		for _, at := range places[:min(n, len(places))] {
			pieces := c
			pieces.name += fmt.Sprintf(", cut at %d", at)
			pieces.send = []string{c.send[0][:at], c.send[0][at:]}
			cut = append(cut, pieces)
		}
	}
	r := &runner{stage: s, differs: map[string]bool{}}
	r.run("cut", cut, watched)
	byProgram := s.Metric("bpf_responses_total")
	r.run("cut", cut, hot)
	s.settled()
	byProgram = s.Metric("bpf_responses_total") - byProgram
	t.Logf("%d ways, %d conversations with each server; the XDP program gave %v answers", len(all), r.talks, byProgram)
	if byProgram < float64(len(cut)) {
		t.Error("the XDP program gave too few of them: this tested something else")
	}
	if len(all) < 1500 {
		t.Errorf("there are %d ways, want 1500 or more", len(all))
	}
}

// cuts returns the places where a request is cut: behind its first line, within a field that says where the body ends, within the empty
// line, within the body's first line, and before the end.
func cuts(text string) (places []int) {
	add := func(at int) {
		if at > 0 && at < len(text) {
			places = append(places, at)
		}
	}
	add(strings.Index(text, "\n") + 1)
	add(strings.Index(text, "ength") + 2)
	add(strings.Index(text, "ncoding") + 2)
	if end := strings.Index(text, "\r\n\r\n"); end > 0 {
		add(end + 1)
		add(end + 3)
		add(end + 5)
	}
	add(len(text) - 1)
	return places
}
