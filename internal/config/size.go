package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of octets, written as in "256MiB".
type Size int64

var units = []struct {
	name   string // in lower case
	octets int64
}{ // longer names first: "b" ends them all
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"b", 1},
}

// UnmarshalText reads a whole number and a unit, without regard to case; no unit means octets.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.ToLower(strings.TrimSpace(string(text))), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.octets
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size: give a whole number and a unit, as in 256MiB", text)
	}
	if n > math.MaxInt64/unit {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(n * unit)
	return nil
}

// String returns the size in the largest binary unit that leaves a whole number.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s != 0 && int64(s)%u.octets == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.octets, [...]string{"KiB", "MiB", "GiB", "TiB"}[i])
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}
