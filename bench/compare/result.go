package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
)

// Sample is what one round found. What a kind of work does not tell is 0.
type Sample struct {
	Requests  float64 `json:"requests"`          // in a second
	All       float64 `json:"-"`                 // requests, those of the warm-up too
	Offered   float64 `json:"offered,omitempty"` // in a second, of an open loop
	Bits      float64 `json:"bits"`              // of bodies and header sections, in a second
	P50       float64 `json:"p50"`               // latency, µs
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`
	CPU       float64 `json:"cpu"`              // of the server's core for a request, µs: process, system and softirq
	Process   float64 `json:"process"`          // of that, what the server's processes had on whatever core
	Memory    float64 `json:"memory"`           // of the server's processes, MiB (proportional set size)
	Each      float64 `json:"each,omitempty"`   // memory for each connection, the kernel's included, octets
	Busy      float64 `json:"busy,omitempty"`   // share of a core that the server's processes had while nobody asked
	Own       float64 `json:"own,omitempty"`    // share of the requests that xhttpd answered itself
	Unseen    float64 `json:"unseen,omitempty"` // connections that xhttpd left to the server behind without a look at their requests, for a request
	Errors    int     `json:"errors,omitempty"`
	Dropped   int     `json:"dropped,omitempty"`   // frames that found the queue of the core that receives them full
	Disturbed bool    `json:"disturbed,omitempty"` // by others on this machine or its host
	Limited   bool    `json:"limited,omitempty"`   // the client says that it, not the server, was the limit
	Left      bool    `json:"left,omitempty"`      // by xhttpd to the server behind, for the length of the response
}

// Cell is one server under one workload.
type Cell struct {
	Workload
	Peer    string   `json:"peer"`
	Samples []Sample `json:"samples"`
}

// Results are what one command has measured.
type Results struct {
	Command string  `json:"command"`
	Date    string  `json:"date"`
	Kernel  string  `json:"kernel"`
	Commit  string  `json:"commit"`
	CPUs    int     `json:"cpus"`
	Layout  string  `json:"layout,omitempty"` // how packets are received
	Cells   []*Cell `json:"cells"`
}

// Load reads what Save has written, also before there were kinds of work.
func Load(file string) (*Results, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	var r Results
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read results from %s: %w", file, err)
	}
	return &r, nil
}

// Save writes r as JSON, a cell on each line.
func (r *Results) Save(file string) error {
	head := *r
	head.Cells = nil
	top, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	out := append(slices.Clone(top[:len(top)-len("null}")]), '[')
	for k, c := range r.Cells {
		line, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("save results: %w", err)
		}
		if k > 0 {
			out = append(out, ',')
		}
		out = append(append(out, '\n'), line...)
	}
	if err := os.WriteFile(file, append(out, "\n]}\n"...), 0o644); err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	return nil
}

// Cell returns the cell of a server under a workload, or nil.
func (r *Results) Cell(w Workload, peer string) *Cell {
	for _, c := range r.Cells {
		if c.Workload == w && c.Peer == peer {
			return c
		}
	}
	return nil
}

// Workloads returns those that occur, in the order of their occurrence.
func (r *Results) Workloads() (all []Workload) {
	for _, c := range r.Cells {
		if !slices.Contains(all, c.Workload) {
			all = append(all, c.Workload)
		}
	}
	return all
}

// Peers returns the servers that occur.
func (r *Results) Peers() (all []string) {
	for _, c := range r.Cells {
		if !slices.Contains(all, c.Peer) {
			all = append(all, c.Peer)
		}
	}
	return all
}

// Figure is one number of a sample.
type Figure func(*Sample) float64

// The figures.
var (
	Requests Figure = func(s *Sample) float64 { return s.Requests }
	Bits     Figure = func(s *Sample) float64 { return s.Bits }
	Offered  Figure = func(s *Sample) float64 { return s.Offered }
	P50      Figure = func(s *Sample) float64 { return s.P50 }
	P99      Figure = func(s *Sample) float64 { return s.P99 }
	P999     Figure = func(s *Sample) float64 { return s.P999 }
	CPU      Figure = func(s *Sample) float64 { return s.CPU }
	Process  Figure = func(s *Sample) float64 { return s.Process }
	Memory   Figure = func(s *Sample) float64 { return s.Memory }
	Each     Figure = func(s *Sample) float64 { return s.Each }
	Busy     Figure = func(s *Sample) float64 { return s.Busy }
)

// Median returns the median, the least and the greatest of f over the rounds that nobody disturbed; over all, if there are none of
// those. NaN if c is nil or empty.
func (c *Cell) Median(f Figure) (median, least, most float64) {
	var v []float64
	if c != nil {
		for _, disturbed := range []bool{false, true} {
			for k := range c.Samples {
				if s := &c.Samples[k]; s.Disturbed == disturbed {
					v = append(v, f(s))
				}
			}
			if len(v) > 0 {
				break
			}
		}
	}
	if len(v) == 0 {
		return math.NaN(), math.NaN(), math.NaN()
	}
	slices.Sort(v)
	median = v[len(v)/2]
	if len(v)%2 == 0 {
		median = (median + v[len(v)/2-1]) / 2
	}
	return median, v[0], v[len(v)-1]
}

func (c *Cell) count(is func(*Sample) bool) (n int) {
	for k := range c.Samples {
		if is(&c.Samples[k]) {
			n++
		}
	}
	return n
}

// undisturbed reports whether a round was.
func (c *Cell) undisturbed() bool {
	return c != nil && c.count(func(s *Sample) bool { return !s.Disturbed }) > 0
}
