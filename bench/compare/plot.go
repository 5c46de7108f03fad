package compare

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"os"
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
	theirs = color.RGBA{R: 0x75, G: 0x90, B: 0xb0, A: 0xff}
)

// Plot draws a figure of all cells as a PNG: a panel for each workload, a bar for each server, the best on top.
func (r *Results) Plot(file, title string, f Figure, moreIsBetter bool) error {
	all := r.Workloads()
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
		if v, _, _ := r.Cell(w, peer).Median(f); !math.IsNaN(v) {
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
		if b.peer == self {
			chart.Color = ours
		}
		p.Add(chart)
		names = append(names, b.peer)
		labels.XYs = append(labels.XYs, plotter.XY{X: b.value, Y: float64(k)})
		labels.Labels = append(labels.Labels, " "+number(b.value))
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

func number(v float64) string {
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
