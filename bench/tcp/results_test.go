package tcp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/xhttpd/xhttpd/bench/made"
)

// write leaves cells in dir as table, data and heat maps. Those of other cells that are there already stay.
func write(dir string, cells []*cell) error {
	if dir == "" || len(cells) == 0 {
		return nil
	}
	cells, err := merge(filepath.Join(dir, "completion.json"), cells)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var lines []string // one for each cell
	for _, c := range cells {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		lines = append(lines, string(line))
	}
	data := "[\n" + strings.Join(lines, ",\n") + "\n]\n"
	if err := os.WriteFile(filepath.Join(dir, "completion.json"), []byte(data), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "completion.md"), []byte(table(cells)), 0o644); err != nil {
		return err
	}
	for _, cc := range distinct(cells, func(c *cell) string { return c.Control }) {
		if err := heatMap(filepath.Join(dir, "completion-"+cc+".png"), cc, cells); err != nil {
			return err
		}
	}
	return nil
}

// merge returns cells and those of file, in the order of the grid.
func merge(file string, cells []*cell) ([]*cell, error) {
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return cells, nil
	}
	if err != nil {
		return nil, err
	}
	var old []*cell
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	all := slices.Clone(cells)
	for _, c := range old {
		if !slices.ContainsFunc(cells, c.same) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b *cell) int {
		return cmp.Or(strings.Compare(a.Control, b.Control), cmp.Compare(magnitude(a.Size), magnitude(b.Size)),
			cmp.Compare(a.RTT, b.RTT), cmp.Compare(a.Loss, b.Loss), cmp.Compare(a.Reorder, b.Reorder))
	})
	return all, nil
}

// how says by which command a cell is measured, from which commit, and when.
func how() string {
	return fmt.Sprintf("`scripts/bench-tcp %s` on %s, kernel %s, commit %s", strings.Join(arguments(), " "),
		time.Now().UTC().Format("2006-01-02"), made.Kernel(), made.Commit())
}

// arguments are those of scripts/bench-tcp: what is not go test's own, nor the folder of the results, nor what pauses them.
func arguments() (args []string) {
	for k, arg := range os.Args[1:] {
		if !strings.HasPrefix(arg, "-test.") && arg != "-out" && os.Args[k] != "-out" && arg != "-pause" && os.Args[k] != "-pause" {
			args = append(args, arg)
		}
	}
	return args
}

