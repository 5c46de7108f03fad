package tcpstate

import (
	"os"
	"strconv"
)

// seedOr returns the seed in the environment variable TCPSTATE_SEED, or another.
func seedOr(seed uint64) uint64 {
	if s, err := strconv.ParseUint(os.Getenv("TCPSTATE_SEED"), 10, 64); err == nil {
		return s
	}
	return seed
}
