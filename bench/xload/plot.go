package xload

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

var (
	blue = color.RGBA{R: 31, G: 119, B: 180, A: 255}
	red  = color.RGBA{R: 214, G: 39, B: 40, A: 255}
)

// WritePNG draws a result: latency by quantile, and requests in each second.
func (r *Result) WritePNG(w io.Writer) error {
	latency, err := r.latencyPlot()
	if err != nil {
		return err
	}
	series, err := r.seriesPlot()
	if err != nil {
		return err
	}
	return writePNG(w, latency, series)
}

// writePNG puts plots side by side.
func writePNG(w io.Writer, plots ...*plot.Plot) error {
	img := vgimg.New(vg.Length(len(plots))*16*vg.Centimeter, 10*vg.Centimeter)
	space := vg.Centimeter / 2
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: space, PadTop: space, PadBottom: space, PadLeft: space, PadRight: space}
	canvas := draw.New(img)
	for k, p := range plots {
		p.Draw(tiles.At(canvas, k, 0))
	}
	_, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(w)
	return err
}

// latencyPlot has the quantiles by the number of nines, so that the tail is not squeezed into the edge.
func (r *Result) latencyPlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Latency, %.0f requests/s", r.Rate)
	p.X.Label.Text, p.Y.Label.Text = "quantile", "ms"
	var ticks []plot.Tick
	for nines, label := range []string{"0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"} {
		ticks = append(ticks, plot.Tick{Value: float64(nines), Label: label})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(ticks), plot.LogTicks{Prec: -1}
	p.Y.Scale = plot.LogScale{}
	p.Add(plotter.NewGrid())
	if r.histogram == nil || r.histogram.TotalCount() == 0 {
		p.Y.Min, p.Y.Max = 0.001, 1
		return p, nil
	}
	most := math.Log10(float64(r.histogram.TotalCount()))
	var line plotter.XYs
	for nines := 0.0; nines <= min(most, 5); nines += 0.02 {
		at := 100 * (1 - math.Pow(10, -nines))
		line = append(line, plotter.XY{X: nines, Y: max(float64(r.histogram.ValueAtQuantile(at))/1e6, 1e-3)})
	}
	return p, add(p, line, blue)
}

func (r *Result) seriesPlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "Requests in each second (red: failed)"
	p.X.Label.Text = "s"
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	var done, failed plotter.XYs
	for k, s := range r.Series {
		done = append(done, plotter.XY{X: float64(k), Y: float64(s.Done)})
		failed = append(failed, plotter.XY{X: float64(k), Y: float64(s.Failed)})
	}
	if err := add(p, done, blue); err != nil || r.Errs() == 0 {
		return p, err
	}
	return p, add(p, failed, red)
}

func add(p *plot.Plot, points plotter.XYs, c color.Color) error {
	if len(points) == 0 {
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = c, vg.Points(1.5)
	p.Add(line)
	return nil
}
