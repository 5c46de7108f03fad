package metrics

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

var families = []Family{
	{Name: "x_things_total", Help: "Things.", Label: "kind", Read: func(emit func(string, float64)) { emit("good", 3); emit("bad", 0) }},
	{Name: "x_level", Help: "A level.", Gauge: true, Read: func(emit func(string, float64)) { emit("", -1) }},
}

func TestCollector(t *testing.T) {
	const want = `
# HELP x_level A level.
# TYPE x_level gauge
x_level -1
# HELP x_things_total Things.
# TYPE x_things_total counter
x_things_total{kind="bad"} 0
x_things_total{kind="good"} 3
`
	if err := testutil.CollectAndCompare(collector(families), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.CollectAndLint(collector(families))
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func TestHandler(t *testing.T) {
	var ill error
	h, err := Handler(families, map[string]string{"mode": "native"}, func() error { return ill })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, method, path string
		ill                error
		status             int
		has                string
	}{
		{"healthy", "GET", "/healthz", nil, 200, "ok\n"},
		{"ill", "GET", "/healthz", errors.New("the loop of queue 3 hangs"), 503, "the loop of queue 3 hangs\n"},
		{"index", "GET", "/", nil, 200, "/metrics"},
		{"metrics", "GET", "/metrics", nil, 200, `x_things_total{kind="good"} 3`},
		{"zeroes", "GET", "/metrics", nil, 200, `x_things_total{kind="bad"} 0`},
		{"facts", "GET", "/metrics", nil, 200, `xhttpd_info{mode="native"} 1`},
		{"build", "GET", "/metrics", nil, 200, `xhttpd_build_info{`},
		{"Go", "GET", "/metrics", nil, 200, "go_gc_duration_seconds"},
		{"process", "GET", "/metrics", nil, 200, "process_open_fds"},
		{"head", "HEAD", "/healthz", nil, 200, ""},
		{"elsewhere", "GET", "/debug/pprof/", nil, 404, ""},
		{"no writing", "POST", "/metrics", nil, 405, ""},
		{"no writing of health", "PUT", "/healthz", nil, 405, ""},
		{"no writing at all", "DELETE", "/", nil, 405, ""},
	} {
		ill = c.ill
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s: status %d, want %d; body without %q:\n%s", c.name, w.Code, c.status, c.has, w.Body)
		}
	}
}

func TestServe(t *testing.T) {
	h, err := Handler(families, nil, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := Serve(t.Context(), "127.0.0.1:0", h, log)
	if err != nil {
		t.Fatal(err)
	}
	if s.http.ReadHeaderTimeout <= 0 || s.http.WriteTimeout <= 0 || s.http.IdleTimeout <= 0 {
		t.Error("a time limit is missing")
	}
	resp, err := http.Get("http://" + s.Addr.String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || string(body) != "ok\n" {
		t.Errorf("%q %v", body, err)
	}
	if _, err := Serve(t.Context(), s.Addr.String(), h, log); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("a second server at the address: %v", err)
	}
	begun := time.Now()
	if err := s.Stop(); err != nil || time.Since(begun) > time.Second {
		t.Errorf("stopped after %v: %v", time.Since(begun), err)
	}
	if _, err := http.Get("http://" + s.Addr.String() + "/"); err == nil {
		t.Error("it still answers")
	}
}
