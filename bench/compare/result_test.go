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
	r := sampled()
	at := func(text string) compare.Workload {
		w, err := compare.ParseWorkload(text)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	r.Cells = append(r.Cells,
		&compare.Cell{Workload: r.Cells[0].Workload, Peer: "xhttpd-other", Samples: []compare.Sample{{Requests: 900, CPU: 1, Limited: true}}},
		&compare.Cell{Workload: at("1k/64/echo"), Peer: compare.OwnEcho, Samples: []compare.Sample{{Requests: 1000, CPU: 1.6}}},
		&compare.Cell{Workload: at("1k/64"), Peer: "xhttpd", Samples: []compare.Sample{{Requests: 800, CPU: 2, Disturbed: true}}},
		&compare.Cell{Workload: at("1k/0/idle"), Peer: "xhttpd", Samples: []compare.Sample{{Busy: 0.005}}},
		&compare.Cell{Workload: at("1k/64/mid"), Peer: compare.Alone, Samples: []compare.Sample{{Requests: 100, P99: 100}}},
		&compare.Cell{Workload: at("1k/64/mid"), Peer: "xhttpd", Samples: []compare.Sample{{Requests: 96, P99: 90}}},
		&compare.Cell{Workload: at("1M/64/mtu9000/wrk"), Peer: "h2o", Samples: []compare.Sample{{CPU: 10}}},
		&compare.Cell{Workload: at("1M/64/mtu9000/wrk"), Peer: "xhttpd", Samples: []compare.Sample{{CPU: 8}}})
	table := r.Targets()
	for _, row := range []string{
		"64 connections: CPU for a request, of nginx's | ≤ 0.250 | 0.200 | **yes** | xhttpd | nginx | wrk |  |",
		"64 connections: CPU for a request, of nginx's | ≤ 0.250 | 0.100 | **yes** | xhttpd-other | nginx | wrk | limited by the client |",
		"the same, answered in XDP, of nginx's | ≤ 0.143 | 0.200 | no | xhttpd | nginx | wrk |",
		"the same, of the best peer's | ≤ 0.286 | 0.250 | **yes** | xhttpd | h2o | wrk |",
		"64 connections, of nginx's | ≥ 5.00 | 5.000 | **yes** | xhttpd | nginx | wrk |",
		"the same, of the best peer's | ≥ 4.00 | 3.846 | no | xhttpd | h2o | wrk |",
		"echo's with frames of that size | ≤ 1.200 | 1.250 | no | xhttpd | echo-own | xload | all rounds disturbed |",
		"requests/s, of that echo's | ≥ 0.85 | 0.800 | no | xhttpd | echo-own | xload |",
		"idle: share of a core | ≤ 0.010 | 0.005 | **yes** | xhttpd |  | none |",
		"in mid-connection: requests/s, of Apache's alone | ≥ 0.97 | 0.960 | no | xhttpd | apache-alone | xload |",
		"the same, p99 | ≤ 1.030 | 0.900 | **yes** | xhttpd | apache-alone | xload |",
		"1 MiB, MTU 9000: CPU for a GB, of the best peer's | ≤ 0.700 | 0.800 | no | xhttpd | h2o | wrk |",
		"the same, of Apache's | ≤ 0.062 | – | not measured |  |  |  |",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("no row %q in\n%s", row, table)
		}
	}
	if strings.Contains(table, "1 MiB: Gbit/s, of the best peer's | ≥ 1.00 | 0") {
		t.Errorf("another MTU counts:\n%s", table)
	}
}

func TestParseWorkload(t *testing.T) {
	for text, want := range map[string]compare.Workload{
		"1k/64":                 {Object: "1k", Conns: 64, Client: "xload", MTU: 1500},
		"100/16/new/wrk":        {Object: "100", Conns: 16, New: true, Client: "wrk", MTU: 1500},
		"specweb96/64/search":   {Object: "specweb96", Conns: 64, Kind: compare.Search, Client: "xload", MTU: 1500},
		"1M/64/wrk/mtu9000":     {Object: "1M", Conns: 64, Client: "wrk", MTU: 9000},
		"1k/64/wrk/queues2":     {Object: "1k", Conns: 64, Client: "wrk", MTU: 1500, Queues: 2},
		"1k/64/offloads/apache": {Object: "1k", Conns: 64, Kind: compare.Apache, Client: "xload", MTU: 1500, Offloads: true},
		"1k/0/idle":             {Object: "1k", Kind: compare.Idle, Client: "none", MTU: 1500},
	} {
		if w, err := compare.ParseWorkload(text); err != nil || w != want {
			t.Errorf("%s: %+v, %v", text, w, err)
		}
	}
	for _, text := range []string{"", "1k", "2k/64", "1k/x", "1k/64/x", "1k/64/half/mid", "specweb96/64/wrk", "1k/64/half/wrk", "1k/64/mtu0", "1k/64/mtux"} {
		if w, err := compare.ParseWorkload(text); err == nil {
			t.Errorf("%s: %+v", text, w)
		}
	}
}

func TestDiff(t *testing.T) {
	old, now := sampled(), sampled()
	now.Cells[2].Samples[1].Requests = 600
	if text := compare.Diff(old, now, "nginx"); !strings.Contains(text, "| 5.000 | 6.000 | +20.0 % |") {
		t.Errorf("diff:\n%s", text)
	}
}

func TestPlots(t *testing.T) {
	dir := t.TempDir()
	r := sampled()
	for k := range r.Cells {
		for j := range r.Cells[k].Samples {
			r.Cells[k].Samples[j].P99 = float64(j + 1)
		}
	}
	if err := r.Plots(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"requests", "cpu", "p99", "targets"} {
		if png, err := os.ReadFile(filepath.Join(dir, name+".png")); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
			t.Errorf("%s is no PNG: %v", name, err)
		}
	}
}

// What scripts/bench wrote before there were kinds of work can be compared.
func TestDiffOfRecorded(t *testing.T) {
	r, err := compare.Load("testdata/before-kinds.json")
	if err != nil {
		t.Fatal(err)
	}
	if text := compare.Diff(r, r, "nginx"); !strings.Contains(text, "| +0.0 % |") || strings.Contains(text, "NaN") {
		t.Errorf("diff:\n%s", text)
	}
}
