package identity

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// testCase is a conversation: what the client sends on one connection. In it
//
//	{png} {html} {txt}  is the target of a file that no other case asks for, so that the first time it is not in the cache
//	{etag} {modified}   are the validators of those files
type testCase struct {
	theme, name string
	// lead are requests that are each sent when the one before was answered.
	lead []string
	// send are pieces that are sent with a moment between them.
	send []string
	// bytewise sends each octet as a piece of its own.
	bytewise bool
	// pause is between the pieces, if it is not just a moment. corked, waits: see talk.
	pause         time.Duration
	corked, waits bool
	// answers is how many responses Apache gives if the client then closes its side; unsaid: it is Apache's matter.
	answers int
	// six says that the case is had over IPv6: always the same way, for what is proven for one address is not for another.
	six bool
	// quick says that the client acknowledges each answer of a lead at once: see talk.
	quick bool
}

const unsaid = -1

func (c testCase) String() string { return c.theme + "/" + c.name }

// themes are all cases, by theme, in the order in which they run.
var themes = []struct {
	name  string
	cases func() []testCase
}{
	{"methods", methodCases},
	{"versions", versionCases},
	{"hosts", hostCases},
	{"targets", targetCases},
	{"files", fileCases},
	{"sections", sectionCases},
	{"htaccess", htaccessCases},
	{"access", accessCases},
	{"links", linkCases},
	{"listings", listingCases},
	{"admin", adminCases},
	{"negotiation", negotiationCases},
	{"codings", codingCases},
	{"conditionals", conditionalCases},
	{"ranges", rangeCases},
	{"connection", connectionCases},
	{"fields", fieldCases},
	{"syntax", syntaxCases},
	{"limits", limitCases},
	{"bodies", bodyCases},
	{"pipelines", pipelineCases},
	{"smuggling", smugglingCases},
}

// allCases returns them with their themes and their own files filled in.
func allCases() (all []testCase) {
	for _, theme := range themes {
		cases := theme.cases()
		slices.SortFunc(cases, func(a, b testCase) int { return strings.Compare(a.name, b.name) }) // some come out of maps
		for _, c := range cases {
			c.theme = theme.name
			own := strings.NewReplacer("{png}", ownTarget(len(all), "png"), "{html}", ownTarget(len(all), "html"), "{txt}", ownTarget(len(all), "txt"),
				"{etag}", ownETag, "{modified}", modified.Format(httpTime))
			pieces := make([]string, len(c.send))
			for k := range c.send {
				pieces[k] = own.Replace(c.send[k])
			}
			if c.bytewise {
				pieces = strings.Split(strings.Join(pieces, ""), "")
			}
			c.send = pieces
			c.six, c.quick = len(all)%2 == 1, len(all)%8 >= 6
			all = append(all, c)
		}
	}
	return all
}

func ownTarget(number int, ext string) string { return fmt.Sprintf("/own/%04d.%s", number, ext) }

var ownPattern = regexp.MustCompile(`/own/\d{4}\.(png|html|txt)`)

// ownTargets returns the targets of the files that belong to one case, and of the one that goes before cases.
func ownTargets(all []testCase) []string {
	targets := []string{ownTarget(0, "png")}
	for _, c := range all {
		targets = append(targets, ownPattern.FindAllString(strings.Join(c.send, ""), -1)...)
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

const httpTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// modified is when each file of the site was.
var modified = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

// request returns a head: the request line, "Host: test" unless there is another Host among the fields, the fields.
func request(line string, fields ...string) string {
	var b strings.Builder
	b.WriteString(line + "\r\n")
	if !strings.Contains(strings.ToLower(strings.Join(fields, "\n")), "host:") {
		b.WriteString("Host: test\r\n")
	}
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

func get(target string, fields ...string) string {
	return request("GET "+target+" HTTP/1.1", fields...)
}

func head(target string, fields ...string) string {
	return request("HEAD "+target+" HTTP/1.1", fields...)
}

// one is a case of one request that gets one answer.
func one(name, request string) testCase {
	return testCase{name: name, send: []string{request}, answers: 1}
}

// odd is a case of whose answer we claim nothing but that it is Apache's.
func odd(name string, pieces ...string) testCase {
	return testCase{name: name, send: pieces, answers: unsaid}
}

// The names tell which case failed, and the number of cases is a promise.
func TestCases(t *testing.T) {
	all := allCases()
	seen := map[string]bool{}
	for _, c := range append(all, hotCases()...) {
		if seen[c.String()] {
			t.Errorf("two cases are called %s", c)
		}
		seen[c.String()] = true
		if len(c.send) == 0 || strings.Join(c.send, "") == "" {
			t.Errorf("%s says nothing", c)
		}
	}
	for name := range known {
		if !seen[name] {
			t.Errorf("there is no case %s", name)
		}
	}
	if len(all) < 400 {
		t.Errorf("there are %d cases, want 400 or more", len(all))
	}
	t.Logf("%d cases", len(all))
}
