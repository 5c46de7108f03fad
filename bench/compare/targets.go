package compare

import (
	"fmt"
	"math"
	"strings"
)

// self is xhttpd as it comes. With other arguments it is called self-NAME.
const self = "xhttpd"

// Alone is the Apache that xhttpd stands in front of elsewhere, without xhttpd.
const Alone = "apache-alone"

// Passed is the same, behind a steering program that passes all: what XDP itself costs here.
const Passed = "apache-passed"

// OwnEcho is the server of Echo that uses xhttpd's rings.
const OwnEcho = "echo-own"

// Own reports whether a server is xhttpd.
func Own(peer string) bool { return peer == self || strings.HasPrefix(peer, self+"-") }

// target is an aim for xhttpd: a figure of its own, in a run, against that of others.
type target struct {
	text   string
	work   Workload // of any client; as on a wire with an MTU of 1,500 if it does not say otherwise
	figure Figure
	peers  []string // the best of them counts; of all others if empty
	beside string   // the kind of work that they do, if it is another
	own    string   // the server that the aim is for; any xhttpd if empty
	plain  bool     // the figure itself counts, against nobody's
	most   float64  // the ratio shall be at most that; or
	least  float64  // at least
}

var (
	keepAlive = Workload{Object: "1k", Conns: 64}
	fresh     = Workload{Object: "1k", Conns: 64, New: true}
	nginxs    = []string{"nginx"}
	alone     = []string{Alone}
	echo      = []string{OwnEcho}
)

var targets = []target{
	{text: "1 KiB, keep-alive, 64 connections: CPU for a request, of nginx's", work: keepAlive, figure: CPU, peers: nginxs, most: 1 / 4.0},
	{text: "the same, of the best peer's", work: keepAlive, figure: CPU, most: 1 / 3.5},
	{text: "the same, of Apache's", work: keepAlive, figure: CPU, peers: []string{"apache"}, most: 1 / 16.0},
	{text: "the same, answered in XDP, of nginx's", work: keepAlive, figure: CPU, peers: nginxs, own: self, most: 1 / 7.0},
	{text: "the same, of an AF_XDP echo's with frames of that size", work: keepAlive, figure: CPU, peers: echo, beside: Echo, most: 1.2},
	{text: "requests/s, of that echo's", work: keepAlive, figure: Requests, peers: echo, beside: Echo, least: 0.85},
	{text: "requests/s, 1 KiB, 64 connections, of nginx's", work: keepAlive, figure: Requests, peers: nginxs, least: 5},
	{text: "the same, of the best peer's", work: keepAlive, figure: Requests, least: 4},
	{text: "the same, 1 connection, of the best peer's", work: Workload{Object: "1k", Conns: 1}, figure: Requests, least: 3.5},
	{text: "a new connection for each request: CPU, of the best peer's", work: fresh, figure: CPU, most: 1 / 5.0},
	{text: "10 KiB: CPU, of the best peer's", work: Workload{Object: "10k", Conns: 64}, figure: CPU, most: 1 / 3.0},
	{text: "SPECweb96 mix, within p99 ≤ 10 ms: requests/s, of the best peer's", work: Workload{Object: Mix, Conns: 64, Kind: Search}, figure: Requests, least: 3},
	{text: "p99 at half of nginx's capacity, open loop, of the best peer's", work: Workload{Object: "1k", Conns: 64, Kind: Half}, figure: P99, most: 0.5},
	{text: "1 MiB: Gbit/s, of the best peer's", work: Workload{Object: "1M", Conns: 64}, figure: Bits, least: 1},
	{text: "1 MiB: CPU for a GB, of the best peer's", work: Workload{Object: "1M", Conns: 64}, figure: CPU, most: 1},
	{text: "1 MiB, MTU 9000: CPU for a GB, of the best peer's", work: Workload{Object: "1M", Conns: 64, MTU: 9000}, figure: CPU, most: 0.7},
	{text: "1 MiB, offloads on: Gbit/s, of the best peer's", work: Workload{Object: "1M", Conns: 64, Offloads: true}, figure: Bits, least: 0.95},
	{text: "handed to Apache, first on a connection: requests/s, of Apache's alone", work: Workload{Object: "1k", Conns: 64, New: true, Kind: Apache}, figure: Requests,
		peers: alone, least: 0.97},
	{text: "the same, p99", work: Workload{Object: "1k", Conns: 64, New: true, Kind: Apache}, figure: P99, peers: alone, most: 1.03},
	{text: "handed to Apache in mid-connection: requests/s, of Apache's alone", work: Workload{Object: "1k", Conns: 64, Kind: Mid}, figure: Requests, peers: alone, least: 0.97},
	{text: "the same, p99", work: Workload{Object: "1k", Conns: 64, Kind: Mid}, figure: P99, peers: alone, most: 1.03},
	{text: "idle: share of a core", work: Workload{Object: "1k", Kind: Idle}, figure: Busy, plain: true, most: 0.01},
}

