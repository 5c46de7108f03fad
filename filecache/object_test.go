package filecache

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// stock are the answers of a stock Apache for a file of a type that it does not compress, with the date of date.
func stock(body string, k keepAlive) (all [numKinds]answer) {
	common := "Date: Wed, 18 Nov 2026 11:06:40 GMT\r\nServer: Apache/2.4.71 (Debian)\r\nLast-Modified: Thu, 02 Jan 2020 03:04:05 GMT\r\n" +
		"ETag: \"bb8-59b1f72314f35\"\r\nAccept-Ranges: bytes\r\n"
	connection := "Connection: close\r\n"
	if k.timeout != "" {
		connection = "Keep-Alive: " + k.timeout
		if k.max >= 0 {
			connection += fmt.Sprint(", max=", k.max)
		}
		connection += "\r\nConnection: Keep-Alive\r\n"
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for kind, head := range [numKinds]string{
		"HTTP/1.1 200 OK\r\n" + common + length + connection + "Content-Type: image/png\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + common + length + connection + "Content-Type: image/png\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\n" + common + connection + "\r\n",
		"HTTP/1.1 206 Partial Content\r\n" + common + "Content-Length: 1\r\n" + fmt.Sprintf("Content-Range: bytes 0-0/%d\r\n", len(body)) + connection +
			"Content-Type: image/png\r\n\r\n",
		"HTTP/1.1 206 Partial Content\r\n" + common + fmt.Sprintf("Content-Length: %d\r\n", len(several(body))) + connection +
			"Content-Type: multipart/byteranges; boundary=5f0\r\n\r\n",
	} {
		all[kind].head = head
		all[kind].lines, all[kind].status = splitHead(head)
	}
	all[kind200].body = []byte(body)
	all[kind200].length = int64(len(body))
	all[kind206].body = []byte(body)[:min(1, len(body))]
	all[kindParts].body = several(body)
	return all
}

// several is what a stock Apache makes of a body that is asked for by the probe, nil if it is short.
func several(body string) []byte {
	v := precondition.Validators{Length: uint64(len(body))}
	var parts precondition.Parts
	if len(body) < precondition.ProbeLength {
		return nil
	}
	precondition.Evaluate(&httpwire.Request{Range: []byte(precondition.Probe)}, &v, date, &parts)
	m := precondition.Multipart{Boundary: "5f0", Type: "image/png", Body: []byte(body), Length: uint64(len(body))}
	all := make([]byte, m.Len(&parts))
	m.ReadAt(&parts, all, 0)
	return all
}

// date is the time of the stock answers.
const date = 1795000000

// proven is an object of the stock answers.
func proven(t testing.TB, body string, k keepAlive) *Object {
	t.Helper()
	return provenBy(t, stock(body, k))
}

func provenBy(t testing.TB, answers [numKinds]answer) *Object {
	t.Helper()
	o := &Object{}
	c := new(Cache)
	p := proof{o: o, answers: answers}
	o.freshUntil.Store(forever)
	if why := c.learn(o, &p.answers[kind200]); why != Taken || !p.cut(expiry{}) {
		t.Fatalf("not taken: %v", why)
	}
	return o
}

func object(t *testing.T) *Object {
	t.Helper()
	return proven(t, strings.Repeat("0123456789", 300), keepAlive{"timeout=5", 100})
}

func request(t *testing.T, head string) *httpwire.Request {
	t.Helper()
	var r httpwire.Request
	if _, v, why := httpwire.Parse([]byte(head), &r); v != httpwire.Complete {
		t.Fatalf("%q: %v %v", head, v, why)
	}
	return &r
}

// As Apache 2.4.71 of Debian writes it, field for field.
func TestHeaderSection(t *testing.T) {
	front := "Date: Wed, 18 Nov 2026 11:06:40 GMT\r\nServer: Apache/2.4.71 (Debian)\r\nLast-Modified: Thu, 02 Jan 2020 03:04:05 GMT\r\n" +
		"ETag: \"bb8-59b1f72314f35\"\r\nAccept-Ranges: bytes\r\n"
	for _, c := range []struct{ head, want string }{
		{"GET /a.png HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nContent-Type: image/png\r\n\r\n"},
		{"HEAD /a.png HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nKeep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\nContent-Type: image/png\r\n\r\n"},
		{"GET /a.png HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n" + front + "Content-Length: 3000\r\nConnection: close\r\nContent-Type: image/png\r\n\r\n"},
		{"GET /a.png HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + front + "\r\n"},
		{"GET /a.png HTTP/1.0\r\nIf-None-Match: *\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + front + "Connection: close\r\n\r\n"},
		{"GET /a.png HTTP/1.1\r\nHost: x\r\nRange: bytes=-10\r\n\r\n",
			"HTTP/1.1 206 Partial Content\r\n" + front + "Content-Length: 10\r\nContent-Range: bytes 2990-2999/3000\r\nContent-Type: image/png\r\n\r\n"},
		{"HEAD /a.png HTTP/1.0\r\nRange: bytes=100-\r\n\r\n",
			"HTTP/1.1 206 Partial Content\r\n" + front + "Content-Length: 2900\r\nContent-Range: bytes 100-2999/3000\r\nConnection: close\r\nContent-Type: image/png\r\n\r\n"},
		{"GET /a.png HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0,9-10\r\n\r\n",
			"HTTP/1.1 206 Partial Content\r\n" + front + "Content-Length: 149\r\nContent-Type: multipart/byteranges; boundary=5f0\r\n\r\n"},
	} {
		o := object(t)
		r := request(t, c.head)
		resp, ok := o.Respond(r, 0, date)
		if !ok {
			t.Fatalf("%q: not ours", c.head)
		}
		all := make([]byte, o.Len(resp))
		if n := o.ReadAt(resp, all, 0); n != len(all) {
			t.Fatalf("%q: %d octets of %d", c.head, n, len(all))
		}
		section, body, _ := bytes.Cut(all, []byte("\r\n\r\n"))
		if got := string(section) + "\r\n\r\n"; got != c.want {
			t.Errorf("%q:\n%q\nwant\n%q", c.head, got, c.want)
		}
		var length int
		if _, err := fmt.Sscanf(c.want[strings.Index(c.want, "Accept-Ranges"):], "Accept-Ranges: bytes\r\nContent-Length: %d", &length); err != nil || r.Head {
			length = 0
		}
		if len(body) != length {
			t.Errorf("%q: body of %d octets, want %d", c.head, len(body), length)
		}
		// A retransmission may begin and end anywhere.
		for off := 0; off < len(all); off += 7 {
			part := make([]byte, min(100, len(all)-off))
			if n := o.ReadAt(resp, part, uint32(off)); n != len(part) || !bytes.Equal(part, all[off:off+n]) {
				t.Fatalf("%q: octets at %d differ", c.head, off)
			}
		}
	}
}

func TestPreconditions(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   int // 0: Apache's
	}{
		{"", 200},
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\n", 304},
		{"If-None-Match: \"x\" , W/\"bb8-59b1f72314f35\"\r\n", 304},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", 200},
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", 304},
		// Apache, unlike RFC 9110, wants both to hold.
		{"If-None-Match: \"bb8-59b1f72314f35\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT\r\n", 200},
		{"If-Modified-Since: Thu, 02 Jan 2031 03:04:05 GMT\r\nIf-None-Match: *\r\n", 200},
		{"If-None-Match: *\r\nIf-Modified-Since: yesterday\r\n", 200},
		{"If-None-Match: \"x\"\r\nIf-Modified-Since: yesterday\r\n", 200},
		{"If-None-Match: bb8-59b1f72314f35\r\n", 200},
		{"If-None-Match: \"x\" \"y\"\r\n", 0},
		{"If-None-Match: \"x\r\n", 0},
		{"If-None-Match: \"x\",\r\n", 200},
		{"If-None-Match: \"bb8-59b1f72314f35-gzip\"\r\n", 200},
		{"If-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", 304},
		{"If-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT\r\n", 200},
		{"If-Modified-Since: Thu, 02 Jan 2031 03:04:05 GMT\r\n", 200},
		{"If-Modified-Since: yesterday\r\n", 200},
		{"If-Match: \"x\"\r\n", 0},
		{"If-Match: *\r\n", 200},
		{"If-Unmodified-Since: Thu, 02 Jan 2020 03:04:04 GMT\r\n", 0},
		{"If-Unmodified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\nIf-None-Match: *\r\n", 200},
		{"Range: bytes=0-1\r\n", 206},
		{"Range: bytes=0-1,4-5\r\nIf-Range: \"bb8-59b1f72314f35\"\r\n", 206},
		{"Range: bytes=0-1,4-5\r\nIf-Range: \"x\"\r\n", 200},
		{"Range: bytes=3000-\r\n", 0},
		{"Range: bytes=5-1\r\n", 200},
	} {
		resp, ok := object(t).Respond(request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\n"+c.fields+"\r\n"), 0, 1795000000)
		got := resp.Status()
		if !ok {
			got = 0
		}
		if got != c.want {
			t.Errorf("%q: %d, want %d", c.fields, got, c.want)
		}
	}
}

// Of ranges, we answer what the server behind has shown, and as it limits them.
func TestRangesAsProven(t *testing.T) {
	one, several, touching := "bytes=5-6", "bytes=0-1,4-5", "bytes=0-1,2-3"
	for name, c := range map[string]struct {
		change func(all *[numKinds]answer)
		want   string
	}{
		"stock":                  {func(*[numKinds]answer) {}, one + " " + several + " " + touching},
		"the whole for several":  {func(all *[numKinds]answer) { all[kindParts] = all[kind200] }, one},
		"the whole for one":      {func(all *[numKinds]answer) { all[kind206] = all[kind200] }, several},
		"never":                  {func(all *[numKinds]answer) { all[kind206], all[kindParts] = all[kind200], all[kind200] }, ""},
		"other octets":           {func(all *[numKinds]answer) { all[kind206].body = []byte("x") }, several},
		"other octets, in parts": {func(all *[numKinds]answer) { all[kindParts].body = append(all[kindParts].body, 'x') }, one},
		"another length":         {func(all *[numKinds]answer) { all[kind206] = stock("another", keepAlive{"timeout=5", 100})[kind206] }, several},
		"no HEAD":                {func(all *[numKinds]answer) { all[kind200Head] = answer{} }, one + " " + several + " " + touching},
	} {
		all := stock(strings.Repeat("0123456789", 300), keepAlive{"timeout=5", 100})
		c.change(&all)
		o := provenBy(t, all)
		var got []string
		for _, ranges := range []string{one, several, touching} {
			r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nRange: "+ranges+"\r\n\r\n")
			if resp, ok := o.Respond(r, 0, date); ok && resp.Status() == 206 {
				got = append(got, ranges)
			}
			r.Head = true
			if _, ok := o.Respond(r, 0, date); ok && name == "no HEAD" {
				t.Errorf("HEAD is answered for %q", ranges)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: we answer %q, want %q", name, got, c.want)
		}
	}
}

// The last request of a connection is answered with "close".
func TestRequestsLeft(t *testing.T) {
	r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
	for _, c := range []struct {
		has    keepAlive
		served int
		want   string
	}{
		{keepAlive{"timeout=5", 100}, 0, "Keep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\n"},
		{keepAlive{"timeout=5", 100}, 99, "Keep-Alive: timeout=5, max=1\r\nConnection: Keep-Alive\r\n"},
		{keepAlive{"timeout=5", 100}, 100, "Connection: close\r\n"}, {keepAlive{"timeout=5", 100}, 60000, "Connection: close\r\n"},
		{keepAlive{"timeout=5", 3}, 2, "Keep-Alive: timeout=5, max=1\r\nConnection: Keep-Alive\r\n"},
		{keepAlive{"timeout=5", -1}, 5000, "Keep-Alive: timeout=5\r\nConnection: Keep-Alive\r\n"},
		{keepAlive{"", 0}, 0, "Connection: close\r\n"},
	} {
		o := proven(t, "x", c.has)
		resp, _ := o.Respond(r, c.served, 0)
		b := make([]byte, o.Len(resp))
		o.ReadAt(resp, b, 0)
		if !strings.Contains(string(b), "\r\n"+c.want+"Content-Type") || resp.Closes() != (c.want == "Connection: close\r\n") {
			t.Errorf("%+v: closes %v, %q", c, resp.Closes(), b)
		}
	}
}

// What a proxy may hear is another matter.
func TestVia(t *testing.T) {
	r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nVia: 1.1 y\r\n\r\n")
	if _, ok := proven(t, "x", keepAlive{"", 0}).Respond(r, 0, 0); ok {
		t.Error("it is told to close")
	}
	if _, ok := proven(t, "x", keepAlive{"timeout=5", 100}).Respond(r, 0, 0); !ok {
		t.Error("it is not answered")
	}
}

func TestResponsesDoNotAllocate(t *testing.T) {
	s := newStage(t, nil)
	s.put("a.png", strings.Repeat("x", 1000))
	if why := s.fill("/a.png"); why != Taken {
		t.Fatal(why)
	}
	dst := make([]byte, 1460)
	for _, fields := range []string{"If-None-Match: \"x\"\r\nIf-Modified-Since: Thu, 02 Jan 2020 03:04:05 GMT\r\n", "Range: bytes=0-1\r\n", "Range: bytes=0-1,-5\r\n"} {
		r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\n"+fields+"\r\n")
		if n := testing.AllocsPerRun(100, func() {
			o := s.Lookup(address, r)
			resp, ok := o.Respond(r, 0, 1795000000)
			if o.Len(resp); !ok || o.ReadAt(resp, dst, 0) == 0 {
				t.Errorf("%q is not answered", fields)
			}
		}); n != 0 {
			t.Errorf("%q: %v allocations", fields, n)
		}
	}
	if size := reflect.TypeFor[Response]().Size(); size > 84 {
		t.Errorf("a Response takes %d octets", size)
	}
}
