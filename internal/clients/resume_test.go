package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// A download like a torrent's: some workers fetch pieces of one object, one or several in a request, and lose their connection
// anywhere, a hundred times. What they have they keep; for the rest they ask again.
func TestResumed(t *testing.T) {
	const size, piece, workers, cuts = 8_000_000, 50_000, 4, 100
	s := newStage(t, testbed.Options{})
	body := s.Put("large.png", content(size))
	s.Warm("large.png")
	d := &download{stage: s, url: s.URL(false, "/large.png"), got: make([]byte, size), cuts: cuts, seed: seed(t)}
	resp, err := s.HTTP().Head(d.url)
	s.must(err)
	resp.Body.Close()
	d.tag = resp.Header.Get("ETag")
	for off := 0; off < size; off += piece {
		d.missing = append(d.missing, span{off, min(off+piece, size)})
	}
	s.answered(resumedShare, func() {
		var all sync.WaitGroup
		for k := range workers {
			all.Go(func() { d.work(uint64(k)) })
		}
		all.Wait()
	})
	t.Logf("%d requests, %d of them for several ranges; cuts left: %d", d.requests, d.several, d.cuts)
	if !bytes.Equal(d.got, body) {
		t.Errorf("the object is another one: SHA-256 %s, want %s", sum(d.got), sum(body))
	}
	if d.cuts > 0 || d.several < 10 {
		t.Errorf("%d cuts were not made, %d requests were for several ranges: this tested something else", d.cuts, d.several)
	}
	// Whatever the object was, another tag gets all of it.
	req, err := http.NewRequest("GET", d.url, nil)
	s.must(err)
	req.Header.Set("Range", "bytes=5-9")
	req.Header.Set("If-Range", `"1-2"`)
	client := s.HTTP()
	defer client.CloseIdleConnections()
	resp, err = client.Do(req)
	s.must(err)
	defer resp.Body.Close()
	if all, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !bytes.Equal(all, body) {
		t.Errorf("If-Range with another tag: %s, %d octets, %v", resp.Status, len(all), err)
	}
}

// span is of octets, from inclusive, to exclusive.
type span struct{ from, to int }

type download struct {
	*stage
	url, tag string
	seed     uint64

	mu                      sync.Mutex
	got                     []byte
	missing                 []span
	cuts, requests, several int
}

var errCut = errors.New("cut")

func (d *download) work(k uint64) {
	rnd := rand.New(rand.NewPCG(d.seed, k))
	client := d.HTTP()
	defer client.CloseIdleConnections()
	for {
		spans, cut := d.take(rnd)
		if spans == nil {
			return
		}
		err := d.fetch(client, spans, cut)
		if err != nil && !errors.Is(err, errCut) {
			d.Errorf("ranges %v: %v", spans, err)
			return
		}
	}
}

// take returns up to five spans that nobody has asked for, and after how many octets the connection shall be cut, -1 for not.
func (d *download) take(rnd *rand.Rand) (spans []span, cut int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	total := 0
	for range 1 + rnd.IntN(5) {
		if len(d.missing) == 0 {
			break
		}
		k := rnd.IntN(len(d.missing))
		spans = append(spans, d.missing[k])
		total += d.missing[k].to - d.missing[k].from
		d.missing[k] = d.missing[len(d.missing)-1]
		d.missing = d.missing[:len(d.missing)-1]
	}
	// Apache answers neighbours with one part.
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	apart := spans[:0]
	for _, s := range spans {
		if n := len(apart); n > 0 && apart[n-1].to == s.from {
			apart[n-1].to = s.to
		} else {
			apart = append(apart, s)
		}
	}
	spans = apart
	cut = -1
	if d.cuts > 0 && len(spans) > 0 {
		d.cuts--
		cut = rnd.IntN(total)
	}
	return spans, cut
}

// fetch asks for spans by one request and notes what comes, until the cut; what does not come is missing again.
func (d *download) fetch(client *http.Client, spans []span, cut int) error {
	left := append([]span(nil), spans...)
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.requests++
		if len(spans) > 1 {
			d.several++
		}
		for _, s := range left {
			if s.from < s.to {
				d.missing = append(d.missing, s)
			}
		}
	}()
	var list []string
	for _, s := range spans {
		list = append(list, fmt.Sprintf("%d-%d", s.from, s.to-1))
	}
	req, err := http.NewRequest("GET", d.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", "bytes="+strings.Join(list, ","))
	req.Header.Set("If-Range", d.tag)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // behind a cut, it ends the connection
	if resp.StatusCode != http.StatusPartialContent {
		return errors.New(resp.Status)
	}
	if len(spans) == 1 {
		return d.note(resp.Body, resp.Header.Get("Content-Range"), &left[0], &cut)
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return fmt.Errorf("several ranges come as %s: %w", kind, err)
	}
	parts := multipart.NewReader(resp.Body, params["boundary"])
	for k := range left {
		part, err := parts.NextRawPart()
		if err != nil {
			return err
		}
		if err := d.note(part, part.Header.Get("Content-Range"), &left[k], &cut); err != nil {
			return err
		}
	}
	if _, err := parts.NextRawPart(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("behind the last part: %w", err)
	}
	return nil
}

// note reads one span from r and moves its beginning past what has come.
func (d *download) note(r io.Reader, contentRange string, s *span, cut *int) error {
	if want := fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, len(d.got)); contentRange != want {
		return fmt.Errorf("Content-Range: %q, want %q", contentRange, want)
	}
	want := s.to - s.from
	if *cut >= 0 {
		want = min(want, *cut)
		*cut -= want
	}
	n, err := io.ReadFull(r, d.got[s.from:s.from+want])
	s.from += n
	switch {
	case err != nil && want > 0:
		return err
	case s.from < s.to:
		return errCut
	}
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		return fmt.Errorf("%d octets behind the range: %w", n, err)
	}
	return nil
}
