package xload

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/textproto"
	"strconv"
	"strings"
)

// Target is something that is asked for.
type Target struct {
	Path   string  // as in the request line
	Weight float64 // how often, beside the others
	Length int64   // of the body; negative: as in the first response
	Class  string  // for the report; may be empty
	Sum    uint32  // CRC-32C of the body, if HasSum; else as in the first response
	HasSum bool
}

// ReadTargets reads a list: a line for each, of a path, a weight (1 if it is missing) and the length of the body (that of the first
// response if it is missing). Empty lines, and what follows a #, do not count.
func ReadTargets(r io.Reader) ([]Target, error) {
	var list []Target
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		t := Target{Path: words[0], Weight: 1, Length: -1}
		var err error
		if len(words) > 1 {
			if t.Weight, err = strconv.ParseFloat(words[1], 64); err != nil || !(t.Weight > 0) {
				return nil, fmt.Errorf("line %d: %q is no weight", n, words[1])
			}
		}
		if len(words) > 2 {
			if t.Length, err = strconv.ParseInt(words[2], 10, 64); err != nil || t.Length < 0 {
				return nil, fmt.Errorf("line %d: %q is no length", n, words[2])
			}
		}
		if len(words) > 3 {
			return nil, fmt.Errorf("line %d: want a path, a weight, a length", n)
		}
		list = append(list, t)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("nothing to ask for")
	}
	return list, nil
}

// target is a Target at work.
type target struct {
	text   []byte // the request
	length int64
	sum    uint32
	summed bool // sum is known
	class  int
	head   known
}

// request returns the octets that ask for a path. shut asks the server to close the connection behind it.
func request(host, path string, fields []string, shut bool) ([]byte, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n\t") {
		return nil, fmt.Errorf("path %q must begin with / and have no spaces", path)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\n", path)
	has := map[string]bool{}
	for _, f := range fields {
		name, value, ok := strings.Cut(f, ":")
		if !ok || name == "" || strings.ContainsAny(f, "\r\n") || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("header field %q is not of the form NAME: VALUE", f)
		}
		has[textproto.CanonicalMIMEHeaderKey(name)] = true
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.TrimSpace(value))
	}
	if !has["Host"] {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	if shut && !has["Connection"] {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String()), nil
}

// alias draws from a weighted list in the same time whatever its length (Walker, as by Vose).
type alias struct {
	limit []uint64 // of the 2^53 equally likely values
	other []int32
}

func newAlias(weights []float64) alias {
	n, sum := len(weights), 0.0
	for _, w := range weights {
		sum += w
	}
	a := alias{limit: make([]uint64, n), other: make([]int32, n)}
	share := make([]float64, n)
	var small, large []int32
	for i, w := range weights {
		if share[i] = w / sum * float64(n); share[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.limit[s], a.other[s] = uint64(share[s]*(1<<53)), l
		if share[l] -= 1 - share[s]; share[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // what rounding has left
		a.limit[i], a.other[i] = 1<<53, i
	}
	return a
}

func (a *alias) draw(r *rand.PCG) int32 {
	if len(a.limit) == 1 {
		return 0
	}
	x := r.Uint64()
	i := int32((x >> 32) * uint64(len(a.limit)) >> 32)
	if r.Uint64()>>11 < a.limit[i] {
		return i
	}
	return a.other[i]
}
