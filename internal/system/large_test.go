package system

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/internal/nstest"
	"github.com/xhttpd/xhttpd/internal/testbed"
)

// A response of more octets than --kernel-above is Apache's, and what the connection asks for behind it. It is the length of the response that
// counts, not that of the object: HEAD, a part of it and 304 are ours.
func TestLargeResponsesAreApaches(t *testing.T) {
	b := testbed.Start(t, testbed.Options{Args: []string{"--kernel-above", "100kB"}})
	b.Put("small.png", content(1000))
	body := b.Put("large.png", content(100_001))
	b.Warm("small.png", "large.png")
	families(t, func(t *testing.T, six bool) {
		large, small := b.URL(six, "/large.png"), b.URL(six, "/small.png")
		ask := func(want float64, args ...string) string {
			t.Helper()
			r0, h0 := settled(b)
			l0 := b.Metric("handovers_total", "large")
			out, trace, err := b.Curl(args...)
			if err != nil {
				t.Errorf("%v\n%s", err, trace)
			}
			r, h := settled(b)
			if r-r0 != want || h != h0 && b.Metric("handovers_total", "large")-l0 != h-h0 {
				t.Errorf("%q: %v answers of xhttpd, want %v; %v handed over, %v for the length", args, r-r0, want, h-h0, b.Metric("handovers_total", "large")-l0)
			}
			return out
		}
		if got := ask(1, small, "-o", "/dev/null", large); got != string(body) {
			t.Errorf("%d octets of %d came, or others", len(got), len(body))
		}
		ask(1, small, "-o", "/dev/null", large, "-o", "/dev/null", small, "-o", "/dev/null") // the third is behind the hand-over
		if got := ask(1, "-I", large); !strings.Contains(got, "Content-Length: "+strconv.Itoa(len(body))) {
			t.Errorf("HEAD: %s", got)
		}
		if got := ask(1, "-r", "1000-50999", large); got != string(body[1000:51000]) {
			t.Errorf("%d octets came of a range of 50,000, or others", len(got))
		}
		etag, _, _ := strings.Cut(strings.SplitAfterN(ask(1, "-I", large), "ETag: ", 2)[1], "\r")
		if got := ask(1, "-H", "If-None-Match: "+etag, "-w", "%{http_code}", large); got != "304" {
			t.Errorf("with If-None-Match: %s", got)
		}
	})
}

// The default goes by what the interface does, and both that ask say the same. Large files come whole in each way.
func TestKernelAboveByInterface(t *testing.T) {
	for _, c := range []struct {
		opts testbed.Options
		says string
	}{
		{testbed.Options{}, "long segments, which the card cuts"},
		{testbed.Options{Options: nstest.Options{WireLike: true}}, "long segments, which the kernel cuts"},
		{testbed.Options{Args: []string{"--segmentation", "off"}}, "each packet is copied, and the card segments"},
		{testbed.Options{Args: []string{"--kernel-above", "off"}}, "as asked for"},
	} {
		b := testbed.Start(t, c.opts)
		body := b.Put("large.png", content(2_000_001))
		b.Warm("large.png")
		got, trace, err := b.Curl(b.URL(false, "/large.png"), b.URL(true, "/large.png"))
		long := !slices.Contains(c.opts.Args, "--segmentation")
		if err != nil || got != string(body)+string(body) {
			t.Errorf("%q: %d octets, or others: %v\n%s", c.opts.Args, len(got), err, trace)
		}
		settled(b)
		if n := b.Metric("tx_long_total"); n > 0 != long || n > 0 && n < 60 || b.Metric("handovers_total", "large") > 0 == long {
			t.Errorf("%q: %v long segments, %v handed over for the length", c.opts.Args, n, b.Metric("handovers_total", "large"))
		}
		cmd := b.Server.Command(b.Binary(), append([]string{"check", "--json", "--interface", b.Server.Interface}, c.opts.Args...)...)
		var out strings.Builder
		cmd.Stdout = &out
		b.Server.Start(cmd)
		cmd.Wait() //nolint:errcheck // it fails, as another xhttpd is there
		if !strings.Contains(b.Log(), "all, the driver has no zero copy") {
			t.Errorf("the log does not say whether packets are copied, and why:\n%s", b.Log())
		}
		for who, text := range map[string]string{"log": b.Log(), "check": out.String()} {
			if !strings.Contains(text, c.says) {
				t.Errorf("%s: it does not say %q:\n%s", who, c.says, text)
			}
		}
	}
}
