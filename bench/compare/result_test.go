package compare_test

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/xhttpd/xhttpd/bench/compare"
)

func sampled() *compare.Results {
	w := compare.Workload{Object: "1k", Conns: 64, Client: "wrk", MTU: 1500}
	return &compare.Results{
		Command: "scripts/bench", Date: "2026-11-25", Kernel: "6.18", Commit: "abc", CPUs: 2,
		Cells: []*compare.Cell{
			{Workload: w, Peer: "nginx", Samples: []compare.Sample{{Requests: 100, CPU: 10}, {Requests: 120, CPU: 12}, {Requests: 90, CPU: 8}}},
			{Workload: w, Peer: "h2o", Samples: []compare.Sample{{Requests: 130, CPU: 8}}},
			{Workload: w, Peer: "xhttpd", Samples: []compare.Sample{{Requests: 1, CPU: 500, Disturbed: true}, {Requests: 500, CPU: 2}}},
		},
	}
}

func TestSaveAndLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	for _, r := range []*compare.Results{sampled(), {Command: "none"}} {
		if err := r.Save(file); err != nil {
			t.Fatal(err)
		}
		got, err := compare.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Cells) == 0 {
			got.Cells = nil
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("saved %+v, loaded %+v", r, got)
		}
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := compare.Load(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("broken results: %v", err)
	}
}

func TestMedian(t *testing.T) {
	r := sampled()
	w := r.Cells[0].Workload
	for _, c := range []struct {
		peer                string
		median, least, most float64
	}{
		{"nginx", 100, 90, 120},
		{"xhttpd", 500, 500, 500}, // what was disturbed does not count beside what was not
	} {
		if median, least, most := r.Cell(w, c.peer).Median(compare.Requests); median != c.median || least != c.least || most != c.most {
			t.Errorf("%s: %v, %v, %v", c.peer, median, least, most)
		}
	}
	if m, _, _ := r.Cell(w, "none").Median(compare.Requests); !math.IsNaN(m) {
		t.Errorf("no such cell: %v", m)
	}
}

func TestTargets(t *testing.T) {
	table := sampled().Targets()
	for _, row := range []string{
		"CPU for a request, of nginx's | ≤ 0.250 | **0.200** | nginx | wrk |",
		"the same, of the best peer's | ≤ 0.286 | **0.250** | h2o | wrk |",
		"64 connections, of nginx's | ≥ 5.00 | **5.000** | nginx | wrk |",
		"the same, of the best peer's | ≥ 4.00 | 3.846 | h2o | wrk |",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("no row %q in\n%s", row, table)
		}
	}
	if strings.Contains(table, "Apache") {
		t.Errorf("a row for a server that was not measured:\n%s", table)
	}
}

func TestDiff(t *testing.T) {
	old, now := sampled(), sampled()
	now.Cells[2].Samples[1].Requests = 600
	if text := compare.Diff(old, now, "nginx"); !strings.Contains(text, "| 5.000 | 6.000 | +20.0 % |") {
		t.Errorf("diff:\n%s", text)
	}
}

func TestPlot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.png")
	if err := sampled().Plot(file, "requests/s", compare.Requests, true); err != nil {
		t.Fatal(err)
	}
	if png, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("not a PNG: %v", err)
	}
}