// Aim is a target and what became of it.
type Aim struct {
	Text, Goal   string
	Reached      float64 // NaN if it was not measured
	Met          bool
	Who          string // which xhttpd
	Beside       string // whose figure it is set beside
	Client       string
	Most         bool // less is better
	Wanted       float64
	Undisturbed  bool // each side has a round that nobody disturbed
	BySelfLimits bool // a client said that it was the limit
}

// Aims returns every target, in each workload that fits and for each xhttpd; once with nothing reached if there is none.
func (r *Results) Aims() (all []Aim) {
	for k := range targets {
		t := &targets[k]
		var found []Aim
		for _, w := range r.Workloads() {
			for _, who := range r.Peers() {
				if t.fits(w) && Own(who) && (t.own == "" || who == t.own) && r.Cell(w, who) != nil {
					if a, ok := t.reached(r, w, who); ok {
						found = append(found, a)
					}
				}
			}
		}
		if len(found) == 0 {
			a := t.aim()
			found = []Aim{a}
		}
		all = append(all, found...)
	}
	return all
}

func (t *target) fits(w Workload) bool {
	want := t.work
	if want.MTU == 0 {
		want.MTU = 1500
	}
	want.Client = w.Client
	return w == want
}

func (t *target) aim() Aim {
	a := Aim{Text: t.text, Reached: math.NaN(), Goal: fmt.Sprintf("≥ %.2f", t.least), Wanted: t.least}
	if t.most > 0 {
		a.Goal, a.Wanted, a.Most = fmt.Sprintf("≤ %.3f", t.most), t.most, true
	}
	return a
}

func (t *target) reached(r *Results, w Workload, who string) (a Aim, ok bool) {
	a = t.aim()
	a.Who, a.Client = who, w.Client
	cell := r.Cell(w, who)
	a.Reached, _, _ = cell.Median(t.figure)
	a.Undisturbed, a.BySelfLimits = cell.undisturbed(), cell.count(func(s *Sample) bool { return s.Limited }) > 0
	if !t.plain {
		other := w
		if t.beside != "" {
			other.Kind, other.Client = t.beside, "none"
		}
		best, name := t.best(r, other)
		a.Reached, a.Beside = a.Reached/best, name
		a.Undisturbed = a.Undisturbed && r.Cell(other, name).undisturbed()
	}
	a.Met = a.Most && a.Reached <= a.Wanted || !a.Most && a.Reached >= a.Wanted
	return a, !math.IsNaN(a.Reached) && !math.IsInf(a.Reached, 0)
}

// best returns the figure of the best of those that t is set beside, and who that is.
func (t *target) best(r *Results, w Workload) (best float64, name string) {
	best = math.NaN()
	for _, peer := range r.Peers() {
		v, _, _ := r.Cell(w, peer).Median(t.figure)
		if t.against(peer) && v > 0 && (math.IsNaN(best) || t.better(v, best)) {
			best, name = v, peer
		}
	}
	return best, name
}

func (t *target) against(peer string) bool {
	if len(t.peers) == 0 {
		return !Own(peer)
	}
	return peer == t.peers[0]
}

func (t *target) better(a, b float64) bool { return t.most > 0 && a < b || t.most == 0 && a > b }

// Targets writes a table of the aims, those that were missed or not measured included.
func (r *Results) Targets() string {
	var s strings.Builder
	s.WriteString("| work | target | reached | met | who | beside | client | |\n|---|--:|--:|---|---|---|---|---|\n")
	for _, a := range r.Aims() {
		reached, met, note := "–", "not measured", ""
		if !math.IsNaN(a.Reached) {
			reached, met = fmt.Sprintf("%.3f", a.Reached), "no"
			if a.Met {
				met = "**yes**"
			}
			if !a.Undisturbed {
				note = "all rounds disturbed"
			}
			if a.BySelfLimits {
				note = strings.TrimPrefix(note+", limited by the client", ", ")
			}
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", a.Text, a.Goal, reached, met, a.Who, a.Beside, a.Client, note)
	}
	return s.String()
}
