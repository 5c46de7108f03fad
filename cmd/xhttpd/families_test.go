package main

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/xhttpd/xhttpd/filecache"
	"github.com/xhttpd/xhttpd/internal/accesslog"
	"github.com/xhttpd/xhttpd/internal/config"
	"github.com/xhttpd/xhttpd/internal/dataplane"
	"github.com/xhttpd/xhttpd/internal/hits"
	"github.com/xhttpd/xhttpd/internal/metrics"
)

// relied are the metrics that others rely upon, and a value that their label must always have.
var relied = map[string][2]string{
	"xhttpd_responses_total":   {"status", "304"},
	"xhttpd_handovers_total":   {"reason", "miss"},
	"xhttpd_connections":       {"state", "ESTABLISHED"},
	"xhttpd_rx_packets_total":  {},
	"xhttpd_tx_packets_total":  {},
	"xhttpd_drops_total":       {"reason", "paws"},
	"xhttpd_cache_objects":     {},
	"xhttpd_cache_bytes":       {},
	"xhttpd_log_lines_total":   {},
	"xhttpd_log_dropped_total": {"reason", "ring-full"},
}

func TestFamilies(t *testing.T) {
	cache, err := filecache.New(filecache.Options{Site: filecache.Site{Roots: []filecache.Root{{Prefix: "/", Dir: t.TempDir()}}}})
	if err != nil {
		t.Fatal(err)
	}
	// Neither attached nor serving: what the kernel counts is read in TestDaemon.
	d := &daemon{cfg: &config.Daemon{}, cache: cache, loops: []*dataplane.Loop{}, accessLog: new(accesslog.Log), hits: []*hits.Ring{hits.NewRing(0, false)}}
	found := make(map[string]metrics.Family)
	for _, f := range slices.Concat(d.loopFamilies(), d.cacheFamilies(), d.accessLogFamilies()) {
		if _, twice := found[f.Name]; twice {
			t.Errorf("%s is there twice", f.Name)
		}
		found[f.Name] = f
		labels := make(map[string]bool)
		f.Read(func(label string, v float64) {
			if labels[label] {
				t.Errorf("%s has label %q twice", f.Name, label)
			}
			if label == "unknown" || (label == "") != (f.Label == "") {
				t.Errorf("%s has a bad label %q", f.Name, label)
			}
			if v != 0 {
				t.Errorf("%s %q begins at %g", f.Name, label, v)
			}
			labels[label] = true
		})
		if want, ok := relied[f.Name]; ok && (f.Label != want[0] || !labels[want[1]]) {
			t.Errorf("%s has label %q with %v, want %v", f.Name, f.Label, labels, want)
		}
	}
	for name := range relied {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

// lint reports what Prometheus's own linter has to say about metrics in the text format.
func lint(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(stringReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
