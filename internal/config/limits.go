package config

import (
	"fmt"
	"time"
)

// Limits are the settings that bound what hostile clients can have.
type Limits struct {
	MaxPerPrefix  int           `default:"0" help:"Connections of one address or prefix for each receive queue, as long as more than half of --max-connections are in use; 0 for an eighth of them, but at least 64. Further ones are reset."`
	Prefix4       int           `name:"prefix4" default:"32" help:"Length of the prefixes of IPv4 for --max-per-prefix."`
	Prefix6       int           `name:"prefix6" default:"64" help:"Length of the prefixes of IPv6 for --max-per-prefix."`
	MinRate       int           `default:"128" help:"Octets in a second that a client must take of a response, over --min-rate-period, or it is reset; 0 for no limit."`
	MinRatePeriod time.Duration `default:"5m" help:"How long a client is measured for --min-rate."`
	SlowHeads     int           `default:"2" help:"Connections in a second that the server behind gets, for each receive queue, with an incomplete request: the rest did not come in time, or there is no buffer for it; 0 for any number. Others are reset, or have to repeat it."`
	Strays        int           `default:"10000" help:"Packets of unknown connections in a second that the kernel gets to answer, for each receive queue; 0 for any number. Others are dropped."`
}

// validate reports the first setting that cannot have been meant.
func (l *Limits) validate() error {
	switch {
	case l.MaxPerPrefix < 0:
		return fmt.Errorf("--max-per-prefix %d: give 0 or more", l.MaxPerPrefix)
	case l.Prefix4 < 1 || l.Prefix4 > 32:
		return fmt.Errorf("--prefix4 %d: give from 1 to 32", l.Prefix4)
	case l.Prefix6 < 1 || l.Prefix6 > 128:
		return fmt.Errorf("--prefix6 %d: give from 1 to 128", l.Prefix6)
	case l.MinRate < 0 || l.MinRate > maxRate:
		return fmt.Errorf("--min-rate %d: give from 0 (no limit) to %d", l.MinRate, maxRate)
	case l.MinRatePeriod < time.Second || l.MinRatePeriod > maxTimeout:
		return fmt.Errorf("--min-rate-period %s: give from 1s to %s", l.MinRatePeriod, maxTimeout)
	case l.SlowHeads < 0 || l.SlowHeads > maxRate:
		return fmt.Errorf("--slow-heads %d: give from 0 (any number) to %d", l.SlowHeads, maxRate)
	case l.Strays < 0 || l.Strays > maxRate:
		return fmt.Errorf("--strays %d: give from 0 (any number) to %d", l.Strays, maxRate)
	}
	return nil
}

// maxRate keeps what is counted in nanoseconds, and in octets of a period, within 64 bits.
const maxRate = 1_000_000
