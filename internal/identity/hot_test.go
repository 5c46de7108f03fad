package identity

import (
	"fmt"
	"strings"
	"testing"
)

// TestIdentityHot has all cases again with an xhttpd whose XDP program answers what was asked for once: behind requests that it
// answers, then each behind itself, so that it gives whatever answers it would ever give; and those that are about that.
func TestIdentityHot(t *testing.T) {
	all := allCases()
	s := newHotStage(t, ownTargets(all), "")
	s.warm(ownTargets(all))
	r := &runner{stage: s, differs: map[string]bool{}}
	r.run("for the first time", all, watched)
	s.filled()
	var table strings.Builder
	fmt.Fprintf(&table, "%-24s %14s %8s %8s %8s %8s\n", "", "conversations", "answers", "program", "loop", "Apache")
	phase := func(name string, cases []testCase, floor int, ways ...way) {
		ours, byProgram := s.settled(), s.Metric("bpf_responses_total")
		n := r.run(name, cases, ways...)
		ours, byProgram = s.settled()-ours, s.Metric("bpf_responses_total")-byProgram
		fmt.Fprintf(&table, "%-24s %14d %8d %8.0f %8.0f %8.0f\n", name, n.cases, n.answers, byProgram, ours-byProgram, float64(n.answers)-ours)
		if int(byProgram) < floor {
			t.Errorf("%s: the XDP program gave %v answers, want %d or more: this tested something else", name, byProgram, floor)
		}
	}
	phase("behind hot ones", all, len(all), hot)
	phase("again and again", all, len(all)/6, again)
	cases := hotCases()
	s.heat(cases)
	phase("the theme hot", cases, 2*len(cases), alone, watched)
	r.known()
	t.Logf("who answered, %d of the conversations with the one exception\n%s", r.anew, &table)
}

// hotConfig is what Apache reads: its hosts with few requests on a connection leave as many as before behind a lead, and there is one
// with any number. With Debian's 25 threads it comes to have none left on a busy machine, and then ends connections that are idle, as those here are
// for a moment behind each answer.
func hotConfig() string {
	return strings.Replace(config+adminConfig(), "MaxKeepAliveRequests 3\n", fmt.Sprintf("MaxKeepAliveRequests %d\n", 3+leads), 1) + `
ThreadsPerChild 64
MaxRequestWorkers 128
<VirtualHost *:80>
	ServerName endless.test
	DocumentRoot ${TESTBED}/www
	MaxKeepAliveRequests 0
	KeepAliveTimeout 2
</VirtualHost>
`
}

// hotQueues are so many that the answers that lie ready for some seconds, 256 for each queue, leave room for others.
const hotQueues = 4

// newHotStage is newStage, with more for Apache to read, and with an xhttpd whose XDP program answers what was asked for once.
func newHotStage(t *testing.T, own []string, config string) *stage {
	t.Helper()
	s := newStageWith(t, own, hotConfig()+config, hotQueues)
	s.startDaemon("--bpf-answers-after", "1")
	return s
}

// heat sees to it that all that is asked for in leads is in the cache.
func (s *stage) heat(cases []testCase) {
	s.Helper()
	asked := map[string]bool{}
	for _, c := range cases {
		for _, request := range c.lead {
			for _, six := range []bool{false, true} {
				if key := fmt.Sprint(six, request); !asked[key] {
					asked[key] = true
					s.converse(s.Address(six), &talk{pieces: []string{request}})
				}
			}
		}
	}
	s.filled()
}