func distinct[T comparable](cells []*cell, of func(*cell) T) (all []T) {
	for _, c := range cells {
		if v := of(c); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// commands returns those that measured cells.
func commands(cells []*cell) []string {
	var all []*cell
	for _, c := range cells {
		for _, made := range strings.Split(c.Made, "; ") {
			all = append(all, &cell{Made: made})
		}
	}
	return distinct(all, func(c *cell) string { return c.Made })
}

func table(cells []*cell) string {
	var s strings.Builder
	s.WriteString("# Completion times: xhttpd's TCP and the kernel's\n\nMade by\n\n")
	for _, command := range commands(cells) {
		fmt.Fprintf(&s, "- %s\n", command)
	}
	fmt.Fprintf(&s, `
Bottleneck %g Mbit/s with a queue of one round trip's worth (30 kB at least); medians, in turns over the same path. Below 1: xhttpd is faster.

The rule (bench/tcp/rule_test.go), the same for all cells: the interval is that of the ratio of the medians, %g %%, by bootstrap of the rounds. A cell is looked at with %d rounds,
and whenever they have grown by half, up to %d; it is within the aim, or above it, when the interval lies wholly below or above %g, and undecided until then. Rounds in which
the path was late with a frame by more than the largest of 2 ms, a tenth of the round trip, and a 200th of the object's time at the bottleneck's rate do not count (where
all were, all are shown, and the cell is undecided). The last column says by how much those that were kept were late at most, in the median.

`, *rate/1e6, confidence*100, leastRounds, mostRounds, aim)
	var ratios []float64
	for _, c := range cells {
		ratios = append(ratios, c.ratio())
	}
	fmt.Fprintf(&s, "Median of the ratios %.3f, largest %.3f, above 1.05: %d of %d cells.\n\n", median(ratios), slices.Max(ratios), above(ratios, 1.05), len(ratios))
	verdicts := map[verdict]int{}
	for _, c := range cells {
		verdicts[c.verdict()]++
	}
	fmt.Fprintf(&s, "By the interval: within %d, above %d, undecided %d.\n\n", verdicts[within], verdicts[exceeds], verdicts[undecided])
	s.WriteString("| | object | RTT ms | loss % | reordering % | xhttpd s | kernel s | ratio | interval | | rounds | thrown away | late ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range cells {
		ours, kernels := c.counting()
		low, high := interval(ours, kernels)
		fmt.Fprintf(&s, "| %s | %s | %g | %g | %g | %.3f | %.3f | %.3f | %.3f to %.3f | %s | %d | %d | %.1f |\n", c.Control, c.Size, c.RTT, c.Loss, c.Reorder,
			median(ours), median(kernels), c.ratio(), low, high, c.verdict(), len(ours), len(c.Ours)-len(ours)+c.Again, median(c.Late))
	}
	return s.String()
}

func above(v []float64, limit float64) (n int) {
	for _, x := range v {
		if x > limit {
			n++
		}
	}
	return n
}

// grid is a panel of the heat map: columns are loss and reordering, rows are round trips.
type grid struct {
	cols [][2]float64
	rows []float64
	z    map[[3]float64]float64
}

func (g *grid) Dims() (c, r int) { return len(g.cols), len(g.rows) }
func (g *grid) X(c int) float64  { return float64(c) }
func (g *grid) Y(r int) float64  { return float64(r) }
func (g *grid) Z(c, r int) float64 {
	if v, ok := g.z[[3]float64{g.cols[c][0], g.cols[c][1], g.rows[r]}]; ok {
		return min(max(v, 0.7), 1.3)
	}
	return 1
}

// heatMap draws a panel for each size, with the ratio written into each cell.
func heatMap(file, cc string, cells []*cell) error {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *cell) bool { return c.Control != cc })
	sizes := distinct(cells, func(c *cell) string { return c.Size })
	img := vgimg.New(vg.Length(len(sizes))*16*vg.Centimeter, 10*vg.Centimeter)
	canvas := draw.New(img)
	tiles := draw.Tiles{Rows: 1, Cols: len(sizes), PadX: vg.Centimeter / 2, PadTop: vg.Centimeter / 4, PadBottom: vg.Centimeter / 4, PadLeft: vg.Centimeter / 4, PadRight: vg.Centimeter / 4}
	for k, size := range sizes {
		p, err := panel(cc, size, cells)
		if err != nil {
			return err
		}
		p.Draw(tiles.At(canvas, k, 0))
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

func panel(cc, size string, cells []*cell) (*plot.Plot, error) {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c *cell) bool { return c.Size != size })
	g := &grid{
		cols: distinct(cells, func(c *cell) [2]float64 { return [2]float64{c.Loss, c.Reorder} }),
		rows: distinct(cells, func(c *cell) float64 { return c.RTT }), z: map[[3]float64]float64{},
	}
	var labels plotter.XYLabels
	for _, c := range cells {
		at := [2]float64{c.Loss, c.Reorder}
		g.z[[3]float64{at[0], at[1], c.RTT}] = c.ratio()
		labels.XYs = append(labels.XYs, plotter.XY{X: float64(slices.Index(g.cols, at)), Y: float64(slices.Index(g.rows, c.RTT))})
		labels.Labels = append(labels.Labels, fmt.Sprintf("%.2f", c.ratio()))
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %s: time from xhttpd / from the kernel", cc, size)
	p.X.Label.Text, p.Y.Label.Text = "loss % + reordering %", "round trip, ms"
	var x, y []plot.Tick
	for k, c := range g.cols {
		x = append(x, plot.Tick{Value: float64(k), Label: fmt.Sprintf("%g+%g", c[0], c[1])})
	}
	for k, r := range g.rows {
		y = append(y, plot.Tick{Value: float64(k), Label: fmt.Sprint(r)})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(x), plot.ConstantTicks(y)
	h := plotter.NewHeatMap(g, scale{})
	h.Min, h.Max = 0.7, 1.3
	text, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	for k := range text.TextStyle {
		text.TextStyle[k].XAlign, text.TextStyle[k].YAlign = draw.XCenter, draw.YCenter
	}
	p.Add(h, text)
	return p, nil
}

// scale is green where xhttpd is faster, white where both are alike, red where the kernel is faster.
type scale struct{}

func (scale) Colors() (all []color.Color) {
	const n = 31
	for k := range n {
		d := float64(k)/(n-1)*2 - 1
		fade := uint8(255 * (1 - min(1, max(d, -d))*0.7))
		c := color.RGBA{R: fade, G: 255, B: fade, A: 255}
		if d > 0 {
			c = color.RGBA{R: 255, G: fade, B: fade, A: 255}
		}
		all = append(all, c)
	}
	return all
}

var _ palette.Palette = scale{}
