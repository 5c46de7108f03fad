package system

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/xhttpd/xhttpd/internal/testbed"
)

// hugeSize is beyond what 32 bits hold.
const hugeSize = 4<<30 + 40<<20 + 12345

// putSparse writes a file of size octets, of which most are holes.
func putSparse(b *testbed.Bed, name string, size int64) (path string) {
	b.Helper()
	path = filepath.Join(b.Root, name)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 100_000)
	for _, at := range []int64{0, 300_000, 256<<20 - 50_000, 1 << 31, 1<<32 - 50_000, size - int64(len(block))} {
		if at+int64(len(block)) > size {
			continue
		}
		for k := range block {
			block[k] = byte(rand.Uint32())
		}
		if _, err := f.WriteAt(block, at); err != nil {
			b.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		b.Fatal(err)
	}
	return path
}

// proven asks for the last octet until xhttpd answers it.
func proven(b *testbed.Bed, url string, size int64) {
	b.Helper()
	client := b.HTTP()
	defer client.CloseIdleConnections()
	for begin := time.Now(); time.Since(begin) < 5*time.Minute; time.Sleep(500 * time.Millisecond) {
		before := b.Metric("responses_total", "206")
		req, err := http.NewRequestWithContext(b.Context(), "GET", url, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", size-1))
		req.Close = true
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body) //nolint:errcheck // whoever answers
		resp.Body.Close()
		time.Sleep(5 * time.Millisecond) // the counters are published behind the frames
		if b.Metric("responses_total", "206") > before {
			return
		}
	}
	b.Fatalf("xhttpd does not answer for %s", url)
}

// sameOctets reports whether two readers have the same octets, to the end, and how many were the same.
func sameOctets(a, c io.Reader) (n int64, same bool) {
	one, other := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		k, err := io.ReadFull(a, one)
		m, err2 := io.ReadFull(c, other)
		if l := min(k, m); !bytes.Equal(one[:l], other[:l]) {
			return n, false
		}
		n += int64(min(k, m))
		if k != m {
			return n, false
		}
		if err != nil || err2 != nil {
			return n, true
		}
	}
}

// A file of more than 4 GiB comes from xhttpd, whole and by ranges, through a few megabytes of memory; when it is changed under way, the
// download ends, and what came is of the one version; when it is replaced or deleted, it goes on.
func TestLargerThanMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("4 GiB take their time")
	}
	b := testbed.Start(t, testbed.Options{Args: []string{"--max-file", "8GiB", "--piece-memory", "16MiB", "--cache-size", "64MiB", "--reprove", "10m"}})
	// The larger one comes last: behind each proof there is a rest for three times as long.
	replaced, truncated := putSparse(b, "replaced.png", 300<<20), putSparse(b, "truncated.png", 300<<20)
	path := putSparse(b, "huge.png", hugeSize)
	url := b.URL(false, "/huge.png")
	proven(b, b.URL(false, "/replaced.png"), 300<<20)
	proven(b, b.URL(false, "/truncated.png"), 300<<20)
	proven(b, url, hugeSize)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := resident(b)

	t.Run("curl, resumed", func(t *testing.T) {
		settled(b)
		answered := b.Metric("responses_total", "206")
		asked := 0
		for _, from := range []int64{hugeSize - 1, 1<<32 - 1_000_000, hugeSize - 3_000_000} {
			out := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(out, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(out, from); err != nil {
				t.Fatal(err)
			}
			if _, trace, err := b.Curl("-C", "-", "-o", out, url); err != nil {
				t.Fatalf("from %d: %v %s", from, err, trace)
			}
			got, err := os.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			size, err := got.Seek(0, io.SeekEnd)
			if err != nil || size != hugeSize {
				t.Fatalf("from %d: %d octets in the end, %v", from, size, err)
			}
			if n, same := sameOctets(io.NewSectionReader(got, from, hugeSize-from), io.NewSectionReader(file, from, hugeSize-from)); !same {
				t.Errorf("from %d: another octet at %d", from, from+n)
			}
			got.Close()
			asked++
		}
		for _, r := range [][2]int64{{0, 0}, {299_999, 400_001}, {256<<20 - 1_000_000, 256<<20 + 1_000_000}, {1<<31 - 1, 1<<31 + 1}, {1<<32 - 60_000, 1<<32 + 60_000}} {
			out, trace, err := b.Curl("-r", fmt.Sprintf("%d-%d", r[0], r[1]), url)
			if n, same := sameOctets(bytes.NewReader([]byte(out)), io.NewSectionReader(file, r[0], r[1]-r[0]+1)); err != nil || !same {
				t.Errorf("%v: another octet at %d, %v %s", r, r[0]+n, err, trace)
			}
			asked++
		}
		settled(b)
		if n := b.Metric("responses_total", "206") - answered; n != float64(asked) {
			t.Errorf("xhttpd answered %v of %d", n, asked)
		}
	})

	client := b.HTTP()
	client.Timeout = 0
	get := func(t *testing.T, url string) *http.Response {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		t.Cleanup(cancel)
		req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	t.Run("whole", func(t *testing.T) {
		settled(b)
		answered := b.Metric("responses_total", "200")
		resp := get(t, url)
		if got := resp.Header.Get("Content-Length"); got != strconv.FormatInt(hugeSize, 10) {
			t.Errorf("Content-Length: %s", got)
		}
		if n, same := sameOctets(resp.Body, io.NewSectionReader(file, 0, hugeSize)); !same || n != hugeSize {
			t.Errorf("another octet at %d", n)
		}
		settled(b)
		if b.Metric("responses_total", "200") != answered+1 {
			t.Error("xhttpd did not answer")
		}
	})
	if after := resident(b); after > before+100<<20 {
		t.Errorf("xhttpd had %d MB before, and has %d MB now", before>>20, after>>20)
	} else {
		t.Logf("xhttpd has %d MB", after>>20)
	}

	// What is under way while something happens to the file.
	meanwhile := func(t *testing.T, path string, happen func() error) (n int64, same bool) {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		resp := get(t, b.URL(false, "/"+filepath.Base(path)))
		first := make([]byte, 40<<20)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Fatal(err)
		}
		if n, same := sameOctets(bytes.NewReader(first), io.NewSectionReader(file, 0, int64(len(first)))); !same {
			t.Fatalf("another octet at %d", n)
		}
		if err := happen(); err != nil {
			t.Fatal(err)
		}
		n, same = sameOctets(resp.Body, io.NewSectionReader(file, int64(len(first)), 1<<62))
		return n + int64(len(first)), same
	}
	t.Run("replaced", func(t *testing.T) {
		next := filepath.Join(b.Dir, "next")
		if err := os.WriteFile(next, []byte("another one"), 0o644); err != nil { //nolint:gosec // must be world-readable
			t.Fatal(err)
		}
		if n, same := meanwhile(t, replaced, func() error { return os.Rename(next, replaced) }); !same || n != 300<<20 {
			t.Errorf("it did not go on behind %d octets", n)
		}
		b.Until("the new one is given", func() bool {
			out, _, err := b.Curl(b.URL(false, "/replaced.png"))
			return err == nil && out == "another one"
		})
	})
	t.Run("truncated", func(t *testing.T) {
		n, same := meanwhile(t, truncated, func() error { return os.Truncate(truncated, 100<<20) })
		if same || n >= 100<<20 {
			t.Errorf("%d octets came", n)
		}
		settled(b)
		if b.Metric("shed_total", "file-changed") != 1 {
			t.Errorf("%v connections were ended for it", b.Metric("shed_total", "file-changed"))
		}
	})
}
