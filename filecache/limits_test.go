package filecache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/httpwire"
	"github.com/xhttpd/xhttpd/internal/precondition"
)

// Whatever is filled, in whatever order, the budget is never exceeded, and the count is right.
func TestBudget(t *testing.T) {
	for _, c := range []struct{ budget, max int64 }{{10000, 0}, {10000, 10000}, {10000, 1 << 40}, {1024, 1024}, {1, 1}, {3000, 2000}} {
		t.Run(fmt.Sprintf("%d of %d", c.max, c.budget), func(t *testing.T) {
			s := newStage(t, func(o *Options) { o.Budget, o.MaxObject = c.budget, c.max })
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			sizes := []int{0, 1, 100, 975, 976, 977, 1976, 2000, 8975, 8976, 8977, 9999, 10000, 10001}
			for _, size := range sizes {
				s.put(fmt.Sprintf("%d.txt", size), strings.Repeat("x", size))
			}
			for range 300 {
				size := sizes[rnd.IntN(len(sizes))]
				target := fmt.Sprintf("/%d.txt", size)
				why := s.fill(target)
				if want := int64(size)+1024 <= c.budget && int64(size) <= s.opts.MaxObject; (why == Taken) != want || !want && why != TooLarge {
					t.Fatalf("%s: %v", target, why)
				}
				var bytes int64
				s.mu.Lock()
				for _, o := range s.objects {
					bytes += o.overhead() + int64(len(o.octets))
				}
				s.mu.Unlock()
				if st := s.Stats(); st.Bytes > c.budget || st.Bytes != bytes {
					t.Fatalf("after %s: %d octets held, %d counted, the budget is %d", target, bytes, st.Bytes, c.budget)
				}
			}
			s.mu.Lock()
			s.dropAll()
			s.mu.Unlock()
			if st := s.Stats(); st.Bytes != 0 || st.Objects != 0 || len(s.names) != 0 || len(s.unwatched) != 0 {
				t.Errorf("left over: %+v, %d names, %d that nobody watches", st, len(s.names), len(s.unwatched))
			}
		})
	}
}

// ReadAt at every offset, with several lengths, against the whole response.
func TestReadAtEveryOffset(t *testing.T) {
	for _, body := range []string{"", "x", strings.Repeat("0123456789", 40)} {
		for _, keepAlive := range []keepAlive{{"timeout=5", 100}, {"timeout=5", -1}, {"", -1}} {
			o := proven(t, body, keepAlive)
			for _, head := range []string{"GET /a.png HTTP/1.1\r\nHost: x\r\n", "HEAD /a.png HTTP/1.0\r\n", "GET /a.png HTTP/1.0\r\nConnection: keep-alive\r\nIf-None-Match: *\r\n"} {
				for _, served := range []int{0, 1, 93, 99, 100, 1000} {
					r := request(t, head+"\r\n")
					resp, ok := o.Respond(r, served, 1795000000)
					if !ok {
						t.Fatalf("%q is not ours", head)
					}
					wantAtEveryOffset(t, o, resp)
				}
			}
			for least, ranges := range map[int]string{1: "bytes=0-", 2: "bytes=1-", precondition.ProbeLength: "bytes=1-9,20-,5-6"} {
				r := request(t, "GET /a.png HTTP/1.1\r\nHost: x\r\nRange: "+ranges+"\r\n\r\n")
				resp, ok := o.Respond(r, 0, 1795000000)
				if len(body) < least {
					continue
				}
				if !ok || resp.Status() != 206 {
					t.Fatalf("%q of %d octets is not ours", ranges, len(body))
				}
				wantAtEveryOffset(t, o, resp)
			}
		}
	}
}

func wantAtEveryOffset(t *testing.T, o *Object, resp Response) {
	t.Helper()
	whole := string(o.head(make([]byte, 0, maxHead), &resp)) + string(o.octetsOf(&resp))
	if int(o.Len(resp)) != len(whole) {
		t.Fatalf("%+v: Len is %d, want %d", resp, o.Len(resp), len(whole))
	}
	for off := range len(whole) + 3 {
		for _, length := range []int{0, 1, 2, 100, 1460} {
			rest := whole[min(off, len(whole)):]
			want := rest[:min(length, len(rest))]
			dst := bytes.Repeat([]byte("!"), length)
			n := o.ReadAt(resp, dst, uint32(off))
			if string(dst[:n]) != want || strings.Trim(string(dst[n:]), "!") != "" {
				t.Fatalf("%+v: %d octets at %d are %q, want %q", resp, length, off, dst[:n], want)
			}
			if want == "" {
				continue
			}
			wantDirect(t, o, resp, off, want)
		}
	}
}

// wantDirect asserts that what Direct gives without a copy is the end of want, and all of it that is the body's, unless that is put together.
func wantDirect(t *testing.T, o *Object, resp Response, off int, want string) {
	t.Helper()
	got := o.Direct(resp, uint32(off), uint32(off+len(want)))
	least := min(len(want), max(0, off+len(want)-int(o.HeadLen(resp))))
	if resp.kind == kindParts {
		least = 0
	}
	if !strings.HasSuffix(want, string(got)) || len(got) < least {
		t.Fatalf("%+v: of %d octets at %d, %q are in memory, want the last %d of %q", resp, len(want), off, got, least, want)
	}
}

// What each request pays to be found.
func BenchmarkLookup(b *testing.B) {
	c, err := New(Options{Backend: dead{}})
	if err != nil {
		b.Fatal(err)
	}
	r := &httpwire.Request{
		Target: []byte("/images/logo.png"), Path: []byte("/images/logo.png"), Host: []byte("www.example.org"), AcceptEncoding: []byte("gzip, deflate, br, zstd"),
		UserAgent: []byte("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
	}
	start, _ := c.keyStart(nil, address, r)
	for name, key := range map[string]string{"of one coding": string(c.key(start, r)), "of any": wide(string(c.key(start, r)))} {
		b.Run(name, func(b *testing.B) {
			o := &Object{key: key}
			c.table.set(o, 1)
			defer c.table.remove(o)
			for b.Loop() {
				if c.Lookup(address, r) != o {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkReadAt(b *testing.B) {
	o := proven(b, strings.Repeat("x", 100000), keepAlive{"timeout=5", 100})
	resp, _ := o.Respond(&httpwire.Request{}, 100, 1795000000)
	dst := make([]byte, 1460)
	b.SetBytes(int64(len(dst)))
	for b.Loop() {
		o.ReadAt(resp, dst, 0)
	}
}
