package dataplane

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/netsim"
)

// ranges asks for parts of the object of so many octets: [from, to).
func ranges(size int, parts ...[2]int) simRequest {
	r := static(size)
	r.parts = parts
	specs := make([]string, 0, len(parts))
	for _, p := range parts {
		specs = append(specs, fmt.Sprintf("%d-%d", p[0], p[1]-1))
	}
	r.fields = "Range: bytes=" + strings.Join(specs, ",") + "\r\n"
	return r
}

// checkParts compares an answer to a request for ranges.
func (k *simTalk) checkParts(r *netsim.Response) {
	q := &k.requests[k.got]
	object := simBody(q.size)
	part := func(p [2]int, contentRange string, octets []byte) {
		if want := fmt.Sprintf("bytes %d-%d/%d", p[0], p[1]-1, q.size); contentRange != want {
			k.w.Failf("answer %d has %q, want %q", k.got, contentRange, want)
		}
		if q.verb() != "HEAD" && !bytes.Equal(octets, object[p[0]:p[1]]) {
			k.w.Failf("answer %d has %d octets, which are not the %d of %v", k.got, len(octets), p[1]-p[0], p)
		}
	}
	if r.StatusCode != 206 || r.FromKernel() {
		k.w.Failf("answer %d has status %d, of the kernel: %v", k.got, r.StatusCode, r.FromKernel())
		return
	}
	if len(q.parts) == 1 {
		part(q.parts[0], r.Header.Get("Content-Range"), r.Body)
		return
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		k.w.Failf("answer %d is %q: %v", k.got, kind, err)
	}
	if q.verb() == "HEAD" {
		return
	}
	parts := multipart.NewReader(bytes.NewReader(r.Body), params["boundary"])
	for _, p := range q.parts {
		got, err := parts.NextPart()
		if err != nil {
			k.w.Failf("answer %d lacks %v: %v", k.got, p, err)
			return
		}
		octets, err := io.ReadAll(got)
		if err != nil {
			k.w.Failf("answer %d is cut off: %v", k.got, err)
		}
		part(p, got.Header.Get("Content-Range"), octets)
	}
	if _, err := parts.NextPart(); err != io.EOF {
		k.w.Failf("answer %d has more than what was asked for: %v", k.got, err)
	}
}

// Ranges, one and several, come through whole over any path, alone and among others.
func TestSimRanges(t *testing.T) {
	several := ranges(100_000, [2]int{50_000, 80_000}, [2]int{0, 1}, [2]int{99_000, 100_000}, [2]int{10, 9_000})
	head := several
	head.method = "HEAD"
	overPaths(t, 9, func(t *testing.T, p simPath, seed uint64) {
		for _, pipelined := range []bool{false, true} {
			w := newSim(t, seed, p)
			k := w.talk(p.client, several, ranges(10_000, [2]int{5, 10_000}), static(100), head, several, ranges(1, [2]int{0, 1}), ranges(1400, [2]int{0, 1400}), static(1))
			k.pipelined = pipelined
			w.converse(k)
			w.wantCounted()
			w.wantHandovers("")
		}
	})
}
