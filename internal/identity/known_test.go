package identity

// known are the cases in which xhttpd does not answer as Apache, and why. The test fails when one of them has come to be the
// same, so that nothing stays here for nothing.
var known = map[string]string{}

func init() {
	for _, k := range []struct {
		why   string
		cases []string
	}{
		{"Apache is more patient with empty lines between requests than with those before the first one, which they become by the hand-over",
			[]string{
				"syntax/LF behind", "syntax/many CRLFs behind", "syntax/leading LF", "syntax/many leading CRLFs",
			}},
		{"Apache counts the requests of a connection from its own first one on", []string{"pipelines/more than may be, across a hand-over"}},
	} {
		for _, name := range k.cases {
			known[name] = k.why
		}
	}
}
