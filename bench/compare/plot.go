package compare

import (
	"cmp"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

const columns = 3 // panels side by side

var (
	ours   = color.RGBA{R: 0xd9, G: 0x5f, B: 0x02, A: 0xff}
	met    = color.RGBA{R: 0x1b, G: 0x9e, B: 0x77, A: 0xff}
	theirs = color.RGBA{R: 0x75, G: 0x90, B: 0xb0, A: 0xff}
)

// Plots are the files that Plots makes, with what they show.
var plots = []struct {
	file, title string
	figure      Figure
	more        bool
}{
	{"requests.png", "requests/s", Requests, true}, {"cpu.png", "CPU for a request, µs", CPU, false}, {"p99.png", "p99, µs", P99, false},
}

// Plots draws requests/s, processor time and latency of all cells, and the targets, as files in dir.
func (r *Results) Plots(dir string) error {
	for _, p := range plots {
		if err := r.Plot(filepath.Join(dir, p.file), p.title, p.figure, p.more); err != nil {
			return err
		}
	}
	return r.PlotTargets(filepath.Join(dir, "targets.png"))
}

// Plot draws a figure of all cells as a PNG: a panel for each workload that tells it, a bar for each server, the best on top.
func (r *Results) Plot(file, title string, f Figure, moreIsBetter bool) error {
	all := slices.DeleteFunc(r.Workloads(), func(w Workload) bool {
		return !slices.ContainsFunc(r.Peers(), func(peer string) bool { v, _, _ := r.Cell(w, peer).Median(f); return v > 0 })
	})
	if len(all) == 0 {
		return nil
	}
	rows := (len(all) + columns - 1) / columns
	cols := min(columns, len(all))
	img := vgimg.New(vg.Length(cols)*11*vg.Centimeter, vg.Length(rows)*7*vg.Centimeter)
	pad := vg.Centimeter / 3
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: pad, PadY: pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: pad}
	canvas := draw.New(img)
	for k, w := range all {
		p, err := r.panel(w, title, f, moreIsBetter)
		if err != nil {
			return fmt.Errorf("plot %s: %w", file, err)
		}
		p.Draw(tiles.At(canvas, k%columns, k/columns))
	}
	return writePNG(file, img)
}

func writePNG(file string, img *vgimg.Canvas) error {
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(out); err != nil {
		out.Close() //nolint:errcheck // the other error counts
		return fmt.Errorf("plot %s: %w", file, err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("plot %s: %w", file, err)
	}
	return nil
}

// bar is one server's.
type bar struct {
	peer  string
	value float64
}

func (r *Results) panel(w Workload, title string, f Figure, moreIsBetter bool) (*plot.Plot, error) {
	var bars []bar
	for _, peer := range r.Peers() {
		if v, _, _ := r.Cell(w, peer).Median(f); v > 0 {
			bars = append(bars, bar{peer, v})
		}
	}
	slices.SortFunc(bars, func(a, b bar) int { // the first is at the bottom
		if moreIsBetter {
			return cmp.Compare(a.value, b.value)
		}
		return cmp.Compare(b.value, a.value)
	})
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.X.Min = w.String(), title, 0
	var names []string
	var labels plotter.XYLabels
	for k, b := range bars {
		chart, err := plotter.NewBarChart(plotter.Values{b.value}, vg.Points(12))
		if err != nil {
			return nil, err
		}
		chart.Horizontal, chart.XMin, chart.LineStyle.Width, chart.Color = true, float64(k), 0, theirs
		if Own(b.peer) {
			chart.Color = ours
		}
		p.Add(chart)
		names = append(names, b.peer)
		labels.XYs = append(labels.XYs, plotter.XY{X: b.value, Y: float64(k)})
		labels.Labels = append(labels.Labels, " "+short(b.value))
		p.X.Max = max(p.X.Max, b.value*1.2)
	}
	text, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	for k := range text.TextStyle {
		text.TextStyle[k].YAlign = draw.YCenter
	}
	p.Add(text)
	p.NominalY(names...)
	p.X.Tick.Marker = plot.ConstantTicks{} // the bars say it
	return p, nil
}

func short(v float64) string {
	switch {
	case v >= 10000:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// PlotTargets draws how far each target is reached: a bar for each, its length the ratio reached to that wanted, so that what passes the line is met.
func (r *Results) PlotTargets(file string) error {
	var aims []Aim
	for _, a := range r.Aims() {
		if a.Reached > 0 {
			aims = append(aims, a)
		}
	}
	if len(aims) == 0 {
		return nil
	}
	slices.Reverse(aims) // the first is at the bottom
	p := plot.New()
	p.Title.Text, p.X.Label.Text = "Targets: right of the line is met", "times as good as wanted"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks{{Value: 0.1, Label: "0.1"}, {Value: 0.2, Label: "0.2"}, {Value: 0.5, Label: "0.5"}, {Value: 1, Label: "1"}, {Value: 2, Label: "2"}, {Value: 5, Label: "5"}}
	p.X.Min, p.X.Max = 0.08, 3
	var names []string
	for k, a := range aims {
		ratio := a.Reached / a.Wanted
		if a.Most {
			ratio = 1 / ratio
		}
		p.X.Min, p.X.Max = min(p.X.Min, ratio/1.2), max(p.X.Max, ratio*1.2)
		points, err := plotter.NewScatter(plotter.XYs{{X: ratio, Y: float64(k)}})
		if err != nil {
			return fmt.Errorf("plot %s: %w", file, err)
		}
		points.Shape, points.Radius, points.Color = draw.CircleGlyph{}, vg.Points(4), ours
		if a.Met {
			points.Color = met
		}
		stem, err := plotter.NewLine(plotter.XYs{{X: 1, Y: float64(k)}, {X: ratio, Y: float64(k)}})
		if err != nil {
			return fmt.Errorf("plot %s: %w", file, err)
		}
		stem.Color, stem.Width = points.Color, vg.Points(2)
		p.Add(stem, points)
		names = append(names, fmt.Sprintf("%s, %s %s", a.Text, a.Who, a.Client))
	}
	line, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -1}, {X: 1, Y: float64(len(aims))}})
	if err != nil {
		return fmt.Errorf("plot %s: %w", file, err)
	}
	p.Add(line)
	p.NominalY(names...)
	img := vgimg.New(30*vg.Centimeter, vg.Length(len(aims)+4)*vg.Centimeter*0.6)
	p.Draw(draw.New(img))
	return writePNG(file, img)
}
