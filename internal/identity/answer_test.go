package identity

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// answer is one response as it came.
type answer struct {
	head, body string // head with its empty line
	whole      bool   // its end is known by itself, not only by the end of the connection
}

// status returns the status code, 0 for HTTP/0.9, which has none.
func (a answer) status() int {
	if len(a.head) < 12 {
		return 0
	}
	code, err := strconv.Atoi(a.head[9:12])
	if err != nil {
		return 0
	}
	return code
}

func (a answer) field(name string) string {
	for line := range strings.SplitSeq(a.head, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// split cuts what a server sent into responses (RFC 9112, 6.3). It does not know the requests: a response without the body that
// its fields announce is taken for one to HEAD if nothing, or another response, follows. No file of the site begins
// like a response.
func split(octets string) (all []answer) {
	for octets != "" {
		end := strings.Index(octets, "\r\n\r\n")
		if !strings.HasPrefix(octets, "HTTP/1.") || end < 0 {
			return append(all, answer{body: octets}) // HTTP/0.9, or cut off
		}
		a := answer{head: octets[:end+4]}
		rest := octets[end+4:]
		n := 0
		n, a.whole = bodyLength(a, rest)
		a.body, octets = rest[:n], rest[n:]
		all = append(all, a)
	}
	return all
}

func bodyLength(a answer, rest string) (n int, whole bool) {
	code := a.status()
	length, err := strconv.Atoi(a.field("Content-Length"))
	switch {
	case code < 200, code == 204, code == 304, rest == "", strings.HasPrefix(rest, "HTTP/1."):
		return 0, true
	case strings.EqualFold(a.field("Transfer-Encoding"), "chunked"):
		return chunkedLength(rest)
	case err == nil:
		return min(length, len(rest)), length <= len(rest)
	}
	return len(rest), false
}

// chunkedLength returns the octets of a chunked body (RFC 9112, 7.1), all of rest if it does not end.
func chunkedLength(rest string) (n int, whole bool) {
	for {
		line, _, ok := strings.Cut(rest[n:], "\r\n")
		size, err := strconv.ParseUint(line, 16, 31)
		if !ok || err != nil {
			return len(rest), false
		}
		n += len(line) + 2 + int(size) + 2
		if n > len(rest) {
			return len(rest), false
		}
		if size == 0 {
			return n, true
		}
	}
}

// count returns how many final responses there are: 100 Continue is not one.
func count(all []answer) (n int) {
	for _, a := range all {
		if code := a.status(); code == 0 || code >= 200 {
			n++
		}
	}
	return n
}

var boundary = regexp.MustCompile(`boundary=([0-9a-f]{8,})`)

// mask replaces what is new in each response: the value of Date if it is a date, Expires if it is Date, or later by what the
// site's files last (3 s, an hour), a max-age that is Expires less Date (or a second less: mod_expires cuts off what is left of a second, and a request
// comes within one), the boundary of several ranges, the client's port where a script says it.
func mask(octets string) string {
	var b strings.Builder
	for _, a := range split(octets) {
		head, body := a.head, a.body
		date, err := http.ParseTime(a.field("Date"))
		if err == nil && len(a.field("Date")) == len(http.TimeFormat) {
			head = strings.Replace(head, "\r\nDate: "+a.field("Date")+"\r\n", "\r\nDate: *\r\n", 1)
		}
		if expires, err := http.ParseTime(a.field("Expires")); err == nil {
			for cut := range 2 {
				age := fmt.Sprintf("\r\nCache-Control: max-age=%d\r\n", int(expires.Sub(date)/time.Second)-cut)
				head = strings.Replace(head, age, fmt.Sprintf("\r\nCache-Control: max-age=Expires - Date - %d\r\n", cut), 1)
			}
			if after := expires.Sub(date); after == 0 || after == 3*time.Second || after == time.Hour {
				head = strings.Replace(head, "\r\nExpires: "+a.field("Expires")+"\r\n", fmt.Sprintf("\r\nExpires: Date + %v\r\n", after), 1)
			}
		}
		if m := boundary.FindStringSubmatch(head); m != nil {
			same := strings.Repeat("*", len(m[1]))
			head, body = strings.ReplaceAll(head, m[1], same), strings.ReplaceAll(body, m[1], same)
		}
		b.WriteString(head)
		b.WriteString(body)
	}
	return b.String()
}

// difference shows where two texts part, or returns "".
func difference(alone, ours string) string {
	if alone == ours {
		return ""
	}
	at := 0
	for at < len(alone) && at < len(ours) && alone[at] == ours[at] {
		at++
	}
	around := func(s string) string { return s[max(0, at-300):min(len(s), at+300)] }
	return fmt.Sprintf("they part at octet %d of %d and %d\nApache alone: …%q…\nwith xhttpd:  …%q…", at, len(alone), len(ours), around(alone), around(ours))
}

func TestSplit(t *testing.T) {
	const (
		three  = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
		head   = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
		chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n"
		fresh  = "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"
		goOn   = "HTTP/1.1 100 Continue\r\n\r\n"
		toEnd  = "HTTP/1.1 200 OK\r\n\r\nHello"
	)
	for _, c := range []struct {
		octets string
		count  int
		whole  bool
	}{
		{"", 0, true}, {three, 1, true}, {three + three, 2, true}, {head + three, 2, true}, {three + head, 2, true}, {chunks + three, 2, true},
		{fresh + chunks + fresh, 3, true}, {goOn + three, 1, true}, {three + toEnd, 2, false}, {"<p>old", 1, false},
		{three[:len(three)-1], 1, false}, {chunks[:len(chunks)-1], 1, false}, {three + head[:20], 2, false},
	} {
		all := split(c.octets)
		joined, whole := "", true
		for _, a := range all {
			joined += a.head + a.body
			whole = whole && a.whole
		}
		if joined != c.octets || count(all) != c.count || whole != c.whole {
			t.Errorf("%q: %d responses, whole: %v, want %d, %v; they are %q", c.octets, count(all), whole, c.count, c.whole, joined)
		}
	}
}

func TestMask(t *testing.T) {
	const dated = "HTTP/1.1 200 OK\r\nDate: %s\r\nExpires: %s\r\nContent-Length: 41\r\n\r\nDate: Mon, 06 May 2024 07:08:09 GMT 56789"
	one := fmt.Sprintf(dated, "Mon, 06 May 2024 07:08:09 GMT", "Mon, 06 May 2024 08:08:09 GMT")
	two := fmt.Sprintf(dated, "Tue, 07 May 2024 07:08:09 GMT", "Tue, 07 May 2024 08:08:09 GMT")
	if mask(one) != mask(two) || mask(one+one) != mask(two)+mask(one) {
		t.Errorf("only the date differs, but %s", difference(mask(one), mask(two)))
	}
	const aged = "HTTP/1.1 200 OK\r\nDate: %s\r\nCache-Control: max-age=%d\r\nExpires: Thu, 04 May 2034 07:08:09 GMT\r\n\r\n"
	at := func(second, age int) string {
		return fmt.Sprintf(aged, fmt.Sprintf("Thu, 04 May 2034 07:08:%02d GMT", second), age)
	}
	if mask(at(1, 8)) != mask(at(3, 6)) || mask(at(1, 7)) != mask(at(3, 5)) || mask(at(1, 8)) == mask(at(3, 7)) || mask(at(1, 8)) == mask(at(3, 5)) || mask(at(1, 6)) == mask(at(3, 4)) {
		t.Error("the age is not seen to go with the date")
	}
	for _, other := range []string{
		fmt.Sprintf(dated, "Mon, 06 May 2024 07:08:09 GMT", "Mon, 06 May 2024 08:08:10 GMT"), fmt.Sprintf(dated, "yesterday", "never"),
		strings.Replace(one, "07:08:09 GMT 5", "07:08:08 GMT 5", 1), one + "x",
	} {
		if mask(one) == mask(other) {
			t.Errorf("no difference is seen between %q and %q", one, other)
		}
	}
}
