package tcpstate

// Time is a point of CLOCK_MONOTONIC in nanoseconds, or a distance between two such points. The caller owns
// the clock; here time only ever arrives as an argument.
type Time int64

// Distances of time.
const (
	Nanosecond  Time = 1
	Microsecond      = 1000 * Nanosecond
	Millisecond      = 1000 * Microsecond
	Second           = 1000 * Millisecond
	Minute           = 60 * Second
	Hour             = 60 * Minute
)

// Millis returns t in milliseconds, modulo 2³²: the clock of the timestamps that we send (RFC 7323, 4.1),
// to which each connection adds its own offset.
func Millis(t Time) uint32 { return uint32(t / Millisecond) }

// micros returns t in microseconds, modulo 2³²: the clock of round-trip measurements.
func micros(t Time) uint32 { return uint32(t / Microsecond) }

// tick is a point of time in milliseconds modulo 2³²; timers are held so, to be small. Two ticks are
// compared by their distance, which must stay below 2³¹ ms, 24 days.
type tick uint32

// after returns the tick that lies at least d behind t, for 0 <= d < 24 days. Rounding up by one makes up
// for the part of a millisecond by which t may lag.
func (t tick) after(d Time) tick { return t + tick(d/Millisecond) + 1 }

// due reports whether the point at has been reached at t.
func (t tick) due(at tick) bool { return int32(t-at) >= 0 }
