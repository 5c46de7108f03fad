package system

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// resumption is a file that comes in pieces, on connections that the client ends in the middle.
type resumption struct {
	*testing.T
	bed     *testbed.Bed
	rnd     *rand.Rand
	url     string
	have    []byte
	missing map[int]bool // pieces
	etag    string
	asked   int
}

const piece = 4096

// piecesAtOnce is how many ranges a response of xhttpd has at most.
const piecesAtOnce = 8

// A client that fetches a file by several ranges at once, goes away in the middle, and comes back for what it lacks has in the end what
// the server has. And xhttpd was the server.
func TestResumedByRanges(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	body := b.Put("a.png", content(100*piecesAtOnce*piece-1000))
	b.Warm("a.png")
	families(t, func(t *testing.T, six bool) {
		settled(b)
		before := b.Metric("responses_total", "206")
		d := &resumption{T: t, bed: b, rnd: rand.New(rand.NewPCG(seed, 0)), url: b.URL(six, "/a.png"), have: make([]byte, len(body)), missing: map[int]bool{}}
		for k := range 100 * piecesAtOnce {
			d.missing[k] = true
		}
		for len(d.missing) > 0 {
			d.resume()
		}
		if sha256.Sum256(d.have) != sha256.Sum256(body) {
			t.Error("it is another file")
		}
		settled(b)
		if d.asked < 100 || b.Metric("responses_total", "206")-before < float64(d.asked) {
			t.Errorf("xhttpd answered %v times of %d, want 100 or more, and all", b.Metric("responses_total", "206")-before, d.asked)
		}
	})
}

// resume asks for some of what is missing, and keeps the pieces that come before it goes away.
func (d *resumption) resume() {
	d.Helper()
	pieces := slices.Sorted(maps.Keys(d.missing))
	d.rnd.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	var specs []string
	for _, k := range pieces[:min(piecesAtOnce, len(pieces))] {
		end := min((k+1)*piece, len(d.have))
		specs = append(specs, fmt.Sprintf("%d-%d", k*piece, end-1))
	}
	req, err := http.NewRequestWithContext(d.Context(), "GET", d.url, nil)
	if err != nil {
		d.Fatal(err)
	}
	req.Header.Set("Range", "bytes="+strings.Join(specs, ","))
	if d.etag != "" {
		req.Header.Set("If-Range", d.etag)
	}
	client := d.bed.HTTP()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	d.asked++
	d.etag = resp.Header.Get("ETag")
	// Usually it goes away before the end.
	octets := io.LimitReader(resp.Body, int64(d.rnd.IntN(piecesAtOnce*piece*5/4)))
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil || resp.StatusCode != 206:
		d.Fatalf("%s: %v", resp.Status, err)
	case kind != "multipart/byteranges":
		d.keep(resp.Header.Get("Content-Range"), octets)
		return
	}
	parts := multipart.NewReader(octets, params["boundary"])
	for {
		part, err := parts.NextPart()
		if err != nil || !d.keep(part.Header.Get("Content-Range"), part) {
			return // it went away, or this is the end
		}
	}
}

// keep takes the whole pieces of a range that come, and reports whether all did.
func (d *resumption) keep(contentRange string, r io.Reader) bool {
	d.Helper()
	var from, to, length int
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &from, &to, &length); err != nil || length != len(d.have) || from%piece != 0 {
		d.Fatalf("Content-Range: %q (%v)", contentRange, err)
	}
	for from <= to { // neighbours come as one
		end := min(from+piece, length)
		if _, err := io.ReadFull(r, d.have[from:end]); err != nil {
			return false
		}
		delete(d.missing, from/piece)
		from = end
	}
	return true
}

// curl --continue-at asks for the rest of what it has.
func TestCurlContinues(t *testing.T) {
	b := testbed.Start(t, testbed.Options{})
	body := b.Put("a.png", content(300_000))
	b.Warm("a.png")
	families(t, func(t *testing.T, six bool) {
		file := fmt.Sprintf("%s/part-%v", t.TempDir(), six)
		settled(b)
		before := b.Metric("responses_total", "206")
		const times = 25
		for range times {
			if err := os.WriteFile(file, body[:1+rand.IntN(len(body)-1)], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, trace, err := b.Curl("--continue-at", "-", "-o", file, b.URL(six, "/a.png")); err != nil {
				t.Fatal(err, trace)
			}
			if got, err := os.ReadFile(file); err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
				t.Fatalf("%d octets, want %d, or others: %v", len(got), len(body), err)
			}
		}
		settled(b)
		if n := b.Metric("responses_total", "206") - before; n != times {
			t.Errorf("xhttpd answered %v times, want %d", n, times)
		}
	})
}
