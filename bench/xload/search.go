package xload

import (
	"fmt"
	"io"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Search looks for the highest rate at which the server keeps a bound of latency.
type Search struct {
	Quantile  float64       // of the latency, percent
	Bound     time.Duration // that it must not exceed
	From      float64       // the first rate
	Most      float64       // the highest rate that is tried; 0: any
	Precision float64       // share of the rate at which the search ends, as 0.02
	Warmup    time.Duration // of each step
	Duration  time.Duration // of each step
	MaxErrors float64       // share of the requests that may fail
	Progress  chan<- Progress
	// Step is told of each step as it ends; it may be nil.
	Step func(Step)
}

// Step is one rate that was tried.
type Step struct {
	Rate    float64 `json:"offered_per_second"`
	Latency float64 `json:"latency"` // at the quantile, seconds
	Good    bool    `json:"good"`
	Why     string  `json:"why"` // if not good
	Result  *Result `json:"result"`
}

// Found is what a search came to.
type Found struct {
	Quantile float64 `json:"quantile"`
	Bound    float64 `json:"bound"`               // seconds
	Rate     float64 `json:"requests_per_second"` // the highest good one; 0 if none was
	// Limit says what keeps the rate from being higher: as of the lowest step that was not good.
	Limit Limit  `json:"limit"`
	Steps []Step `json:"steps"`
	Best  int    `json:"best"` // step of that rate, or -1
}

// Run searches: it doubles the rate until a step is not good, or halves it until one is, and then halves the distance. run makes
// one run.
func (s *Search) Run(run func(Phase) (*Result, error)) (*Found, error) {
	f := &Found{Quantile: s.Quantile, Bound: s.Bound.Seconds(), Best: -1, Limit: Limit{ByRate, "the highest rate that was to be tried was good"}}
	good, bad := 0.0, 0.0
	for rate := s.From; ; {
		step, err := s.try(rate, run)
		if err != nil {
			return f, err
		}
		f.Steps = append(f.Steps, step)
		if s.Step != nil {
			s.Step(step)
		}
		if step.Good {
			good, f.Rate, f.Best = rate, step.Result.Rate, len(f.Steps)-1
		} else {
			bad, f.Limit = rate, step.limit()
		}
		switch {
		case good == 0:
			if rate /= 2; rate < 1 {
				return f, nil
			}
		case bad == 0:
			if s.Most > 0 && good >= s.Most {
				return f, nil
			}
			rate *= 2
			if s.Most > 0 {
				rate = min(rate, s.Most)
			}
		case bad-good <= s.Precision*good:
			return f, nil
		default:
			rate = (good + bad) / 2
		}
	}
}

func (s *Search) try(rate float64, run func(Phase) (*Result, error)) (Step, error) {
	r, err := run(Phase{Rate: rate, Ramp: s.Warmup / 2, Warmup: s.Warmup, Duration: s.Duration, Progress: s.Progress})
	step := Step{Rate: rate, Result: r}
	if err != nil {
		return step, err
	}
	if r.Stopped {
		return step, ErrStopped
	}
	step.Latency = float64(r.histogram.ValueAtQuantile(s.Quantile)) / 1e9
	switch asked := float64(r.Requests + r.Errs()); {
	case asked == 0 || float64(r.Errs()) > s.MaxErrors*asked:
		step.Why = fmt.Sprintf("%d of %.0f requests failed", r.Errs(), asked)
	case step.Latency > s.Bound.Seconds():
		step.Why = fmt.Sprintf("p%g is %s", s.Quantile, short(step.Latency))
	case r.behind(0.98):
		step.Why = fmt.Sprintf("only %.0f requests/s were answered", r.Rate)
	default:
		step.Good = true
	}
	return step, nil
}

// limit says whose fault a step is that was not good.
func (s *Step) limit() Limit {
	if s.Result.Limit.By == ByGenerator {
		return s.Result.Limit
	}
	return Limit{ByServer, fmt.Sprintf("at %.0f requests/s %s", s.Rate, s.Why)}
}

// String is a line for people who wait.
func (s Step) String() string {
	verdict := "good"
	if !s.Good {
		verdict = s.Why
		if s.Result.Limit.By == ByGenerator {
			verdict += " (the generator: " + s.Result.Limit.Why + ")"
		}
	}
	return fmt.Sprintf("%9.0f requests/s  %8s  %s", s.Rate, short(s.Latency), verdict)
}

// WriteText writes what was found for people.
func (f *Found) WriteText(w io.Writer) error {
	for _, s := range f.Steps {
		if _, err := fmt.Fprintln(w, s); err != nil {
			return err
		}
	}
	if f.Best < 0 {
		_, err := fmt.Fprintf(w, "\nNo rate kept p%g within %s. %s\n", f.Quantile, short(f.Bound), f.Limit.sentence())
		return err
	}
	_, err := fmt.Fprintf(w, "\n%.0f requests/s with p%g within %s. %s\n", f.Rate, f.Quantile, short(f.Bound), f.Limit.sentence())
	return err
}

// WritePNG draws the steps, rate against latency, and the best one as Result does.
func (f *Found) WritePNG(w io.Writer) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Latency by rate, p%g", f.Quantile)
	p.X.Label.Text, p.Y.Label.Text = "requests/s", "ms"
	p.X.Min = 0
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	most := 0.0
	for _, s := range f.Steps {
		most = max(most, s.Rate)
		points, err := plotter.NewScatter(plotter.XYs{{X: s.Rate, Y: max(s.Latency*1e3, 1e-3)}})
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = blue, draw.CircleGlyph{}, vg.Points(4)
		if !s.Good {
			points.Color = red
		}
		p.Add(points)
	}
	if err := add(p, plotter.XYs{{X: 0, Y: f.Bound * 1e3}, {X: most, Y: f.Bound * 1e3}}, red); err != nil {
		return err
	}
	plots := []*plot.Plot{p}
	if f.Best >= 0 {
		best, err := f.Steps[f.Best].Result.latencyPlot()
		if err != nil {
			return err
		}
		plots = append(plots, best)
	}
	return writePNG(w, plots...)
}
