package httpwire

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// FuzzParse holds Parse against net/http: what is complete for us is, to it, a request of the same meaning and the same
// length, without a body. And the verdict on a beginning is never taken back.
func FuzzParse(f *testing.F) {
	for _, c := range ours {
		f.Add([]byte(c.in))
	}
	for _, c := range notOurs {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		n, v, why := Parse(b, &r)
		if v == Complete {
			compare(t, b, n, &r)
		}
		for cut := range min(len(b), 300) {
			var early Request
			switch _, ev, _ := Parse(b[:cut], &early); {
			case ev == Complete && (v != Complete || cut < n):
				t.Fatalf("%d octets are complete, all are %v of %d", cut, v, n)
			case ev == NotOurs && v != NotOurs: // a later octet may be a better reason
				t.Fatalf("%d octets are not ours, all are %v (%v)", cut, v, why)
			}
		}
	})
}

func compare(t *testing.T, b []byte, n int, r *Request) {
	t.Helper()
	octets := bytes.NewReader(b)
	buffered := bufio.NewReaderSize(octets, 1)
	req, err := http.ReadRequest(buffered)
	if err != nil {
		t.Fatalf("net/http: %v", err)
	}
	method := map[bool]string{false: "GET", true: "HEAD"}[r.Head]
	proto := map[bool]string{false: "HTTP/1.1", true: "HTTP/1.0"}[r.HTTP10]
	got := fmt.Sprint(method, " ", string(r.Path), " ", proto, " ", strings.ToLower(string(r.Host)))
	want := fmt.Sprint(req.Method, " ", req.URL.EscapedPath(), " ", req.Proto, " ", strings.ToLower(req.Host))
	if got != want || req.RequestURI != string(r.Target) || req.URL.RawQuery != strings.TrimPrefix(string(r.Target[len(r.Path):]), "?") {
		t.Fatalf("we: %s\nnet/http: %s", got, want)
	}
	if req.ContentLength != 0 || len(req.TransferEncoding) != 0 {
		t.Fatalf("net/http sees a body of %d octets", req.ContentLength)
	}
	if req.Close == r.KeepAlive() {
		t.Fatalf("net/http: close %t; we: keep-alive %t", req.Close, r.KeepAlive())
	}
	for name, value := range map[string][]byte{
		"If-Match": r.IfMatch, "If-Unmodified-Since": r.IfUnmodifiedSince, "If-None-Match": r.IfNoneMatch, "If-Modified-Since": r.IfModifiedSince,
		"Range": r.Range, "If-Range": r.IfRange, "Accept-Encoding": r.AcceptEncoding, "User-Agent": r.UserAgent,
	} {
		if req.Header.Get(name) != string(value) || len(req.Header[name]) > 1 {
			t.Fatalf("%s: we %q, net/http %q", name, value, req.Header[name])
		}
	}
	if used := len(b) - octets.Len() - buffered.Buffered(); used != n {
		t.Fatalf("our head has %d octets, that of net/http %d", n, used)
	}
}
