package compare

import (
	"fmt"
	"strconv"
	"strings"
)

// Workload is what a client does, and over what network.
type Workload struct {
	Object   string `json:"object"` // its size: 100, 1k, 10k, 100k, 1M; or "specweb96", a mix
	Conns    int    `json:"conns"`  // at once
	New      bool   `json:"new,omitempty"`
	Kind     string `json:"kind,omitempty"` // see below
	Client   string `json:"client"`         // wrk or xload
	MTU      int    `json:"mtu"`
	Offloads bool   `json:"offloads,omitempty"` // TSO, GSO, GRO and checksums, as a veth pair has them; else packets are as on a wire
	Queues   int    `json:"queues,omitempty"`   // each way, if there are several: the server then has as many cores
}

// Kinds of work. The zero value is a closed loop: each response makes the next request.
const (
	Half   = "half"   // open loop, at half of the requests/s that nginx makes in a closed one in the same run
	Search = "search" // the highest rate of an open loop at which p99 is within SearchBound
	Apache = "apache" // a closed loop of requests that xhttpd hands over, each of them
	Mid    = "mid"    // of MidRequests on a connection all but the first are handed over
	Kept   = "kept"   // each connection asks once and then is idle: what memory it takes
	Idle   = "idle"   // nobody asks
	Echo   = "echo"   // frames with the object's length of payload, which are only sent back; Conns of them are under way
)

// Bounds that the kinds have.
const (
	SearchBound = 0.010 // seconds
	MidRequests = 10
)

// kinds say which there are, and what they are called.
var kinds = map[string]string{
	Half: "at half of nginx's rate", Search: "highest rate with p99 ≤ 10 ms", Apache: "handed to Apache", Mid: "handed to Apache behind a connection's first request",
	Kept: "idle after one request", Idle: "nobody asks", Echo: "frames sent back",
}

// sizes of the objects, octets.
var sizes = map[string]int{"100": 100, "1k": 1 << 10, "10k": 10 << 10, "30k": 30 << 10, "100k": 100 << 10, "300k": 300 << 10, "1M": 1 << 20}

// Mix is the object that is the SPECweb96 mix.
const Mix = "specweb96"

// Sizes returns the lengths of the objects by their names.
func Sizes() map[string]int { return sizes }

// ParseWorkload reads OBJECT/CONNECTIONS[/OPTION]..., where an option is "new" (a new connection for each request), a kind, "wrk" (the client, else xload),
// "offloads", "mtu9000", or "queues2".
func ParseWorkload(text string) (w Workload, err error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || sizes[parts[0]] == 0 && parts[0] != Mix {
		return w, fmt.Errorf("no such work: %q", text)
	}
	w = Workload{Object: parts[0], Client: "xload", MTU: 1500}
	if w.Conns, err = strconv.Atoi(parts[1]); err != nil {
		return w, fmt.Errorf("connections of %q: %w", text, err)
	}
	for _, option := range parts[2:] {
		switch {
		case option == "new":
			w.New = true
		case option == "wrk":
			w.Client = option
		case option == "offloads":
			w.Offloads = true
		case kinds[option] != "" && w.Kind == "":
			w.Kind = option
		case number(option, "mtu", &w.MTU), number(option, "queues", &w.Queues):
		default:
			return w, fmt.Errorf("no such option in %q: %s", text, option)
		}
	}
	if w.Kind == Idle || w.Kind == Echo {
		w.Client = "none"
	}
	if w.Client == "wrk" && (w.Object == Mix || w.Kind != "" && w.Kind != Apache) {
		return w, fmt.Errorf("wrk cannot do %q", text)
	}
	return w, nil
}

func number(text, prefix string, to *int) bool {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n <= 0 {
		return false
	}
	*to = n
	return true
}

// String names the workload.
func (w Workload) String() string {
	s := w.Object
	if w.Kind != Idle {
		s += fmt.Sprintf(", %d connections", w.Conns)
	}
	if w.New {
		s += ", a new one for each request"
	}
	if w.Kind != "" {
		s += ", " + kinds[w.Kind]
	}
	if w.Offloads {
		s += ", offloads on"
	}
	if w.MTU != 1500 {
		s += fmt.Sprintf(", MTU %d", w.MTU)
	}
	if w.Queues > 1 {
		s += fmt.Sprintf(", %d queues", w.Queues)
	}
	if w.Client != "none" {
		s += ", " + w.Client
	}
	return s
}

// Bed is the network that a workload needs.
type Bed struct {
	MTU, Queues int
	Offloads    bool
}

// Bed returns it.
func (w Workload) Bed() Bed { return Bed{w.MTU, max(w.Queues, 1), w.Offloads} }

// String names it, without signs that configuration files give a meaning.
func (b Bed) String() string {
	s := fmt.Sprintf("mtu%d-queues%d", b.MTU, b.Queues)
	if b.Offloads {
		s += "-offloads"
	}
	return s
}
